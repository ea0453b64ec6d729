/**
 * Known answers of RFC 3720, and the same sum by a loop over single bits.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32c } from './crc32c.ts'

function crc32cByBits(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return ~crc >>> 0
}

test.each([
  ['32 zero bytes', new Uint8Array(32), 0x8a9136aa],
  ['32 bytes of 0xff', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['0 to 31', new Uint8Array(32).map((_, i) => i), 0x46dd794e],
  ['31 to 0', new Uint8Array(32).map((_, i) => 31 - i), 0x113fdb5c],
  ['no bytes', new Uint8Array(0), 0],
  ['"123456789"', new TextEncoder().encode('123456789'), 0xe3069283],
])('crc32c() of %s is as in RFC 3720 B.4', (_name, bytes, expected) => {
  expect(crc32c(bytes)).toBe(expected)
})

test('crc32c() equals the sum taken bit by bit, in one piece or in two', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, cut) => {
      const expected = crc32cByBits(bytes)
      expect(crc32c(bytes)).toBe(expected)
      expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut)))).toBe(expected)
    }),
  )
})
