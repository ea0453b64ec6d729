/**
 * Slots: when another task may run in one, and whether one needs another.
 */
import { expect, test } from 'vitest'
import type { Task } from '../../proto/gen/objects.ts'
import { node, type Part, storeWith, task } from '../../test/build.ts'
import { findFinished, getFreeMs, isFilled } from './slots.ts'

const view = storeWith({
  nodes: [
    node({ id: 'ready' }),
    node({ id: 'down', status: { state: 'down' } }),
    node({ id: 'away', status: { state: 'disconnected' } }),
  ],
}).view()

const told = (part: Part<Task>) =>
  task({
    desiredState: 'shutdown',
    desiredClusterMs: 500,
    nodeId: 'ready',
    ...part,
    status: { state: 'running', ...part.status },
  })

test.each<[string, Task, number | undefined]>([
  ['was told to end and runs', told({}), 60_500],
  ['has a long grace', told({ spec: { container: { stopGraceMs: 100_000 } } }), 110_500],
  ['ended', told({ status: { state: 'shutdown' } }), 0],
  ['never got to a node', told({ nodeId: '', status: { state: 'pending' } }), 0],
  ['is on a node that is down', told({ nodeId: 'down' }), 0],
  ['is on a node that is gone', told({ nodeId: 'gone' }), 0],
  ['is on a node that announced its return', told({ nodeId: 'away' }), undefined],
  ['is wanted', told({ desiredState: 'running' }), undefined],
  ['is wanted later', told({ desiredState: 'ready' }), undefined],
  ['is to be removed', told({ desiredState: 'remove' }), 60_500],
])('a task that %s is in the way until', (_what, other, expected) => {
  expect(getFreeMs(view, [other])).toBe(expected)
})

test('a slot is free when the last of its tasks is out of the way', () => {
  expect(getFreeMs(view, [])).toBe(0)
  expect(getFreeMs(view, [told({}), told({ desiredClusterMs: 900 })])).toBe(60_900)
  expect(getFreeMs(view, [told({}), told({ desiredState: 'running' })])).toBeUndefined()
})

test.each<[string, readonly Task[], boolean]>([
  ['nothing', [], false],
  ['a wanted task', [task()], true],
  ['one held back', [task({ desiredState: 'ready' })], true],
  ['one that would be restarted', [told({})], false],
  ['one that ended for good', [told({ spec: { restart: { condition: 'none' } } })], true],
  [
    'one that ended for good and is to be removed',
    [told({ desiredState: 'remove', spec: { restart: { condition: 'none' } } })],
    false,
  ],
])('a slot with %s is filled: %s', (_what, tasks, expected) => {
  expect(isFilled(tasks, 1_000)).toBe(expected)
})

test('only the newest task says whether a slot is finished', () => {
  const done = told({ id: 'old', spec: { restart: { condition: 'none' } } })
  const again = told({ id: 'new', createdClusterMs: 5 })

  expect(findFinished([done, again], 1_000)).toBeUndefined()
  expect(findFinished([again, { ...done, createdClusterMs: 9 }], 1_000)?.id).toBe('old')
})
