/**
 * The log: stable and unstable part as one, its three indexes, and the unstable part alone.
 */
import { describe, expect, test } from 'vitest'
import { Log } from './log.ts'
import { type Entry, emptySnapshot } from './message.ts'
import { MemoryStorage } from './storage.ts'
import { entry } from './test-cluster.ts'
import { Unstable } from './unstable.ts'

const NO_LIMIT = Number.POSITIVE_INFINITY

/** Stable entries of these terms from index 1 on, then unstable ones. */
function newLog(stable: readonly number[], unstable: readonly number[] = []): Log {
  const storage = new MemoryStorage()
  storage.append(stable.map((term, i) => entry(term, i + 1)))
  const log = new Log(storage, NO_LIMIT, undefined)
  log.append(unstable.map((term, i) => entry(term, stable.length + i + 1)))
  return log
}

function terms(log: Log): readonly number[] {
  const entries = log.entries(log.firstIndex(), NO_LIMIT)
  return typeof entries === 'string' ? [] : entries.map(({ term }) => term)
}

describe('log', () => {
  test.each([
    { stable: [1, 2], add: [], expected: [1, 2], offset: 3 },
    { stable: [1, 2], add: [entry(2, 3)], expected: [1, 2, 2], offset: 3 },
    { stable: [1, 2], add: [entry(2, 1)], expected: [2], offset: 1 },
    { stable: [1, 2], add: [entry(3, 2), entry(3, 3)], expected: [1, 3, 3], offset: 2 },
  ])('append of $add.length to $stable', ({ stable, add, expected, offset }) => {
    const log = newLog(stable)
    log.append(add)
    expect(terms(log)).toEqual(expected)
    expect(log.unstable.offset).toBe(offset)
  })

  test.each([
    { entries: [], conflict: undefined },
    { entries: [entry(1, 1), entry(2, 2)], conflict: undefined },
    { entries: [entry(2, 2), entry(3, 3)], conflict: undefined },
    { entries: [entry(1, 1), entry(2, 2), entry(3, 3), entry(4, 4)], conflict: 4 },
    { entries: [entry(4, 1)], conflict: 1 },
    { entries: [entry(1, 2), entry(4, 3)], conflict: 2 },
  ])('findConflict() of a log 1, 2, 3', ({ entries, conflict }) => {
    expect(newLog([1, 2, 3]).findConflict(entries)).toBe(conflict)
  })

  test.each([
    { last: { term: 2, index: 5 }, isUpToDate: false },
    { last: { term: 3, index: 2 }, isUpToDate: false },
    { last: { term: 3, index: 3 }, isUpToDate: true },
    { last: { term: 3, index: 4 }, isUpToDate: true },
    { last: { term: 4, index: 1 }, isUpToDate: true },
  ])('isUpToDate($last) of a log 1, 2, 3 is $isUpToDate', ({ last, isUpToDate }) => {
    expect(newLog([1, 2, 3]).isUpToDate(last)).toBe(isUpToDate)
  })

  test.each([
    { position: { index: 100, term: 2 }, hint: { index: 100, term: 0 } },
    { position: { index: 5, term: 6 }, hint: { index: 5, term: 5 } },
    { position: { index: 5, term: 5 }, hint: { index: 5, term: 5 } },
    { position: { index: 5, term: 4 }, hint: { index: 2, term: 2 } },
    { position: { index: 5, term: 2 }, hint: { index: 2, term: 2 } },
    { position: { index: 5, term: 1 }, hint: { index: 0, term: 0 } },
  ])('findMatchHint($position) of a log 2, 2, 5, 5, 5', ({ position, hint }) => {
    expect(newLog([2, 2, 5, 5, 5]).findMatchHint(position)).toEqual(hint)
  })

  test('appendAfter() refuses what does not fit, keeps what is the same, replaces the rest', () => {
    const log = newLog([1, 2, 3])
    expect(log.appendAfter({ term: 3, index: 2 }, [entry(4, 3)], 3)).toBeUndefined()
    expect(log.appendAfter({ term: 4, index: 4 }, [], 3)).toBeUndefined()

    expect(log.appendAfter({ term: 1, index: 1 }, [entry(2, 2)], 1)).toBe(2)
    expect(terms(log)).toEqual([1, 2, 3])
    expect(log.appendAfter({ term: 1, index: 1 }, [entry(4, 2)], 9)).toBe(2)

    expect(terms(log)).toEqual([1, 4])
    expect(log.committed).toBe(2)
  })

  test('a conflict with a committed entry stops the node', () => {
    const log = newLog([1, 2])
    log.commitTo(2)
    expect(() => log.appendAfter({ term: 1, index: 1 }, [entry(3, 2)], 2)).toThrow(/conflicts/)
    expect(() => log.append([entry(3, 1)])).toThrow(/replaces committed/)
    expect(() => log.commitTo(3)).toThrow(/past the end/)
  })

  test('entries and terms come from both parts, within the limit of bytes', () => {
    const log = newLog([1, 1], [2, 2])
    const indexes = (bytesMax: number): readonly number[] => {
      const entries = log.slice(2, 5, bytesMax)
      return typeof entries === 'string' ? [] : entries.map(({ index }) => index)
    }
    expect(indexes(NO_LIMIT)).toEqual([2, 3, 4])
    expect(indexes(0)).toEqual([2])
    expect(indexes(12)).toEqual([2, 3])
    expect([0, 1, 2, 3, 4, 5].map((index) => log.term(index))).toEqual([
      0,
      1,
      1,
      2,
      2,
      'unavailable',
    ])
  })

  test('what was compacted is gone, but for the term of the last', () => {
    const storage = new MemoryStorage()
    storage.append([entry(1, 1), entry(1, 2), entry(2, 3)])
    storage.compact(2)
    const log = new Log(storage, NO_LIMIT, undefined)
    expect([log.firstIndex(), log.lastIndex(), log.committed]).toEqual([3, 3, 2])
    expect([1, 2, 3].map((index) => log.term(index))).toEqual(['compacted', 1, 2])
    expect(log.slice(2, 4, NO_LIMIT)).toBe('compacted')
  })

  test('committed entries wait for the disk, if that is asked for, and for a snapshot', () => {
    const log = newLog([1], [1, 1])
    log.commitTo(3)
    expect(log.nextCommittedEntries(true).map(({ index }) => index)).toEqual([1, 2, 3])
    expect(log.nextCommittedEntries(false).map(({ index }) => index)).toEqual([1])

    log.restore({ ...emptySnapshot, index: 7, term: 2 })

    expect(log.hasNextCommittedEntries(true)).toBe(false)
    log.unstable.stableSnapshotTo(7)
    log.appliedTo(7, 0)
    expect([log.applied, log.applying, log.committed]).toEqual([7, 7, 7])
  })

  test('what a snapshot has overtaken does not count against the limit any more', () => {
    const storage = new MemoryStorage()
    storage.append([entry(1, 1, 'x'), entry(1, 2, 'y')])
    const log = new Log(storage, 20, undefined)
    log.commitTo(2)
    log.acceptApplying(2, 22, false)
    const snapshot = { ...emptySnapshot, index: 7, term: 2 }
    log.restore(snapshot)
    storage.applySnapshot(snapshot)
    log.unstable.stableSnapshotTo(7)
    log.appliedTo(7, 0)

    log.append([entry(2, 8, 'z')])
    log.commitTo(8)

    expect(log.nextCommittedEntries(true).map(({ index }) => index)).toEqual([8])
  })

  test('applied does not pass committed, nor go back', () => {
    const log = newLog([1, 1, 1])
    log.commitTo(2)
    expect(() => log.appliedTo(3, 0)).toThrow(/applied only/)
    log.appliedTo(2, 0)
    expect(() => log.appliedTo(1, 0)).toThrow(/applied only/)
  })
})

describe('unstable', () => {
  function withEntries(...entries: readonly Entry[]): Unstable {
    const unstable = new Unstable(entries[0]?.index ?? 1, undefined)
    unstable.truncateAndAppend(entries)
    return unstable
  }

  test('gives out what is not being written', () => {
    const unstable = withEntries(entry(1, 5), entry(1, 6))
    expect(unstable.nextEntries()).toHaveLength(2)
    unstable.acceptInProgress()
    expect(unstable.hasNextEntries()).toBe(false)
    unstable.truncateAndAppend([entry(1, 7)])
    expect(unstable.nextEntries().map(({ index }) => index)).toEqual([7])
  })

  test.each([
    { name: 'behind', add: [entry(1, 7)], terms: [1, 1, 1], offset: 5, next: 1 },
    { name: 'over the first', add: [entry(2, 5)], terms: [2], offset: 5, next: 1 },
    {
      name: 'before the first',
      add: [entry(2, 4), entry(2, 5)],
      terms: [2, 2],
      offset: 4,
      next: 2,
    },
    { name: 'over the second', add: [entry(2, 6)], terms: [1, 2], offset: 5, next: 1 },
  ])('entries $name are to be written again', ({ add, terms: expected, offset, next }) => {
    const unstable = withEntries(entry(1, 5), entry(1, 6))
    unstable.acceptInProgress()

    unstable.truncateAndAppend(add)

    const all = unstable.slice(unstable.offset, unstable.offset + unstable.count)
    expect(all.map(({ term }) => term)).toEqual(expected)
    expect(unstable.offset).toBe(offset)
    expect(unstable.nextEntries()).toHaveLength(next)
  })

  test.each([
    { stable: { term: 1, index: 5 }, left: 1 },
    { stable: { term: 1, index: 6 }, left: 0 },
    { stable: { term: 2, index: 6 }, left: 2 },
    { stable: { term: 1, index: 4 }, left: 2 },
    { stable: { term: 1, index: 9 }, left: 2 },
  ])('stableTo($stable) leaves $left of two', ({ stable, left }) => {
    const unstable = withEntries(entry(1, 5), entry(1, 6))
    unstable.acceptInProgress()
    unstable.stableTo(stable)
    expect(unstable.count).toBe(left)
  })

  test('what was given out stays as it was', () => {
    const unstable = withEntries(entry(1, 5), entry(1, 6))
    const given = unstable.nextEntries()
    unstable.truncateAndAppend([entry(2, 6)])
    unstable.truncateAndAppend([entry(2, 7)])
    expect(given.map(({ term }) => term)).toEqual([1, 1])
  })

  test('a snapshot voids the entries and is written once', () => {
    const unstable = withEntries(entry(1, 5))
    unstable.restore({ ...emptySnapshot, index: 8, term: 3 })
    expect([unstable.firstIndex(), unstable.lastIndex(), unstable.term(8)]).toEqual([9, 8, 3])
    expect(unstable.nextSnapshot()?.index).toBe(8)
    unstable.acceptInProgress()
    expect(unstable.nextSnapshot()).toBeUndefined()
    unstable.stableSnapshotTo(7)
    expect(unstable.snapshot?.index).toBe(8)
    unstable.stableSnapshotTo(8)
    expect(unstable.snapshot).toBeUndefined()
  })

  test('a gap between entries stops the node', () => {
    expect(() => withEntries(entry(1, 5)).truncateAndAppend([entry(1, 7)])).toThrow(/no gap/)
  })
})

describe('MemoryStorage', () => {
  function stored(): MemoryStorage {
    const storage = new MemoryStorage()
    storage.append([entry(3, 1), entry(3, 2), entry(4, 3), entry(5, 4), entry(6, 5)])
    storage.compact(2)
    return storage
  }

  test('append() replaces, goes on, or ignores what is compacted', () => {
    const storage = stored()
    storage.append([entry(1, 1), entry(1, 2)])
    expect(storage.lastIndex()).toBe(5)
    storage.append([entry(3, 2), entry(7, 3)])
    expect([storage.term(3), storage.lastIndex()]).toEqual([7, 3])
    storage.append([entry(7, 4)])
    expect(storage.lastIndex()).toBe(4)
    expect(() => storage.append([entry(7, 6)])).toThrow(/gap/)
  })

  test('terms and entries are told apart by why they are missing', () => {
    const storage = stored()
    expect([1, 2, 3, 6].map((index) => storage.term(index))).toEqual([
      'compacted',
      3,
      4,
      'unavailable',
    ])
    expect(storage.entries(2, 4, NO_LIMIT)).toBe('compacted')
    expect(storage.entries(3, 6, 0)).toHaveLength(1)
    expect(() => storage.entries(3, 7, NO_LIMIT)).toThrow(/past its end/)
    expect(new MemoryStorage().entries(1, 1, NO_LIMIT)).toBe('unavailable')
  })

  test('a snapshot from elsewhere empties the log, an older one is refused', () => {
    const storage = stored()
    expect(storage.applySnapshot({ ...emptySnapshot, index: 9, term: 7 })).toBe(true)
    expect([storage.firstIndex(), storage.lastIndex(), storage.term(9)]).toEqual([10, 9, 7])
    expect(storage.applySnapshot({ ...emptySnapshot, index: 9, term: 7 })).toBe(false)
  })

  test('a snapshot of its own state keeps the log', () => {
    const storage = stored()
    storage.setSnapshot({ ...emptySnapshot, index: 4, term: 5 })
    storage.setSnapshot({ ...emptySnapshot, index: 3, term: 4 })
    expect([storage.firstIndex(), storage.lastIndex()]).toEqual([3, 5])
    expect(storage.snapshot()).toMatchObject({ index: 4 })
    expect(() => storage.compact(6)).toThrow(/past the end/)
  })
})
