/**
 * Reading a container's log files: all, the last lines, rotated ones, and while they grow.
 */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { encodeLogRecord, logFileName } from '../log-file.ts'
import type { LogOptions } from '../runtime.ts'
import { readLogs } from './logs.ts'

const root = mkdtempSync(join(tmpdir(), 'tsswarm-logs-'))
afterAll(() => rmSync(root, { recursive: true }))
let folders = 0

function newFolder(...files: readonly (readonly string[])[]): string {
  const folder = join(root, String(folders++))
  mkdirSync(folder)
  for (const [at, lines] of files.entries()) {
    writeFileSync(join(folder, logFileName(at + 1)), Buffer.concat(lines.map(record)))
  }
  return folder
}

/** `!text` is of stderr, `text…` is partial; the time is 1,000 ms and the length of the text. */
function record(text: string): Uint8Array {
  return encodeLogRecord({
    stream: text.startsWith('!') ? 'stderr' : 'stdout',
    partial: text.endsWith('…'),
    timestampMs: 1_000 + text.length,
    timestampNs: 0,
    data: new TextEncoder().encode(text),
  })
}

async function read(folder: string, options: Partial<LogOptions> = {}): Promise<readonly string[]> {
  const lines: string[] = []
  const source = { folder, isOver: async () => true }
  for await (const line of readLogs(source, { ...everything, ...options })) {
    lines.push(new TextDecoder().decode(line.data))
  }
  return lines
}

const everything: LogOptions = {
  follow: false,
  stdout: true,
  stderr: true,
  tail: -1,
  sinceMs: 0,
  signal: new AbortController().signal,
}

test.each<[Partial<LogOptions>, readonly string[]]>([
  [{}, ['a', '!b', 'c…', 'cc', 'ddd']],
  [{ stderr: false }, ['a', 'c…', 'cc', 'ddd']],
  [{ stdout: false }, ['!b']],
  [{ tail: 0 }, []],
  [{ tail: 1 }, ['ddd']],
  [{ tail: 2 }, ['c…', 'cc', 'ddd']],
  [{ tail: 3 }, ['!b', 'c…', 'cc', 'ddd']],
  [{ tail: 99 }, ['a', '!b', 'c…', 'cc', 'ddd']],
  [{ sinceMs: 1_002 }, ['!b', 'c…', 'cc', 'ddd']],
  [{ sinceMs: 1_003 }, ['ddd']],
])('readLogs with %j', async (options, expected) => {
  const folder = newFolder(['a', '!b'], [], ['c…', 'cc', 'ddd'])

  expect(await read(folder, options)).toEqual(expected)
})

test('readLogs leaves out a torn end', async () => {
  const folder = newFolder(['a'])

  appendFileSync(join(folder, logFileName(1)), record('torn').subarray(0, 20))

  expect(await read(folder)).toEqual(['a'])
  expect(await read(folder, { tail: 1 })).toEqual(['a'])
})

test('readLogs without a folder gives nothing', async () => {
  expect(await read(join(root, 'none'))).toEqual([])
})

test('readLogs reads files larger than one piece', async () => {
  const lines = Array.from({ length: 100 }, (_, at) => `${at}`.padEnd(10_000, 'x'))

  expect(await read(newFolder(lines.slice(0, 50), lines.slice(50)))).toEqual(lines)
})

test('readLogs follows through rotation until the container has ended', async () => {
  const folder = newFolder()
  let isOver = false
  const lines = readLogs({ folder, isOver: async () => isOver }, { ...everything, follow: true })
  const next = async (): Promise<string> => {
    const result = await lines.next()
    return result.done === true ? 'end' : new TextDecoder().decode(result.value.data)
  }
  const first = next()

  writeFileSync(join(folder, logFileName(1)), record('one'))
  expect(await first).toBe('one')
  const second = next()
  appendFileSync(join(folder, logFileName(1)), record('two'))
  expect(await second).toBe('two')
  const third = next()
  writeFileSync(join(folder, logFileName(2)), record('three'))
  expect(await third).toBe('three')
  appendFileSync(join(folder, logFileName(2)), record('last'))
  isOver = true

  expect([await next(), await next()]).toEqual(['last', 'end'])
})

test('readLogs ends when nobody listens any more', async () => {
  const listening = new AbortController()
  const lines = readLogs(
    { folder: newFolder(['a']), isOver: async () => false },
    { ...everything, follow: true, signal: listening.signal },
  )
  await lines.next()
  const next = lines.next()

  listening.abort()

  expect((await next).done).toBe(true)
})
