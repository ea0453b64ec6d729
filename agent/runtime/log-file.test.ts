/**
 * The log record format: there and back, torn ends, and the last lines of a file.
 */
import { expect, test } from 'vitest'
import {
  encodeLogRecord,
  findTail,
  type LogRecord,
  logFileName,
  parseLogFileName,
  readLogRecord,
  wholeLength,
} from './log-file.ts'

function record(text: string, changes: Partial<LogRecord> = {}): LogRecord {
  return {
    stream: 'stdout',
    timestampMs: 1_763_000_000_123,
    timestampNs: 456_789,
    data: new TextEncoder().encode(text),
    partial: false,
    ...changes,
  }
}

function file(...records: readonly LogRecord[]): Uint8Array {
  return new Uint8Array(records.flatMap((each) => [...encodeLogRecord(each)]))
}

test('readLogRecord gives back what encodeLogRecord made', () => {
  const binary = record('', { data: new Uint8Array([0, 10, 255, 128]), stream: 'stderr' })
  const bytes = file(record('one'), binary, record('', { partial: true }))

  const first = readLogRecord(bytes, 0)
  const second = readLogRecord(bytes, first?.end ?? -1)
  const third = readLogRecord(bytes, second?.end ?? -1)

  expect([first?.record, second?.record, third?.record]).toEqual([
    record('one'),
    binary,
    record('', { partial: true }),
  ])
  expect(readLogRecord(bytes, third?.end ?? -1)).toBeUndefined()
})

test('wholeLength leaves out a torn record, wherever it is cut', () => {
  const whole = file(record('kept'))
  const both = file(record('kept'), record('torn'))

  for (let length = whole.length; length < both.length; length++) {
    expect(wholeLength(both.subarray(0, length))).toBe(whole.length)
  }
  expect(wholeLength(both)).toBe(both.length)
})

test('wholeLength stops where the two lengths differ', () => {
  const bytes = file(record('a'), record('b'))

  bytes[bytes.length - 1] = 1

  expect(wholeLength(bytes)).toBe(file(record('a')).length)
})

test('findTail counts lines from the end and keeps partial records together', () => {
  const partial = record('b1', { partial: true })
  const bytes = file(record('a'), partial, record('b2'), record('c'))
  const start = file(record('a')).length

  expect(findTail(bytes, 2)).toEqual({ offset: start, lines: 2 })
  expect(findTail(bytes, 9)).toEqual({ offset: 0, lines: 3 })
  expect(findTail(bytes, 0)).toEqual({ offset: bytes.length, lines: 0 })
})

test('log file names go there and back', () => {
  expect(logFileName(12)).toBe('00000012.log')
  expect(parseLogFileName('00000012.log')).toBe(12)
  for (const name of ['x', '12.log', '00000012.log.tmp']) {
    expect(parseLogFileName(name)).toBeUndefined()
  }
})
