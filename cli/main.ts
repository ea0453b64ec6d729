/**
 * The command line's process: arguments and streams in, exit code out. A reader that stops reading
 * (`tsswarm node ls | head -1`) is no error.
 */
import { setTimeout } from 'node:timers/promises'
import type { World } from './command.ts'
import { run } from './run.ts'

const world: World = {
  env: process.env,
  // Opened where it is read: a terminal on it would be put into raw reading otherwise.
  stdin: { [Symbol.asyncIterator]: () => process.stdin[Symbol.asyncIterator]() },
  get isStdinTty() {
    return process.stdin.isTTY
  },
  write: (text) => process.stdout.write(text),
  print: (line) => process.stdout.write(`${line}\n`),
  warn: (line) => process.stderr.write(`${line}\n`),
  get columns() {
    // A terminal that does not know its width says 0.
    return process.stdout.isTTY ? process.stdout.columns || 80 : undefined
  },
  nowMs: () => Date.now(),
  sleep: async (ms, signal) => {
    await setTimeout(ms, undefined, { signal }).catch(() => undefined)
  },
  onInterrupt: (listener) => {
    process.on('SIGINT', listener)
    return () => {
      process.off('SIGINT', listener)
    }
  },
}

process.stdout.on('error', (error) => {
  process.exit('code' in error && error.code === 'EPIPE' ? 0 : 1)
})
process.exitCode = await run(process.argv.slice(2), world)
