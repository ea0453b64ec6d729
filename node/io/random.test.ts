/**
 * The kernel's randomness through the port.
 */
import { expect, test } from 'vitest'
import { systemRandom } from './random.ts'

test('systemRandom gives fresh bytes and whole numbers in the range', () => {
  const first = systemRandom.bytes(16)

  expect(first).toHaveLength(16)
  expect(systemRandom.bytes(16)).not.toEqual(first)
  const drawn = new Set(Array.from({ length: 200 }, () => systemRandom.integer(4)))
  expect([...drawn].sort()).toEqual([0, 1, 2, 3])
})
