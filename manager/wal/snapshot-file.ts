/**
 * A snapshot in a file of its own: framed and sealed as the log is, in chunks, so that one of
 * hundreds of megabytes is written and read a piece at a time between rounds. It gets its name
 * only when it is whole and safe, and it is valid only once the log records it. When one is made,
 * and which are kept, is left to `wal.ts` and its caller.
 */
import { assert } from '../../lib/assert.ts'
import { type Disk, isDiskError } from '../../lib/disk.ts'
import type { Random } from '../../lib/random.ts'
import {
  decodeSnapshotEnd,
  decodeSnapshotMetadata,
  encodeSnapshotEnd,
  encodeSnapshotMetadata,
  type SnapshotMeta,
} from '../../proto/gen/wal.ts'
import { encodeRecord, parseFrame, type RecordType, recordBytes } from './record.ts'
import {
  type DataKeys,
  type FileCipher,
  newDamageError,
  newFileStart,
  openFileStart,
  SECTOR_BYTES,
} from './seal.ts'
import { checkIdentity, openRecord, type WalIdentity } from './segment.ts'

const SUFFIX = '.snapshot'
const NUMBER_DIGITS = 16
/** The plaintext of one record. */
export const CHUNK_BYTES_MAX: number = 1024 * 1024
/** How much may wait for the disk: bounds how long one sync takes. */
const UNSYNCED_BYTES_MAX = 8 * CHUNK_BYTES_MAX

export type SnapshotFileOptions = {
  readonly identity: WalIdentity
  readonly keys: DataKeys
  readonly random: Random
}

/** Names sort as their indexes do. */
export function formatSnapshotName(meta: SnapshotMeta): string {
  const index = String(meta.index).padStart(NUMBER_DIGITS, '0')
  const term = String(meta.term).padStart(NUMBER_DIGITS, '0')
  return `${index}-${term}${SUFFIX}`
}

/** The names of the snapshot files of a directory, lowest index first. */
export function listSnapshots(disk: Disk, directory: string): readonly string[] {
  return disk.list(directory).filter((name) => name.endsWith(SUFFIX))
}

/** A snapshot file being written. After an error it can only be aborted. */
export class SnapshotWriter {
  readonly meta: SnapshotMeta
  readonly #disk: Disk
  readonly #directory: string
  readonly #temporary: string
  readonly #cipher: FileCipher
  #at = SECTOR_BYTES
  #sequence = 0
  #sizeBytes = 0
  #unsyncedBytes = 0
  /** Once finished or aborted nothing more may happen. */
  #isOpen = true

  constructor(
    disk: Disk,
    directory: string,
    options: SnapshotFileOptions & { meta: SnapshotMeta },
  ) {
    this.meta = options.meta
    this.#disk = disk
    this.#directory = directory
    this.#temporary = `${directory}/${formatSnapshotName(options.meta)}.tmp`
    const { header, cipher } = newFileStart('snapshot', options.keys, options.random)
    this.#cipher = cipher
    const metadata = { ...options.identity, snapshot: options.meta }
    disk.create(this.#temporary, 0)
    try {
      disk.write(this.#temporary, 0, header)
      this.#put('metadata', encodeSnapshotMetadata(metadata))
    } catch (error) {
      if (isDiskError(error, 'enospc')) this.abort()
      throw error
    }
  }

  /** The bytes follow those before. Where one call ends is not kept. */
  write(bytes: Uint8Array): void {
    assert(this.#isOpen, 'a snapshot is written before it is finished')
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES_MAX) {
      this.#put('chunk', bytes.subarray(at, at + CHUNK_BYTES_MAX))
    }
    this.#sizeBytes += bytes.length
  }

  /** The file is whole, safe and has its name. It counts once a batch records it. */
  finish(): void {
    assert(this.#isOpen, 'a snapshot is finished once')
    this.#put('end', encodeSnapshotEnd({ sizeBytes: this.#sizeBytes }))
    this.#isOpen = false
    this.#disk.sync(this.#temporary)
    this.#disk.rename(this.#temporary, `${this.#directory}/${formatSnapshotName(this.meta)}`)
    this.#disk.syncDirectory(this.#directory)
  }

  /** The file is gone, unless it was finished. */
  abort(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#disk.remove(this.#temporary)
  }

  #put(type: RecordType, plaintext: Uint8Array): void {
    const record = { type, sequence: this.#sequence, plaintext }
    const bytes = encodeRecord(record, this.#cipher)
    this.#disk.write(this.#temporary, this.#at, bytes)
    this.#sequence += 1
    this.#at += bytes.length
    this.#unsyncedBytes += bytes.length
    if (this.#unsyncedBytes < UNSYNCED_BYTES_MAX) return
    this.#disk.sync(this.#temporary)
    this.#unsyncedBytes = 0
  }
}

export type SnapshotSource = {
  readonly meta: SnapshotMeta
  readonly identity: WalIdentity
  readonly keys: DataKeys
}

/** The id of the data key the file is sealed with; refused where its start is not right. */
export function checkSnapshotFile(disk: Disk, directory: string, source: SnapshotSource): number {
  return openSnapshotFile(disk, directory, source).cipher.keyId
}

/**
 * The snapshot's bytes in order, in chunks. Damage is thrown where it is found, so what came
 * before must not be used by itself.
 */
export function* readSnapshotFile(
  disk: Disk,
  directory: string,
  source: SnapshotSource,
): Generator<Uint8Array, void, undefined> {
  const file = openSnapshotFile(disk, directory, source)
  let at = file.chunksAt
  let sizeBytes = 0
  for (let sequence = 1; ; sequence++) {
    const record = readRecord(disk, file, { at, sequence })
    at = record.end
    if (record.type === 'end') {
      if (decodeSnapshotEnd(record.plaintext).sizeBytes === sizeBytes) break
      throw newDamageError(file.path, at, `it says that its length is not ${sizeBytes}`)
    }
    sizeBytes += record.plaintext.length
    yield record.plaintext
  }
  if (at !== disk.size(file.path)) throw newDamageError(file.path, at, 'something follows its end')
}

type SnapshotFile = {
  readonly path: string
  readonly cipher: FileCipher
  readonly chunksAt: number
}

function openSnapshotFile(disk: Disk, directory: string, source: SnapshotSource): SnapshotFile {
  const path = `${directory}/${formatSnapshotName(source.meta)}`
  const bytes = readStart(disk, path)
  const cipher = openFileStart('snapshot', source.keys, { path, bytes })
  const file = { path, cipher, chunksAt: SECTOR_BYTES }
  const record = readRecord(disk, file, { at: SECTOR_BYTES, sequence: 0 })
  const { clusterId, raftId, snapshot } = decodeSnapshotMetadata(record.plaintext)
  checkIdentity(path, { clusterId, raftId }, source.identity)
  if (snapshot?.index !== source.meta.index || snapshot.term !== source.meta.term) {
    throw newDamageError(path, SECTOR_BYTES, 'it holds another snapshot, so it was renamed')
  }
  return { ...file, chunksAt: record.end }
}

function readStart(disk: Disk, path: string): Uint8Array {
  try {
    return disk.read(path, 0, SECTOR_BYTES)
  } catch (error) {
    if (!isDiskError(error, 'not-found')) throw error
    throw newDamageError(path, 0, 'the log records this snapshot, but its file is missing')
  }
}

function readRecord(
  disk: Disk,
  file: SnapshotFile,
  place: { readonly at: number; readonly sequence: number },
): { readonly type: RecordType; readonly plaintext: Uint8Array; readonly end: number } {
  const { at, sequence } = place
  const bytes = disk.read(file.path, at, recordBytes(CHUNK_BYTES_MAX))
  const frame = parseFrame(bytes, 0)
  if (frame.kind !== 'record') {
    throw newDamageError(file.path, at, `the checksum of record ${sequence} is wrong`)
  }
  const isFirst = frame.type === 'metadata'
  if (frame.sequence !== sequence || frame.type === 'batch' || isFirst !== (sequence === 0)) {
    throw newDamageError(file.path, at, `record ${sequence} of a snapshot was expected`)
  }
  const plaintext = openRecord(file.path, file.cipher, { at, frame })
  return { type: frame.type, plaintext, end: at + frame.end }
}
