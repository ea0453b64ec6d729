/** Memory and processors as users write them. */
import { expect, test } from 'vitest'
import { findBytes, findNanoCpus } from './amount.ts'

test.each<[string, number | undefined]>([
  ['4096', 4_096],
  ['512m', 512 * 2 ** 20],
  ['1.5GiB', 1.5 * 2 ** 30],
  ['2 KB', 2_048],
  ['', undefined],
  ['m', undefined],
  ['-1m', undefined],
  ['1x', undefined],
])('findBytes(%j) is %s', (text, expected) => {
  expect(findBytes(text)).toBe(expected)
})

test.each<[string, number | undefined]>([
  ['2', 2e9],
  ['0.5', 5e8],
  ['.25', 2.5e8],
  ['', undefined],
  ['1.', undefined],
  ['-1', undefined],
])('findNanoCpus(%j) is %s', (text, expected) => {
  expect(findNanoCpus(text)).toBe(expected)
})
