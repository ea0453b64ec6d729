/**
 * The files that hold a container's output: records in numbered files, one folder a task. The keeper
 * (and the process runtime) writes them, `containerd/logs.ts` reads them. This file owns the format
 * and the limits and touches no disk.
 *
 *   record = length u32 · flags u8 · milliseconds f64 · nanoseconds u32 · data · length u32
 *
 * All little endian; length is that of the data. It stands at both ends, so that the last lines are
 * found from the end. A file is appended to, never changed; a writer that finds a torn record at the
 * end of the last file (it was killed) cuts it off with `wholeLength` before it goes on.
 */
import { assert } from '../../lib/assert.ts'

/** A file that holds this much is full; the next record begins the next file. */
export const LOG_FILE_BYTES: number = 10 * 1024 * 1024
/** Files kept a container; the oldest goes when one more begins. */
export const LOG_FILE_COUNT = 10
/** Longer lines are split into partial ones, as Docker splits them. */
export const LOG_DATA_BYTES: number = 16 * 1024

const HEAD_BYTES = 17
const TAIL_BYTES = 4
const STDERR_FLAG = 1
const PARTIAL_FLAG = 2

export type LogRecord = {
  readonly stream: 'stdout' | 'stderr'
  /** Wall time at which it was read: milliseconds, and the nanoseconds below one. */
  readonly timestampMs: number
  readonly timestampNs: number
  /** One line without its newline. */
  readonly data: Uint8Array
  /** The line goes on in the next record of this stream. */
  readonly partial: boolean
}

/** A record and the offset at which the next one begins. */
export type ReadRecord = { readonly record: LogRecord; readonly end: number }

/** The name of a task's `index`th log file, from 1 on: `00000001.log`. */
export function logFileName(index: number): string {
  return `${String(index).padStart(8, '0')}.log`
}

/** The number in a log file's name; undefined where it is not the name of one. */
export function parseLogFileName(name: string): number | undefined {
  const match = /^(\d{8,15})\.log$/.exec(name)
  return match === null ? undefined : Number(match[1])
}

/** The bytes of one record; at most LOG_DATA_BYTES of data. */
export function encodeLogRecord(record: LogRecord): Uint8Array {
  const bytes = new Uint8Array(logRecordBytes(record.data.length))
  writeLogRecord(bytes, 0, record)
  return bytes
}

/** How long a record with so much data is. */
export function logRecordBytes(dataBytes: number): number {
  return HEAD_BYTES + dataBytes + TAIL_BYTES
}

/** The record stands in `target` from `offset` on; the offset after it. */
export function writeLogRecord(target: Uint8Array, offset: number, record: LogRecord): number {
  const length = record.data.length
  assert(length <= LOG_DATA_BYTES, 'a log record holds at most 16 KiB', { length })
  const view = new DataView(target.buffer, target.byteOffset + offset, logRecordBytes(length))
  view.setUint32(0, length, true)
  view.setUint8(
    4,
    (record.stream === 'stderr' ? STDERR_FLAG : 0) | (record.partial ? PARTIAL_FLAG : 0),
  )
  view.setFloat64(5, record.timestampMs, true)
  view.setUint32(13, record.timestampNs, true)
  target.set(record.data, offset + HEAD_BYTES)
  view.setUint32(HEAD_BYTES + length, length, true)
  return offset + logRecordBytes(length)
}

/** The record at `offset`; undefined where the bytes end before it does. Its data is a copy. */
export function readLogRecord(bytes: Uint8Array, offset: number): ReadRecord | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const end = recordEnd(view, offset)
  if (end === undefined) return undefined
  const flags = view.getUint8(offset + 4)
  const record: LogRecord = {
    stream: (flags & STDERR_FLAG) === 0 ? 'stdout' : 'stderr',
    timestampMs: view.getFloat64(offset + 5, true),
    timestampNs: view.getUint32(offset + 13, true),
    data: bytes.slice(offset + HEAD_BYTES, end - TAIL_BYTES),
    partial: (flags & PARTIAL_FLAG) !== 0,
  }
  return { record, end }
}

/** How many bytes from the beginning are whole records; the rest is torn. */
export function wholeLength(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let offset = 0
  for (;;) {
    const end = recordEnd(view, offset)
    if (end === undefined) return offset
    offset = end
  }
}

/**
 * Where the last `lines` whole lines begin in `bytes`, which end with a whole record, and how many
 * lines were found. Partial records belong to the line that their last one ends.
 */
export function findTail(
  bytes: Uint8Array,
  lines: number,
): { readonly offset: number; readonly lines: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let offset = bytes.length
  let found = 0
  while (offset > 0) {
    const start = offset - view.getUint32(offset - TAIL_BYTES, true) - HEAD_BYTES - TAIL_BYTES
    assert(start >= 0, 'a log file is a row of records', { offset })
    const endsLine = (view.getUint8(start + 4) & PARTIAL_FLAG) === 0
    if (endsLine && found === lines) break
    if (endsLine) found += 1
    offset = start
  }
  return { offset, lines: found }
}

/** The end of the record at `offset`, or undefined where it is cut short or its two lengths differ. */
function recordEnd(view: DataView, offset: number): number | undefined {
  if (offset + HEAD_BYTES + TAIL_BYTES > view.byteLength) return undefined
  const length = view.getUint32(offset, true)
  const end = offset + HEAD_BYTES + length + TAIL_BYTES
  if (length > LOG_DATA_BYTES || end > view.byteLength) return undefined
  return view.getUint32(end - TAIL_BYTES, true) === length ? end : undefined
}
