/**
 * The conformance command: `npm run -s conformance:raft -- [--behaviour] FILE…` runs data files of
 * etcd-io/raft against the core, prints every difference, and ends with `N passed, N failed`, a
 * file being the unit. Exit code 1 when one failed, 2 when it was called wrongly. docs/raft.md.
 */
import { readFileSync } from 'node:fs'
import { type FileResult, runFile } from './run-file.ts'

const USAGE = 'usage: npm run -s conformance:raft -- [--behaviour] FILE…\n'

process.exitCode = main(process.argv.slice(2))

function main(args: readonly string[]): number {
  const behaviour = args.includes('--behaviour')
  const paths = args.filter((arg) => arg !== '--behaviour')
  if (paths.length === 0 || paths.some((path) => path.startsWith('--'))) {
    process.stderr.write(USAGE)
    return 2
  }
  let passed = 0
  for (const path of paths) {
    const { isPassed, report } = readAndRun(path, behaviour)
    if (isPassed) passed++
    process.stdout.write(report)
  }
  const failed = paths.length - passed
  process.stdout.write(`${passed} passed, ${failed} failed\n`)
  return failed === 0 ? 0 : 1
}

function readAndRun(path: string, behaviour: boolean): FileResult {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return { isPassed: false, report: `${path}: ${message}\n` }
  }
  return runFile(path, text, { behaviour })
}
