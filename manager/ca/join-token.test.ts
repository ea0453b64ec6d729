/** Join tokens: their text, what they invite to, and what is no token. */
import { expect, test } from 'vitest'
import { newSeededRandom } from '../../lib/random.ts'
import { emptyRootCa } from '../../proto/gen/objects.ts'
import { newJoinToken, parseJoinToken, roleOfToken } from './join-token.ts'

const digest = '3f0k2c'.padEnd(50, 'a')
const random = newSeededRandom('join-token')
const root = {
  ...emptyRootCa,
  digest,
  workerToken: newJoinToken(digest, random),
  managerToken: newJoinToken(digest, random),
}

test('a token has Swarm’s form, and its parts come back', () => {
  expect(root.workerToken).toMatch(/^SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$/)
  expect(parseJoinToken(root.workerToken).digest).toBe(digest)
  expect(parseJoinToken(`  ${root.workerToken}\n`)).toEqual(parseJoinToken(root.workerToken))
})

test.each([
  [0x00, '0'.repeat(25)],
  [0xff, 'f5lxx1zz5pnorynqglhzmsp33'],
])('a secret of bytes %i is 25 characters', (byte, secret) => {
  const constant = { ...random, bytes: (length: number) => new Uint8Array(length).fill(byte) }

  expect(parseJoinToken(newJoinToken(digest, constant)).secret).toBe(secret)
})

test('tokens differ', () => {
  const tokens = Array.from({ length: 100 }, () => newJoinToken(digest, random))

  expect(new Set(tokens).size).toBe(100)
})

test.each([
  '',
  'SWMTKN-1-',
  `SWMTKN-1-${digest}`,
  `SWMTKN-2-${digest}-${'0'.repeat(25)}`,
  `SWMTKN-1-${digest}-${'0'.repeat(24)}`,
  `SWMTKN-1-${digest}-${'0'.repeat(26)}`,
  `SWMTKN-1-${digest.slice(1)}-${'0'.repeat(25)}`,
  `SWMTKN-1-${digest}-${'A'.repeat(25)}`,
  `x SWMTKN-1-${digest}-${'0'.repeat(25)}`,
])('%j is no token', (text) => {
  expect(() => parseJoinToken(text)).toThrow(/^invalid join token/)
})

test('each token invites to its role, by every character of it', () => {
  expect(roleOfToken(root.workerToken, root)).toBe('worker')
  expect(roleOfToken(root.managerToken, root)).toBe('manager')
  const wrong = root.managerToken.slice(0, -1) + (root.managerToken.endsWith('0') ? '1' : '0')
  for (const token of [wrong, `${root.managerToken}0`, root.managerToken.slice(0, -1), digest])
    expect(() => roleOfToken(token, root)).toThrow(/A valid join token is necessary/)
})

test('an unfinished cluster invites nobody, not even with no token', () => {
  expect(() => roleOfToken('', emptyRootCa)).toThrow(/A valid join token is necessary/)
})
