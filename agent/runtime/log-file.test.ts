/** Records to lines: however the bytes are cut, over files, and where a writer was killed. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  decodeLogHeader,
  encodeLogHeader,
  formatLogFileName,
  LOG_HEADER_BYTES,
  LOG_LINE_BYTES_MAX,
  LogDecoder,
  type LogStream,
  parseLogFileName,
} from './log-file.ts'
import type { ContainerLine } from './runtime.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (line: ContainerLine): string => new TextDecoder().decode(line.data)

function record(stream: LogStream, data: string, timestampMs = 1_000): Uint8Array {
  const body = bytes(data)
  const whole = new Uint8Array(LOG_HEADER_BYTES + body.length)
  encodeLogHeader(whole, { stream, lengthBytes: body.length, timestampMs, timestampNs: 7 })
  whole.set(body, LOG_HEADER_BYTES)
  return whole
}

const concat = (...parts: readonly Uint8Array[]): Uint8Array =>
  Uint8Array.from(Buffer.concat(parts))

test('a header is decoded as it was encoded, and anything else is not a header', () => {
  const header = {
    stream: 'stderr',
    lengthBytes: 4_000_000_000,
    timestampMs: 1_790_000_000_123,
    timestampNs: 999_999,
  } as const
  const encoded = new Uint8Array(LOG_HEADER_BYTES)

  encodeLogHeader(encoded, header)

  expect(decodeLogHeader(encoded)).toEqual(header)
  expect(decodeLogHeader(new Uint8Array(LOG_HEADER_BYTES))).toBeUndefined()
})

test('file names are numbers in order, and other names are none', () => {
  expect(formatLogFileName(12)).toBe('00000012.log')
  expect(parseLogFileName('00000012.log')).toBe(12)
  expect(['12.log', '00000012.log.1', 'x0000012.log'].map(parseLogFileName)).toEqual([
    undefined,
    undefined,
    undefined,
  ])
})

test('lines are the same however the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          fc.constantFrom<LogStream>('stdout', 'stderr'),
          fc.stringMatching(/^[ab\n]{1,9}$/),
        ),
        {
          maxLength: 12,
        },
      ),
      fc.integer({ min: 1, max: 50 }),
      (records, step) => {
        const whole = concat(...records.map(([stream, data]) => record(stream, data)))
        const decoder = new LogDecoder()

        const lines: ContainerLine[] = []
        for (let at = 0; at < whole.length; at += step)
          lines.push(...decoder.push(whole.subarray(at, at + step)))
        lines.push(...decoder.flush())

        for (const stream of ['stdout', 'stderr'] as const) {
          const written = records.map(([of, data]) => (of === stream ? data : '')).join('')
          const expected = written.split('\n')
          if (expected.at(-1) === '') expected.pop()
          expect(lines.filter((line) => line.stream === stream).map(text)).toEqual(expected)
        }
      },
    ),
  )
})

test('a line has the time of its first byte', () => {
  const decoder = new LogDecoder()

  const lines = decoder.push(concat(record('stdout', 'a', 5), record('stdout', 'b\nc\n', 6)))

  expect(lines.map((line) => [text(line), line.timestampMs, line.timestampNs])).toEqual([
    ['ab', 5, 7],
    ['c', 6, 7],
  ])
})

test('a long line comes in pieces, all but the last marked partial', () => {
  const decoder = new LogDecoder()

  const lines = decoder.push(record('stdout', `${'x'.repeat(LOG_LINE_BYTES_MAX * 2 + 5)}\n`))

  expect(lines.map((line) => [line.data.length, line.partial])).toEqual([
    [LOG_LINE_BYTES_MAX, true],
    [LOG_LINE_BYTES_MAX, true],
    [5, false],
  ])
})

test('a line goes on in the next file after a record that was cut short', () => {
  const decoder = new LogDecoder()
  const cut = record('stdout', 'one\ntwo and more').subarray(0, LOG_HEADER_BYTES + 7)

  const lines = [...decoder.push(cut)]
  decoder.endFile()
  lines.push(...decoder.push(record('stdout', ' three\n')))

  expect(lines.map(text)).toEqual(['one', 'two three'])
})

test('what is no record is passed over to the end of its file', () => {
  const decoder = new LogDecoder()

  const lines = [...decoder.push(concat(record('stdout', 'one\n'), new Uint8Array(64)))]
  lines.push(...decoder.push(record('stdout', 'unseen\n')))
  decoder.endFile()
  lines.push(...decoder.push(record('stdout', 'two\n')))

  expect(lines.map(text)).toEqual(['one', 'two'])
})
