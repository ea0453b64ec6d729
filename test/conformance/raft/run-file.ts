/**
 * Runs one data file: the kind is told by the name of its folder, each case's output is compared
 * with what the file expects, and every difference is shown. With `behaviour`, lines that begin
 * with a log level are left out on both sides, and an output that is empty then counts as `ok`.
 */
import { basename, dirname, resolve } from 'node:path'
import { newConfChange } from './confchange.ts'
import { type Case, DataFileError, parseDataFile } from './datadriven.ts'
import { diffLines } from './diff.ts'
import { newInteraction } from './interaction.ts'
import { runQuorumCase } from './quorum.ts'

/** `isPassed`, or what is wrong, in text for people. */
export type FileResult = { readonly isPassed: boolean; readonly report: string }

export function runFile(path: string, text: string, options: { behaviour: boolean }): FileResult {
  const kind = basename(dirname(resolve(path)))
  const runCase = findRunner(kind)
  if (runCase === undefined) {
    const report = `${path}: folder "${kind}" is none of interaction, quorum, confchange\n`
    return { isPassed: false, report }
  }
  let report = ''
  let line = 1
  try {
    for (const next of parseDataFile(text)) {
      line = next.line
      report += compare(path, next, { actual: runCase(next), behaviour: options.behaviour })
    }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    report += `${path}:${error instanceof DataFileError ? error.line : line}: ${message}\n`
  }
  return { isPassed: report === '', report }
}

function findRunner(kind: string): ((next: Case) => string) | undefined {
  switch (kind) {
    case 'interaction':
      return newInteraction()
    case 'quorum':
      return runQuorumCase
    case 'confchange':
      return newConfChange()
    default:
      return undefined
  }
}

function compare(
  path: string,
  { line, command, expected }: Case,
  { actual, behaviour }: { readonly actual: string; readonly behaviour: boolean },
): string {
  const prepare = (text: string): string => {
    const ended = text === '' || text.endsWith('\n') ? text : `${text}\n`
    return behaviour ? withoutLogLines(ended) : ended
  }
  const want = prepare(expected)
  const have = prepare(actual)
  if (want === have) return ''
  return `${path}:${line}: ${command}\n${diffLines(want, have)}`
}

function withoutLogLines(text: string): string {
  const kept = text.split('\n').filter((line) => !/^\s*(DEBUG|INFO|WARN|ERROR) /.test(line))
  const left = kept.join('\n')
  return left === '' ? 'ok\n' : left
}
