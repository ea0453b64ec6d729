/**
 * The writer’s entries: how many a batch becomes, and when its callers are answered. What it does
 * around the leadership is tested with the manager.
 */
import { expect, test } from 'vitest'
import { silentLog } from '../lib/log.ts'
import { newSeededRandom } from '../lib/random.ts'
import type { WriteRequest } from '../proto/gen/control.ts'
import { decodeStoreEntry } from '../proto/gen/store.ts'
import { config, node } from '../test/build.ts'
import { Leader } from './leader.ts'
import type { Change } from './store/change.ts'
import { ENTRY_BYTES_MAX, ENTRY_CHANGES_MAX } from './store/entry.ts'
import { Store } from './store/store.ts'
import { Writer } from './writer.ts'

const REQUEST: WriteRequest = { caller: undefined, body: undefined }
const RUN = { monotonicMs: 0, wallMs: 0, managers: [], isOver: () => false }

/** What one request that makes these changes is proposed as, and a way to commit it. */
function propose(changes: readonly Change[]): {
  readonly entries: readonly Uint8Array[]
  readonly commit: () => readonly string[]
} {
  const store = new Store()
  const handle = () => ({ changes, reply: {} })
  const random = newSeededRandom(1)
  const writer = new Writer({ store, leader: new Leader([]), random, log: silentLog, handle }, 2, 0)
  writer.submit(7, REQUEST)
  writer.run(RUN)
  const entries = writer
    .takeEffects()
    .flatMap((effect) => (effect.kind === 'propose' ? [effect.data] : []))
  let index = 0
  const commit = (): readonly string[] => {
    const bytes = entries[index]
    if (bytes !== undefined) store.apply(++index, decodeStoreEntry(bytes))
    writer.committed(index)
    return writer.takeEffects().map((effect) => effect.kind)
  }
  return { entries, commit }
}

function nodes(count: number): readonly Change[] {
  return Array.from({ length: count }, (_, at) => ({
    ...({ kind: 'create', table: 'nodes' } as const),
    object: node({ id: `n${at}` }),
  }))
}

test('a batch is one entry, and its callers are answered when that is committed', () => {
  const { entries, commit } = propose(nodes(3))

  expect(entries.map((entry) => decodeStoreEntry(entry).changes.length)).toEqual([3])
  expect(commit()).toEqual(['answer'])
})

test('more changes than an entry holds are several, answered with the last', () => {
  const { entries, commit } = propose(nodes(ENTRY_CHANGES_MAX + 1))

  const sizes = entries.map((entry) => decodeStoreEntry(entry).changes.length)
  expect(sizes).toEqual([ENTRY_CHANGES_MAX, 1])
  expect([commit(), commit()]).toEqual([[], ['answer']])
})

test('more bytes than an entry holds are several, none above the limit', () => {
  const data = new Uint8Array(400_000)
  const large = (id: string): Change => ({
    ...{ kind: 'create', table: 'configs' },
    object: config({ id, spec: { annotations: { name: id }, data } }),
  })
  const { entries, commit } = propose(['a', 'b', 'c', 'd'].map(large))

  expect(entries.map((entry) => decodeStoreEntry(entry).changes.length)).toEqual([2, 2])
  expect(entries.every((entry) => entry.length <= ENTRY_BYTES_MAX)).toBe(true)
  expect([commit(), commit()]).toEqual([[], ['answer']])
})

/** Sizes of the entries that one run proposes for requests of so many changes each. */
function runOnce(writer: Writer, isOver: () => boolean): readonly number[] {
  writer.run({ ...RUN, isOver })
  return writer
    .takeEffects()
    .flatMap((effect) =>
      effect.kind === 'propose' ? [decodeStoreEntry(effect.data).changes.length] : [],
    )
}

function writerWith(requests: number, changesEach: number): Writer {
  let made = 0
  const handle = () => {
    const changes = Array.from({ length: changesEach }, () => ({
      ...({ kind: 'create', table: 'nodes' } as const),
      object: node({ id: `n${made++}` }),
    }))
    return { changes, reply: {} }
  }
  const random = newSeededRandom(1)
  const config = { store: new Store(), leader: new Leader([]), random, log: silentLog, handle }
  const writer = new Writer(config, 2, 0)
  for (let id = 1; id <= requests; id++) writer.submit(id, REQUEST)
  return writer
}

test('requests of many changes are several proposals, cut between requests', () => {
  const writer = writerWith(3, 150)

  expect(runOnce(writer, () => false)).toEqual([300])
  expect(runOnce(writer, () => false)).toEqual([150])
})

test('a request is evaluated also where the slice is used up, unless something is in flight', () => {
  const writer = writerWith(3, 1)

  expect(runOnce(writer, () => true)).toEqual([1])
  expect(runOnce(writer, () => true)).toEqual([])
  expect(runOnce(writer, () => false)).toEqual([2])
})

test.each([
  [86_400_000, 5_000],
  [12_000, 3_000],
  [5_000, 1_250],
  [1_500, 1_000],
])('while a timer of %i ms is pending, time is written down after %i ms', (timerMs, expected) => {
  const reconcile = () => ({ changes: [], nextMs: timerMs })
  const leader = new Leader([{ name: 'timer', reconcile }])
  const handle = () => ({ changes: [], reply: {} })
  const writer = new Writer(
    { store: new Store(), leader, random: newSeededRandom(1), log: silentLog, handle },
    2,
    0,
  )
  const run = (monotonicMs: number): number => {
    writer.run({ ...RUN, monotonicMs })
    return writer.takeEffects().filter(({ kind }) => kind === 'propose').length
  }

  expect([run(0), run(expected - 1), run(expected)]).toEqual([0, 0, 1])
})
