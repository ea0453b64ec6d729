/**
 * Known answers of the RFCs and of NIST, and that what was altered does not open.
 */
import { expect, test } from 'vitest'
import { equalBytes, hkdfSha256, hmacSha256, newSealKey, open, seal, sha256 } from './crypto.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const unhex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'))
const text = (value: string): Uint8Array => new TextEncoder().encode(value)

test('sha256() gives the known answer for "abc" (FIPS 180-2 B.1)', () => {
  expect(hex(sha256(text('abc')))).toBe(
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  )
})

test('hmacSha256() gives the known answer (RFC 4231, case 2)', () => {
  expect(hex(hmacSha256(text('Jefe'), text('what do ya want for nothing?')))).toBe(
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  )
})

test('hkdfSha256() gives the known answer without salt and info (RFC 5869, case 3)', () => {
  const key = hkdfSha256(new Uint8Array(22).fill(0x0b), {
    salt: new Uint8Array(0),
    info: '',
    lengthBytes: 42,
  })

  expect(hex(key)).toBe(
    '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
  )
})

test('seal() gives the known answer for 16 zero bytes under a zero key (GCM test case 14)', () => {
  const sealed = seal(new Uint8Array(32), new Uint8Array(16), { nonce: new Uint8Array(12) })

  expect(sealed).toStrictEqual(
    unhex('cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919'),
  )
})

test('open() gives back what was sealed, and nothing where one bit of anything differs', () => {
  const key = new Uint8Array(32).fill(7)
  const nonce = new Uint8Array(12).fill(9)
  const associated = text('header')
  const sealed = seal(key, text('secret'), { nonce, associated })
  const flipped = (bytes: Uint8Array, i: number): Uint8Array =>
    bytes.map((byte, at) => (at === i ? byte ^ 1 : byte))

  expect(open(key, sealed, { nonce, associated })).toStrictEqual(text('secret'))
  for (let i = 0; i < sealed.length; i++) {
    expect(open(key, flipped(sealed, i), { nonce, associated })).toBeUndefined()
  }
  expect(open(flipped(key, 31), sealed, { nonce, associated })).toBeUndefined()
  expect(open(key, sealed, { nonce: flipped(nonce, 0), associated })).toBeUndefined()
  expect(open(key, sealed, { nonce, associated: flipped(associated, 5) })).toBeUndefined()
  expect(open(key, sealed.subarray(0, 15), { nonce, associated })).toBeUndefined()
})

test('equalBytes() compares lengths and contents', () => {
  expect(equalBytes(text('ab'), text('ab'))).toBe(true)
  expect(equalBytes(text('ab'), text('ac'))).toBe(false)
  expect(equalBytes(text('ab'), text('abc'))).toBe(false)
})

test('a key made ready seals and opens as its bytes do, and must have 32 of them', () => {
  const key = new Uint8Array(32).fill(7)
  const options = { nonce: new Uint8Array(12).fill(1), associated: text('where it stands') }

  const sealed = seal(newSealKey(key), text('secret'), options)

  expect(hex(sealed)).toBe(hex(seal(key, text('secret'), options)))
  expect(open(newSealKey(key), sealed, options)).toEqual(text('secret'))
  expect(() => newSealKey(new Uint8Array(31))).toThrow(/32 bytes/)
})
