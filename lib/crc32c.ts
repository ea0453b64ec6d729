/**
 * CRC-32C (Castagnoli, RFC 3720 B.4), eight bytes a step by eight tables of 256 numbers ("slicing
 * by eight"). It finds accidents, not intent: what must resist an attacker is sealed besides
 * (`lib/crypto.ts`). Node's own `zlib.crc32` is another polynomial, weaker on long records.
 */

const POLYNOMIAL = 0x82f63b78
const SLICES = 8

/** Table `s` at `s * 256`: the checksum of a byte followed by `s` zero bytes. */
const TABLES: Int32Array = newTables()

/** The checksum, from 0 to 2^32 - 1. `before` goes on from the checksum of the bytes before. */
export function crc32c(bytes: Uint8Array, before = 0): number {
  let crc = ~before
  let i = 0
  for (const end = bytes.length - (bytes.length % SLICES); i < end; i += SLICES) {
    const low = crc ^ word(bytes, i)
    const high = word(bytes, i + 4)
    crc =
      at(7, low) ^
      at(6, low >>> 8) ^
      at(5, low >>> 16) ^
      at(4, low >>> 24) ^
      at(3, high) ^
      at(2, high >>> 8) ^
      at(1, high >>> 16) ^
      at(0, high >>> 24)
  }
  for (; i < bytes.length; i++) crc = (crc >>> 8) ^ at(0, crc ^ (bytes[i] ?? 0))
  return ~crc >>> 0
}

function at(table: number, byte: number): number {
  return TABLES[(table << 8) | (byte & 0xff)] ?? 0
}

function word(bytes: Uint8Array, i: number): number {
  return (
    (bytes[i] ?? 0) |
    ((bytes[i + 1] ?? 0) << 8) |
    ((bytes[i + 2] ?? 0) << 16) |
    ((bytes[i + 3] ?? 0) << 24)
  )
}

function newTables(): Int32Array {
  const tables = new Int32Array(SLICES * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0)
    tables[byte] = crc
  }
  for (let i = 256; i < tables.length; i++) {
    const crc = tables[i - 256] ?? 0
    tables[i] = (crc >>> 8) ^ (tables[crc & 0xff] ?? 0)
  }
  return tables
}
