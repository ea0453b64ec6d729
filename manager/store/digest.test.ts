/**
 * The digest: the same for the same contents however they came about, another for any difference.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { applyTo, node, storeWith, task } from '../../test/build.ts'
import { changeFor, wish } from '../../test/changes.ts'
import type { Change } from './change.ts'
import { Digest } from './digest.ts'
import { SCHEMA } from './schema.ts'
import { Store } from './store.ts'
import type { View } from './view.ts'

test('the digest after any entries is that of the contents counted anew', () => {
  const step = fc.record({
    wishes: fc.array(wish, { maxLength: 9, size: 'max' }),
    read: fc.boolean(),
  })
  const property = fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
    const store = new Store()

    for (const { wishes, read } of steps) {
      const working = store.working()
      // Several changes of one object in an entry too, as a follower may be given.
      const changes: Change[] = []
      for (const each of wishes) {
        const change = changeFor(working.view, each)
        if (change === undefined) continue
        working.apply([change])
        changes.push(change)
      }
      working.drop()
      applyTo(store, changes)
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

test('more changes than may wait, of objects that wait already too, are counted all the same', () => {
  const tasks = Array.from({ length: 1_200 }, (_, i) => task({ id: `t${i}` }))
  const store = storeWith({ tasks: tasks.slice(0, 60) })

  for (let from = 60; from < tasks.length; from += 60) {
    const made = tasks.slice(from, from + 60)
    const changed = tasks.slice(from - 60, from).map((each) => ({ ...each, nodeId: 'n1' }))
    applyTo(store, [
      ...made.map((object): Change => ({ kind: 'create', table: 'tasks', object })),
      ...changed.map((object): Change => ({ kind: 'update', table: 'tasks', object })),
    ])
  }

  expect(store.digest()).toEqual(countedAnew(store.view()))
})

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
