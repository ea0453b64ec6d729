/**
 * The text format of etcd-io/raft's data files: cases of a command line, input lines, a line
 * `----`, and the expected output up to a blank line; or, between doubled `----` lines, with blank
 * lines in it. `#` starts a comment between cases. It decides what is well-formed; what commands
 * mean is decided by the handlers.
 */

/** `key`, `key=value` or `key=(value, value)`. */
export type Argument = { readonly key: string; readonly values: readonly string[] }

export type Case = {
  /** Line of the command in the file, from 1. */
  readonly line: number
  readonly command: string
  readonly arguments: readonly Argument[]
  readonly input: string
  /** Ends with a line feed unless it is empty. */
  readonly expected: string
}

/** The file or a command in it cannot be used; the run of the file ends here. */
export class DataFileError extends Error {
  readonly line: number

  constructor(line: number, message: string) {
    super(message)
    this.name = 'DataFileError'
    this.line = line
  }
}

/** Every case of the file, in order; DataFileError where it is malformed. */
export function parseDataFile(text: string): readonly Case[] {
  const lines = text.replace(/\n$/, '').split('\n')
  const cases: Case[] = []
  let at = 0
  while (at < lines.length) {
    const line = lines[at] ?? ''
    if (line.trim() === '' || line.startsWith('#')) {
      at++
      continue
    }
    const parsed = parseCase(lines, at)
    cases.push(parsed.case)
    at = parsed.next
  }
  return cases
}

/** The value of an argument with exactly one; undefined if it is not given. */
export function findValue(from: Case, key: string): string | undefined {
  const argument = from.arguments.find((candidate) => candidate.key === key)
  if (argument === undefined) return undefined
  if (argument.values.length !== 1) {
    throw new DataFileError(from.line, `argument "${key}" takes one value`)
  }
  return argument.values[0]
}

/** The arguments without value: node ids, mostly. */
export function listPlain(from: Case): readonly string[] {
  return from.arguments.filter(({ values }) => values.length === 0).map(({ key }) => key)
}

/** A whole number from 0, or DataFileError. */
export function parseNumber(text: string | undefined, line: number): number {
  if (text === undefined || !/^\d{1,15}$/.test(text)) {
    throw new DataFileError(line, `"${text ?? ''}" is not a number`)
  }
  return Number(text)
}

/** `true` or `false`, or DataFileError. */
export function parseBoolean(text: string, line: number): boolean {
  if (text !== 'true' && text !== 'false') {
    throw new DataFileError(line, `"${text}" is not true or false`)
  }
  return text === 'true'
}

function parseCase(
  lines: readonly string[],
  start: number,
): { readonly case: Case; readonly next: number } {
  let at = start
  let commandLine = lines[at++] ?? ''
  while (commandLine.endsWith('\\') && at < lines.length) {
    commandLine = `${commandLine.slice(0, -1).trim()} ${(lines[at++] ?? '').trim()}`
  }
  const { command, arguments: args } = parseCommand(commandLine, start + 1)
  const inputStart = at
  while (at < lines.length && lines[at] !== '----') at++
  if (at === lines.length) {
    throw new DataFileError(start + 1, `"${command}" has no line ---- before its output`)
  }
  const input = lines.slice(inputStart, at).join('\n').trim()
  const output = parseOutput(lines, at + 1, start + 1)
  return {
    case: { line: start + 1, command, arguments: args, input, expected: output.expected },
    next: output.next,
  }
}

function parseOutput(
  lines: readonly string[],
  start: number,
  line: number,
): { readonly expected: string; readonly next: number } {
  const isDoubled = lines[start] === '----'
  let at = isDoubled ? start + 1 : start
  const output: string[] = []
  if (!isDoubled) {
    for (; at < lines.length && lines[at]?.trim() !== ''; at++) output.push(lines[at] ?? '')
    return { expected: joinLines(output), next: at }
  }
  while (at + 1 < lines.length && !(lines[at] === '----' && lines[at + 1] === '----')) {
    output.push(lines[at++] ?? '')
  }
  if (at + 1 >= lines.length) {
    throw new DataFileError(line, 'the output between doubled ---- lines does not end')
  }
  if (lines[at + 2] !== undefined && lines[at + 2]?.trim() !== '') {
    throw new DataFileError(at + 3, 'a blank line must follow the second pair of ---- lines')
  }
  return { expected: joinLines(output), next: at + 2 }
}

function joinLines(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('')
}

const WORD = /^ *([-a-zA-Z0-9/_,.@+]+)(?:=(\([^)]*\)|[-a-zA-Z0-9/_,.@+=]*))?(?= |$)/

function parseCommand(
  text: string,
  line: number,
): { readonly command: string; readonly arguments: readonly Argument[] } {
  const words: Argument[] = []
  let rest = text.trimEnd()
  while (rest !== '') {
    const match = WORD.exec(rest)
    if (match === null) throw new DataFileError(line, `cannot read the command at "${rest.trim()}"`)
    words.push({ key: match[1] ?? '', values: parseValues(match[2]) })
    rest = rest.slice(match[0].length).trimEnd()
  }
  const [first, ...args] = words
  if (first === undefined || first.values.length > 0) {
    throw new DataFileError(line, `"${text}" does not start with a command`)
  }
  return { command: first.key, arguments: args }
}

function parseValues(text: string | undefined): readonly string[] {
  if (text === undefined || text === '' || text === '()') return []
  if (!text.startsWith('(')) return [text]
  return text
    .slice(1, -1)
    .split(',')
    .map((value) => value.trim())
}
