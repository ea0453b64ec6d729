/**
 * The log as its caller sees it: what comes back after a restart, and what a full or failing disk
 * does. Damage is in `replay.test.ts`, crashes at any moment are in `oracle.test.ts`.
 */
import { expect, test } from 'vitest'
import { isDiskError } from '../../lib/disk.ts'
import { SwarmError } from '../../lib/errors.ts'
import { newSeededRandom } from '../../lib/random.ts'
import type { SnapshotMeta } from '../../proto/gen/wal.ts'
import { SimDisk } from '../../test/sim/disk.ts'
import { type Entry, emptyConfState, type HardState } from '../raft/message.ts'
import { parseFrame } from './record.ts'
import { type DataKeys, SECTOR_BYTES } from './seal.ts'
import { findWalIdentity, type OpenedWal, openWal, type Wal, type WalOptions } from './wal.ts'

const DIRECTORY = 'raft'
const KEY = new Uint8Array(32).fill(1)

function world(seed = 1, observe?: ConstructorParameters<typeof SimDisk>[0]['observe']) {
  const random = newSeededRandom(seed)
  const disk = new SimDisk({
    random: random.split('disk'),
    ...(observe === undefined ? {} : { observe }),
  })
  const options: WalOptions = {
    identity: { clusterId: 'c1', raftId: 7 },
    keys: { currentId: 1, keys: new Map([[1, KEY]]) },
    random: random.split('wal'),
    segmentBytes: 8192,
  }
  const open = (change: Partial<WalOptions> = {}): OpenedWal =>
    openWal(disk, DIRECTORY, { ...options, ...change })
  return { disk, open, options }
}

function entry(index: number, change: Partial<Entry> = {}): Entry {
  const data = new TextEncoder().encode(`value ${index}`)
  return { term: 1, index, type: 'normal', data, confChange: undefined, ...change }
}

function entries(first: number, last: number, change: Partial<Entry> = {}): readonly Entry[] {
  return Array.from({ length: last - first + 1 }, (_, i) => entry(first + i, change))
}

const hardState = (term: number, vote: number, commit: number): HardState => ({
  term,
  vote,
  commit,
})

const meta = (index: number, term = 1): SnapshotMeta => ({
  index,
  term,
  confState: { ...emptyConfState, voters: [7, 8] },
})

function append(wal: Wal, first: number, last: number): void {
  wal.append({ entries: entries(first, last) })
  wal.sync()
}

function read(wal: Wal): string {
  return [...wal.readSnapshot()].map((chunk) => new TextDecoder().decode(chunk)).join('')
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

function errorOf(act: () => unknown): SwarmError {
  try {
    act()
  } catch (error) {
    if (error instanceof SwarmError) return error
    throw error
  }
  throw new Error('it was expected to throw')
}

test('openWal() makes an empty log, and gives back what was appended and synced', () => {
  const { open } = world()
  const first = open()
  expect(first).toMatchObject({ hardState: hardState(0, 0, 0), entries: [], torn: undefined })
  expect(first.snapshot).toBeUndefined()

  const change = { transition: 'auto', changes: [], context: text('c') } as const
  const member = entry(2, { type: 'conf-change-v2', data: text(''), confChange: change })
  first.wal.append({ hardState: hardState(2, 7, 1), entries: [entry(1), member] })
  first.wal.sync()

  const second = open()
  expect(second.hardState).toEqual(hardState(2, 7, 1))
  expect(second.entries).toEqual([entry(1), member])
  expect(second.wal.lastIndex).toBe(2)
})

test('append() of entries voids what stood at their index and after it', () => {
  const { open } = world()
  const { wal } = open()
  append(wal, 1, 5)

  wal.append({ hardState: hardState(2, 0, 2), entries: entries(3, 4, { term: 2 }) })
  wal.sync()

  expect(open().entries).toEqual([...entries(1, 2), ...entries(3, 4, { term: 2 })])
})

test('append() defers a batch that only moves commit to the next batch or segment', () => {
  const { disk, open } = world()
  const { wal } = open()
  wal.append({ hardState: hardState(1, 7, 0), entries: entries(1, 3) })
  wal.sync()
  const before = disk.snapshotDirectory(DIRECTORY)

  wal.append({ hardState: hardState(1, 7, 2) })
  wal.sync()
  expect(disk.snapshotDirectory(DIRECTORY)).toEqual(before)
  append(wal, 4, 4)

  expect(open().hardState).toEqual(hardState(1, 7, 2))
})

test('append() does not defer a vote or a term', () => {
  const { open } = world()
  const { wal } = open()

  wal.append({ hardState: hardState(1, 7, 0) })
  wal.sync()
  expect(open().hardState).toEqual(hardState(1, 7, 0))
  const again = open().wal
  again.append({ hardState: hardState(2, 0, 0) })
  again.sync()

  expect(open().hardState).toEqual(hardState(2, 0, 0))
})

test('append() goes on in further segments, and takes a batch longer than a segment', () => {
  const { disk, open } = world()
  const { wal } = open()
  for (let index = 1; index <= 30; index++) append(wal, index, index)
  const large = entry(31, { data: new Uint8Array(100_000).fill(3) })

  wal.append({ entries: [large] })
  wal.sync()
  append(wal, 32, 32)

  expect(disk.list(DIRECTORY).length).toBeGreaterThan(3)
  expect(open().entries).toEqual([...entries(1, 30), large, entry(32)])
})

test.each([
  ['a gap', { entries: [entry(4)] }, 'entries join the log'],
  ['a gap inside', { entries: [entry(3), entry(5)] }, 'entries have no gap'],
  ['a second vote', { hardState: hardState(3, 8, 1) }, 'one vote a term'],
  ['an older term', { hardState: hardState(2, 7, 1) }, 'terms do not go back'],
  ['a smaller commit', { hardState: hardState(3, 7, 0) }, 'commit goes on'],
  ['a commit of nothing', { hardState: hardState(3, 7, 3) }, 'what is committed is in the log'],
  ['a snapshot without file', { snapshot: meta(2) }, 'the snapshot is finished'],
  ['a snapshot ahead', { snapshot: meta(3) }, 'a snapshot of the log'],
])('append() refuses %s as a bug', (_name, batch, message) => {
  const { wal } = world().open()
  wal.append({ hardState: hardState(3, 7, 1), entries: entries(1, 2) })

  expect(() => wal.append(batch)).toThrow(message)
})

test('openWal() begins a new segment each time, but restarts alone do not add files', () => {
  const { disk, open } = world()
  for (let i = 0; i < 10; i++) open()
  expect(disk.list(DIRECTORY)).toHaveLength(1)

  append(open().wal, 1, 1)
  append(open().wal, 2, 2)
  for (let i = 0; i < 10; i++) open()

  expect(disk.list(DIRECTORY)).toHaveLength(3)
  expect(open().entries).toEqual(entries(1, 2))
})

test('openWal() cuts the old segment to what it holds', () => {
  const { disk, open } = world()
  append(open().wal, 1, 1)
  open()

  const sizes = disk.list(DIRECTORY).map((name) => disk.size(`${DIRECTORY}/${name}`))

  expect(sizes[0]).toBeLessThan(8192)
  expect(sizes[1]).toBe(8192)
})

test('saveSnapshot() gives back snapshot and the entries after it', () => {
  const { open } = world()
  const { wal } = open()
  wal.append({ hardState: hardState(1, 7, 3), entries: entries(1, 5) })

  wal.saveSnapshot(meta(3), [text('the '), text('state')])

  const opened = open()
  expect(opened.snapshot).toEqual(meta(3))
  expect(opened.entries).toEqual(entries(4, 5))
  expect(read(opened.wal)).toBe('the state')
})

test('saveSnapshot() of the leader voids the log, and later entries join it', () => {
  const { open } = world()
  const { wal } = open()
  append(wal, 1, 5)

  wal.saveSnapshot(meta(20, 4), [text('new')], {
    hardState: hardState(4, 0, 20),
    snapshotReplacesLog: true,
    entries: [entry(21, { term: 4 })],
  })
  append(wal, 22, 22)

  const opened = open()
  expect(opened.entries).toEqual([entry(21, { term: 4 }), entry(22)])
  expect(opened.hardState).toEqual(hardState(4, 0, 20))
  expect(read(opened.wal)).toBe('new')
})

test('openWal() takes what a snapshot contains as committed', () => {
  const { open } = world()

  open().wal.saveSnapshot(meta(9, 2), [text('x')], { snapshotReplacesLog: true })

  expect(open().hardState).toEqual(hardState(2, 0, 9))
})

test('newSnapshot() that is not recorded changes nothing, and no rest of it stays', () => {
  const { disk, open } = world()
  const { wal } = open()
  append(wal, 1, 5)

  wal.newSnapshot(meta(3)).write(text('half'))
  const finished = wal.newSnapshot(meta(4))
  finished.write(text('whole'))
  finished.finish()

  const opened = open()
  expect(opened.snapshot).toBeUndefined()
  expect(opened.entries).toEqual(entries(1, 5))
  expect(disk.list(DIRECTORY).filter((name) => name.endsWith('.tmp'))).toEqual([])
})

test('compact() removes what the snapshot contains, and keeps what a restart needs', () => {
  const { disk, open } = world()
  const { wal } = open()
  for (let index = 1; index <= 60; index++) {
    wal.append({ hardState: hardState(1, 7, index), entries: [entry(index)] })
    if (index % 10 === 0) wal.saveSnapshot(meta(index), [text(`state ${index}`)])
  }
  const before = disk.list(DIRECTORY)

  wal.compact(45)
  const after = disk.list(DIRECTORY)
  append(wal, 61, 62)

  const opened = open()
  expect(after.length).toBeLessThan(before.length - 5)
  expect(after.filter((name) => name.endsWith('.snapshot'))).toHaveLength(2)
  expect(opened).toMatchObject({ snapshot: meta(60), hardState: hardState(1, 7, 60) })
  expect(opened.entries).toEqual(entries(61, 62))
  expect(read(opened.wal)).toBe('state 60')
})

test('compact() keeps as many old snapshots as it is told, and the one before the newest', () => {
  const { disk, open } = world()
  const { wal } = open()
  append(wal, 1, 60)
  for (let index = 10; index <= 60; index += 10) wal.saveSnapshot(meta(index), [text('state')])
  const count = (): number =>
    disk.list(DIRECTORY).filter((name) => name.endsWith('.snapshot')).length

  const counts = [4, 2, 0].map((old) => {
    wal.compact(0, old)
    return count()
  })

  expect(counts).toEqual([5, 3, 2])
})

test('compact() removes nothing above its index or the snapshot', () => {
  const { disk, open } = world()
  const { wal } = open()
  for (let index = 1; index <= 60; index++) append(wal, index, index)
  const before = disk.list(DIRECTORY)

  wal.compact(60)
  expect(disk.list(DIRECTORY)).toEqual(before)
  wal.saveSnapshot(meta(60), [])
  wal.compact(0)

  expect(disk.list(DIRECTORY).filter((name) => name.endsWith('.segment'))).toEqual(before)
})

test('openWal() refuses the log of another cluster, of another member, and a missing key', () => {
  const { open, options, disk } = world()
  append(open().wal, 1, 1)

  const cluster = errorOf(() => open({ identity: { clusterId: 'c2', raftId: 7 } }))
  const member = errorOf(() => open({ identity: { clusterId: 'c1', raftId: 8 } }))
  const key = errorOf(() => open({ keys: { currentId: 2, keys: new Map([[2, KEY]]) } }))

  expect([cluster.code, member.code, key.code]).toEqual(Array(3).fill('failed-precondition'))
  expect(cluster.message).toContain('belongs to member 7 of cluster "c1"')
  expect(key.message).toContain('data key 1, which this node does not hold')
  expect(findWalIdentity(disk, DIRECTORY, options.keys)).toEqual({ clusterId: 'c1', raftId: 7 })
})

test('openWal() refuses a key of the right id with other bytes', () => {
  const { open } = world()
  append(open().wal, 1, 1)

  const other = new Map([[1, new Uint8Array(32).fill(2)]])
  const error = errorOf(() => open({ keys: { currentId: 1, keys: other } }))

  expect(error.code).toBe('data-loss')
  expect(error.message).toContain('does not open with data key 1')
})

test('openWal() cannot tell an older copy of its own directory', () => {
  const { disk, open } = world()
  append(open().wal, 1, 1)
  const copy = disk.snapshotDirectory(DIRECTORY)
  append(open().wal, 2, 2)

  disk.restore(DIRECTORY, copy)

  expect(open().entries).toEqual(entries(1, 1))
})

test('setKeys() seals what follows with the new key; compaction frees the old one', () => {
  const { open } = world()
  const { wal } = open()
  append(wal, 1, 3)
  wal.saveSnapshot(meta(2), [text('old')])
  const newKey = new Uint8Array(32).fill(9)
  const keys: DataKeys = {
    currentId: 2,
    keys: new Map([
      [1, KEY],
      [2, newKey],
    ]),
  }

  wal.setKeys(keys)
  expect(wal.listKeyIds()).toEqual([1, 2])
  wal.saveSnapshot(meta(3), [text('new')])
  wal.compact(3)
  expect(wal.listKeyIds()).toEqual([2])

  const opened = open({ keys: { currentId: 2, keys: new Map([[2, newKey]]) } })
  expect(opened.snapshot).toEqual(meta(3))
  expect(read(opened.wal)).toBe('new')
})

test('nothing that was appended or saved can be read in the files', () => {
  const { disk, open } = world()
  const secret = 'SUPER-SECRET-VALUE'
  const { wal } = open()
  wal.append({ entries: [entry(1, { data: text(secret) })] })
  wal.saveSnapshot(meta(1), [text(secret)])

  for (const bytes of disk.snapshotDirectory(DIRECTORY).values()) {
    const found = new TextDecoder('latin1').decode(bytes)
    expect(found).not.toContain(secret)
    expect(found).not.toContain('c1')
  }
})

test('no nonce is used twice under one key, over restarts, full disks and failed writes', () => {
  const salts = new Map<string, string>()
  const sealed = new Map<string, string>()
  const { disk, open } = world(3, (operation, path, bytes) => {
    if (operation === 'rename') salts.set(path, '')
    if (operation !== 'write' || bytes === undefined || bytes.length < SECTOR_BYTES) return
    const hex = Buffer.from(bytes).toString('hex')
    if (hex.startsWith(Buffer.from('tsswm').toString('hex'))) salts.set(path, hex.slice(32, 96))
    const frame = parseFrame(bytes, 0)
    if (frame.kind !== 'record') return
    // A segment's salt is known by the sector last written at its start.
    const salt = salts.get(path) || saltOf(path)
    const nonce = `${salt}/${frame.sequence}`
    expect(sealed.get(nonce) ?? hex).toBe(hex)
    sealed.set(nonce, hex)
  })
  const saltOf = (path: string): string => Buffer.from(disk.read(path, 16, 32)).toString('hex')

  for (let run = 0; run < 8; run++) {
    const opened = open()
    let index = opened.wal.lastIndex
    disk.inject({ operation: 'write', kind: run % 2 === 0 ? 'eio' : 'enospc', skip: 20 + run })
    try {
      for (let i = 0; i < 40; i++) {
        append(opened.wal, index + 1, index + 1)
        index += 1
      }
    } catch (error) {
      expect(error).toBeInstanceOf(SwarmError)
    }
    disk.crash('some')
  }

  expect(sealed.size).toBeGreaterThan(100)
})

test('append() on a full disk changes nothing, and succeeds once there is room', () => {
  const { disk, open } = world()
  const { wal } = open()
  append(wal, 1, 1)
  disk.capacityBytes = 8192
  let last = 1
  const error = errorOf(() => {
    for (;;) {
      append(wal, last + 1, last + 1)
      last += 1
    }
  })
  expect(isDiskError(error, 'enospc')).toBe(true)
  expect(error.code).toBe('resource-exhausted')
  expect(wal.lastIndex).toBe(last)
  expect(disk.list(DIRECTORY)).toHaveLength(1)

  disk.capacityBytes = 100_000
  append(wal, last + 1, last + 2)

  expect(open().entries).toEqual(entries(1, last + 2))
})

test('saveSnapshot() on a full disk leaves the log as it was and no file', () => {
  const { disk, open } = world()
  const { wal } = open()
  append(wal, 1, 5)
  disk.capacityBytes = 20_000

  const error = errorOf(() => wal.saveSnapshot(meta(3), [new Uint8Array(50_000)]))
  expect(isDiskError(error, 'enospc')).toBe(true)
  append(wal, 6, 6)

  expect(disk.list(DIRECTORY)).toHaveLength(1)
  expect(wal.snapshot).toBeUndefined()
  expect(open().entries).toEqual(entries(1, 6))
})

test('saveSnapshot() on a failing disk stops the log', () => {
  const { disk, open } = world()
  const { wal } = open()
  append(wal, 1, 5)
  disk.inject({ operation: 'sync', kind: 'eio', path: '.snapshot' })

  const first = errorOf(() => wal.saveSnapshot(meta(3), [text('x')]))

  expect(first.facts).toMatchObject({ stopped: true, kind: 'eio' })
  expect(errorOf(() => append(wal, 6, 6))).toBe(first)
})

test('prepare() makes the next segment ahead, so that appending needs no room', () => {
  const { disk, open } = world()
  const { wal } = open()
  expect(wal.prepare()).toBe(false)
  for (let index = 1; index <= 8; index++) append(wal, index, index)

  expect(wal.prepare()).toBe(true)
  expect(wal.prepare()).toBe(false)
  disk.capacityBytes = 16_384
  for (let index = 9; index <= 20; index++) append(wal, index, index)

  disk.capacityBytes = 1_000_000
  expect(open().entries).toEqual(entries(1, 20))
})

test('prepare() reports a full disk while there is still room in the segment', () => {
  const { disk, open } = world()
  const { wal } = open()
  for (let index = 1; index <= 8; index++) append(wal, index, index)
  disk.capacityBytes = 8192

  expect(
    isDiskError(
      errorOf(() => wal.prepare()),
      'enospc',
    ),
  ).toBe(true)
  append(wal, 9, 9)

  disk.capacityBytes = 100_000
  expect(open().entries).toEqual(entries(1, 9))
})

test.each([
  ['sync', 'eio'],
  ['sync', 'enospc'],
  ['write', 'eio'],
  ['write', 'enospc'],
] as const)('a failed %s (%s) stops the log for good, with file and cause', (operation, kind) => {
  const { disk, open } = world()
  const { wal } = open()
  append(wal, 1, 1)
  disk.inject({ operation, kind })

  const first = errorOf(() => append(wal, 2, 2))
  const later = [
    errorOf(() => wal.sync()),
    errorOf(() => append(wal, 2, 2)),
    errorOf(() => wal.prepare()),
    errorOf(() => wal.compact(1)),
    errorOf(() => wal.newSnapshot(meta(1))),
  ]

  expect(first.message).toContain('the log in "raft" stopped: cannot')
  expect(first.facts).toMatchObject({ kind, operation, stopped: true })
  expect(first.facts).toHaveProperty('file', 'raft/0000000000000001.segment')
  expect(later).toEqual(Array(5).fill(first))
})

test('openWal() makes safe what an earlier process wrote but did not sync', () => {
  const { disk, open } = world()
  const { wal } = open()
  append(wal, 1, 1)
  wal.append({ entries: [entry(2, { data: new Uint8Array(5000) })] })
  disk.inject({ operation: 'sync', kind: 'eio' })
  expect(() => wal.sync()).toThrow('stopped')

  disk.kill()
  expect(open().wal.lastIndex).toBe(2)
  disk.crash('none')

  expect(open().wal.lastIndex).toBe(2)
})

test('openWal() refuses a log that two processes wrote to', () => {
  const { open } = world()
  const { wal } = open()
  append(wal, 1, 1)
  append(open().wal, 2, 2)

  append(wal, 2, 2)

  expect(errorOf(open).message).toContain('two processes wrote')
})

test('a segment whose making fails stops the log', () => {
  const { disk, open } = world()
  const { wal } = open()
  disk.inject({ operation: 'syncDirectory', kind: 'enospc' })

  const error = errorOf(() => {
    for (let index = 1; index <= 40; index++) append(wal, index, index)
  })

  expect(error.facts).toMatchObject({ stopped: true, operation: 'syncDirectory' })
})

test('reading fails as the disk does', () => {
  const { disk, open } = world()
  append(open().wal, 1, 1)

  disk.inject({ operation: 'read', kind: 'eio', skip: 1 })

  expect(isDiskError(errorOf(open), 'eio')).toBe(true)
})
