/**
 * Everything that a disk can do to a log at rest: what is torn is dropped, what is damaged is
 * named, and never does a log open with less or other than what was acknowledged.
 */
import { expect, test } from 'vitest'
import { readFile } from '../../lib/disk.ts'
import { SwarmError } from '../../lib/errors.ts'
import { newSeededRandom } from '../../lib/random.ts'
import { SimDisk } from '../../test/sim/disk.ts'
import type { Entry } from '../raft/message.ts'
import { parseFrame } from './record.ts'
import { type Replayed, replay } from './replay.ts'
import { SECTOR_BYTES } from './seal.ts'
import { formatSegmentName, listSegments } from './segment.ts'
import { openWal, type WalOptions } from './wal.ts'

const DIRECTORY = 'raft'

const options: WalOptions = {
  identity: { clusterId: 'c1', raftId: 7 },
  keys: { currentId: 1, keys: new Map([[1, new Uint8Array(32).fill(1)]]) },
  random: newSeededRandom('wal'),
  segmentBytes: 8192,
}

function entry(index: number, dataBytes: number): Entry {
  const data = new Uint8Array(dataBytes).fill(index)
  return { term: 1, index, type: 'normal', data, confChange: undefined }
}

/** A log of one segment a row, one record an entry, each with so many bytes of data. */
function logOf(...segments: readonly (readonly number[])[]): SimDisk {
  const disk = new SimDisk({ random: newSeededRandom('disk') })
  let index = 0
  for (const sizes of segments) {
    const { wal } = openWal(disk, DIRECTORY, options)
    for (const size of sizes) {
      index += 1
      wal.append({ entries: [entry(index, size)] })
      wal.sync()
    }
  }
  return disk
}

const look = (disk: SimDisk): Replayed => replay(disk, DIRECTORY, options)

const segment = (number: number): string => `${DIRECTORY}/${formatSegmentName(number)}`

/** `intact`, `torn`, or the damage found, with how many entries there are. */
function verdict(disk: SimDisk): string {
  try {
    const { entries, last } = look(disk)
    return `${last?.end.isTorn === true ? 'torn' : 'intact'} ${entries.length}`
  } catch (error) {
    if (!(error instanceof SwarmError) || error.code !== 'data-loss') throw error
    const { kind, file, offset } = error.facts
    expect(error.message).toContain(`"${file}" is damaged at byte ${offset}`)
    return String(kind)
  }
}

/** Where the records of a segment begin, metadata first, and where the last one ends. */
function placesOf(disk: SimDisk, path: string): readonly number[] {
  const bytes = readFile(disk, path)
  const places: number[] = []
  let at = SECTOR_BYTES
  for (;;) {
    places.push(at)
    const frame = parseFrame(bytes, at)
    if (frame.kind !== 'record') return places
    at = frame.end
  }
}

const zeros = (sectors: number): Uint8Array => new Uint8Array(sectors * SECTOR_BYTES)

test('a flipped bit at any place is damage, unless nothing stands there', () => {
  const disk = logOf([10, 600], [10, 1200])
  const whole = look(disk)

  for (const path of listSegments(disk, DIRECTORY)) {
    const end = placesOf(disk, path).at(-1) ?? 0
    for (let byte = 0; byte < disk.size(path); byte++) {
      const bit = byte * 8 + (byte % 8)
      disk.flipBit(path, bit)
      if (byte < end) expect(`${byte} ${verdict(disk)}`).toBe(`${byte} damage`)
      // After the end nothing was acknowledged. A header is never noise; later sectors may be.
      else if (byte < end + SECTOR_BYTES) expect(verdict(disk)).toBe('damage')
      else expect(verdict(disk)).toBe('torn 4')
      disk.flipBit(path, bit)
    }
  }

  expect(look(disk).entries).toEqual(whole.entries)
})

test('the last record is torn whichever of its sectors are missing, but not if all are', () => {
  const disk = logOf([10], [10, 1700])
  const path = segment(2)
  const at = placesOf(disk, path)[2] ?? 0
  const sectors = ((placesOf(disk, path)[3] ?? 0) - at) / SECTOR_BYTES
  const whole = disk.read(path, at, sectors * SECTOR_BYTES)
  expect(sectors).toBe(4)

  for (let missing = 1; missing < 2 ** sectors; missing++) {
    for (let sector = 0; sector < sectors; sector++) {
      if ((missing & (2 ** sector)) === 0) continue
      disk.corrupt(path, at + sector * SECTOR_BYTES, zeros(1))
    }
    const expected = missing === 2 ** sectors - 1 ? 'intact 2' : 'torn 2'
    expect(`${missing} ${verdict(disk)}`).toBe(`${missing} ${expected}`)
    disk.corrupt(path, at, whole)
  }
})

test('openWal() drops a torn record, names it, and goes on after it for good', () => {
  const disk = logOf([10, 1700])
  const at = placesOf(disk, segment(1))[2] ?? 0
  disk.corrupt(segment(1), at + SECTOR_BYTES, zeros(1))

  const { wal, torn, entries } = openWal(disk, DIRECTORY, options)
  expect(torn).toEqual({ file: segment(1), offset: at })
  expect(entries).toEqual([entry(1, 10)])
  wal.append({ entries: [entry(2, 3)] })
  wal.sync()

  const again = openWal(disk, DIRECTORY, options)
  expect(again.torn).toBeUndefined()
  expect(again.entries).toEqual([entry(1, 10), entry(2, 3)])
})

test('a torn record stays dropped if the machine dies before it is cut off', () => {
  const disk = logOf([10, 1700])
  const at = placesOf(disk, segment(1))[2] ?? 0
  disk.corrupt(segment(1), at + SECTOR_BYTES, zeros(1))
  disk.inject({ operation: 'truncate', kind: 'eio' })

  expect(() => openWal(disk, DIRECTORY, options)).toThrow('cannot truncate')
  disk.crash('none')

  expect(listSegments(disk, DIRECTORY)).toHaveLength(2)
  expect(verdict(disk)).toBe('intact 1')
})

test.each([
  ['a sector of it', 1, 1],
  ['its header', 0, 1],
  ['all of it', 0, 4],
])('a record before the last one that misses %s is damage', (_name, first, count) => {
  const disk = logOf([10], [1700, 10])
  const at = placesOf(disk, segment(2))[1] ?? 0

  disk.corrupt(segment(2), at + first * SECTOR_BYTES, zeros(count))

  expect(verdict(disk)).toBe('damage')
})

test.each([
  ['a sector of it', 1, 1],
  ['its header', 0, 1],
  ['all of it', 0, 4],
])('the last record of an older segment that misses %s is damage', (_name, first, count) => {
  const disk = logOf([10, 1700], [10])
  const at = placesOf(disk, segment(1))[2] ?? 0

  disk.corrupt(segment(1), at + first * SECTOR_BYTES, zeros(count))

  expect(verdict(disk)).toBe('damage')
})

test('a record with a zero sector is damage if anything follows it', () => {
  const disk = logOf([10, 1700])
  const [, , at = 0, end = 0] = placesOf(disk, segment(1))
  disk.corrupt(segment(1), at + SECTOR_BYTES, zeros(1))
  expect(verdict(disk)).toBe('torn 1')

  disk.corrupt(segment(1), end + 3000, Uint8Array.of(1))

  expect(verdict(disk)).toBe('damage')
})

test('a segment that is cut off anywhere is damage', () => {
  const disk = logOf([10, 1700], [10])
  const copy = disk.snapshotDirectory(DIRECTORY)

  for (let size = 0; size < disk.size(segment(1)); size += 128) {
    disk.cutOff(segment(1), size)
    expect(verdict(disk)).toBe('damage')
    disk.restore(DIRECTORY, copy)
  }
  for (let size = 0; size < disk.size(segment(2)); size += 128) {
    disk.cutOff(segment(2), size)
    expect(verdict(disk)).toBe('damage')
    disk.restore(DIRECTORY, copy)
  }
})

test('a record in the place of another is damage: repeated, left out, of another segment', () => {
  const disk = logOf([10, 10, 10], [10, 10])
  const copy = disk.snapshotDirectory(DIRECTORY)
  const record = (number: number, i: number): Uint8Array =>
    disk.read(segment(number), placesOf(disk, segment(number))[i] ?? 0, SECTOR_BYTES)
  const [, first = 0, second = 0, third = 0] = placesOf(disk, segment(1))
  const [, , lastOfSecond = 0] = placesOf(disk, segment(2))

  const cases: readonly (readonly [string, number, Uint8Array])[] = [
    [segment(1), second, record(1, 1)],
    [segment(1), second, record(1, 3)],
    [segment(1), first, record(2, 1)],
    [segment(1), third, record(1, 0)],
    [segment(2), lastOfSecond, record(1, 3)],
    [segment(2), lastOfSecond, record(2, 1)],
  ]
  for (const [path, offset, bytes] of cases) {
    disk.corrupt(path, offset, bytes)
    expect(verdict(disk)).toBe('damage')
    disk.restore(DIRECTORY, copy)
  }
  expect(verdict(disk)).toBe('intact 5')
})

test.each([1, 2])('a log without its segment %i is damage', (number) => {
  const disk = logOf([10], [10], [10])

  disk.remove(segment(number))

  expect(verdict(disk)).toBe('damage')
})

test('a segment under another name is damage', () => {
  const disk = logOf([10], [10])

  disk.rename(segment(2), segment(9))

  expect(verdict(disk)).toBe('damage')
})

test('a segment that an older start wrote under the same number is damage', () => {
  const disk = logOf([10], [10, 10])
  const copy = disk.snapshotDirectory(DIRECTORY)
  const other = logOf([10, 10, 10], [10])
  const bytes = readFile(other, segment(2))

  disk.restore(DIRECTORY, new Map([...copy, [segment(2), bytes]]))

  expect(verdict(disk)).toBe('damage')
})

test('a log whose recorded snapshot is missing is damage, and so is a snapshot without a log', () => {
  const disk = logOf([10, 10])
  const { wal } = openWal(disk, DIRECTORY, options)
  const meta = { index: 2, term: 1, confState: undefined }
  wal.saveSnapshot(meta, [new Uint8Array(10)])
  const [name = ''] = disk.list(DIRECTORY).filter((each) => each.endsWith('.snapshot'))
  const copy = disk.snapshotDirectory(DIRECTORY)

  disk.remove(`${DIRECTORY}/${name}`)
  expect(() => openWal(disk, DIRECTORY, options)).toThrow('its file is missing')
  disk.restore(DIRECTORY, copy)
  for (const path of listSegments(disk, DIRECTORY)) disk.remove(path)

  expect(() => openWal(disk, DIRECTORY, options)).toThrow('but no segment of the log')
})
