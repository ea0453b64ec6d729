/**
 * Snapshot files: whole or refused.
 */
import { expect, test } from 'vitest'
import { readFile } from '../../lib/disk.ts'
import { SwarmError } from '../../lib/errors.ts'
import { newSeededRandom } from '../../lib/random.ts'
import { SimDisk } from '../../test/sim/disk.ts'
import { SECTOR_BYTES } from './seal.ts'
import {
  CHUNK_BYTES_MAX,
  checkSnapshotFile,
  formatSnapshotName,
  readSnapshotFile,
  SnapshotWriter,
} from './snapshot-file.ts'

const random = newSeededRandom('snapshot')
const meta = { index: 12, term: 3, confState: undefined }
const source = {
  meta,
  identity: { clusterId: 'c1', raftId: 7 },
  keys: { currentId: 1, keys: new Map([[1, new Uint8Array(32).fill(1)]]) },
}
const PATH = `d/${formatSnapshotName(meta)}`

function newDisk(): SimDisk {
  const disk = new SimDisk({ random: newSeededRandom('disk') })
  disk.makeDirectory('d')
  disk.syncDirectory('')
  return disk
}

function newWriter(disk: SimDisk): SnapshotWriter {
  return new SnapshotWriter(disk, 'd', { ...source, random })
}

function save(disk: SimDisk, ...chunks: readonly Uint8Array[]): void {
  const writer = newWriter(disk)
  for (const chunk of chunks) writer.write(chunk)
  writer.finish()
}

function load(disk: SimDisk, change: Partial<typeof source> = {}): Uint8Array {
  const chunks = [...readSnapshotFile(disk, 'd', { ...source, ...change })]
  return Uint8Array.from(chunks.flatMap((chunk) => [...chunk]))
}

/** The kind of the refusal, or `none`. */
function refusal(act: () => unknown): unknown {
  try {
    act()
  } catch (error) {
    if (!(error instanceof SwarmError)) throw error
    const { kind } = error.facts
    return kind
  }
  return 'none'
}

test.each([0, 1, 1000, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1])('%i bytes come back', (length) => {
  const disk = newDisk()
  const bytes = new Uint8Array(length).map((_, i) => i % 251)

  save(disk, bytes.subarray(0, 10), bytes.subarray(10))

  const chunks = [...readSnapshotFile(disk, 'd', source)]
  expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
  expect(chunks.every((chunk) => chunk.length <= CHUNK_BYTES_MAX)).toBe(true)
  expect(checkSnapshotFile(disk, 'd', source)).toBe(1)
})

test('a finished file outlives a crash, an unfinished one has no name', () => {
  const disk = newDisk()
  save(disk, new Uint8Array(2000))
  disk.crash('none')
  expect(load(disk)).toHaveLength(2000)

  const writer = new SnapshotWriter(disk, 'd', { ...source, random, meta: { ...meta, index: 13 } })
  writer.write(new Uint8Array(2000))
  disk.crash('all')

  expect(disk.list('d').filter((name) => name.endsWith('.snapshot'))).toHaveLength(1)
})

test('a long file is synced as it is written', () => {
  let syncs = 0
  const observe = (operation: string): void => {
    syncs += operation === 'sync' ? 1 : 0
  }
  const disk = new SimDisk({ random: newSeededRandom(1), observe })
  disk.makeDirectory('d')
  const writer = newWriter(disk)

  for (let i = 0; i < 20; i++) writer.write(new Uint8Array(CHUNK_BYTES_MAX))

  expect(syncs).toBe(2)
})

test('abort() removes the file, and does nothing to a finished one', () => {
  const disk = newDisk()
  const writer = newWriter(disk)
  writer.write(new Uint8Array(10))

  writer.abort()
  writer.abort()
  expect(disk.list('d')).toEqual([])
  expect(() => writer.write(new Uint8Array(1))).toThrow('before it is finished')
  const other = newWriter(disk)
  other.finish()
  other.abort()

  expect(disk.list('d')).toHaveLength(1)
})

test('a flipped bit at any place is damage', () => {
  const disk = newDisk()
  save(disk, new Uint8Array(600), new Uint8Array(10))

  for (let byte = 0; byte < disk.size(PATH); byte++) {
    disk.flipBit(PATH, byte * 8 + (byte % 8))
    expect(`${byte} ${refusal(() => load(disk))}`).toBe(`${byte} damage`)
    disk.flipBit(PATH, byte * 8 + (byte % 8))
  }
  expect(load(disk)).toHaveLength(610)
})

test('a file cut off anywhere, with something after its end, or without a chunk is damage', () => {
  const disk = newDisk()
  save(disk, new Uint8Array(600), new Uint8Array(10))
  const copy = disk.snapshotDirectory('d')
  const whole = readFile(disk, PATH)
  const without = (at: number): Uint8Array =>
    Uint8Array.from([...whole.subarray(0, at), ...whole.subarray(at + SECTOR_BYTES)])

  for (let size = 0; size < whole.length; size += 100) {
    disk.cutOff(PATH, size)
    expect(refusal(() => load(disk))).toBe('damage')
    disk.restore('d', copy)
  }
  disk.write(PATH, whole.length, whole.subarray(whole.length - SECTOR_BYTES))
  expect(refusal(() => load(disk))).toBe('damage')
  for (let at = 0; at < whole.length; at += SECTOR_BYTES) {
    disk.restore('d', new Map([[PATH, without(at)]]))
    expect(refusal(() => load(disk))).toBe('damage')
  }
})

test('a file of another member, another key or another snapshot is refused', () => {
  const disk = newDisk()
  save(disk, new Uint8Array(10))
  const other = { ...meta, index: 13 }

  expect(refusal(() => load(disk, { identity: { clusterId: 'c1', raftId: 8 } }))).toBe('foreign')
  expect(refusal(() => load(disk, { keys: { currentId: 2, keys: new Map() } }))).toBe('unknown-key')
  expect(refusal(() => load(disk, { meta: other }))).toBe('damage')
  disk.rename(PATH, `d/${formatSnapshotName(other)}`)
  expect(refusal(() => load(disk, { meta: other }))).toBe('damage')
})
