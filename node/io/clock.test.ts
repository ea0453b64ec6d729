/**
 * The real clocks, as far as they can be told from broken ones without waiting.
 */
import { expect, test } from 'vitest'
import { newFineWallClock, readBootMs, systemClock } from './clock.ts'

test('the system clock tells wall time, and a monotonic time that does not go back', () => {
  const before = Date.now()
  const wall = systemClock.wallMs()
  const first = systemClock.monotonicMs()

  expect(wall - before).toBeGreaterThanOrEqual(0)
  expect(wall - before).toBeLessThan(1_000)
  expect(systemClock.monotonicMs()).toBeGreaterThanOrEqual(first)
})

test('the fine wall clock stays within 6 ms of the wall clock and does not go back', () => {
  const now = newFineWallClock()

  let last = 0
  for (let i = 0; i < 10_000; i++) {
    const time = now()
    expect(time).toBeGreaterThanOrEqual(last)
    last = time
  }

  expect(Math.abs(now() - Date.now())).toBeLessThan(6)
})

test('the time since the boot goes on, and is older than this process', () => {
  const first = readBootMs()

  expect(first).toBeGreaterThan(process.uptime() * 1_000)
  expect(readBootMs()).toBeGreaterThanOrEqual(first)
})
