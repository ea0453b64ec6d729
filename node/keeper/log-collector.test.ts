/**
 * Real FIFOs into real log files: lines, half lines, rotation, and a successor's start.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import {
  LOG_FILE_BYTES,
  LOG_FILE_COUNT,
  type LogRecord,
  readLogRecord,
} from '../../agent/runtime/log-file.ts'
import { silentLog } from '../../lib/log.ts'
import { LogCollector } from './log-collector.ts'
import { LogJournal } from './log-journal.ts'

let folder = ''
const collectors: LogCollector[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keeper-'))
})

afterEach(() => {
  for (const collector of collectors.splice(0)) collector.end()
  rmSync(folder, { recursive: true })
})

function newCollector(): LogCollector {
  const collector = new LogCollector({
    logDirectory: join(folder, 'logs'),
    pipeDirectory: join(folder, 'pipes'),
    journalPath: join(folder, 'journal'),
    now: () => 1_000.25,
    log: silentLog,
  })
  collectors.push(collector)
  return collector
}

function readRecords(taskId: string): readonly LogRecord[] {
  const directory = join(folder, 'logs', taskId)
  const records: LogRecord[] = []
  for (const name of existsSync(directory) ? readdirSync(directory).sort() : []) {
    const bytes = readFileSync(join(directory, name))
    for (let at = 0; at < bytes.length; ) {
      const read = readLogRecord(bytes, at)
      if (read === undefined) break
      records.push(read.record)
      at = read.end
    }
  }
  return records
}

const texts = (records: readonly LogRecord[]) =>
  records.map((record) => Buffer.from(record.data).toString() + (record.partial ? '…' : ''))

/** As a shim does, the writer holds both ends. */
function writer(path: string): { write(text: string): void; close(): void } {
  const file = openSync(path, 'r+')
  return { write: (text) => void writeSync(file, text), close: () => closeSync(file) }
}

test('lines of both streams stand in the log with their time', async () => {
  const collector = newCollector()
  const { stdout, stderr } = await collector.open('t1')

  const [out, err] = [writer(stdout), writer(stderr)]
  out.write('one\ntwo\n')
  await vi.waitFor(() => expect(readRecords('t1')).toHaveLength(2))
  err.write('bad\n')
  await vi.waitFor(() => expect(readRecords('t1')).toHaveLength(3))

  const records = readRecords('t1')
  expect(texts(records)).toEqual(['one', 'two', 'bad'])
  expect(records.map((record) => record.stream)).toEqual(['stdout', 'stdout', 'stderr'])
  expect(records[0]).toMatchObject({ timestampMs: 1_000, timestampNs: 250_000 })
})

test('half a line is written as a partial record and goes on in the next', async () => {
  const collector = newCollector()
  const { stdout } = await collector.open('t1')

  const out = writer(stdout)
  out.write('begun ')
  await vi.waitFor(() => expect(readRecords('t1')).toHaveLength(1))
  out.write('and ended\n')
  await vi.waitFor(() => expect(readRecords('t1')).toHaveLength(2))

  expect(texts(readRecords('t1'))).toEqual(['begun …', 'and ended'])
})

test('close() writes what is in the pipes and removes them', async () => {
  const collector = newCollector()
  const { stdout } = await collector.open('t1')
  const out = writer(stdout)
  out.write('last words\n')

  collector.close('t1')
  collector.close('t1')

  expect(texts(readRecords('t1'))).toEqual(['last words'])
  expect(existsSync(stdout)).toBe(false)
})

test('a successor goes on where its predecessor stopped', async () => {
  const first = newCollector()
  const { stdout } = await first.open('t1')
  const out = writer(stdout)
  out.write('before\n')
  await vi.waitFor(() => expect(readRecords('t1')).toHaveLength(1))

  first.end()
  out.write('between\n')
  newCollector()
  await vi.waitFor(() => expect(readRecords('t1')).toHaveLength(2))

  expect(texts(readRecords('t1'))).toEqual(['before', 'between'])
})

test.each([
  ['before it wrote the piece', (size: number) => size],
  ['in the middle of writing it', (size: number) => size + 30],
  ['after it wrote it', (size: number) => size + 10_000],
])('a piece read by a predecessor killed %s is there once', async (_name, cut) => {
  const first = newCollector()
  const { stdout } = await first.open('t1')
  const out = writer(stdout)
  out.write('one\n')
  await vi.waitFor(() => expect(readRecords('t1')).toHaveLength(1))
  const file = join(folder, 'logs', 't1', '00000001.log')
  const size = readFileSync(file).length
  out.write('two\nthree\nfo')
  await vi.waitFor(() => expect(readRecords('t1')).toHaveLength(4))
  first.end()
  truncateSync(file, Math.min(cut(size), readFileSync(file).length))

  newCollector()

  expect(texts(readRecords('t1'))).toEqual(['one', 'two', 'three', 'fo…'])
})

test('a journal that was being written is passed over', () => {
  const place = { taskId: 't1', stream: 'stdout', fileIndex: 1, offset: 0, timestampMs: 1 } as const
  mkdirSync(join(folder, 'logs', 't1'), { recursive: true })
  closeSync(openSync(join(folder, 'logs', 't1', '00000001.log'), 'w'))
  const journal = new LogJournal(join(folder, 'journal'), { bufferBytes: 64, wallMs: 5 })
  journal.begin(place)
  journal.put(journal.buffer.write('whole\n'))
  journal.close()
  truncateSync(join(folder, 'journal'), readFileSync(join(folder, 'journal')).length - 3)

  newCollector()

  expect(readRecords('t1')).toEqual([])
})

test('files are rotated and the oldest goes; a slow writer is not stopped', async () => {
  const collector = newCollector()
  const { stdout } = await collector.open('t1')
  const directory = join(folder, 'logs', 't1')
  for (let index = 1; index < LOG_FILE_COUNT; index++)
    closeSync(openSync(join(directory, `${String(index).padStart(8, '0')}.log`), 'w'))
  collector.end()
  const last = join(directory, `${String(LOG_FILE_COUNT).padStart(8, '0')}.log`)
  closeSync(openSync(last, 'w'))
  truncateSync(last, LOG_FILE_BYTES)

  newCollector()
  writer(stdout).write('in the next file\n')
  await vi.waitFor(() => expect(readdirSync(directory)).toContain('00000011.log'))

  const names = readdirSync(directory).sort()
  expect(names).toHaveLength(LOG_FILE_COUNT)
  expect(names[0]).toBe('00000002.log')
})
