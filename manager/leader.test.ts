/**
 * The leader's order: who runs when, and what each loop is told.
 */
import { expect, test } from 'vitest'
import { newSeededRandom } from '../lib/random.ts'
import { storeWith } from '../test/build.ts'
import { Leader, type Loop } from './leader.ts'
import type { Changed } from './store/round.ts'

const options = () => ({
  view: storeWith({}).view(),
  now: 1_000,
  wallMs: 0,
  random: newSeededRandom(1),
})

function recorder(name: string, seen: [string, Changed][], nextMs?: number): Loop {
  return {
    name,
    reconcile: (round) => {
      seen.push([name, round.changed])
      return { changes: [], nextMs }
    },
  }
}

test('leader runs every loop once over everything, in the written order', () => {
  const seen: [string, Changed][] = []
  const leader = new Leader([recorder('a', seen), recorder('b', seen)])

  while (leader.runNext(options()) !== undefined);

  expect(seen.map(([name, changed]) => [name, changed.all])).toEqual([
    ['a', true],
    ['b', true],
  ])
  expect(leader.isDue(2_000)).toBe(false)
})

test('leader tells each loop the ids that changed since its last round', () => {
  const seen: [string, Changed][] = []
  const leader = new Leader([recorder('a', seen)])
  while (leader.runNext(options()) !== undefined);

  leader.noteChanges([
    { kind: 'remove', table: 'tasks', id: 't1' },
    { kind: 'remove', table: 'nodes', id: 'n1' },
  ])
  leader.runNext(options())

  expect(seen[1]?.[1].all).toBe(false)
  expect([...(seen[1]?.[1].ids.tasks ?? [])]).toEqual(['t1'])
  expect([...(seen[1]?.[1].ids.nodes ?? [])]).toEqual(['n1'])
  expect(leader.runNext(options())).toBeUndefined()
})

test('leader runs a loop for changes of its tables only', () => {
  const seen: [string, Changed][] = []
  const leader = new Leader([{ ...recorder('a', seen), tables: ['nodes'] }])
  while (leader.runNext(options()) !== undefined);

  leader.noteChanges([{ kind: 'remove', table: 'tasks', id: 't1' }])
  expect(leader.runNext(options())).toBeUndefined()
  leader.noteChanges([{ kind: 'remove', table: 'nodes', id: 'n1' }])
  leader.runNext(options())

  expect([...(seen[1]?.[1].ids.nodes ?? [])]).toEqual(['n1'])
  expect([...(seen[1]?.[1].ids.tasks ?? [])]).toEqual([])
})

test('leader tells a loop that knows its own changes of those of others only', () => {
  const seen: [string, Changed][] = []
  const knowing = { ...recorder('a', seen), knowsOwn: true }
  const leader = new Leader([knowing, recorder('b', seen)])
  while (leader.runNext(options()) !== undefined);
  seen.length = 0

  leader.noteChanges([{ kind: 'remove', table: 'tasks', id: 't1' }], 'a')
  leader.noteChanges([{ kind: 'remove', table: 'tasks', id: 't2' }], 'b')
  while (leader.runNext(options()) !== undefined);

  expect(seen.map(([name, { ids }]) => [name, ...ids.tasks])).toEqual([
    ['a', 't2'],
    ['b', 't1', 't2'],
  ])
})

test('leader runs a loop again at the time it asked for', () => {
  const seen: [string, Changed][] = []
  const leader = new Leader([recorder('a', seen, 5_000)])
  leader.runNext(options())

  expect(leader.nextMs()).toBe(5_000)
  expect(leader.isDue(4_999)).toBe(false)
  expect(leader.isDue(5_000)).toBe(true)
})

test('leader gives an earlier loop another turn after a later one changed something', () => {
  const seen: [string, Changed][] = []
  const leader = new Leader([recorder('a', seen), recorder('b', seen)])
  while (leader.runNext(options()) !== undefined);

  leader.noteChanges([{ kind: 'remove', table: 'services', id: 's1' }])
  const order = [leader.runNext(options())?.name, leader.runNext(options())?.name]

  expect(order).toEqual(['a', 'b'])
})
