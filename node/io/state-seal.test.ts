/** The seal of the agent's files: what goes in comes out, and nothing else does. */
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { loadKey, newStateSeal } from './state-seal.ts'

const folder = mkdtempSync(join(tmpdir(), 'tsswarm-state-seal-'))
afterAll(() => rmSync(folder, { recursive: true }))
const key = new Uint8Array(32).fill(7)
const text = new TextEncoder().encode('PASSWORD=letmein')

test('a key file is made once, closed to others', () => {
  const path = join(folder, 'made', 'agent.key')

  const first = loadKey(path)

  expect(first).toHaveLength(32)
  expect(new Uint8Array(loadKey(path))).toEqual(new Uint8Array(first))
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(statSync(join(folder, 'made')).mode & 0o777).toBe(0o700)
})

test('a key file of another length is refused by its name', () => {
  const path = join(folder, 'short.key')
  writeFileSync(path, 'short')
  chmodSync(path, 0o600)

  expect(() => loadKey(path)).toThrow(`${path} is no key: it has 5 bytes instead of 32`)
})

test.each([0, 1, 16, 100_000])('a state of %i bytes comes out as it went in', (length) => {
  const plain = new Uint8Array(length).fill(3)
  const seal = newStateSeal(key)

  expect(new Uint8Array(seal.open(seal.seal(plain), 'state'))).toEqual(plain)
})

test('what is sealed holds nothing of it, and never twice the same', () => {
  const seal = newStateSeal(key)
  const [one, two] = [Buffer.from(seal.seal(text)), Buffer.from(seal.seal(text))]

  expect(one.includes('letmein')).toBe(false)
  expect(one.equals(two)).toBe(false)
})

test.each([
  ['changed in its nonce', (bytes: Uint8Array) => flip(bytes, 0)],
  ['changed in its body', (bytes: Uint8Array) => flip(bytes, 14)],
  ['changed in its tag', (bytes: Uint8Array) => flip(bytes, bytes.length - 1)],
  ['cut off', (bytes: Uint8Array) => bytes.subarray(0, -1)],
  ['shorter than a tag', (bytes: Uint8Array) => bytes.subarray(0, 20)],
  ['empty', () => new Uint8Array()],
])('a file %s is refused by its name', (_, damage) => {
  const seal = newStateSeal(key)

  expect(() => seal.open(damage(seal.seal(text)), '/x/state')).toThrow(/^\/x\/state is damaged/)
})

test('another key opens nothing', () => {
  const sealed = newStateSeal(key).seal(text)

  expect(() => newStateSeal(new Uint8Array(32)).open(sealed, '/x/state')).toThrow(/another key/)
})

function flip(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}
