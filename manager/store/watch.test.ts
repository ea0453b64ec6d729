/**
 * The feed: replayed it gives the state; bounded, it turns into a reset and not into a gap.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { applyTo, node, storeWith, task } from '../../test/build.ts'
import { changeFor, modelOf, wish } from '../../test/changes.ts'
import type { Change } from './change.ts'
import { Store } from './store.ts'
import type { StoreEvent, Subscription } from './watch.ts'

test('the feed replays to the same state, also after resets', () => {
  const step = fc.record({
    wishes: fc.array(wish, { maxLength: 6, size: 'max' }),
    drain: fc.boolean(),
  })
  const property = fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
    const store = new Store()
    const feed = store.feed.subscribe({ eventsMax: 5 })
    const replica = new Map<string, unknown>()

    for (const { wishes, drain } of steps) {
      applyTo(store, fittingChanges(store, wishes))
      if (drain) replay(store, feed, replica)
    }
    replay(store, feed, replica)

    expect(replica).toEqual(contentsOf(store))
  })
  fc.assert(property, { numRuns: 100 })
})

test('an entry is delivered whole, with the objects before and after', () => {
  const store = storeWith({ nodes: [node({ id: 'n1' })] })
  const before = store.view().nodes.get('n1')
  const feed = store.feed.subscribe({ eventsMax: 10 })

  applyTo(store, [
    { kind: 'remove', table: 'nodes', id: 'n1' },
    { kind: 'create', table: 'tasks', object: task({ id: 't1' }) },
  ])
  applyTo(store, [])

  const after = store.view().tasks.get('t1')
  expect(feed.drain()).toEqual([
    {
      kind: 'entry',
      index: 2,
      timeMs: 1_000,
      events: [
        { kind: 'remove', table: 'nodes', id: 'n1', before, after: undefined },
        { kind: 'create', table: 'tasks', id: 't1', before: undefined, after },
      ],
    },
  ])
  expect(feed.drain()).toEqual([])
})

test('a queue that is full becomes one reset until it is drained', () => {
  const store = storeWith()
  const feed = store.feed.subscribe({ eventsMax: 2 })

  for (const id of ['t1', 't2', 't3', 't4']) applyTo(store, [newTask(id)])
  const reset = feed.drain()
  applyTo(store, [newTask('t5')])

  expect(reset).toEqual([{ kind: 'reset', index: 5 }])
  expect(feed.drain()).toMatchObject([{ kind: 'entry', index: 6 }])
})

test('the bell rings once until the queue is drained', () => {
  let rings = 0
  const store = storeWith()
  const onDelivery = (): void => {
    rings += 1
  }
  const feed = store.feed.subscribe({ eventsMax: 2, onDelivery })

  for (const id of ['t1', 't2', 't3']) applyTo(store, [newTask(id)])
  const ringsBefore = rings
  feed.drain()
  applyTo(store, [newTask('t4')])
  feed.close()
  applyTo(store, [newTask('t5')])

  expect([ringsBefore, rings]).toEqual([1, 2])
})

test('a replaced state is a reset, and old views stay as they were', () => {
  const store = storeWith({ tasks: [task({ id: 't1' })] })
  const feed = store.feed.subscribe({ eventsMax: 10 })
  const before = store.view()
  applyTo(store, [newTask('t2')])

  store.replaceBy(storeWith({ index: 9, nodes: [node()] }))

  expect(feed.drain()).toEqual([{ kind: 'reset', index: 9 }])
  expect([store.view().index, store.view().tasks.size, store.view().nodes.size]).toEqual([9, 0, 1])
  expect(before.tasks.size).toBe(1)
})

test('a state is not replaced by an older one, nor under a working view', () => {
  const store = storeWith({ index: 5 })

  expect(() => store.replaceBy(storeWith({ index: 4 }))).toThrow('does not lead back')
  store.working()
  expect(() => store.replaceBy(storeWith({ index: 6 }))).toThrow('a leader installs no snapshot')
})

function newTask(id: string): Change {
  return { kind: 'create', table: 'tasks', object: task({ id }) }
}

/** Changes for one entry, each fitting the state with those before it. */
function fittingChanges(
  store: Store,
  wishes: Parameters<typeof changeFor>[1][],
): readonly Change[] {
  const working = store.working()
  for (const each of wishes) {
    const change = changeFor(working.view, each)
    if (change !== undefined) working.apply([change])
  }
  const changes = working.takeChanges()
  working.drop()
  return changes
}

function replay(store: Store, feed: Subscription, replica: Map<string, unknown>): void {
  for (const delivery of feed.drain()) {
    if (delivery.kind === 'reset') {
      replica.clear()
      for (const [key, object] of contentsOf(store)) replica.set(key, object)
    } else for (const event of delivery.events) replayEvent(event, replica)
  }
}

function replayEvent(event: StoreEvent, replica: Map<string, unknown>): void {
  const key = `${event.table}/${event.id}`
  expect(replica.get(key)).toBe(event.before)
  if (event.after === undefined) replica.delete(key)
  else replica.set(key, event.after)
}

function contentsOf(store: Store): ReadonlyMap<string, unknown> {
  const tables = Object.entries(modelOf(store.view()))
  return new Map(
    tables.flatMap(([table, objects]) =>
      [...objects].map(([id, object]): [string, unknown] => [`${table}/${id}`, object]),
    ),
  )
}
