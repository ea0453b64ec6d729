/**
 * The frame of one record: header, sealed body, padding to whole sectors. Records begin at sector
 * boundaries, so a write never touches a sector that holds acknowledged bytes, and a header is
 * written whole or not at all. Header and body have checksums of their own: a header can be
 * believed when its body is torn. No sector of a whole record is all zero. It tells good from bad
 * bytes; whether bad ones are torn or damaged is decided in `segment.ts`. Byte table: docs/log.md.
 */
import { assert } from '../../lib/assert.ts'
import { crc32c } from '../../lib/crc32c.ts'
import { TAG_BYTES } from '../../lib/crypto.ts'
import { type FileCipher, SECTOR_BYTES } from './seal.ts'

export const RECORD_HEADER_BYTES = 24
const BODY_CRC_AT = 4
const SEQUENCE_AT = 8
const LENGTH_AT = 16
const TYPE_AT = 20
/** Not zero, so that a sector with any padding in it is not all zero. */
const PADDING = 0xff

/** In files by their position. */
const RECORD_TYPES = ['metadata', 'batch', 'chunk', 'end'] as const
export type RecordType = (typeof RECORD_TYPES)[number]

export type PlainRecord = {
  readonly type: RecordType
  /** One more than the record's before it, across segments. */
  readonly sequence: number
  readonly plaintext: Uint8Array
}

/** A record as found: checksums are right, but it was not opened yet. */
export type SealedRecord = {
  readonly kind: 'record'
  readonly type: RecordType
  readonly sequence: number
  readonly sealed: Uint8Array
  /** The header's bytes that the seal covers too. */
  readonly associated: Uint8Array
  /** The offset after its padding. */
  readonly end: number
}

/**
 * What stands at an offset. `blank`: a sector of zeros, or the end of the bytes. `bad-header`: a
 * record cannot be told from noise. `bad-body`: the header is good, the body is not, or cut off.
 */
export type Frame =
  | SealedRecord
  | { readonly kind: 'blank' }
  | { readonly kind: 'bad-header' }
  | { readonly kind: 'bad-body'; readonly sequence: number; readonly end: number }

/** How many bytes a record with so much plaintext takes up. */
export function recordBytes(plaintextBytes: number): number {
  return roundUp(RECORD_HEADER_BYTES + plaintextBytes + TAG_BYTES)
}

/** The record's bytes, a whole number of sectors. */
export function encodeRecord(record: PlainRecord, cipher: FileCipher): Uint8Array {
  const bytes = new Uint8Array(recordBytes(record.plaintext.length)).fill(PADDING)
  const view = new DataView(bytes.buffer)
  bytes.fill(0, 0, RECORD_HEADER_BYTES)
  view.setBigUint64(SEQUENCE_AT, BigInt(record.sequence))
  view.setUint32(LENGTH_AT, record.plaintext.length + TAG_BYTES)
  view.setUint8(TYPE_AT, RECORD_TYPES.indexOf(record.type))
  const associated = bytes.subarray(SEQUENCE_AT, RECORD_HEADER_BYTES)
  bytes.set(cipher.seal(record.sequence, record.plaintext, associated), RECORD_HEADER_BYTES)
  view.setUint32(BODY_CRC_AT, crc32c(bytes.subarray(RECORD_HEADER_BYTES)))
  view.setUint32(0, crc32c(bytes.subarray(BODY_CRC_AT, RECORD_HEADER_BYTES)))
  return bytes
}

/** What stands at `offset`, which is a sector boundary. */
export function parseFrame(bytes: Uint8Array, offset: number): Frame {
  assert(offset % SECTOR_BYTES === 0, 'records begin at sectors', { offset })
  if (isZero(bytes, offset, offset + SECTOR_BYTES)) return { kind: 'blank' }
  const header = bytes.subarray(offset, offset + RECORD_HEADER_BYTES)
  if (header.length < RECORD_HEADER_BYTES) return { kind: 'bad-header' }
  const view = new DataView(header.buffer, header.byteOffset, RECORD_HEADER_BYTES)
  if (crc32c(header.subarray(BODY_CRC_AT)) !== view.getUint32(0)) return { kind: 'bad-header' }
  const type = RECORD_TYPES[view.getUint8(TYPE_AT)]
  if (type === undefined) return { kind: 'bad-header' }

  const sequence = Number(view.getBigUint64(SEQUENCE_AT))
  const bodyAt = offset + RECORD_HEADER_BYTES
  const length = view.getUint32(LENGTH_AT)
  const end = offset + roundUp(RECORD_HEADER_BYTES + length)
  const body = bytes.subarray(bodyAt, end)
  if (end > bytes.length || crc32c(body) !== view.getUint32(BODY_CRC_AT)) {
    return { kind: 'bad-body', sequence, end }
  }
  const associated = header.subarray(SEQUENCE_AT)
  return { kind: 'record', type, sequence, sealed: body.subarray(0, length), associated, end }
}

/** Whether all bytes of [start, end) that exist are zero. */
export function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  const stop = Math.min(end, bytes.length)
  for (let i = start; i < stop; i++) if (bytes[i] !== 0) return false
  return true
}

/** Whether a sector of [start, end) is all zero. Both are sector boundaries. */
export function hasZeroSector(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at += SECTOR_BYTES) {
    if (isZero(bytes, at, at + SECTOR_BYTES)) return true
  }
  return false
}

function roundUp(length: number): number {
  return Math.ceil(length / SECTOR_BYTES) * SECTOR_BYTES
}
