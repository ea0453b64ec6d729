/**
 * One segment of the log: its file name, its first record (whose it is, and the state when it was
 * begun), and the batches after it. It owns the rule of the torn end: what follows the last good
 * record of the *last* segment is torn, and dropped, only if a sector of it is all zero and no
 * record follows; everything else is damage (DESIGN section 5). An older segment ends where the
 * next one begins, by sequence numbers, so that nothing after that point matters in it. What the
 * batches mean together is left to `replay.ts`.
 */
import { assert } from '../../lib/assert.ts'
import { type Disk, readFile } from '../../lib/disk.ts'
import { SwarmError } from '../../lib/errors.ts'
import {
  type Batch,
  decodeBatch,
  decodeSegmentMetadata,
  type SegmentMetadata,
} from '../../proto/gen/wal.ts'
import {
  encodeRecord,
  type Frame,
  hasZeroSector,
  isZero,
  type PlainRecord,
  parseFrame,
  recordBytes,
} from './record.ts'
import {
  type DataKeys,
  type FileCipher,
  newDamageError,
  openFileStart,
  SECTOR_BYTES,
} from './seal.ts'

const SUFFIX = '.segment'
const NUMBER_DIGITS = 16
/** The most that header and metadata of a segment take up: enough for some 400 members. */
export const HEAD_BYTES_MAX = 4096

/** Who a log belongs to. A Raft id belongs to one data directory (DESIGN section 5). */
export type WalIdentity = { readonly clusterId: string; readonly raftId: number }

/** A segment on disk, without its batches. */
export type SegmentHead = {
  readonly path: string
  readonly cipher: FileCipher
  readonly metadata: SegmentMetadata
  /** The sequence number of its metadata; its batches follow without a gap. */
  readonly firstSequence: number
  /** Where its first batch begins. */
  readonly batchesAt: number
}

/** Where a segment's good records end. */
export type SegmentEnd = {
  readonly offset: number
  /** Where the last good batch begins; `offset` if there is none. */
  readonly lastAt: number
  /** The sequence of the record that would follow. */
  readonly nextSequence: number
  /** Whether a torn record stood there; it was never acknowledged. */
  readonly isTorn: boolean
}

/** Names sort as their numbers do. */
export function formatSegmentName(number: number): string {
  return `${String(number).padStart(NUMBER_DIGITS, '0')}${SUFFIX}`
}

/** The segments of a directory, oldest first, as paths. */
export function listSegments(disk: Disk, directory: string): readonly string[] {
  return disk
    .list(directory)
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => `${directory}/${name}`)
}

/** The start of the segment; refused where it is another's, unknown or damaged. */
export function readSegmentHead(disk: Disk, path: string, keys: DataKeys): SegmentHead {
  const bytes = disk.read(path, 0, HEAD_BYTES_MAX)
  const cipher = openFileStart('segment', keys, { path, bytes })
  const frame = parseFrame(bytes, SECTOR_BYTES)
  if (frame.kind !== 'record' || frame.type !== 'metadata') {
    throw newDamageError(path, SECTOR_BYTES, 'its metadata is missing or wrong')
  }
  const metadata = decodeSegmentMetadata(openRecord(path, cipher, { at: SECTOR_BYTES, frame }))
  if (!path.endsWith(`/${formatSegmentName(metadata.number)}`)) {
    throw newDamageError(path, 0, `it holds segment ${metadata.number}, so it was renamed`)
  }
  return { path, cipher, metadata, firstSequence: frame.sequence, batchesAt: frame.end }
}

/** Refused unless the file is of this cluster and this member. */
export function checkIdentity(file: string, found: WalIdentity, expected: WalIdentity): void {
  if (found.clusterId === expected.clusterId && found.raftId === expected.raftId) return
  throw new SwarmError(
    'failed-precondition',
    `"${file}" belongs to member ${found.raftId} of cluster "${found.clusterId}", not to member ` +
      `${expected.raftId} of cluster "${expected.clusterId}": give this node its own directory back`,
    { facts: { kind: 'foreign', file, clusterId: found.clusterId, raftId: found.raftId } },
  )
}

/**
 * Visits the batches in order, up to where the next segment begins (`nextFirstSequence`), or, in
 * the last one, up to its end. Throws at the first damage.
 */
export function readBatches(
  disk: Disk,
  head: SegmentHead,
  options: {
    readonly nextFirstSequence: number | undefined
    readonly visit: (batch: Batch, offset: number) => void
  },
): SegmentEnd {
  const { path } = head
  const bytes = readFile(disk, path)
  let at = head.batchesAt
  let lastAt = at
  let sequence = head.firstSequence + 1
  while (sequence !== options.nextFirstSequence) {
    const frame = parseFrame(bytes, at)
    if ('sequence' in frame && frame.sequence !== sequence) {
      const reason = `record ${frame.sequence} stands where ${sequence} was expected`
      throw newDamageError(path, at, reason)
    }
    if (frame.kind !== 'record') {
      if (options.nextFirstSequence !== undefined) {
        const reason = `records ${sequence} to ${options.nextFirstSequence - 1} are missing`
        throw newDamageError(path, at, reason)
      }
      return judgeEnd(head, bytes, { at, lastAt, sequence, frame })
    }
    if (frame.type !== 'batch') throw newDamageError(path, at, `a ${frame.type} is not a batch`)
    options.visit(decodeBatch(openRecord(path, head.cipher, { at, frame })), at)
    lastAt = at
    at = frame.end
    sequence += 1
  }
  if (parseFrame(bytes, at).kind === 'record') {
    const reason = `record ${sequence} stands here and in the next segment: two processes wrote`
    throw newDamageError(path, at, reason)
  }
  return { offset: at, lastAt, nextSequence: sequence, isTorn: false }
}

/** The record's plaintext, or damage. */
export function openRecord(
  path: string,
  cipher: FileCipher,
  place: { readonly at: number; readonly frame: Extract<Frame, { kind: 'record' }> },
): Uint8Array {
  const { sequence, sealed, associated } = place.frame
  const plaintext = cipher.open(sequence, sealed, associated)
  if (plaintext !== undefined) return plaintext
  const reason = `record ${sequence} does not open with data key ${cipher.keyId}`
  throw newDamageError(path, place.at, `${reason}: the key is another's, or the file was altered`)
}

type Stop = {
  readonly at: number
  readonly lastAt: number
  readonly sequence: number
  readonly frame: Exclude<Frame, { kind: 'record' }>
}

/** The end of the last segment: nothing, a torn record, or damage. */
function judgeEnd(head: SegmentHead, bytes: Uint8Array, stop: Stop): SegmentEnd {
  const { at, lastAt, sequence, frame } = stop
  const { path, metadata } = head
  // Segments get their name when they have their full length already, so no crash shortens one.
  if (bytes.length !== metadata.sizeBytes) {
    const reason = `it is cut off, its length is no longer ${metadata.sizeBytes}`
    throw newDamageError(path, bytes.length, reason)
  }
  const end = { offset: at, lastAt, nextSequence: sequence }
  if (isZero(bytes, at, bytes.length)) return { ...end, isTorn: false }
  if (frame.kind === 'blank') {
    const follower = findRecord(bytes, at)
    if (follower === undefined) return { ...end, isTorn: true }
    const reason = `record ${sequence} is missing, but another follows at byte ${follower}`
    throw newDamageError(path, at, reason)
  }
  if (frame.kind === 'bad-body' && isTorn(bytes, at, frame.end)) return { ...end, isTorn: true }
  throw newDamageError(path, at, `the checksum of record ${sequence} is wrong, and it is not torn`)
}

/** The rule for a record whose header is good and whose body is not. */
function isTorn(bytes: Uint8Array, start: number, end: number): boolean {
  if (end > bytes.length) return false
  return hasZeroSector(bytes, start, end) && isZero(bytes, end, bytes.length)
}

/** The first sector after `at` in which a record begins. */
function findRecord(bytes: Uint8Array, at: number): number | undefined {
  for (let sector = at + SECTOR_BYTES; sector < bytes.length; sector += SECTOR_BYTES) {
    const { kind } = parseFrame(bytes, sector)
    if (kind === 'record' || kind === 'bad-body') return sector
  }
  return undefined
}

/** The segment that is written to. */
export class SegmentWriter {
  readonly path: string
  readonly #disk: Disk
  readonly #head: SegmentHead
  /** Where the next record goes. Invariant: at most the file's length, which never changes. */
  #at: number

  constructor(disk: Disk, head: SegmentHead) {
    this.path = head.path
    this.#disk = disk
    this.#head = head
    this.#at = head.batchesAt
  }

  /** Whether a record with so much plaintext fits. */
  hasRoomFor(plaintextBytes: number): boolean {
    return this.#at + recordBytes(plaintextBytes) <= this.#head.metadata.sizeBytes
  }

  get usedBytes(): number {
    return this.#at
  }

  /** The record is written, in one piece, but not safe yet. */
  append(record: PlainRecord): void {
    assert(this.hasRoomFor(record.plaintext.length), 'a record fits into its segment')
    const bytes = encodeRecord(record, this.#head.cipher)
    this.#disk.write(this.path, this.#at, bytes)
    this.#at += bytes.length
  }
}
