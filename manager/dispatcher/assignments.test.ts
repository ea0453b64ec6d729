/** Tables for what a node is told: full sets, differences, marks. */
import { expect, test } from 'vitest'
import { AssertionError } from '../../lib/assert.ts'
import type { Task } from '../../proto/gen/objects.ts'
import type { TaskState } from '../../proto/gen/types.ts'
import { applyTo, cluster, storeWith, task } from '../../test/build.ts'
import type { Store } from '../store/store.ts'
import { AssignmentSet } from './assignments.ts'

function assigned(id: string, state: TaskState = 'assigned'): Task {
  return task({ id, nodeId: 'n1', status: { state } })
}

function world(): Store {
  return storeWith({
    index: 7,
    clusters: [cluster({ epoch: 3 })],
    tasks: [
      assigned('t1'),
      assigned('t2', 'failed'),
      assigned('t3', 'pending'),
      task({ id: 't4', nodeId: 'n2', status: { state: 'running' } }),
    ],
  })
}

function update(store: Store, set: AssignmentSet, object: Task): void {
  const kind = store.view().tasks.get(object.id) === undefined ? 'create' : 'update'
  applyTo(store, [{ kind, table: 'tasks', object }])
  set.touch(object.id)
}

test('the first message is the full set: tasks of the node from assigned on', () => {
  const set = new AssignmentSet('n1')

  const message = set.next(world().view())

  expect(message).toMatchObject({ full: true, mark: { epoch: 3, index: 7 }, removedIds: [] })
  expect(message?.updates.map(({ id }) => id)).toEqual(['t1', 't2'])
})

test('later messages hold what is new, changed and gone, on the base of the one before', () => {
  const store = world()
  const set = new AssignmentSet('n1')
  set.next(store.view())

  update(store, set, assigned('t5'))
  update(store, set, { ...assigned('t1'), desiredState: 'shutdown' })
  applyTo(store, [{ kind: 'remove', table: 'tasks', id: 't2' }])
  set.touch('t2')
  const message = set.next(store.view())

  expect(message).toMatchObject({
    full: false,
    base: { epoch: 3, index: 7 },
    mark: { epoch: 3, index: 10 },
    removedIds: ['t2'],
  })
  expect(message?.updates.map(({ id }) => id)).toEqual(['t5', 't1'])
  expect(set.next(store.view())).toBeUndefined()
})

test('a task that gets its node is new', () => {
  const store = world()
  const set = new AssignmentSet('n1')
  set.next(store.view())

  update(store, set, assigned('t3'))

  expect(set.next(store.view())?.updates.map(({ id }) => id)).toEqual(['t3'])
})

test.each<[string, Partial<Task>, number]>([
  ['the echo of its own status', { status: assigned('t1', 'running').status }, 0],
  ['times that only managers use', { runningClusterMs: 5, startAfterMs: 9 }, 0],
  ['its desired state', { desiredState: 'shutdown' }, 1],
  ['its service’s name', { serviceAnnotations: { name: 'other', labels: new Map() } }, 1],
])('an agent is told of %s: %o', (_, part, count) => {
  const store = world()
  const set = new AssignmentSet('n1')
  set.next(store.view())

  update(store, set, { ...assigned('t1'), ...part })

  expect(set.next(store.view())?.updates ?? []).toHaveLength(count)
})

test('touchAll() finds what changed without being told', () => {
  const store = world()
  const set = new AssignmentSet('n1')
  set.next(store.view())
  applyTo(store, [
    { kind: 'remove', table: 'tasks', id: 't1' },
    { kind: 'create', table: 'tasks', object: assigned('t9') },
  ])

  set.touchAll(store.view())
  const message = set.next(store.view())

  expect(message?.removedIds).toEqual(['t1'])
  expect(message?.updates.map(({ id }) => id)).toEqual(['t9'])
})

test('nothing is told from a view that went back', () => {
  const set = new AssignmentSet('n1')
  set.next(world().view())
  const older = storeWith({ index: 6, clusters: [cluster({ epoch: 3 })] }).view()
  const restored = storeWith({ index: 2, clusters: [cluster({ epoch: 4 })] }).view()

  expect(set.isBehind(older)).toBe(true)
  expect(set.isBehind(restored)).toBe(false)
  expect(() => set.next(older)).toThrow(AssertionError)
})
