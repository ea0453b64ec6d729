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

test.each([0, 1, 16, 20, 21, 4_096, 10_000])(
  '%i bytes are as many, and none is drawn twice',
  (length) => {
    const drawn = Array.from({ length: 600 }, () => systemRandom.bytes(length))

    expect(new Set(drawn.map((bytes) => bytes.length))).toEqual(new Set([length]))
    const texts = new Set(drawn.map((bytes) => Buffer.from(bytes).toString('hex')))
    if (length >= 16) expect(texts.size).toBe(drawn.length)
    if (length > 0) expect([...texts].some((text) => !/^(00)+$/.test(text))).toBe(true)
  },
)
