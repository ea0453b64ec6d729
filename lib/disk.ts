/**
 * Port Disk: files under one root, synchronously, because the consensus thread waits for its own
 * fsync anyway (peers.md 5.6). Real side `node/io/disk.ts`, twin `test/sim/disk.ts`. It owns the
 * contract of durability: bytes are safe after `sync`, names after `syncDirectory`, nothing
 * before. What the bytes mean is left to its users. A failed sync is never retried: the page cache
 * may already have dropped what it could not write (peers.md 3.3, D4).
 */
import { type Code, SwarmError } from './errors.ts'

/**
 * Paths are relative to the disk's root, with `/` between names; `''` is the root itself. Every
 * method throws a SwarmError made by `newDiskError`, whose fact `kind` says what happened.
 */
export interface Disk {
  /** The names in a directory, sorted by code unit; without `.` and `..`. */
  list(directory: string): readonly string[]
  /** The length of a file in bytes. */
  size(path: string): number
  /** Up to `length` bytes from `offset`: fewer only where the file ends. */
  read(path: string, offset: number, length: number): Uint8Array
  /** A new file of `sizeBytes` zero bytes that take up space already; refused where one exists. */
  create(path: string, sizeBytes: number): void
  /** The bytes stand at `offset`, in the file made longer if need be. Not safe until `sync`. */
  write(path: string, offset: number, bytes: Uint8Array): void
  /** The file is cut to `sizeBytes`, and that is safe. It is refused where it would grow. */
  truncate(path: string, sizeBytes: number): void
  /** The file's bytes and length are safe. Its name is safe only after `syncDirectory`. */
  sync(path: string): void
  /** A new directory, private to this user; no effect where it exists. Its parent must exist. */
  makeDirectory(path: string): void
  /** The file is called `to`, which it replaces in one step. Not safe until `syncDirectory`. */
  rename(from: string, to: string): void
  /** The file is gone. Not safe until `syncDirectory`. */
  remove(path: string): void
  /** All creations, renames and removals in the directory are safe. */
  syncDirectory(directory: string): void
}

/**
 * - `enospc`: no space left; nothing else is wrong
 * - `eio`: the device or the file system failed; after a write or a sync the contents are unknown
 * - `not-found`, `exists`, `denied`: as they say
 */
export type DiskErrorKind = 'enospc' | 'eio' | 'not-found' | 'exists' | 'denied'

const CODE_BY_KIND: Readonly<Record<DiskErrorKind, Code>> = {
  enospc: 'resource-exhausted',
  eio: 'data-loss',
  'not-found': 'not-found',
  exists: 'already-exists',
  denied: 'permission-denied',
}

const REASON_BY_KIND: Readonly<Record<DiskErrorKind, string>> = {
  enospc: 'no space left on the disk',
  eio: 'the disk failed',
  'not-found': 'no such file or directory',
  exists: 'it exists already',
  denied: 'permission denied',
}

/** The error of a Disk: facts `kind`, `operation` and `file`. `cause` is the system's own error. */
export function newDiskError(
  kind: DiskErrorKind,
  operation: string,
  file: string,
  cause?: unknown,
): SwarmError {
  return new SwarmError(
    CODE_BY_KIND[kind],
    `cannot ${operation} "${file}": ${REASON_BY_KIND[kind]}`,
    { cause, facts: { kind, operation, file } },
  )
}

/** Whether `error` came from a Disk and is of `kind`. */
export function isDiskError(error: unknown, kind: DiskErrorKind): error is SwarmError {
  if (!(error instanceof SwarmError)) return false
  const { kind: found, operation } = error.facts
  return operation !== undefined && found === kind
}

/** The whole file. */
export function readFile(disk: Disk, path: string): Uint8Array {
  return disk.read(path, 0, disk.size(path))
}

/** The file holds exactly `bytes`, safely; a crash at any moment leaves the old or the new one. */
export function replaceFile(disk: Disk, path: string, bytes: Uint8Array): void {
  const temporary = `${path}.tmp`
  const directory = path.slice(0, Math.max(0, path.lastIndexOf('/')))
  if (disk.list(directory).includes(temporary.slice(temporary.lastIndexOf('/') + 1))) {
    disk.remove(temporary)
  }
  disk.create(temporary, 0)
  disk.write(temporary, 0, bytes)
  disk.sync(temporary)
  disk.rename(temporary, path)
  disk.syncDirectory(directory)
}
