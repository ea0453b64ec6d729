/**
 * The digest: the same for the same contents however they came about, another for any difference.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { applyTo, node, storeWith, task } from '../../test/build.ts'
import { changeFor, type Wish, wish } from '../../test/changes.ts'
import type { Change } from './change.ts'
import { type Cut, Digest } from './digest.ts'
import { newEntry } from './entry.ts'
import { SCHEMA } from './schema.ts'
import { DIGEST_INTERVAL, HASHES_PER_ENTRY, Store } from './store.ts'
import type { View } from './view.ts'

test('the digest after any entries is that of the contents counted anew', () => {
  const step = fc.record({
    wishes: fc.array(wish, { maxLength: 9, size: 'max' }),
    read: fc.boolean(),
  })
  const property = fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
    const store = new Store()

    for (const { wishes, read } of steps) {
      applyTo(store, changesFor(store, wishes))
      if (read) store.digest()
    }

    expect(store.digest()).toEqual(countedAnew(store.view()))
  })
  fc.assert(property, { numRuns: 60 })
})

test('the digest of nothing is zero, and zero again when all is removed', () => {
  const store = storeWith({ nodes: [node()], tasks: [task()] })
  const full = store.digest()

  applyTo(store, [
    { kind: 'remove', table: 'nodes', id: 'node1' },
    { kind: 'remove', table: 'tasks', id: 'task1' },
  ])

  expect(full).not.toEqual(new Uint8Array(16))
  expect(store.digest()).toEqual(new Uint8Array(16))
  expect(new Store().digest()).toEqual(new Uint8Array(16))
})

test('the order in which objects came does not matter', () => {
  const tasks = Array.from({ length: 40 }, (_, i) => task({ id: `t${i}` }))

  expect(storeWith({ tasks }).digest()).toEqual(storeWith({ tasks: tasks.toReversed() }).digest())
})

test.each([
  ['a field', storeWith({ tasks: [task({ status: { state: 'running' } })] })],
  ['an id', storeWith({ tasks: [task({ id: 't2' })] })],
  ['a version', storeWith({ tasks: [task()], index: 2 })],
  ['a time', storeWith({ tasks: [task()], wallMs: 2 })],
  ['an object more', storeWith({ tasks: [task()], nodes: [node()] })],
])('the digest differs by %s', (_, other) => {
  expect(other.digest()).not.toEqual(storeWith({ tasks: [task()] }).digest())
})

test('a cut is of its moment, however late it is counted and whatever changes meanwhile', () => {
  const step = fc.record({
    wishes: fc.array(wish, { maxLength: 9, size: 'max' }),
    act: fc.constantFrom('cut', 'hash', 'digest', 'none', 'none'),
  })
  const property = fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
    const store = new Store()
    const cuts: { readonly cut: Cut; readonly view: View }[] = []

    for (const { wishes, act } of steps) {
      applyTo(store, changesFor(store, wishes))
      if (act === 'cut') cuts.push({ cut: store.cutDigest(), view: store.view() })
      if (act === 'hash') store.hashSome(2)
      if (act === 'digest') expect(store.digest()).toEqual(countedAnew(store.view()))
    }
    store.hashSome(Number.POSITIVE_INFINITY)

    for (const { cut, view } of cuts) expect(cut.digest).toEqual(countedAnew(view))
  })
  fc.assert(property, { numRuns: 60 })
})

test('a store hashes a bounded number of objects with each entry, until its digest is counted', () => {
  const store = new Store()
  const tasks = Array.from({ length: 2 * HASHES_PER_ENTRY + 1 }, (_, i) => task({ id: `t${i}` }))
  const makeAll = tasks.map((object): Change => ({ kind: 'create', table: 'tasks', object }))
  const change: Change = { kind: 'update', table: 'tasks', object: task({ id: 't0', nodeId: 'n' }) }

  store.apply(DIGEST_INTERVAL, newEntry(makeAll, { timeMs: 1, wallMs: 1 }))
  const digest = countedAnew(store.view())
  const known: (number | undefined)[] = []
  for (let i = 1; i <= 3; i++) {
    known.push(store.lastDigest()?.index)
    store.apply(DIGEST_INTERVAL + i, newEntry([change], { timeMs: 1, wallMs: 1 }))
  }

  expect(known).toEqual([undefined, undefined, DIGEST_INTERVAL])
  expect(store.lastDigest()).toMatchObject({ index: DIGEST_INTERVAL, digest })
})

test('a digest that another manager asks for is counted at once', () => {
  const store = new Store()
  const tasks = Array.from({ length: 2 * HASHES_PER_ENTRY }, (_, i) => task({ id: `t${i}` }))
  const makeAll = tasks.map((object): Change => ({ kind: 'create', table: 'tasks', object }))
  store.apply(DIGEST_INTERVAL, newEntry(makeAll, { timeMs: 1, wallMs: 1 }))

  expect(store.findDigest(DIGEST_INTERVAL)).toEqual(countedAnew(store.view()))
})

/** Several changes of one object in an entry too, as a follower may be given. */
function changesFor(store: Store, wishes: readonly Wish[]): readonly Change[] {
  const working = store.working()
  const changes: Change[] = []
  for (const each of wishes) {
    const change = changeFor(working.view, each)
    if (change === undefined) continue
    working.apply([change])
    changes.push(change)
  }
  working.drop()
  return changes
}

function countedAnew(view: View): Uint8Array {
  const digest = new Digest()
  for (const object of view.nodes.list()) digest.add('nodes', object.id, SCHEMA.nodes.wrap(object))
  for (const object of view.services.list())
    digest.add('services', object.id, SCHEMA.services.wrap(object))
  for (const object of view.tasks.list()) digest.add('tasks', object.id, SCHEMA.tasks.wrap(object))
  for (const object of view.secrets.list())
    digest.add('secrets', object.id, SCHEMA.secrets.wrap(object))
  for (const object of view.configs.list())
    digest.add('configs', object.id, SCHEMA.configs.wrap(object))
  return digest.bytes(() => undefined)
}
