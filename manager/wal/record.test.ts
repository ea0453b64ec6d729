/**
 * Frames and file headers, byte for byte as in docs/log.md.
 */
import { expect, test } from 'vitest'
import { crc32c } from '../../lib/crc32c.ts'
import { SwarmError } from '../../lib/errors.ts'
import { newSeededRandom } from '../../lib/random.ts'
import { encodeRecord, hasZeroSector, parseFrame, recordBytes } from './record.ts'
import { type DataKeys, FileCipher, newFileStart, openFileStart, SECTOR_BYTES } from './seal.ts'

const keys: DataKeys = { currentId: 3, keys: new Map([[3, new Uint8Array(32).fill(1)]]) }
const newCipher = (): FileCipher => new FileCipher(3, new Uint8Array(32).fill(5))

test.each([0, 1, 471, 472, 473, 5000])('a record of %i bytes comes back', (length) => {
  const plaintext = new Uint8Array(length).fill(9)
  const cipher = newCipher()

  const bytes = encodeRecord({ type: 'batch', sequence: 2 ** 50, plaintext }, cipher)
  const frame = parseFrame(bytes, 0)

  expect(bytes.length).toBe(recordBytes(length))
  expect(bytes.length % SECTOR_BYTES).toBe(0)
  expect(hasZeroSector(bytes, 0, bytes.length)).toBe(false)
  if (frame.kind !== 'record') throw new Error(`it is ${frame.kind}`)
  expect(frame).toMatchObject({ type: 'batch', sequence: 2 ** 50, end: bytes.length })
  expect(cipher.open(2 ** 50, frame.sealed, frame.associated)).toEqual(plaintext)
})

test('a record has the layout of the byte table', () => {
  const bytes = encodeRecord(
    { type: 'batch', sequence: 0x0102030405, plaintext: new Uint8Array(100) },
    newCipher(),
  )
  const view = new DataView(bytes.buffer)

  expect(view.getUint32(0)).toBe(crc32c(bytes.subarray(4, 24)))
  expect(view.getUint32(4)).toBe(crc32c(bytes.subarray(24)))
  expect([...bytes.subarray(8, 24)]).toEqual(
    [0, 0, 0, 1, 2, 3, 4, 5].concat([0, 0, 0, 116], [1, 0, 0, 0]),
  )
  expect(bytes.subarray(140).every((byte) => byte === 0xff)).toBe(true)
})

test('parseFrame() tells apart nothing, noise, a bad body and a body cut off', () => {
  const plaintext = new Uint8Array(1000)
  const record = encodeRecord({ type: 'batch', sequence: 4, plaintext }, newCipher())
  const changed = (at: number): Uint8Array => record.map((byte, i) => (i === at ? byte ^ 1 : byte))

  expect(parseFrame(new Uint8Array(1024), 512)).toEqual({ kind: 'blank' })
  expect(parseFrame(new Uint8Array(512), 512)).toEqual({ kind: 'blank' })
  expect(parseFrame(changed(8), 0)).toEqual({ kind: 'bad-header' })
  expect(parseFrame(record.subarray(0, 20), 0)).toEqual({ kind: 'bad-header' })
  const badBody = { kind: 'bad-body', sequence: 4, end: 1536 }
  expect(parseFrame(changed(700), 0)).toEqual(badBody)
  expect(parseFrame(record.subarray(0, 1024), 0)).toEqual(badBody)
})

test('a cipher refuses to seal a sequence that is not higher than the last', () => {
  const cipher = newCipher()
  cipher.seal(5, new Uint8Array(1), new Uint8Array(0))

  expect(() => cipher.seal(5, new Uint8Array(1), new Uint8Array(0))).toThrow('a nonce is used once')
  expect(() => cipher.seal(4, new Uint8Array(1), new Uint8Array(0))).toThrow('a nonce is used once')
  cipher.seal(6, new Uint8Array(1), new Uint8Array(0))
})

test('a record that was moved to another sequence, or altered with its checksums, stays shut', () => {
  const cipher = newCipher()
  const nothing = new Uint8Array(0)
  const sealed = cipher.seal(5, new Uint8Array(8), nothing)

  expect(cipher.open(5, sealed, nothing)).toEqual(new Uint8Array(8))
  expect(cipher.open(6, sealed, nothing)).toBeUndefined()
  expect(cipher.open(5, sealed, Uint8Array.of(1))).toBeUndefined()
})

test('each file has a key of its own, which its header leads to', () => {
  const random = newSeededRandom(1)
  const first = newFileStart('segment', keys, random)
  const second = newFileStart('segment', keys, random)
  const snapshot = { ...first, header: first.header }
  const none = new Uint8Array(0)
  const sealed = first.cipher.seal(0, none, none)

  const again = openFileStart('segment', keys, { path: 'a', bytes: first.header })

  expect(again.keyId).toBe(3)
  expect(again.open(0, sealed, none)).toEqual(none)
  expect(second.cipher.open(0, sealed, none)).toBeUndefined()
  expect(first.header).toHaveLength(SECTOR_BYTES)
  expect(new TextDecoder().decode(first.header.subarray(0, 8))).toBe('tsswmlog')
  expect([...first.header.subarray(8, 16)]).toEqual([0, 0, 0, 1, 0, 0, 0, 3])
  expect(() => openFileStart('snapshot', keys, { path: 'a', bytes: snapshot.header })).toThrow(
    'it is not a snapshot file',
  )
})

test('a file of a newer format asks for an upgrade', () => {
  const { header } = newFileStart('segment', keys, newSeededRandom(1))
  const view = new DataView(header.buffer)
  view.setUint32(8, 2)
  view.setUint32(508, crc32c(header.subarray(0, 508)))

  const act = (): unknown => openFileStart('segment', keys, { path: 'a', bytes: header })

  expect(act).toThrow(SwarmError)
  expect(act).toThrow('"a" has format 2, but this version knows only 1: upgrade first')
})
