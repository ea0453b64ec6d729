/** Tables for the waiting times between attempts. */
import { expect, test } from 'vitest'
import { backoffMs } from './backoff.ts'
import { newSeededRandom } from './random.ts'

const BACKOFF = { baseMs: 100, maxMs: 8_000 }

test.each([
  [0, 50, 100],
  [1, 50, 100],
  [2, 100, 200],
  [5, 800, 1_600],
  [8, 4_000, 8_000],
  [1_000, 4_000, 8_000],
])('backoffMs() after %i failures lies between %i and %i ms', (attempt, low, high) => {
  const random = newSeededRandom(attempt)

  const waits = Array.from({ length: 200 }, () => backoffMs(attempt, random, BACKOFF))

  expect(Math.min(...waits)).toBeGreaterThanOrEqual(low)
  expect(Math.max(...waits)).toBeLessThanOrEqual(high)
  expect(new Set(waits).size).toBeGreaterThan(20)
})
