/**
 * The store against plain maps that are copied whole: views stay frozen, indexes are right.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { emptyDigestCheck, emptyStoreChange, emptyStoreEntry } from '../../proto/gen/store.ts'
import { applyTo, node, service, storeWith, task } from '../../test/build.ts'
import { changeFor, type Model, modelOf, wish } from '../../test/changes.ts'
import { newEntry } from './entry.ts'
import { type Index, SCHEMA } from './schema.ts'
import { DIGEST_INTERVAL, Store } from './store.ts'
import type { TableName, Tables, TableView, View } from './view.ts'

const STAMP = { timeMs: 1_000, wallMs: 5_000 }

test('views stay as they were whatever is applied after', () => {
  const property = fc.property(
    fc.array(fc.array(wish, { maxLength: 8, size: 'max' }), { maxLength: 40, size: 'max' }),
    (rounds) => {
      const store = new Store()
      const kept: [View, Model, Model][] = []

      for (const wishes of rounds) {
        for (const each of wishes) {
          const change = changeFor(store.view(), each)
          if (change !== undefined) applyTo(store, [change])
        }
        const view = store.view()
        kept.push([view, modelOf(view), modelOf(view)])
      }

      for (const [view, model] of kept) {
        expect(modelOf(view)).toEqual(model)
        expect(listIndexFaults(view)).toEqual([])
      }
    },
  )
  fc.assert(property, { numRuns: 60 })
})

test('the store holds what its entries say, in ascending order of id', () => {
  const property = fc.property(fc.array(wish, { maxLength: 200, size: 'max' }), (wishes) => {
    const store = new Store()
    const model = new Map<string, unknown>()

    for (const each of wishes) {
      const change = changeFor(store.view(), each)
      if (change === undefined) continue
      applyTo(store, [change])
      if (change.kind === 'remove') model.delete(change.id)
      else model.set(change.object.id, { ...change.object, meta: expect.anything() })
    }

    const objects = Object.values(modelOf(store.view())).flatMap((table) => [...table.values()])
    const byTable = Object.values(modelOf(store.view())).map((table) => [...table.keys()])
    expect(Object.fromEntries(objects.map((object) => [object.id, object]))).toEqual(
      Object.fromEntries(model),
    )
    for (const ids of byTable) expect(ids).toEqual([...ids].sort())
  })
  fc.assert(property, { numRuns: 60 })
})

test('apply() fills version and times', () => {
  const store = new Store()
  store.apply(3, newEntry([{ kind: 'create', table: 'nodes', object: node() }], STAMP))
  store.apply(
    7,
    newEntry([{ kind: 'update', table: 'nodes', object: node() }], {
      timeMs: 1_000,
      wallMs: 4_000,
    }),
  )

  const view = store.view()

  expect(view.nodes.get('node1')?.meta).toEqual({ version: 7, createdMs: 5_000, updatedMs: 4_000 })
  expect([view.index, view.timeMs]).toEqual([7, 1_000])
})

test('apply() takes entries in order and cluster time never goes back', () => {
  const store = storeWith({ index: 4, timeMs: 1_000 })

  expect(() => store.apply(4, newEntry([], STAMP))).toThrow('entries are applied in order')
  expect(() => store.apply(5, newEntry([], { ...STAMP, timeMs: 999 }))).toThrow('cluster time')
  expect(store.view().index).toBe(4)
})

test.each([
  ['a created object is there already', 'create', service({ id: 's1' }), 'an inserted key is new'],
  [
    'a name is taken',
    'create',
    service({ id: 's3', spec: { annotations: { name: 'S2' } } }),
    'a unique key is given once',
  ],
  [
    'an updated name is taken',
    'update',
    service({ id: 's1', spec: { annotations: { name: 'S2' } } }),
    'a unique key is given once',
  ],
  ['an updated object is not there', 'update', service({ id: 's3' }), 'a replaced key is there'],
] as const)('apply() asserts when %s', (_, kind, object, message) => {
  const store = storeWith({ services: [service({ id: 's1' }), service({ id: 's2' })] })

  expect(() => applyTo(store, [{ kind, table: 'services', object }])).toThrow(message)
})

test('apply() asserts that a removed object is there', () => {
  const store = storeWith()

  expect(() => applyTo(store, [{ kind: 'remove', table: 'tasks', id: 't1' }])).toThrow(
    'a changed object is there',
  )
})

test('apply() refuses what it does not know, and applies nothing of it', () => {
  const store = storeWith()
  const entry = newEntry([{ kind: 'create', table: 'nodes', object: node() }], STAMP)
  const unknown = { ...entry, changes: [...entry.changes, emptyStoreChange] }

  expect(() => store.apply(2, unknown)).toThrow('upgrade this manager first')
  expect([store.view().index, store.view().nodes.size]).toEqual([1, 0])
})

test('a list may be read while the working view below it changes, and again', () => {
  const store = storeWith({ tasks: [task({ id: 't1' }), task({ id: 't2' })] })
  const working = store.working()
  const tasks = working.view.tasks.by('service', 'service1')

  const seen: string[] = []
  for (const { id } of tasks) {
    seen.push(id)
    working.apply([{ kind: 'create', table: 'tasks', object: task({ id: `${id}0` }) }])
  }

  expect(seen).toEqual(['t1', 't2'])
  expect([...tasks].map(({ id }) => id)).toEqual(['t1', 't2'])
  expect([...working.view.tasks.by('service', 'service1')]).toHaveLength(4)
})

test('a list keeps the objects that it had, also those that are changed meanwhile', () => {
  const store = storeWith({ tasks: [task({ id: 't1' }), task({ id: 't2' })] })
  const working = store.working()
  const old = working.view.tasks.get('t2')
  working.apply([{ kind: 'create', table: 'nodes', object: node() }])
  const lists = [
    working.view.tasks.list(),
    working.view.tasks.by('service', 'service1'),
    working.view.tasks.by('slot', 'service1/1'),
  ]

  working.apply([
    { kind: 'update', table: 'tasks', object: task({ id: 't2', desiredState: 'shutdown' }) },
  ])

  for (const list of lists) expect([...list][1]).toBe(old)
  expect(working.view.tasks.get('t2')).not.toBe(old)
})

test('by() asserts that the index exists', () => {
  expect(() => storeWith().view().tasks.by('colour', 'red')).toThrow('an index is in the schema')
})

test('names are found in lower case', () => {
  const view = storeWith({
    services: [service({ id: 's1', spec: { annotations: { name: 'Web' } } })],
  }).view()

  expect([...view.services.by('name', 'web')].map(({ id }) => id)).toEqual(['s1'])
  expect([...view.services.by('name', 'Web')]).toEqual([])
})

test('digests are taken at the same indexes by all, and a check finds a difference', () => {
  const stores = [storeWith({ index: 2 }), storeWith({ index: 2 })] as const
  for (const store of stores) store.apply(DIGEST_INTERVAL + 3, emptyEntry())
  const check = stores[0].lastDigest()

  expect(check?.index).toBe(DIGEST_INTERVAL + 3)
  expect(stores[1].apply(DIGEST_INTERVAL + 9, { ...emptyEntry(), digest: check })).toBe('equal')
  const other = {
    ...emptyDigestCheck,
    index: check?.index ?? 0,
    digest: new Uint8Array(16).fill(1),
  }
  expect(stores[1].apply(DIGEST_INTERVAL + 10, { ...emptyEntry(), digest: other })).toBe(
    'different',
  )
  const unknown = { ...other, index: 5 }
  expect(stores[1].apply(DIGEST_INTERVAL + 11, { ...emptyEntry(), digest: unknown })).toBe(
    'unknown',
  )
  expect(stores[1].apply(DIGEST_INTERVAL + 12, emptyEntry())).toBe('none')
})

test('a store has one working view at a time', () => {
  const store = storeWith()
  const working = store.working()

  expect(() => store.working()).toThrow('one working view')
  working.drop()
  expect(() => working.apply([])).toThrow('a dropped working view is not used')
  expect(store.working().view.index).toBe(1)
})

function emptyEntry(): typeof emptyStoreEntry {
  return { ...emptyStoreEntry, timeMs: 1_000 }
}

/** Where an index differs from one made anew. */
function listIndexFaults(view: View): readonly string[] {
  return [
    ...faultsOf('nodes', view.nodes),
    ...faultsOf('services', view.services),
    ...faultsOf('tasks', view.tasks),
    ...faultsOf('secrets', view.secrets),
    ...faultsOf('configs', view.configs),
  ]
}

function faultsOf<K extends TableName>(name: K, table: TableView<Tables[K]>): readonly string[] {
  const objects = [...table.list()]
  const faults = objects.length === table.size ? [] : [`${name} has size ${table.size}`]
  const indexes: readonly Index<Tables[K]>[] = SCHEMA[name].indexes
  for (const index of indexes) {
    const groups = Map.groupBy(objects, (object) => index.key(object))
    for (const key of [...groups.keys(), 'no such key']) {
      if (key === undefined) continue
      const ids = [...table.by(index.name, key)].map(({ id }) => id)
      const expected = (groups.get(key) ?? []).map(({ id }) => id)
      if (ids.join() !== expected.join())
        faults.push(`${name} by ${index.name} ${key}: ${ids.join()}`)
    }
  }
  return faults
}
