/**
 * The restart policy of one task, whose answer does not change as time goes on.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Task } from '../../proto/gen/objects.ts'
import { type Part, task } from '../../test/build.ts'
import { shouldRestart } from './restart-policy.ts'

const policy = { maxAttempts: 2, windowMs: 10_000 }
const made = (createdClusterMs: number, part: Part<Task> = {}) =>
  task({
    id: `t${createdClusterMs}`,
    createdClusterMs,
    replaces: 'before',
    spec: { restart: policy },
    ...part,
  })

/** Held back for 19 s after the end of the one before. */
const held = (createdClusterMs: number) =>
  made(createdClusterMs, { startAfterMs: createdClusterMs + 19_000 })

test.each<[string, readonly Task[], boolean]>([
  ['one restart', [made(90_000)], true],
  ['two restarts', [made(80_000), made(99_000)], true],
  ['two in the window', [made(91_000), made(99_000)], false],
  ['one by an update', [made(91_000, { madeByUpdate: true }), made(99_000)], true],
  ['one that replaced none', [made(91_000, { replaces: '' }), made(99_000)], true],
  ['two that waited longer than the window', [held(60_000), held(80_000)], false],
  ['two of which one ran longer than the window', [held(50_000), held(80_000)], true],
  ['one of another spec version', [made(91_000, { specVersion: 9 }), made(99_000)], true],
])('after %s the answer is as given', (_what, slot, expected) => {
  const [last] = slot.slice(-1)
  if (last === undefined) throw new Error('a slot has tasks')

  expect(shouldRestart(last, slot, 100_000)).toBe(expected)
})

test('a task that was told to end is judged by that time, however much later it ended', () => {
  const slot = [made(91_000), made(99_000)]
  const told = { desiredState: 'shutdown', desiredClusterMs: 100_000 } as const
  const ended = made(99_000, { ...told, endedClusterMs: 150_000 })

  expect(shouldRestart(made(99_000, told), slot, 160_000)).toBe(false)
  expect(shouldRestart(ended, slot, 160_000)).toBe(false)
})

test('the answer about a task that ended stays the same', () => {
  const time = fc.integer({ min: 90_000, max: 100_000 })

  fc.assert(
    fc.property(fc.array(time, { maxLength: 5 }), fc.nat(1_000_000), (times, laterMs) => {
      const slot = [...new Set([...times, 99_999])].sort().map((at) => made(at))
      const last = made(99_999, { desiredState: 'shutdown', endedClusterMs: 100_000 })
      const dead = { ...last, desiredClusterMs: 100_000 }

      expect(shouldRestart(dead, slot, 100_000 + laterMs)).toBe(shouldRestart(dead, slot, 100_000))
    }),
  )
})
