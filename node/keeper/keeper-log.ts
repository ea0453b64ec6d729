/**
 * The keeper's own log: JSON lines in `keeper.log` of the state directory, in the shape of pino's,
 * which would cost the keeper too much memory. The file is cut when the keeper starts, so that it
 * does not grow for ever.
 */
import { appendFileSync, renameSync, statSync, writeSync } from 'node:fs'
import type { Log, LogFields } from '../../lib/log.ts'

const FILE_BYTES_MAX = 1024 * 1024

const LEVELS = { error: 50, warn: 40, info: 30, debug: 20, trace: 10 } as const

/** A Log that appends to `path` what is `info` or worse; a long file becomes `path`.1 before. */
export function newKeeperLog(path: string): Log {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  if (size > FILE_BYTES_MAX) renameSync(path, `${path}.1`)
  return newLog(path, { component: 'keeper', pid: process.pid })
}

function newLog(path: string, bindings: LogFields): Log {
  const at = (name: keyof typeof LEVELS) => (fields: LogFields, message: string) =>
    append(path, { level: LEVELS[name], time: Date.now(), ...bindings, ...fields, msg: message })
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: () => undefined,
    trace: () => undefined,
    child: (more) => newLog(path, { ...bindings, ...more }),
  }
}

function append(path: string, line: LogFields): void {
  const text = `${JSON.stringify(line, (_key, value) => (value instanceof Error ? value.message : value))}\n`
  try {
    appendFileSync(path, text, { mode: 0o600 })
  } catch {
    // The disk is full or gone: the last place to say it is where the launcher sent stderr.
    writeSync(2, text)
  }
}
