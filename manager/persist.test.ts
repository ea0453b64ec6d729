/** What waits together is written together, in order, and synced when anything of it must be. */
import { expect, test } from 'vitest'
import { newSeededRandom } from '../lib/random.ts'
import { type DiskOperation, SimDisk } from '../test/sim/disk.ts'
import type { Persist } from './consensus-interface.ts'
import { loadSnapshot, Persister, persistAll } from './persist.ts'
import { type Entry, emptyConfState, type Snapshot } from './raft/message.ts'
import { type OpenedWal, openWal } from './wal/wal.ts'

const KEYS = { currentId: 1, keys: new Map([[1, new Uint8Array(32).fill(1)]]) }

function world(capacityBytes?: number) {
  const random = newSeededRandom('persist')
  const operations: DiskOperation[] = []
  const disk = new SimDisk({
    random,
    observe: (operation) => operations.push(operation),
    ...(capacityBytes === undefined ? {} : { capacityBytes }),
  })
  const open = (): OpenedWal =>
    openWal(disk, 'raft', {
      ...{ identity: { clusterId: 'c1', raftId: 7 }, keys: KEYS, random },
      segmentBytes: 64 * 1024,
    })
  return { disk, open, operations }
}

function entries(first: number, last: number, term = 1): readonly Entry[] {
  return Array.from({ length: last - first + 1 }, (_, at) => ({
    ...{ term, index: first + at, type: 'normal' as const, confChange: undefined },
    data: new TextEncoder().encode(`term ${term} index ${first + at}`),
  }))
}

function effect(sequence: number, part: Partial<Persist>): Persist {
  return {
    ...{ sequence, hardState: undefined, entries: [], snapshot: undefined },
    ...{ compaction: undefined, mustSync: true },
    ...part,
  }
}

function snapshot(index: number, bytes: number): Snapshot {
  const data = Uint8Array.from({ length: bytes }, (_, at) => at % 251)
  return { index, term: 1, confState: { ...emptyConfState, voters: [7] }, data }
}

function indexes(opened: OpenedWal): readonly string[] {
  return opened.entries.map(({ index, term }) => `${index}/${term}`)
}

test('effects that wait together become one write and one sync', () => {
  const { disk, open, operations } = world()
  const { wal } = open()
  operations.length = 0

  const last = persistAll(wal, [
    effect(1, { entries: entries(1, 3), hardState: { term: 1, vote: 7, commit: 0 } }),
    effect(2, { entries: entries(4, 5), mustSync: false }),
    effect(3, { hardState: { term: 1, vote: 7, commit: 4 }, mustSync: false }),
  ])

  expect(last).toBe(3)
  expect(operations).toEqual(['write', 'sync'])
  disk.crash('none')
  const opened = open()
  expect(indexes(opened)).toEqual(['1/1', '2/1', '3/1', '4/1', '5/1'])
  expect(opened.hardState).toEqual({ term: 1, vote: 7, commit: 4 })
})

test('nothing is synced that need not be', () => {
  const { open, operations } = world()
  const { wal } = open()
  operations.length = 0

  persistAll(wal, [effect(1, { entries: entries(1, 1), mustSync: false })])

  expect(operations).toEqual(['write'])
})

test('later entries void the earlier ones at their indexes and after', () => {
  const { disk, open } = world()

  persistAll(open().wal, [
    effect(1, { entries: entries(1, 5) }),
    effect(2, { entries: entries(3, 3, 2), hardState: { term: 2, vote: 0, commit: 2 } }),
  ])

  disk.crash('none')
  expect(indexes(open())).toEqual(['1/1', '2/1', '3/2'])
})

test('a snapshot replaces the log, and what follows stands after it', () => {
  const { disk, open } = world()
  const sent = snapshot(10, 600_000)

  const last = persistAll(open().wal, [
    effect(1, { entries: entries(1, 4), hardState: { term: 1, vote: 7, commit: 1 } }),
    effect(2, { snapshot: sent, hardState: { term: 1, vote: 7, commit: 10 } }),
    effect(3, { entries: entries(11, 12) }),
  ])

  expect(last).toBe(3)
  disk.crash('none')
  const opened = open()
  expect(indexes(opened)).toEqual(['11/1', '12/1'])
  expect(opened.hardState.commit).toBe(10)
  expect(loadSnapshot(opened)).toEqual(sent)
})

test('a compaction leaves the entries after it', () => {
  const { disk, open } = world()

  persistAll(open().wal, [
    effect(1, { entries: entries(1, 8), hardState: { term: 1, vote: 7, commit: 8 } }),
    effect(2, { compaction: { snapshot: snapshot(6, 10), compactIndex: 4, oldSnapshots: 0 } }),
  ])

  disk.crash('none')
  const opened = open()
  expect(opened.snapshot?.index).toBe(6)
  expect(indexes(opened)).toEqual(['7/1', '8/1'])
})

test('a full disk costs a compaction, not the node', () => {
  const { disk, open } = world(400_000)
  const { wal } = open()

  const last = persistAll(wal, [
    effect(1, { entries: entries(1, 8), hardState: { term: 1, vote: 7, commit: 8 } }),
    effect(2, {
      compaction: { snapshot: snapshot(6, 1_000_000), compactIndex: 4, oldSnapshots: 0 },
    }),
    effect(3, { entries: entries(9, 9) }),
  ])

  expect(last).toBe(3)
  disk.crash('none')
  const opened = open()
  expect(opened.snapshot).toBeUndefined()
  expect(indexes(opened)).toHaveLength(9)
})

test('a full disk when the leader’s snapshot comes is an error', () => {
  const { open } = world(400_000)

  expect(() => persistAll(open().wal, [effect(1, { snapshot: snapshot(10, 1_000_000) })])).toThrow()
})

test('a log without a snapshot has none to load', () => {
  expect(loadSnapshot(world().open())).toBeUndefined()
})

test('a disk without space takes nothing more, and everything once it has some', () => {
  const { disk, open } = world()
  const persister = new Persister(open().wal)
  const used = disk.list('raft').reduce((sum, name) => sum + disk.size(`raft/${name}`), 0)
  disk.capacityBytes = used + 100
  let last = 0
  while (!persister.isFull && last < 100_000) {
    last++
    persister.add([effect(last, { entries: entries(last, last) })])
    const durable = persister.run()
    if (!persister.isFull) expect(durable).toBe(last)
  }

  persister.add([effect(last + 1, { entries: entries(last + 1, last + 1) })])
  const still = persister.run()
  disk.heal()
  const durable = persister.run()

  expect([still, durable, persister.isFull]).toEqual([undefined, last + 1, false])
  disk.crash('none')
  expect(open().entries.at(-1)?.index).toBe(last + 1)
})

test('wherever the disk is full, what was done is not done again (seed 270315)', () => {
  const effects = [
    effect(1, { entries: entries(1, 8), hardState: { term: 1, vote: 7, commit: 8 } }),
    effect(2, { compaction: { snapshot: snapshot(6, 9_000), compactIndex: 4, oldSnapshots: 0 } }),
    effect(3, { entries: [large(9, 70_000)] }),
    effect(4, { snapshot: snapshot(20, 9_000), hardState: { term: 1, vote: 7, commit: 20 } }),
    effect(5, { entries: [large(21, 70_000)] }),
  ]
  let full = 0
  for (let roomBytes = 0; roomBytes < 400_000; roomBytes += 3_000) {
    const { disk, open } = world()
    const persister = new Persister(open().wal)
    const used = disk.list('raft').reduce((sum, name) => sum + disk.size(`raft/${name}`), 0)
    disk.capacityBytes = used + roomBytes
    persister.add(effects)

    persister.run()
    if (persister.isFull) full += 1
    disk.heal()
    persister.run()

    expect(persister.isFull).toBe(false)
    disk.crash('none')
    const opened = open()
    expect([opened.snapshot?.index, ...indexes(opened)]).toEqual([20, '21/1'])
  }
  expect(full).toBeGreaterThan(20)
})

function large(index: number, bytes: number): Entry {
  const data = new Uint8Array(bytes)
  return { term: 1, index, type: 'normal', confChange: undefined, data }
}
