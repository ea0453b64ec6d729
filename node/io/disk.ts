/**
 * The real side of port Disk: `node:fs`, synchronously. Files are 0600 and directories 0700, for
 * they hold what only this node's user may read. A file that was written to stays open until it
 * was synced, because Linux reports a failed write-back to the descriptors that were open then.
 * It decides nothing and retries nothing; which error is which kind is its only knowledge.
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { assert } from '../../lib/assert.ts'
import { type Disk, type DiskErrorKind, newDiskError } from '../../lib/disk.ts'

const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700
/** Zeros are written in pieces of this length. */
const ZEROS = new Uint8Array(1024 * 1024)
/** Descriptors of synced files that may stay open for the next write. */
const OPEN_FILES_MAX = 8

const KIND_BY_CODE: Readonly<Record<string, DiskErrorKind>> = {
  ENOSPC: 'enospc',
  EDQUOT: 'enospc',
  ENOENT: 'not-found',
  EEXIST: 'exists',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
}

/** The files under `root`, which is made if it is not there. */
export class NodeDisk implements Disk, Disposable {
  readonly #root: string
  /** Written to, by path; the least recently used first. */
  readonly #descriptors = new Map<string, number>()
  /** Those among them that were not synced since. */
  readonly #dirty = new Set<string>()

  constructor(root: string) {
    this.#root = root
    attempt('make directory', root, () =>
      mkdirSync(root, { mode: DIRECTORY_MODE, recursive: true }),
    )
  }

  list(directory: string): readonly string[] {
    return attempt('list', directory, () => readdirSync(this.#resolve(directory)).sort())
  }

  size(path: string): number {
    return attempt('read', path, () => statSync(this.#resolve(path)).size)
  }

  read(path: string, offset: number, length: number): Uint8Array {
    return attempt('read', path, () => {
      const file = openSync(this.#resolve(path), 'r')
      try {
        return readAt(file, offset, length)
      } finally {
        closeSync(file)
      }
    })
  }

  create(path: string, sizeBytes: number): void {
    const file = attempt('create', path, () => openSync(this.#resolve(path), 'wx+', FILE_MODE))
    this.#descriptors.set(path, file)
    this.#dirty.add(path)
    try {
      attempt('create', path, () => {
        for (let at = 0; at < sizeBytes; at += ZEROS.length) {
          writeAt(file, at, ZEROS.subarray(0, Math.min(ZEROS.length, sizeBytes - at)))
        }
      })
    } catch (error) {
      this.remove(path)
      throw error
    }
  }

  write(path: string, offset: number, bytes: Uint8Array): void {
    attempt('write', path, () => {
      const file = this.#open(path)
      this.#dirty.add(path)
      writeAt(file, offset, bytes)
    })
  }

  truncate(path: string, sizeBytes: number): void {
    assert(sizeBytes <= this.size(path), 'a file is not made longer by cutting it', { sizeBytes })
    attempt('truncate', path, () => {
      const file = this.#open(path)
      ftruncateSync(file, sizeBytes)
      fsyncSync(file)
    })
    this.#dirty.delete(path)
  }

  sync(path: string): void {
    attempt('sync', path, () => fdatasyncSync(this.#open(path)))
    this.#dirty.delete(path)
    this.#closeUnused()
  }

  makeDirectory(path: string): void {
    if (existsSync(this.#resolve(path))) return
    attempt('make directory', path, () => mkdirSync(this.#resolve(path), { mode: DIRECTORY_MODE }))
  }

  rename(from: string, to: string): void {
    assert(dirname(from) === dirname(to), 'a file stays in its directory', { from, to })
    attempt('rename', from, () => renameSync(this.#resolve(from), this.#resolve(to)))
    this.#close(to)
    const file = this.#descriptors.get(from)
    if (file === undefined) return
    this.#descriptors.delete(from)
    this.#descriptors.set(to, file)
    if (this.#dirty.delete(from)) this.#dirty.add(to)
  }

  remove(path: string): void {
    this.#close(path)
    attempt('remove', path, () => unlinkSync(this.#resolve(path)))
  }

  syncDirectory(directory: string): void {
    attempt('sync directory', directory, () => {
      const handle = openSync(this.#resolve(directory), 'r')
      try {
        fsyncSync(handle)
      } finally {
        closeSync(handle)
      }
    })
  }

  /** No descriptor is left open. What was not synced is not safe. */
  [Symbol.dispose](): void {
    for (const path of [...this.#descriptors.keys()]) this.#close(path)
  }

  #resolve(path: string): string {
    const names = path.split('/')
    assert(!path.startsWith('/') && !names.includes('..'), 'a path stays under its root', { path })
    return join(this.#root, path)
  }

  /** The descriptor for writing, now the most recently used one. */
  #open(path: string): number {
    const file = this.#descriptors.get(path) ?? openSync(this.#resolve(path), 'r+')
    this.#descriptors.delete(path)
    this.#descriptors.set(path, file)
    return file
  }

  #close(path: string): void {
    const file = this.#descriptors.get(path)
    if (file === undefined) return
    this.#descriptors.delete(path)
    this.#dirty.delete(path)
    attempt('close', path, () => closeSync(file))
  }

  #closeUnused(): void {
    for (const path of [...this.#descriptors.keys()]) {
      if (this.#descriptors.size <= OPEN_FILES_MAX) return
      if (!this.#dirty.has(path)) this.#close(path)
    }
  }
}

/** The result of `call`, or its error as the port's; an unknown one is a failing device's. */
function attempt<T>(operation: string, path: string, call: () => T): T {
  try {
    return call()
  } catch (error) {
    // Without a code it is a bug of ours, such as a broken assertion.
    if (!(error instanceof Error && 'code' in error)) throw error
    const kind = KIND_BY_CODE[String(error.code)] ?? 'eio'
    throw newDiskError(kind, operation, path, error)
  }
}

function readAt(file: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let done = 0
  while (done < length) {
    const count = readSync(file, bytes, done, length - done, offset + done)
    if (count === 0) break
    done += count
  }
  return bytes.subarray(0, done)
}

function writeAt(file: number, offset: number, bytes: Uint8Array): void {
  let done = 0
  while (done < bytes.length) {
    done += writeSync(file, bytes, done, bytes.length - done, offset + done)
  }
}
