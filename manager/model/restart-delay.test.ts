/**
 * The delay before a restart: fixed as in Swarm, or growing with the restarts in a row.
 */
import { expect, test } from 'vitest'
import type { Task } from '../../proto/gen/objects.ts'
import { type Part, task } from '../../test/build.ts'
import { countRestarts, getRestartDelayMs, hasGrownFully } from './restart-delay.ts'

/** A task that failed after it ran for `ranMs`. */
function failed(ranMs: number, part: Part<Task> = {}): Task {
  const restart = { delayMs: 1_000, maxDelayMs: 10_000 }
  return task({
    runningClusterMs: 50_000,
    endedClusterMs: 50_000 + ranMs,
    spec: { restart },
    ...part,
  })
}

test('the delay is 5 s where the policy has none', () => {
  expect(getRestartDelayMs(task())).toBe(5_000)
  expect(getRestartDelayMs(task({ spec: { restart: {} } }))).toBe(5_000)
  expect(getRestartDelayMs(task({ spec: { restart: { delayMs: 0 } } }))).toBe(0)
})

test('nothing is counted where the delay does not grow', () => {
  const plain = failed(0, { restartsInRow: 3, spec: { restart: { delayMs: 1_000 } } })

  expect([getRestartDelayMs(plain), countRestarts(plain), hasGrownFully(plain)]).toEqual([
    1_000,
    0,
    false,
  ])
})

test.each([
  [0, 1_000, false],
  [1, 2_000, false],
  [2, 4_000, false],
  [3, 8_000, false],
  [4, 10_000, true],
  [2_000, 10_000, true],
])('after %i restarts in a row the delay is %i ms, fully grown: %s', (count, delayMs, isGrown) => {
  const last = failed(9_999, { restartsInRow: count })

  expect(getRestartDelayMs(last)).toBe(delayMs)
  expect(countRestarts(last)).toBe(count + 1)
  expect(hasGrownFully(last)).toBe(isGrown)
})

test('a task that ran as long as the longest delay begins another row', () => {
  const well = failed(10_000, { restartsInRow: 7 })

  expect([getRestartDelayMs(well), countRestarts(well)]).toEqual([1_000, 1])
})

test('a task that never ran is one more of the row', () => {
  const rejected = failed(0, { runningClusterMs: 0, restartsInRow: 2 })

  expect([getRestartDelayMs(rejected), countRestarts(rejected)]).toEqual([4_000, 3])
})
