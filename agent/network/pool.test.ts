/**
 * Which /20 a host takes, and which address a task gets.
 */
import { expect, test } from 'vitest'
import {
  addressDigits,
  choosePool,
  findFreeAddress,
  gatewayOf,
  indexIn,
  POOL_SIZE,
  poolOf,
} from './pool.ts'

test.each([
  ['no routes but the default one', ['0.0.0.0/0', '192.0.2.0/24'], '172.28.0.0/20'],
  ['the first /20 used in part', ['172.28.3.0/24'], '172.28.16.0/20'],
  ['a larger network around it', ['172.28.0.0/15'], '172.30.0.0/20'],
  ['all of 172.16.0.0/12', ['172.16.0.0/12'], '192.168.0.0/20'],
  ['and the first of 192.168', ['172.16.0.0/12', '192.168.1.7/32'], '192.168.16.0/20'],
  ['everything but 10.128', ['172.16.0.0/12', '192.168.0.0/16'], '10.128.0.0/20'],
  ['IPv6 and nonsense', ['fd00::/8', 'unreachable'], '172.28.0.0/20'],
])('choosePool() with %s takes the first free one', (_name, routes, expected) => {
  expect(choosePool(routes)).toBe(expected)
})

test('choosePool() refuses a node whose routes take every private network', () => {
  const routes = ['172.16.0.0/12', '192.168.0.0/16', '10.0.0.0/8']

  expect(() => choosePool(routes)).toThrow(/no private \/20 is free/)
})

test('findFreeAddress() begins after the gateway, goes on from the last and goes round', () => {
  const pool = '172.28.16.0/20'

  expect(gatewayOf(pool)).toBe('172.28.16.1')
  expect(findFreeAddress(pool, new Set(), undefined)).toBe('172.28.16.2')
  expect(findFreeAddress(pool, new Set(['172.28.16.3']), '172.28.16.2')).toBe('172.28.16.4')
  expect(findFreeAddress(pool, new Set(), '172.28.31.254')).toBe('172.28.16.2')
})

test('findFreeAddress() gives every address but three of the pool, then none', () => {
  const taken = new Set<string>()
  let last: string | undefined
  for (;;) {
    const address = findFreeAddress('172.28.0.0/20', taken, last)
    if (address === undefined) break
    taken.add(address)
    last = address
  }

  expect(taken.size).toBe(POOL_SIZE - 3)
  for (const reserved of ['172.28.0.0', '172.28.0.1', '172.28.15.255'])
    expect(taken.has(reserved)).toBe(false)
})

test('an address tells its pool, its place and its digits', () => {
  expect(poolOf('172.28.17.9')).toBe('172.28.16.0/20')
  expect(indexIn('172.28.16.0/20', '172.28.17.9')).toBe(265)
  expect(addressDigits('10.128.0.255')).toBe('0a8000ff')
})
