/**
 * Entries: changes there and back, limits, and cuts between groups only.
 */
import { expect, test } from 'vitest'
import { emptyStoreChange, encodeStoreEntry } from '../../proto/gen/store.ts'
import { cluster, config, node, secret, service, storeWith, task } from '../../test/build.ts'
import { type Change, changedId, fromStoreChange, type Put } from './change.ts'
import {
  decodeEntry,
  ENTRY_BYTES_MAX,
  ENTRY_CHANGES_MAX,
  encodeEntry,
  groupChanges,
  newEntry,
  splitChanges,
} from './entry.ts'
import type { TableName, Tables } from './view.ts'

const STAMP = { timeMs: 2, wallMs: 3 }

test('an entry carries changes of every table there and back, without meta', () => {
  const changes: readonly Change[] = [
    { kind: 'create', table: 'clusters', object: cluster() },
    { kind: 'update', table: 'nodes', object: node({ meta: { version: 4 } }) },
    { kind: 'create', table: 'services', object: service() },
    { kind: 'create', table: 'tasks', object: task({ status: { state: 'running' } }) },
    { kind: 'create', table: 'secrets', object: secret() },
    { kind: 'create', table: 'configs', object: config() },
    ...(['clusters', 'nodes', 'services', 'tasks', 'secrets', 'configs'] as const).map(
      (table): Change => ({ kind: 'remove', table, id: 'x' }),
    ),
  ]

  const entry = decodeEntry(encodeEntry(changes, STAMP))

  expect([entry.timeMs, entry.wallMs]).toEqual([2, 3])
  expect(entry.changes.map(fromStoreChange)).toEqual(
    changes.map((change) =>
      change.kind === 'remove'
        ? change
        : { ...change, object: { ...change.object, meta: undefined } },
    ),
  )
})

test('a newer kind of change or object is refused with what to do', () => {
  // Field 3 is the changes; in them field 1 the kind, and field 15 an object of a later version.
  const newerKind = new Uint8Array([0x1a, 2, 0x08, 9])
  const newerObject = new Uint8Array([0x1a, 2, 0x7a, 0])

  expect(() => decodeEntry(newerKind)).toThrow(/unknown value 9 of ChangeKind: upgrade/)
  expect(() => decodeEntry(newerObject).changes.map(fromStoreChange)).toThrow(
    'upgrade this manager first',
  )
  expect(() => fromStoreChange(emptyStoreChange)).toThrow('upgrade this manager first')
})

test('groupChanges() keeps the tasks of a slot together, and each other object by itself', () => {
  const view = storeWith({ tasks: [task({ id: 'old', serviceId: 's', slot: 1 })] }).view()
  const changes: readonly Change[] = [
    put('tasks', task({ id: 'a', serviceId: 's', slot: 1 })),
    put('tasks', task({ id: 'b', serviceId: 's', slot: 2 })),
    put('nodes', node({ id: 'n' })),
    { kind: 'remove', table: 'tasks', id: 'old' },
    put('tasks', task({ id: 'g', serviceId: 's', slot: 0, nodeId: 'n' })),
  ]

  const groups = groupChanges(changes, view)

  expect(groups.map((group) => group.map(changedId))).toEqual([['a', 'old'], ['b'], ['n'], ['g']])
})

test('splitChanges() fills entries up to the limit of changes', () => {
  const groups = Array.from({ length: 1_500 }, (_, i) => [
    put('tasks', task({ id: `t${i}a` })),
    put('tasks', task({ id: `t${i}b` })),
  ])

  const entries = splitChanges(groups)

  expect(entries.map((entry) => entry.length)).toEqual([ENTRY_CHANGES_MAX, 1_000])
  expect(entries.flat()).toEqual(groups.flat())
})

test('splitChanges() cuts between groups only, and no entry is too large', () => {
  const large = (id: string): Change =>
    put('configs', config({ id, spec: { data: new Uint8Array(400_000) } }))
  const groups = [[large('a'), large('b')], [large('c'), large('d')], [large('e')]]

  const entries = splitChanges(groups)

  expect(entries.map((entry) => entry.map(changedId).join(''))).toEqual(['ab', 'cd', 'e'])
  for (const entry of entries)
    expect(encodeStoreEntry(newEntry(entry, STAMP)).length).toBeLessThanOrEqual(ENTRY_BYTES_MAX)
})

test('a group that fills an entry exactly is taken, one byte more is refused', () => {
  const withBytes = (bytes: number): Change =>
    put('configs', config({ id: 'c', spec: { data: new Uint8Array(bytes) } }))
  let low = 1_000_000
  for (let step = 65_536; step >= 1; step /= 2) if (isTaken(withBytes(low + step))) low += step

  const size = encodeEntry([withBytes(low)], { timeMs: 2 ** 52, wallMs: 2 ** 52 }).length
  expect(ENTRY_BYTES_MAX - size).toBeLessThan(64)
  expect(size).toBeLessThanOrEqual(ENTRY_BYTES_MAX)
  expect(() => splitChanges([[withBytes(low + 1)]])).toThrow('more than a log entry holds')
})

test('a config of the largest size that users may have fits', () => {
  const data = new Uint8Array(1_024_000)

  expect(splitChanges([[put('configs', config({ spec: { data } }))]])).toHaveLength(1)
})

test('splitChanges() of nothing is no entry', () => {
  expect(splitChanges([])).toEqual([])
})

function isTaken(change: Change): boolean {
  try {
    return splitChanges([[change]]).length === 1
  } catch {
    return false
  }
}

function put<K extends TableName>(table: K, object: Tables[K]): Put<K> {
  return { kind: 'create', table, object }
}
