/** What a main thread that stands still comes to, by ticks of 50 ms. */
import { expect, test } from 'vitest'
import { MAIN_DEAD_TICKS, MAIN_STALLED_TICKS, MainWatch } from './main-watch.ts'

function stall(watch: MainWatch, ticks: number): void {
  for (let tick = 0; tick < ticks; tick++) watch.see(1)
}

test('a main is stalled after 3 s without progress, dead after 30 s, and well when it goes on', () => {
  const watch = new MainWatch()
  watch.see(1)
  const states: (readonly boolean[])[] = []
  for (const ticks of [MAIN_STALLED_TICKS - 1, 1, MAIN_DEAD_TICKS - MAIN_STALLED_TICKS]) {
    stall(watch, ticks)
    states.push([watch.isStalled, watch.isDead])
  }

  watch.see(2)

  expect(states).toEqual([
    [false, false],
    [true, false],
    [true, true],
  ])
  expect(watch.isStalled).toBe(false)
})

test('a stalled leader is to hand over at once, and again each election timeout', () => {
  const watch = new MainWatch()
  const due: number[] = []
  watch.see(1)

  for (let tick = 1; tick <= MAIN_STALLED_TICKS + 20; tick++) {
    watch.see(1)
    if (watch.isHandOverDue) due.push(tick)
  }

  expect(due).toEqual([60, 70, 80])
})
