/**
 * A whole log at rest, after whatever a disk or an operator may do to it: it opens with exactly what
 * was acknowledged, or it is refused with a file that is there to be looked at, and a place in it.
 * Never does it open with less, or with other entries.
 */
import { expect, test } from 'vitest'
import { SwarmError } from '../../lib/errors.ts'
import { newSeededRandom } from '../../lib/random.ts'
import { type DirectoryCopy, SimDisk } from '../../test/sim/disk.ts'
import { type Entry, emptyConfState } from '../raft/message.ts'
import { openWal, type Wal, type WalOptions } from './wal.ts'

const DIRECTORY = 'raft'
const MARK = 'identity/log.mark'

/** What a restart gives. */
type Found = { readonly entries: readonly Entry[]; readonly state: string }

class Member {
  readonly disk: SimDisk = new SimDisk({ random: newSeededRandom('disk') })
  readonly #options: WalOptions
  /** The directory as it was at each sync, oldest first. */
  readonly copies: DirectoryCopy[] = []
  #wal: Wal
  #index = 0

  constructor(raftId: number) {
    this.#options = {
      identity: { clusterId: 'c1', raftId },
      keys: { currentId: 1, keys: new Map([[1, new Uint8Array(32).fill(1)]]) },
      random: newSeededRandom(raftId),
      segmentBytes: 4096,
      mark: MARK,
    }
    this.disk.makeDirectory('identity')
    this.#wal = openWal(this.disk, DIRECTORY, this.#options).wal
  }

  /** Two batches of which the second is longer than a sector. */
  append(): void {
    for (const size of [20, 700]) {
      this.#index += 1
      const data = new Uint8Array(size).fill(this.#index)
      const entry: Entry = {
        term: 1,
        index: this.#index,
        type: 'normal',
        data,
        confChange: undefined,
      }
      this.#wal.append({ hardState: { term: 1, vote: 7, commit: this.#index }, entries: [entry] })
      this.#wal.sync()
      this.copies.push(this.disk.snapshotDirectory(DIRECTORY))
    }
  }

  snapshot(): void {
    const meta = { index: this.#index, term: 1, confState: { ...emptyConfState, voters: [7] } }
    this.#wal.saveSnapshot(meta, [new Uint8Array(900).fill(1)])
    this.#wal.compact(this.#index)
    this.copies.push(this.disk.snapshotDirectory(DIRECTORY))
  }

  restart(): void {
    this.#wal = openWal(this.disk, DIRECTORY, this.#options).wal
  }

  /** What a start finds, all of it read; the disk is as before afterwards. */
  look(): Found {
    const [copy, mark] = [DIRECTORY, 'identity'].map((name) => this.disk.snapshotDirectory(name))
    try {
      const { wal, entries, hardState, snapshot } = openWal(this.disk, DIRECTORY, this.#options)
      const bytes = snapshot === undefined ? [] : [...wal.readSnapshot()].map((each) => each.length)
      return { entries, state: JSON.stringify({ hardState, snapshot, bytes }) }
    } finally {
      if (copy !== undefined) this.disk.restore(DIRECTORY, copy)
      if (mark !== undefined) this.disk.restore('identity', mark)
    }
  }
}

/** A snapshot, compacted segments, and three segments after it, the last with records. */
function newMember(raftId = 7): Member {
  const member = new Member(raftId)
  for (let round = 0; round < 3; round++) member.append()
  member.snapshot()
  member.append()
  member.restart()
  member.append()
  member.restart()
  member.append()
  return member
}

/** `same`, or the file and place that a refusal names. */
function verdict(member: Member, whole: Found): string {
  try {
    expect(member.look()).toEqual(whole)
    return 'same'
  } catch (error) {
    if (!(error instanceof SwarmError)) throw error
    const { file, offset } = error.facts
    expect(error.code === 'data-loss' || error.facts['kind'] === 'foreign').toBe(true)
    expect(error.message).toContain(`"${file}"`)
    if (error.code === 'data-loss') expect(error.message).toContain(`at byte ${offset}`)
    return 'refused'
  }
}

/** Whether nothing was written to the sector that this byte is in. */
function isBlank(bytes: Uint8Array, at: number): boolean {
  const start = at - (at % 512)
  return bytes.subarray(start, start + 512).every((byte) => byte === 0)
}

// Each single byte of a segment and of a snapshot is in `replay.test.ts` and `snapshot-file.test.ts`.
test('a flipped bit anywhere in any file is refused, or changes nothing', () => {
  const member = newMember()
  const whole = member.look()
  const seen = { same: 0, refused: 0 }

  for (const [path, bytes] of member.disk.snapshotDirectory(DIRECTORY))
    for (let at = 0; at < bytes.length; at += isBlank(bytes, at) ? 151 : 5) {
      member.disk.flipBit(path, at * 8 + (at % 8))
      seen[verdict(member, whole) === 'same' ? 'same' : 'refused'] += 1
      member.disk.flipBit(path, at * 8 + (at % 8))
    }

  expect(member.look()).toEqual(whole)
  // What is in no use: the space after the records, and snapshots before the last.
  expect(seen.refused).toBeGreaterThan(1_000)
  expect(seen.same).toBeGreaterThan(0)
}, 60_000)

test('a file cut off anywhere, or gone, is refused, or changes nothing', () => {
  const member = newMember()
  const whole = member.look()
  const copy = member.disk.snapshotDirectory(DIRECTORY)
  let refused = 0

  for (const [path, bytes] of copy) {
    for (let size = -1; size < bytes.length; size += size < 0 ? 1 : 64) {
      if (size < 0) member.disk.remove(path)
      else member.disk.cutOff(path, size)
      if (verdict(member, whole) === 'refused') refused += 1
      member.disk.restore(DIRECTORY, copy)
    }
  }

  expect(refused).toBeGreaterThan(100)
})

test('an older copy of the directory, or of any file in it, is refused, or changes nothing', () => {
  const member = newMember()
  const whole = member.look()
  const now = member.disk.snapshotDirectory(DIRECTORY)

  for (const copy of member.copies.slice(0, -1)) {
    member.disk.restore(DIRECTORY, copy)
    expect(verdict(member, whole)).toBe('refused')
    for (const [path, bytes] of copy) {
      member.disk.restore(DIRECTORY, new Map([...now, [path, bytes]]))
      verdict(member, whole)
    }
  }
  const newest = [...now.keys()].findLast((path) => path.endsWith('.segment')) ?? ''
  member.disk.restore(DIRECTORY, new Map([...now].filter(([path]) => path !== newest)))
  expect(verdict(member, whole)).toBe('refused')
})

test('any file of another member, under its own name or another\u2019s, is refused', () => {
  const member = newMember()
  const whole = member.look()
  const now = member.disk.snapshotDirectory(DIRECTORY)
  const others = newMember(8).disk.snapshotDirectory(DIRECTORY)
  const inUse = [...now.keys()].filter((path) => path.endsWith('.segment'))

  for (const [, bytes] of others)
    for (const path of inUse) {
      member.disk.restore(DIRECTORY, new Map([...now, [path, bytes]]))
      expect(verdict(member, whole)).toBe('refused')
    }
})

test('a block of any file in the place of another is refused, or changes nothing', () => {
  const member = newMember()
  const whole = member.look()
  const copy = member.disk.snapshotDirectory(DIRECTORY)
  const blocks = [...copy].flatMap(([path, bytes]) =>
    Array.from({ length: bytes.length / 512 }, (_, at) => ({
      path,
      at: at * 512,
      bytes: bytes.slice(at * 512, at * 512 + 512),
    })),
  )
  const written = blocks.filter(({ bytes }) => bytes.some((byte) => byte !== 0))

  for (const { path, at, bytes: before } of blocks)
    for (const { bytes } of written) {
      member.disk.corrupt(path, at, bytes)
      verdict(member, whole)
      member.disk.corrupt(path, at, before)
    }
  expect(member.look()).toEqual(whole)
})

test('a damaged mark is refused, and one of another member says nothing', () => {
  const member = newMember()
  const whole = member.look()

  for (let at = 0; at < 512; at++) {
    member.disk.flipBit(MARK, at * 8)
    expect(() => member.look()).toThrow(`"${MARK}" is damaged at byte 0`)
    member.disk.flipBit(MARK, at * 8)
  }
  const others = newMember(8).disk.snapshotDirectory('identity')
  member.disk.restore('identity', others)
  expect(member.look()).toEqual(whole)
  member.disk.remove(MARK)
  expect(member.look()).toEqual(whole)
})
