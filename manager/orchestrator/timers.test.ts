/**
 * Timers against a plain map.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { earlier, Timers } from './timers.ts'

test('Timers give each object at its time, and know of none that comes later', () => {
  const step = fc.record({
    kind: fc.constantFrom('set', 'set', 'unset', 'take'),
    id: fc.constantFrom('a', 'b', 'c'),
    ms: fc.nat(20),
  })

  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const timers = new Timers()
      const model = new Map<string, number>()
      for (const { kind, id, ms } of steps) {
        if (kind === 'take') {
          const due = [...model].filter(([, atMs]) => atMs <= ms).map(([name]) => name)
          expect([...timers.take(ms)].sort()).toEqual(due.sort())
          for (const name of due) model.delete(name)
        } else if (kind === 'set') {
          timers.set(id, ms)
          model.set(id, ms)
        } else {
          timers.set(id, undefined)
          model.delete(id)
        }
        if (model.size === 0) expect(timers.nextMs()).toBeUndefined()
        else expect(timers.nextMs()).toBeLessThanOrEqual(Math.min(...model.values()))
      }
    }),
  )
})

test.each([
  [undefined, undefined, undefined],
  [1, undefined, 1],
  [undefined, 2, 2],
  [3, 2, 2],
])('earlier(%s, %s) is %s', (left, right, expected) => {
  expect(earlier(left, right)).toBe(expected)
})
