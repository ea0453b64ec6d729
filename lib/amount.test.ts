/** Memory, processors and durations as users write and read them. */
import { expect, test } from 'vitest'
import { findBytes, findNanoCpus, formatDuration } from './amount.ts'

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

test.each([
  [0, '0s'],
  [5e9, '5s'],
  [90e9, '1m30s'],
  [7_776_000e9, '2160h0m0s'],
  [5e8, '500ms'],
  [1.5e9, '1.5s'],
  [1_500, '1.5µs'],
])('formatDuration() writes %d ns as Go does', (nanoseconds, text) => {
  expect(formatDuration(nanoseconds)).toBe(text)
})
