/**
 * One contract, both sides of port Disk; then what only the twin does: forgetting and failing.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type Disk, readFile, replaceFile } from '../../lib/disk.ts'
import { SwarmError } from '../../lib/errors.ts'
import { newSeededRandom } from '../../lib/random.ts'
import { NodeDisk } from '../../node/io/disk.ts'
import { SimDisk, SimulatedCrash } from './disk.ts'

const roots: string[] = []
const disks: NodeDisk[] = []

function newNodeDisk(): Disk {
  const root = mkdtempSync(join(tmpdir(), 'tsswarm-disk-'))
  const disk = new NodeDisk(root)
  roots.push(root)
  disks.push(disk)
  return disk
}

function newSimDisk(seed = 1): SimDisk {
  return new SimDisk({ random: newSeededRandom(seed) })
}

afterAll(() => {
  for (const disk of disks) disk[Symbol.dispose]()
  for (const root of roots) rmSync(root, { recursive: true })
})

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values)

function kindOf(act: () => unknown): unknown {
  try {
    act()
  } catch (error) {
    if (!(error instanceof SwarmError)) throw error
    const { kind } = error.facts
    return kind
  }
  return 'no error'
}

describe.each([
  ['real', newNodeDisk],
  ['simulated', newSimDisk],
])('Disk, %s', (_name, newDisk: () => Disk) => {
  test('create() makes a file of zeros, and refuses to make it again', () => {
    const disk = newDisk()

    disk.create('a', 1500)

    expect(disk.size('a')).toBe(1500)
    expect(readFile(disk, 'a')).toStrictEqual(new Uint8Array(1500))
    expect(kindOf(() => disk.create('a', 1))).toBe('exists')
    expect(disk.size('a')).toBe(1500)
  })

  test('write() overwrites in place and makes the file longer, with zeros between', () => {
    const disk = newDisk()
    disk.create('a', 4)

    disk.write('a', 1, bytes(1, 2))
    disk.write('a', 6, bytes(3))
    disk.sync('a')

    expect(readFile(disk, 'a')).toStrictEqual(bytes(0, 1, 2, 0, 0, 0, 3))
  })

  test('read() gives fewer bytes only where the file ends', () => {
    const disk = newDisk()
    disk.create('a', 0)
    disk.write('a', 0, bytes(1, 2, 3))

    expect(disk.read('a', 1, 2)).toStrictEqual(bytes(2, 3))
    expect(disk.read('a', 2, 100)).toStrictEqual(bytes(3))
    expect(disk.read('a', 3, 1)).toStrictEqual(bytes())
    expect(disk.read('a', 9, 1)).toStrictEqual(bytes())
  })

  test('truncate() cuts, and what is written after is preceded by zeros', () => {
    const disk = newDisk()
    disk.create('a', 0)
    disk.write('a', 0, bytes(1, 2, 3, 4))

    disk.truncate('a', 2)
    disk.write('a', 3, bytes(5))

    expect(readFile(disk, 'a')).toStrictEqual(bytes(1, 2, 0, 5))
    expect(() => disk.truncate('a', 9)).toThrow('a file is not made longer')
  })

  test('directories list their own names, sorted', () => {
    const disk = newDisk()
    disk.makeDirectory('d')
    disk.makeDirectory('d')
    disk.makeDirectory('d/e')
    disk.create('d/b', 0)
    disk.create('d/a', 0)
    disk.create('c', 0)
    disk.syncDirectory('d')
    disk.syncDirectory('')

    expect(disk.list('d')).toEqual(['a', 'b', 'e'])
    expect(disk.list('d/e')).toEqual([])
    expect(disk.list('')).toEqual(['c', 'd'])
  })

  test('rename() replaces, and the file can be written to under its new name', () => {
    const disk = newDisk()
    disk.create('a', 0)
    disk.create('b', 5)
    disk.write('a', 0, bytes(1))
    disk.write('b', 0, bytes(9))

    disk.rename('a', 'b')
    disk.write('b', 1, bytes(2))
    disk.sync('b')

    expect(disk.list('')).toEqual(['b'])
    expect(readFile(disk, 'b')).toStrictEqual(bytes(1, 2))
    expect(() => disk.rename('b', 'd/b')).toThrow('a file stays in its directory')
  })

  test('remove() takes a file away, and the name is free again', () => {
    const disk = newDisk()
    disk.create('a', 1)

    disk.remove('a')
    disk.create('a', 2)

    expect(disk.size('a')).toBe(2)
  })

  test('a file or a parent that is not there is named in the error', () => {
    const disk = newDisk()

    expect(kindOf(() => disk.size('x'))).toBe('not-found')
    expect(kindOf(() => disk.read('x', 0, 1))).toBe('not-found')
    expect(kindOf(() => disk.write('x', 0, bytes(1)))).toBe('not-found')
    expect(kindOf(() => disk.sync('x'))).toBe('not-found')
    expect(kindOf(() => disk.rename('x', 'y'))).toBe('not-found')
    expect(kindOf(() => disk.remove('x'))).toBe('not-found')
    expect(kindOf(() => disk.list('x'))).toBe('not-found')
    expect(kindOf(() => disk.create('x/y', 1))).toBe('not-found')
    expect(() => disk.size('x')).toThrow('"x": no such file or directory')
  })

  test('many files can be written to in turn', () => {
    const disk = newDisk()
    const names = Array.from({ length: 20 }, (_, i) => `f${i}`)
    for (const name of names) disk.create(name, 1)

    for (const [i, name] of names.entries()) disk.write(name, 0, bytes(i))
    for (const name of names) disk.sync(name)
    for (const [i, name] of names.entries()) disk.write(name, 1, bytes(i))

    for (const [i, name] of names.entries()) {
      expect(readFile(disk, name)).toStrictEqual(bytes(i, i))
    }
  })

  test('replaceFile() makes and replaces, also over what an earlier try left', () => {
    const disk = newDisk()
    disk.makeDirectory('d')
    disk.create('d/a.tmp', 9)

    replaceFile(disk, 'd/a', bytes(1, 2, 3))
    replaceFile(disk, 'd/a', bytes(4))
    replaceFile(disk, 'top', bytes(5))

    expect(disk.list('d')).toEqual(['a'])
    expect(readFile(disk, 'd/a')).toStrictEqual(bytes(4))
    expect(readFile(disk, 'top')).toStrictEqual(bytes(5))
  })
})

test('NodeDisk keeps files and directories to its user, and paths under its root', () => {
  const disk = newNodeDisk()
  const root = roots.at(-1) ?? ''

  disk.makeDirectory('d')
  disk.create('d/a', 1)

  expect(statSync(join(root, 'd')).mode & 0o777).toBe(0o700)
  expect(statSync(join(root, 'd/a')).mode & 0o777).toBe(0o600)
  expect(() => disk.size('../x')).toThrow('a path stays under its root')
  expect(() => disk.size('/etc/passwd')).toThrow('a path stays under its root')
})

test('NodeDisk reads what another process wrote to a file that it has open', () => {
  const disk = newNodeDisk()
  disk.create('a', 3)
  const other = new NodeDisk(roots.at(-1) ?? '')
  disks.push(other)

  other.write('a', 1, bytes(7))
  other.sync('a')

  expect(readFile(disk, 'a')).toStrictEqual(bytes(0, 7, 0))
})

test('SimDisk forgets at a crash what was not synced, names and bytes apart', () => {
  const disk = newSimDisk()
  disk.create('kept', 2)
  disk.write('kept', 0, bytes(1))
  disk.sync('kept')
  disk.syncDirectory('')
  disk.write('kept', 0, bytes(2))
  disk.write('kept', 5, bytes(2))
  disk.create('nameless', 1)
  disk.sync('nameless')

  disk.crash('none')

  expect(disk.list('')).toEqual(['kept'])
  expect(readFile(disk, 'kept')).toStrictEqual(bytes(1, 0))
})

test('SimDisk undoes renames and removals that were not synced', () => {
  const disk = newSimDisk()
  for (const name of ['a', 'b', 'c']) replaceFile(disk, name, bytes(name.charCodeAt(0)))

  disk.rename('a', 'b')
  disk.remove('c')
  disk.crash('none')

  expect(disk.list('')).toEqual(['a', 'b', 'c'])
  expect(readFile(disk, 'b')).toStrictEqual(bytes('b'.charCodeAt(0)))
})

test('SimDisk keeps whole sectors, any subset of them, when a crash tears a write', () => {
  const seen = new Set<string>()
  for (let seed = 0; seed < 200; seed++) {
    const disk = newSimDisk(seed)
    replaceFile(disk, 'a', new Uint8Array(1536))
    disk.write('a', 0, new Uint8Array(1536).fill(1))
    disk.crash('some')
    const after = readFile(disk, 'a')
    expect(after.every((byte, i) => byte === after[i - (i % 512)])).toBe(true)
    seen.add([after[0], after[512], after[1024]].join(''))
  }

  expect([...seen].sort()).toEqual(['000', '001', '010', '011', '100', '101', '110', '111'])
})

test('SimDisk loses bytes whose sync failed, however often it is synced again', () => {
  let lost = 0
  for (let seed = 0; seed < 50; seed++) {
    const disk = newSimDisk(seed)
    replaceFile(disk, 'a', bytes(1))
    disk.write('a', 0, bytes(2))
    disk.inject({ operation: 'sync', kind: 'eio' })

    expect(kindOf(() => disk.sync('a'))).toBe('eio')
    disk.sync('a')
    expect(readFile(disk, 'a')).toStrictEqual(bytes(2))
    disk.crash('all')

    lost += readFile(disk, 'a')[0] === 1 ? 1 : 0
  }

  expect(lost).toBeGreaterThan(10)
  expect(lost).toBeLessThan(40)
})

test('SimDisk refuses what does not fit, and takes it once there is room', () => {
  const disk = new SimDisk({ random: newSeededRandom(1), capacityBytes: 1000 })
  disk.create('a', 600)

  expect(kindOf(() => disk.create('b', 500))).toBe('enospc')
  expect(kindOf(() => disk.write('a', 600, new Uint8Array(500)))).toBe('enospc')
  expect(disk.list('')).toEqual(['a'])
  expect(disk.size('a')).toBe(600)
  disk.write('a', 0, new Uint8Array(600))
  disk.remove('a')
  disk.create('b', 500)
})

test('SimDisk fails as told: the kind, the path, the time, the rate', () => {
  const disk = newSimDisk()
  disk.create('a', 1)
  disk.create('b', 1)
  disk.inject({ operation: 'read', kind: 'eio', path: 'b', skip: 1 })

  expect(kindOf(() => readFile(disk, 'a'))).toBe('no error')
  expect(kindOf(() => readFile(disk, 'b'))).toBe('no error')
  expect(kindOf(() => readFile(disk, 'b'))).toBe('eio')
  expect(kindOf(() => readFile(disk, 'b'))).toBe('no error')
  disk.setFaultRates({ write: 1 })
  expect(kindOf(() => disk.write('a', 0, bytes(1)))).toBe('eio')
})

test('SimDisk dies where it is told, and works again after the crash', () => {
  const disk = newSimDisk()
  replaceFile(disk, 'a', bytes(1))

  disk.dieAfter(1)
  disk.write('a', 0, bytes(2))
  expect(() => disk.sync('a')).toThrow(SimulatedCrash)
  expect(() => disk.size('a')).toThrow(SimulatedCrash)
  disk.crash('none')

  expect([1, 2]).toContain(readFile(disk, 'a')[0])
  disk.write('a', 0, bytes(3))
})

test('SimDisk rots, cuts and restores without telling anyone', () => {
  const disk = newSimDisk()
  disk.makeDirectory('d')
  replaceFile(disk, 'd/a', bytes(0, 0, 0))
  const copy = disk.snapshotDirectory('d')
  replaceFile(disk, 'd/b', bytes(7))

  disk.flipBit('d/a', 9)
  disk.corrupt('d/a', 2, bytes(5))
  expect(readFile(disk, 'd/a')).toStrictEqual(bytes(0, 2, 5))
  disk.cutOff('d/a', 2)
  expect(readFile(disk, 'd/a')).toStrictEqual(bytes(0, 2))
  disk.restore('d', copy)

  expect(disk.list('d')).toEqual(['a'])
  expect(readFile(disk, 'd/a')).toStrictEqual(bytes(0, 0, 0))
})

test('SimDisk does the same for the same seed', () => {
  const run = (): Uint8Array => {
    const disk = newSimDisk(42)
    replaceFile(disk, 'a', new Uint8Array(51_200))
    disk.write('a', 0, new Uint8Array(51_200).fill(1))
    disk.crash('some')
    return readFile(disk, 'a')
  }

  expect(run()).toStrictEqual(run())
})
