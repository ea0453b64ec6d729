/**
 * The twin of port Disk in the simulator: files in memory that behave as on a bad machine. A crash
 * forgets what was not synced, whole or sector by sector, and names that were not; reads, writes
 * and syncs fail on demand or at a rate; bits rot; a directory can be put back as it was. After a
 * failed sync the bytes can be read but are lost, and a further sync does not save them, as with
 * Linux' page cache. Everything follows from the seeded Random. Faults D1 to D9 of peers.md 3.3.
 */
import { assert, defined } from '../../lib/assert.ts'
import { type Disk, type DiskErrorKind, newDiskError } from '../../lib/disk.ts'
import type { SeededRandom } from '../../lib/random.ts'

const SECTOR_BYTES = 512
const ZERO_SECTOR = new Uint8Array(SECTOR_BYTES)

export type DiskOperation = Exclude<keyof Disk, number | symbol>

export type DiskFault = {
  readonly operation: DiskOperation
  readonly kind: Extract<DiskErrorKind, 'enospc' | 'eio'>
  /** Only for paths that contain this. */
  readonly path?: string
  /** How many such calls succeed before; 0 by default. */
  readonly skip?: number
}

export type SimDiskOptions = {
  readonly random: SeededRandom
  /** All files together; without it there is no limit. */
  readonly capacityBytes?: number
  /** Sees each operation that changes something, before it is carried out or fails. */
  readonly observe?: (operation: DiskOperation, path: string, bytes?: Uint8Array) => void
}

/** What a crash keeps of what was not synced: nothing, a random part, or everything. */
export type CrashKeep = 'none' | 'some' | 'all'

/** The process died inside an operation; nothing works until `crash`. */
export class SimulatedCrash extends Error {
  override readonly name = 'SimulatedCrash'
}

/** A file, or a directory if `bytes` is undefined. */
class Inode {
  bytes: Uint8Array | undefined
  sizeBytes = 0
  /** The length at the last sync. */
  syncedSizeBytes = 0
  /** Sectors written since the last sync, with what a crash may put back. */
  readonly dirty = new Map<number, Uint8Array>()
  /** Sectors whose sync failed: a crash does put these back. */
  readonly lost = new Map<number, Uint8Array>()

  constructor(bytes: Uint8Array | undefined) {
    this.bytes = bytes
  }
}

/** A change of a directory that is not synced yet. */
type NameChange = {
  readonly directory: string
  /** The names that it changes, and what they mean afterwards; undefined: nothing. */
  readonly names: ReadonlyMap<string, Inode | undefined>
}

/** A copy of a directory's files. */
export type DirectoryCopy = ReadonlyMap<string, Uint8Array>

export class SimDisk implements Disk {
  readonly #random: SeededRandom
  readonly #observe: NonNullable<SimDiskOptions['observe']>
  capacityBytes: number
  #names = new Map<string, Inode>()
  /** The names as after a crash now, without those of `#changes`. */
  #syncedNames = new Map<string, Inode>()
  /** In the order they were made. */
  #changes: NameChange[] = []
  #faults: (DiskFault & { skip: number })[] = []
  #rates: Partial<Record<DiskOperation, number>> = {}
  /** How many changing operations are carried out before the process dies. */
  #operationsLeft = Number.POSITIVE_INFINITY
  #isDead = false

  constructor(options: SimDiskOptions) {
    this.#random = options.random
    this.#observe = options.observe ?? (() => undefined)
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY
  }

  /** The process died in an operation, and was not started again. */
  get isDead(): boolean {
    return this.#isDead
  }

  list(directory: string): readonly string[] {
    this.#begin('list', directory)
    if (directory !== '' && this.#names.get(directory)?.bytes !== undefined) {
      throw newDiskError('eio', 'list', directory)
    }
    if (directory !== '') this.#find('list', directory)
    const paths = [...this.#names.keys()].filter((path) => parentOf(path) === directory)
    return paths.map((path) => path.slice(directory === '' ? 0 : directory.length + 1)).sort()
  }

  size(path: string): number {
    this.#begin('size', path)
    return this.#find('read', path).sizeBytes
  }

  read(path: string, offset: number, length: number): Uint8Array {
    this.#begin('read', path)
    const inode = this.#find('read', path)
    return contentOf(inode).slice(offset, Math.min(offset + length, inode.sizeBytes))
  }

  create(path: string, sizeBytes: number): void {
    this.#change('create', path, () => {
      if (this.#names.has(path)) throw newDiskError('exists', 'create', path)
      this.#checkParent('create', path)
      this.#reserve('create', path, sizeBytes)
      const inode = new Inode(new Uint8Array(0))
      this.#rename(path, new Map([[path, inode]]))
      overwrite(inode, 0, new Uint8Array(sizeBytes))
    })
  }

  write(path: string, offset: number, bytes: Uint8Array): void {
    const inode = this.#find('write', path)
    const act = (): void => {
      this.#reserve('write', path, offset + bytes.length - inode.sizeBytes)
      overwrite(inode, offset, bytes)
    }
    try {
      this.#change('write', path, act, bytes)
    } catch (error) {
      // A write that fails has written some of it, or nothing.
      const sectors = this.#random.integer(Math.ceil(bytes.length / SECTOR_BYTES) + 1)
      const length = Math.min(sectors * SECTOR_BYTES, inode.sizeBytes - offset, bytes.length)
      if (!this.#isDead && length > 0) overwrite(inode, offset, bytes.subarray(0, length))
      throw error
    }
  }

  truncate(path: string, sizeBytes: number): void {
    this.#change('truncate', path, () => {
      const inode = this.#find('truncate', path)
      assert(sizeBytes <= inode.sizeBytes, 'a file is not made longer by cutting it', { sizeBytes })
      contentOf(inode).fill(0, sizeBytes, inode.sizeBytes)
      inode.sizeBytes = sizeBytes
      settle(inode)
    })
  }

  sync(path: string): void {
    const inode = this.#find('sync', path)
    try {
      this.#change('sync', path, () => settle(inode))
    } catch (error) {
      if (this.#isDead) throw error
      // Whatever was dirty is clean now, whether or not it reached the platter.
      for (const [sector, old] of inode.dirty) {
        if (this.#random.integer(2) === 0) inode.lost.set(sector, old)
      }
      inode.dirty.clear()
      throw error
    }
  }

  makeDirectory(path: string): void {
    this.#change('makeDirectory', path, () => {
      this.#checkParent('make directory', path)
      if (!this.#names.has(path)) this.#rename(path, new Map([[path, new Inode(undefined)]]))
    })
  }

  rename(from: string, to: string): void {
    assert(parentOf(from) === parentOf(to), 'a file stays in its directory', { from, to })
    this.#change('rename', from, () => {
      const inode = this.#find('rename', from)
      this.#rename(
        to,
        new Map([
          [from, undefined],
          [to, inode],
        ]),
      )
    })
  }

  remove(path: string): void {
    this.#change('remove', path, () => {
      this.#find('remove', path)
      this.#rename(path, new Map([[path, undefined]]))
    })
  }

  syncDirectory(directory: string): void {
    this.#change('syncDirectory', directory, () => {
      if (directory !== '') this.#find('sync directory', directory)
      const isDone = (change: NameChange): boolean => change.directory === directory
      for (const change of this.#changes.filter(isDone)) applyNames(this.#syncedNames, change.names)
      this.#changes = this.#changes.filter((change) => !isDone(change))
    })
  }

  /** The next such call, after `skip` of them, fails once. */
  inject(fault: DiskFault): void {
    this.#faults.push({ skip: 0, ...fault })
  }

  /** Each operation fails with EIO at its rate, from 0 to 1; those not named never do. */
  setFaultRates(rates: Partial<Record<DiskOperation, number>>): void {
    this.#rates = rates
  }

  /** No byte more fits, until `heal` or a higher `capacityBytes`. */
  fill(): void {
    let used = 0
    for (const inode of new Set(this.#names.values())) used += inode.sizeBytes
    this.capacityBytes = used
  }

  /** No fault that was injected, no rate and no limit of space holds any more. */
  heal(): void {
    this.#faults = []
    this.#rates = {}
    this.capacityBytes = Number.POSITIVE_INFINITY
  }

  /** The process dies in the changing operation after `count` more, before, in or after it. */
  dieAfter(count: number): void {
    this.#operationsLeft = count
  }

  /** Power is gone and comes back: what was not synced is kept as `keep` says. Whether some was lost. */
  crash(keep: CrashKeep): boolean {
    // Changes of different names may reach the disk in any order; those of one name may not.
    const lostNames = new Set<string>()
    for (const { names } of this.#changes) {
      const follows = [...names.keys()].some((path) => lostNames.has(path))
      if (!follows && this.#isKept(keep)) applyNames(this.#syncedNames, names)
      else for (const path of names.keys()) lostNames.add(path)
    }
    let isLost = lostNames.size > 0
    const names = [...this.#syncedNames].filter(([path]) => this.#hasParents(path))
    this.#names = new Map(names)
    this.#syncedNames = new Map(names)
    this.#changes = []
    for (const inode of new Set(this.#names.values())) if (this.#forget(inode, keep)) isLost = true
    this.#operationsLeft = Number.POSITIVE_INFINITY
    this.#isDead = false
    return isLost
  }

  /** The process is gone, and the machine lives on: all that was written can still be read. */
  kill(): void {
    this.#operationsLeft = Number.POSITIVE_INFINITY
    this.#isDead = false
  }

  /** One bit of what is on the disk is another, and nobody was told. */
  flipBit(path: string, bit: number): void {
    const bytes = contentOf(this.#find('flip', path))
    const at = Math.floor(bit / 8)
    bytes[at] = defined(bytes[at], 'a bit of the file') ^ (1 << (bit % 8))
  }

  /** The bytes on the disk are others, or lie elsewhere, and nobody was told. */
  corrupt(path: string, offset: number, bytes: Uint8Array): void {
    contentOf(this.#find('corrupt', path)).set(bytes, offset)
  }

  /** The file ends earlier, and nobody was told. */
  cutOff(path: string, sizeBytes: number): void {
    const inode = this.#find('cut off', path)
    inode.sizeBytes = sizeBytes
    settle(inode)
  }

  /** The directory's files as they are now. */
  snapshotDirectory(directory: string): DirectoryCopy {
    const paths = this.list(directory).map((name) => `${directory}/${name}`)
    const files = paths.filter((path) => this.#names.get(path)?.bytes !== undefined)
    return new Map(files.map((path) => [path, this.read(path, 0, this.size(path))]))
  }

  /** The directory holds these files, safely, and no others. */
  restore(directory: string, copy: DirectoryCopy): void {
    for (const path of this.snapshotDirectory(directory).keys()) this.remove(path)
    for (const [path, bytes] of copy) {
      this.create(path, 0)
      this.write(path, 0, bytes)
      this.sync(path)
    }
    this.syncDirectory(directory)
  }

  /** An operation that may fail, and in which the process may die. */
  #change(operation: DiskOperation, path: string, act: () => void, bytes?: Uint8Array): void {
    const isLast = this.#operationsLeft <= 0
    this.#operationsLeft -= 1
    this.#observe(operation, path, bytes)
    if (isLast && this.#random.integer(2) === 0) this.#die(operation, path)
    this.#begin(operation, path)
    act()
    if (isLast) this.#die(operation, path)
  }

  #die(operation: DiskOperation, path: string): never {
    this.#isDead = true
    throw new SimulatedCrash(`died in ${operation} "${path}"`)
  }

  #begin(operation: DiskOperation, path: string): void {
    if (this.#isDead) throw new SimulatedCrash(`dead, but asked to ${operation} "${path}"`)
    const matches = (fault: DiskFault): boolean =>
      fault.operation === operation && path.includes(fault.path ?? '')
    for (const fault of this.#faults.filter(matches)) {
      fault.skip -= 1
      if (fault.skip >= 0) continue
      this.#faults = this.#faults.filter((other) => other !== fault)
      throw newDiskError(fault.kind, operation, path)
    }
    const rate = this.#rates[operation] ?? 0
    if (rate > 0 && this.#random.fraction() < rate) throw newDiskError('eio', operation, path)
  }

  #find(operation: string, path: string): Inode {
    const inode = this.#names.get(path)
    if (inode === undefined) throw newDiskError('not-found', operation, path)
    return inode
  }

  #checkParent(operation: string, path: string): void {
    const parent = parentOf(path)
    if (parent !== '') this.#find(operation, parent)
  }

  #hasParents(path: string): boolean {
    const parent = parentOf(path)
    return parent === '' || (this.#syncedNames.has(parent) && this.#hasParents(parent))
  }

  #reserve(operation: string, path: string, moreBytes: number): void {
    if (moreBytes <= 0) return
    let used = 0
    for (const inode of new Set(this.#names.values())) used += inode.sizeBytes
    if (used + moreBytes > this.capacityBytes) throw newDiskError('enospc', operation, path)
  }

  #rename(path: string, names: ReadonlyMap<string, Inode | undefined>): void {
    applyNames(this.#names, names)
    this.#changes.push({ directory: parentOf(path), names })
  }

  #isKept(keep: CrashKeep): boolean {
    return keep === 'all' || (keep === 'some' && this.#random.integer(2) === 0)
  }

  /** Whether anything was lost. */
  #forget(inode: Inode, keep: CrashKeep): boolean {
    if (inode.bytes === undefined) return false
    let isLost = inode.lost.size > 0
    for (const [sector, old] of inode.dirty) {
      if (this.#isKept(keep)) continue
      inode.bytes.set(old, sector * SECTOR_BYTES)
      isLost = true
    }
    for (const [sector, old] of inode.lost) inode.bytes.set(old, sector * SECTOR_BYTES)
    if (!this.#isKept(keep)) inode.sizeBytes = inode.syncedSizeBytes
    inode.bytes.fill(0, inode.sizeBytes)
    inode.lost.clear()
    settle(inode)
    return isLost
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}

function contentOf(inode: Inode): Uint8Array {
  return defined(inode.bytes, 'a file, not a directory')
}

function applyNames(
  names: Map<string, Inode>,
  changed: ReadonlyMap<string, Inode | undefined>,
): void {
  for (const [path, inode] of changed) {
    if (inode === undefined) names.delete(path)
    else names.set(path, inode)
  }
}

/** The bytes stand there, and each sector they touch remembers what it held when last synced. */
function overwrite(inode: Inode, offset: number, bytes: Uint8Array): void {
  const end = offset + bytes.length
  const capacity = Math.ceil(end / SECTOR_BYTES) * SECTOR_BYTES
  let content = contentOf(inode)
  if (content.length < capacity) {
    const larger = new Uint8Array(Math.max(capacity, content.length * 2))
    larger.set(content)
    content = larger
    inode.bytes = larger
  }
  for (let at = offset - (offset % SECTOR_BYTES); at < end; at += SECTOR_BYTES) {
    const sector = at / SECTOR_BYTES
    if (inode.dirty.has(sector)) continue
    const isNew = at >= inode.sizeBytes
    const old =
      inode.lost.get(sector) ?? (isNew ? ZERO_SECTOR : content.slice(at, at + SECTOR_BYTES))
    inode.dirty.set(sector, old)
    inode.lost.delete(sector)
  }
  content.set(bytes, offset)
  inode.sizeBytes = Math.max(inode.sizeBytes, end)
}

/** What the file holds is safe, but for sectors that a failed sync lost. */
function settle(inode: Inode): void {
  inode.dirty.clear()
  inode.syncedSizeBytes = inode.sizeBytes
}
