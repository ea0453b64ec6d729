/**
 * The working view against a model that copies everything: savepoints, rollbacks, proposals that
 * commit later, in any order of these, while entries are applied below.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { applyTo, node, service, storeWith, task } from '../../test/build.ts'
import { changeFor, type Model, modelOf, wish } from '../../test/changes.ts'
import { type Change, requireVersion } from './change.ts'
import { Store } from './store.ts'

const command = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('change' as const), wish }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('save' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('rollback' as const), to: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('take' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('commit' as const) }) },
)

test('a working view is the applied state with what is pending, whatever commits or is rolled back', () => {
  const property = fc.property(fc.array(command, { maxLength: 120, size: 'max' }), (commands) => {
    const store = new Store()
    const working = store.working()
    const proposals: (readonly Change[])[] = []
    let saved: { readonly point: number; readonly model: Model }[] = []

    for (const each of commands) {
      switch (each.kind) {
        case 'change': {
          const change = changeFor(working.view, each.wish)
          if (change !== undefined) working.apply([change])
          break
        }
        case 'save':
          saved.push({ point: working.savepoint(), model: modelOf(working.view) })
          break
        case 'rollback': {
          const target = saved[each.to % Math.max(saved.length, 1)]
          if (target === undefined) break
          working.rollback(target.point)
          saved = saved.filter(({ point }) => point <= target.point)
          expect(plain(modelOf(working.view))).toEqual(plain(target.model))
          break
        }
        case 'take':
          proposals.push(working.takeChanges())
          saved = []
          break
        case 'commit': {
          const before = plain(modelOf(working.view))
          applyTo(store, proposals.shift() ?? [])
          expect(plain(modelOf(working.view))).toEqual(before)
          expect(working.view.index).toBe(store.view().index)
          break
        }
        default:
          each satisfies never
      }
    }
    proposals.push(working.takeChanges())
    for (const changes of proposals) applyTo(store, changes)

    // With nothing pending the two are the same to the last version.
    expect(modelOf(working.view)).toEqual(modelOf(store.view()))
  })
  fc.assert(property, { numRuns: 150 })
})

test('a pending object has version 0 until its entry is applied', () => {
  const store = storeWith({ nodes: [node({ id: 'n1' })] })
  const working = store.working()
  working.apply([
    { kind: 'update', table: 'nodes', object: node({ id: 'n1', spec: { availability: 'drain' } }) },
  ])
  const versionPending = working.view.nodes.get('n1')?.meta?.version
  const indexPending = working.view.index

  applyTo(store, working.takeChanges())

  expect([versionPending, indexPending]).toEqual([0, 1])
  expect(working.view.nodes.get('n1')?.meta?.version).toBe(2)
  expect(working.view.nodes.get('n1')).toBe(store.view().nodes.get('n1'))
})

test('an object with a later change pending stays pending when the earlier one commits', () => {
  const store = storeWith({ nodes: [node({ id: 'n1' })] })
  const working = store.working()
  const [first, second] = ['pause', 'drain'] as const
  working.apply([
    { kind: 'update', table: 'nodes', object: node({ id: 'n1', spec: { availability: first } }) },
  ])
  const proposed = working.takeChanges()
  working.apply([
    { kind: 'update', table: 'nodes', object: node({ id: 'n1', spec: { availability: second } }) },
  ])

  applyTo(store, proposed)
  const between = working.view.nodes.get('n1')
  working.rollback(working.savepoint() - 1)

  expect([between?.spec?.availability, between?.meta?.version]).toEqual([second, 0])
  expect(working.view.nodes.get('n1')).toBe(store.view().nodes.get('n1'))
})

test('an object whose change commits is the applied one, while others stay pending', () => {
  const store = storeWith({ nodes: [node({ id: 'n1' }), node({ id: 'n2' })] })
  const working = store.working()
  const drain = (id: string): Change => ({
    kind: 'update',
    table: 'nodes',
    object: node({ id, spec: { availability: 'drain' } }),
  })
  working.apply([drain('n1')])
  const proposed = working.takeChanges()
  working.apply([drain('n2')])

  applyTo(store, proposed)

  expect(working.view.nodes.get('n1')).toBe(store.view().nodes.get('n1'))
  expect(working.view.nodes.get('n2')?.meta?.version).toBe(0)
})

test('takeChanges() gives one change for each object, and none for what came and went', () => {
  const store = storeWith({ nodes: [node({ id: 'n1' })], services: [service({ id: 's1' })] })
  const working = store.working()
  working.apply([
    { kind: 'create', table: 'tasks', object: task({ id: 't1' }) },
    { kind: 'create', table: 'tasks', object: task({ id: 't2' }) },
    { kind: 'update', table: 'nodes', object: node({ id: 'n1', spec: { availability: 'drain' } }) },
    { kind: 'update', table: 'tasks', object: task({ id: 't1', nodeId: 'n1' }) },
    { kind: 'remove', table: 'tasks', id: 't2' },
    { kind: 'remove', table: 'services', id: 's1' },
    { kind: 'remove', table: 'nodes', id: 'n1' },
    { kind: 'create', table: 'nodes', object: node({ id: 'n1' }) },
  ])

  const changes = working.takeChanges()

  expect(changes.map(({ kind, table }) => [kind, table])).toEqual([
    ['create', 'tasks'],
    ['update', 'nodes'],
    ['remove', 'services'],
  ])
  expect(changes[0]).toMatchObject({ object: { id: 't1', nodeId: 'n1' } })
  expect(working.takeChanges()).toEqual([])
})

test('an assertion in apply() leaves what rollback() can undo', () => {
  const store = storeWith({
    services: [service({ id: 's1', spec: { annotations: { name: 'web' } } })],
  })
  const working = store.working()
  const before = modelOf(working.view)
  const savepoint = working.savepoint()
  const taken = service({ id: 's2', spec: { annotations: { name: 'WEB' } } })
  const changes: readonly Change[] = [
    { kind: 'create', table: 'tasks', object: task() },
    { kind: 'create', table: 'services', object: taken },
  ]

  expect(() => working.apply(changes)).toThrow('a unique key is given once')
  working.rollback(savepoint)

  expect(modelOf(working.view)).toEqual(before)
  expect(working.takeChanges()).toEqual([])
})

test('rollback() goes no further back than what was taken', () => {
  const working = storeWith().working()
  const savepoint = working.savepoint()
  working.apply([{ kind: 'create', table: 'tasks', object: task() }])
  working.takeChanges()

  expect(() => working.rollback(savepoint)).toThrow('only what is not taken is rolled back')
})

test('an entry that the working view did not propose is a bug', () => {
  const store = storeWith()
  store.working()

  expect(() => applyTo(store, [{ kind: 'create', table: 'tasks', object: task() }])).toThrow(
    'was proposed by it',
  )
})

test('a dropped working view leaves nothing in the store', () => {
  const store = storeWith()
  const working = store.working()
  working.apply([{ kind: 'create', table: 'tasks', object: task() }])

  working.drop()

  expect(store.view().tasks.size).toBe(0)
  expect(store.working().view.tasks.size).toBe(0)
})

test('an update is out of sequence unless its version is the committed one and nothing is pending', () => {
  const store = storeWith({ index: 5, nodes: [node({ id: 'n1' })] })
  const working = store.working()
  const committed = working.view.nodes.get('n1') ?? node()
  requireVersion(committed, 5)
  working.apply([{ kind: 'update', table: 'nodes', object: committed }])
  const pending = working.view.nodes.get('n1') ?? node()

  for (const version of [0, 4, 6])
    expect(() => requireVersion(committed, version)).toThrow('update out of sequence')
  for (const version of [0, 5])
    expect(() => requireVersion(pending, version)).toThrow('update out of sequence')
})

/** Without meta, which is filled at the commit. */
function plain(model: Model): unknown {
  return Object.values(model).map((table) =>
    [...table.values()].map((object) => ({ ...object, meta: undefined })),
  )
}
