/**
 * The write-ahead log of one Raft member: hard state, entries and snapshots, on a Disk. It owns
 * when a segment is begun, what one append makes safe, and what may be removed; replay is in
 * `replay.ts`, formats in `segment.ts`, `record.ts`, `seal.ts` and `snapshot-file.ts`, and the why
 * in docs/log.md. It calls no clock and starts nothing: the consensus thread calls it, waits, and
 * only then lets acknowledgements out (DESIGN section 2, principle 5).
 *
 * Invariant: at most one record, the last of the last segment, is written and not yet safe. So a
 * crash can tear only that one, and bad bytes anywhere else are damage.
 */
import { assert, defined } from '../../lib/assert.ts'
import { type Disk, isDiskError } from '../../lib/disk.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { Random } from '../../lib/random.ts'
import { encodeBatch, encodeSegmentMetadata, type SnapshotMeta } from '../../proto/gen/wal.ts'
import type { Entry, HardState } from '../raft/message.ts'
import { checkMark, MarkWriter } from './mark.ts'
import { encodeRecord, recordBytes } from './record.ts'
import { liftHardState, NO_VOTE, type Replayed, replay, type SegmentSummary } from './replay.ts'
import { type DataKeys, newDamageError, newFileStart } from './seal.ts'
import {
  formatSegmentName,
  HEAD_BYTES_MAX,
  listSegments,
  readSegmentHead,
  SegmentWriter,
  type WalIdentity,
} from './segment.ts'
import {
  checkSnapshotFile,
  formatSnapshotName,
  listSnapshots,
  readSnapshotFile,
  SnapshotWriter,
} from './snapshot-file.ts'

export const SEGMENT_BYTES_DEFAULT: number = 16 * 1024 * 1024
const OLD_SNAPSHOTS_MIN = 1
/** How many zeros `prepare` writes at a time: some milliseconds on a slow disk. */
const SLICE_BYTES = 1024 * 1024
/** The next segment, being filled with zeros. */
const SPARE_NAME = 'spare.tmp'

export type WalOptions = {
  /** Files of another cluster or member are refused. */
  readonly identity: WalIdentity
  readonly keys: DataKeys
  /** Salts. */
  readonly random: Random
  /** The length of a segment; longer only for a batch that needs it. */
  readonly segmentBytes?: number
  /**
   * A file outside of the directory, in one that is there, which says how far the log was safe: a log
   * that was set back is refused by it. Without it such a log cannot be told from the newest.
   */
  readonly mark?: string
}

export type OpenedWal = {
  readonly wal: Wal
  readonly hardState: HardState
  /** The newest snapshot; its bytes come from `wal.readSnapshot()`. */
  readonly snapshot: SnapshotMeta | undefined
  /** All entries after the snapshot. */
  readonly entries: readonly Entry[]
  /** Where a torn record was dropped, which had never been acknowledged. */
  readonly torn: { readonly file: string; readonly offset: number } | undefined
}

export type WalBatch = {
  /** Undefined: as it was. */
  readonly hardState?: HardState | undefined
  /** They void what the log holds at the first one's index and after it. */
  readonly entries?: readonly Entry[]
  /** Recorded from now on; its file must be finished. It comes before `entries`. */
  readonly snapshot?: SnapshotMeta | undefined
  /** The snapshot is the leader's, and the log before it is void. Else it is this member's own. */
  readonly snapshotReplacesLog?: boolean
}

/**
 * The log in `directory`, made if need be, with all that was synced and perhaps the last batch that
 * was not. A new segment is begun, so nothing old is ever appended to. Refused: files of others
 * (`failed-precondition`), damage (`data-loss` with facts `file` and `offset`), which an older copy
 * of the directory is by its mark, a full disk.
 */
export function openWal(disk: Disk, directory: string, options: WalOptions): OpenedWal {
  makeDirectory(disk, directory)
  removeLeftovers(disk, directory)
  const replayed = replay(disk, directory, options)
  const { hardState, entries, snapshot, last } = replayed
  if (snapshot !== undefined) checkSnapshotFile(disk, directory, { ...options, meta: snapshot })
  if (last === undefined) refuseOrphans(disk, directory)
  if (options.mark !== undefined) {
    const file = last?.head.path ?? directory
    const sequence = (last?.end.nextSequence ?? 1) - 1
    const { raftId } = options.identity
    checkMark(disk, options.mark, { raftId, sequence, file, offset: last?.end.offset ?? 0 })
  }
  const wal = new Wal(disk, directory, options, replayed)
  const torn = last?.end.isTorn ? { file: last.head.path, offset: last.end.offset } : undefined
  return { wal, hardState, snapshot, entries, torn }
}

/** Whose log the directory holds; undefined if it holds none. */
export function findWalIdentity(
  disk: Disk,
  directory: string,
  keys: DataKeys,
): WalIdentity | undefined {
  const path = listSegments(disk, directory).at(-1)
  if (path === undefined) return undefined
  const { clusterId, raftId } = readSegmentHead(disk, path, keys).metadata
  return { clusterId, raftId }
}

export class Wal {
  readonly #disk: Disk
  readonly #directory: string
  readonly #options: WalOptions
  #keys: DataKeys
  /** All segments, oldest first; the last one is written to. */
  #segments: SegmentSummary[]
  #writer: SegmentWriter
  /** The number of the next segment. */
  #number: number
  /** The sequence of the next record. */
  #sequence: number
  #hardState: HardState
  #snapshot: SnapshotMeta | undefined
  /** The index of the last entry, or of the snapshot if it is later. */
  #lastIndex: number
  /** Whether a record was written that is not safe yet. */
  #isDirty = false
  /** Whether `#hardState` has a commit index that no record holds yet. */
  #isCommitDeferred = false
  /** For the metadata of the next segment; 0 in all but the first one of a new member. */
  #replacesRaftId: number
  readonly #mark: MarkWriter | undefined
  /** How much of the spare file is zero-filled and safe; undefined: there is none. */
  #spareBytes: number | undefined
  /** Why nothing more may be done; set for good by the first error that is not a full disk. */
  #failure: unknown

  /** For `openWal`, and with the Raft id whose log it goes on from for `replacement.ts`. */
  constructor(
    disk: Disk,
    directory: string,
    options: WalOptions,
    replayed: Replayed,
    replacesRaftId?: number,
  ) {
    this.#disk = disk
    this.#directory = directory
    this.#options = options
    const { mark, identity } = options
    if (mark !== undefined) this.#mark = new MarkWriter(disk, mark, identity.raftId)
    this.#keys = options.keys
    this.#hardState = replayed.hardState
    this.#snapshot = replayed.snapshot
    this.#lastIndex = replayed.entries.at(-1)?.index ?? replayed.snapshot?.index ?? 0
    const last = replayed.last
    // A segment without a batch is replaced, so that restarts alone do not fill the disk.
    const isReplaced = last !== undefined && last.end.nextSequence === last.head.firstSequence + 1
    // What it said of the log before it is still true.
    const inherited = isReplaced ? last.head.metadata.replacesRaftId : 0
    this.#replacesRaftId = replacesRaftId ?? inherited
    this.#segments = replayed.segments.slice(0, isReplaced ? -1 : undefined)
    this.#number = (last?.head.metadata.number ?? 0) + (isReplaced ? 0 : 1)
    this.#sequence = (isReplaced ? last?.head.firstSequence : last?.end.nextSequence) ?? 1
    if (last === undefined || isReplaced) {
      this.#writer = this.#beginSegment(0)
      return
    }
    const { path } = last.head
    const { lastAt, offset } = last.end
    // After a kill or a failed sync the last record may stand in the page cache only, and clean.
    disk.write(path, lastAt, disk.read(path, lastAt, offset - lastAt))
    disk.sync(path)
    this.#writer = this.#beginSegment(0)
    // Only now: the new segment's first sequence says that what is cut off here was not lost.
    disk.truncate(path, offset)
  }

  /** The newest recorded snapshot. */
  get snapshot(): SnapshotMeta | undefined {
    return this.#snapshot
  }

  get lastIndex(): number {
    return this.#lastIndex
  }

  /** Whether an error has ended the log for good: the node must end. */
  get isStopped(): boolean {
    return this.#failure !== undefined
  }

  /**
   * The batch is written in one piece, all or nothing, and safe after `sync`; one not yet synced
   * before it is synced first. A batch that only moves the commit index is written with the next
   * one: losing it is harmless. On a full disk (`resource-exhausted`) nothing has changed, and the
   * call may be repeated; after any other error the log is stopped.
   */
  append(batch: WalBatch): void {
    const { hardState = this.#hardState, entries = [], snapshot } = batch
    this.#refuseIfStopped()
    this.#checkBatch(batch, hardState, entries)
    if (entries.length === 0 && snapshot === undefined && this.#isSameVote(hardState)) {
      this.#isCommitDeferred ||= hardState.commit !== this.#hardState.commit
      this.#hardState = hardState
      return
    }
    this.sync()
    const isChanged = batch.hardState !== undefined || this.#isCommitDeferred
    const plaintext = encodeBatch({
      hardState: isChanged ? hardState : undefined,
      entries,
      snapshot,
      snapshotReplacesLog: batch.snapshotReplacesLog ?? false,
    })
    if (!this.#writer.hasRoomFor(plaintext.length)) {
      this.#writer = this.#beginSegment(plaintext.length)
    }
    const record = { type: 'batch', sequence: this.#sequence, plaintext } as const
    this.#run(() => this.#writer.append(record))
    this.#isDirty = true
    this.#isCommitDeferred = false
    this.#sequence += 1
    this.#noteWritten(batch, hardState)
  }

  /** All that was appended is safe. If it fails, the log is stopped: the node must end. */
  sync(): void {
    this.#refuseIfStopped()
    if (!this.#isDirty) return
    this.#run(() => {
      this.#disk.sync(this.#writer.path)
      this.#mark?.move(this.#sequence - 1)
    })
    this.#isDirty = false
  }

  /**
   * Makes the next segment ahead, a slice a call, once half of this one is used; false when there
   * is nothing to do. Called between rounds, it spares `append` a pause, and it meets a full disk
   * (`resource-exhausted`) while there is still room for what is being agreed on.
   */
  prepare(): boolean {
    this.#refuseIfStopped()
    const segmentBytes = this.#options.segmentBytes ?? SEGMENT_BYTES_DEFAULT
    if (this.#writer.usedBytes < segmentBytes / 2) return false
    return this.#fillSpare(segmentBytes)
  }

  /**
   * A file for a snapshot: `write` to it, `finish` it, then append a batch that records it. On a
   * full disk `abort` it, and the log goes on without it; on any other error of the disk the node
   * must end. Refused while one of the same index and term is being written.
   */
  newSnapshot(meta: SnapshotMeta): SnapshotWriter {
    this.#refuseIfStopped()
    const options = { ...this.#options, keys: this.#keys, meta }
    return new SnapshotWriter(this.#disk, this.#directory, options)
  }

  /** The snapshot is written, recorded and safe; on an error it is not recorded. For small ones. */
  saveSnapshot(
    meta: SnapshotMeta,
    chunks: Iterable<Uint8Array>,
    batch: Omit<WalBatch, 'snapshot'> = {},
  ): void {
    const writer = this.newSnapshot(meta)
    try {
      for (const chunk of chunks) writer.write(chunk)
      writer.finish()
    } catch (error) {
      if (isDiskError(error, 'eio')) throw this.#stop(error)
      writer.abort()
      throw error
    }
    this.append({ ...batch, snapshot: meta })
    this.sync()
  }

  /** The bytes of the newest recorded snapshot, in chunks, verified as they are read. */
  readSnapshot(): Generator<Uint8Array, void, undefined> {
    const meta = this.#snapshot
    assert(meta !== undefined, 'there is a snapshot to read')
    const { identity } = this.#options
    return readSnapshotFile(this.#disk, this.#directory, { meta, identity, keys: this.#keys })
  }

  /**
   * Segments are gone whose entries all stand at or below `index` and in the recorded snapshot, and
   * so are snapshot files but the newest and `oldSnapshots` before it, at least one. A snapshot that is being read for a follower may go:
   * its reader then sees `not-found` and begins again with the newer one.
   */
  compact(index: number, oldSnapshots = 0): void {
    this.sync()
    const limit = Math.min(index, this.#snapshot?.index ?? 0)
    for (const { path, lastIndex } of this.#segments.slice(0, -1)) {
      if (lastIndex > limit) break
      this.#run(() => {
        this.#disk.remove(path)
        // One by one, for a gap between segments would be damage.
        this.#disk.syncDirectory(this.#directory)
      })
      this.#segments.shift()
    }
    this.#run(() => this.#removeSnapshots(Math.max(OLD_SNAPSHOTS_MIN, oldSnapshots)))
  }

  /** From now on `keys` are used, and a new segment is begun with the current one. */
  setKeys(keys: DataKeys): void {
    this.sync()
    this.#keys = keys
    this.#writer = this.#beginSegment(0)
  }

  /** The ids of the data keys without which a restart would be refused, in ascending order. */
  listKeyIds(): readonly number[] {
    const ids = new Set(this.#segments.map((segment) => segment.keyId))
    const { identity } = this.#options
    const meta = this.#snapshot
    if (meta !== undefined) {
      ids.add(checkSnapshotFile(this.#disk, this.#directory, { meta, identity, keys: this.#keys }))
    }
    return [...ids].sort((left, right) => left - right)
  }

  /** A new segment, which is safe and to be written to from now on; a record of so much fits. */
  #beginSegment(plaintextBytes: number): SegmentWriter {
    assert(!this.#isDirty, 'a segment is safe before the next one is begun')
    const segmentBytes = this.#options.segmentBytes ?? SEGMENT_BYTES_DEFAULT
    const sizeBytes = Math.max(segmentBytes, HEAD_BYTES_MAX + recordBytes(plaintextBytes))
    while (this.#fillSpare(sizeBytes));
    this.#isCommitDeferred = false
    return this.#run(() => this.#nameSpare())
  }

  /** One slice more of the spare file is zeros; false if it has `sizeBytes` already. */
  #fillSpare(sizeBytes: number): boolean {
    const at = this.#spareBytes ?? 0
    if (at >= sizeBytes) return false
    const path = `${this.#directory}/${SPARE_NAME}`
    const length = Math.min(SLICE_BYTES, sizeBytes - at)
    try {
      if (at === 0) this.#disk.create(path, length)
      else this.#disk.write(path, at, new Uint8Array(length))
      this.#disk.sync(path)
    } catch (error) {
      if (!isDiskError(error, 'enospc')) throw this.#stop(error)
      this.#spareBytes = undefined
      this.#run(() => removeIfPresent(this.#disk, this.#directory, SPARE_NAME))
      throw error
    }
    this.#spareBytes = at + length
    return true
  }

  /** The spare file gets header, metadata and, when they are safe, its name. */
  #nameSpare(): SegmentWriter {
    const spare = `${this.#directory}/${SPARE_NAME}`
    const path = `${this.#directory}/${formatSegmentName(this.#number)}`
    const { header, cipher } = newFileStart('segment', this.#keys, this.#options.random)
    const metadata = {
      ...this.#options.identity,
      number: this.#number,
      sizeBytes: defined(this.#spareBytes, 'the spare file is there'),
      hardState: this.#hardState,
      snapshot: this.#snapshot,
      replacesRaftId: this.#replacesRaftId,
    }
    const plaintext = encodeSegmentMetadata(metadata)
    const first = { type: 'metadata', sequence: this.#sequence, plaintext } as const
    const record = encodeRecord(first, cipher)
    const batchesAt = header.length + record.length
    assert(batchesAt <= HEAD_BYTES_MAX, 'the head of a segment is small', { batchesAt })
    this.#disk.write(spare, 0, header)
    this.#disk.write(spare, header.length, record)
    this.#disk.sync(spare)
    this.#disk.rename(spare, path)
    this.#disk.syncDirectory(this.#directory)

    this.#mark?.move(this.#sequence)
    this.#mark?.sync()
    this.#replacesRaftId = 0
    const firstSequence = this.#sequence
    this.#segments.push({ path, keyId: cipher.keyId, lastIndex: 0 })
    this.#spareBytes = undefined
    this.#number += 1
    this.#sequence += 1
    return new SegmentWriter(this.#disk, { path, cipher, metadata, firstSequence, batchesAt })
  }

  /** Only what a correct Raft core hands out is written: these are its promises. */
  #checkBatch(batch: WalBatch, hardState: HardState, entries: readonly Entry[]): void {
    const { snapshot, snapshotReplacesLog = false } = batch
    const before = this.#hardState
    assert(hardState.term >= before.term, 'terms do not go back', { term: hardState.term })
    const isVoteKept = hardState.vote === before.vote || before.vote === NO_VOTE
    assert(hardState.term > before.term || isVoteKept, 'one vote a term', { vote: hardState.vote })
    assert(hardState.commit >= before.commit, 'commit goes on', { commit: hardState.commit })
    if (snapshot !== undefined) {
      const { index } = snapshot
      assert(index > (this.#snapshot?.index ?? 0), 'snapshots go on', { index })
      assert(snapshotReplacesLog || index <= this.#lastIndex, 'a snapshot of the log', { index })
      const names = listSnapshots(this.#disk, this.#directory)
      assert(names.includes(formatSnapshotName(snapshot)), 'the snapshot is finished', { index })
    }
    const base = (snapshot ?? this.#snapshot)?.index ?? 0
    const lastIndex = snapshot !== undefined && snapshotReplacesLog ? base : this.#lastIndex
    const first = entries[0]?.index ?? lastIndex + 1
    const facts = { first, base, lastIndex }
    assert(first > base && first <= lastIndex + 1, 'entries join the log', facts)
    entries.forEach((entry, i) => {
      assert(entry.index === first + i, 'entries have no gap', { index: entry.index })
    })
    const end = entries.at(-1)?.index ?? lastIndex
    assert(hardState.commit <= end, 'what is committed is in the log', { ...hardState, end })
  }

  #isSameVote({ term, vote }: HardState): boolean {
    return term === this.#hardState.term && vote === this.#hardState.vote
  }

  /** The state follows the batch that was written. */
  #noteWritten(batch: WalBatch, hardState: HardState): void {
    this.#snapshot = batch.snapshot ?? this.#snapshot
    this.#hardState = liftHardState(hardState, this.#snapshot)
    if (batch.snapshot !== undefined && batch.snapshotReplacesLog) {
      this.#lastIndex = batch.snapshot.index
    }
    const index = batch.entries?.at(-1)?.index
    if (index === undefined) return
    this.#lastIndex = index
    const segment = defined(this.#segments.pop(), 'a segment is written to')
    this.#segments.push({ ...segment, lastIndex: Math.max(segment.lastIndex, index) })
  }

  /** All but the recorded snapshot's file and the newest `oldCount` before it are gone. */
  #removeSnapshots(oldCount: number): void {
    const meta = this.#snapshot
    if (meta === undefined) return
    const names = listSnapshots(this.#disk, this.#directory)
    const recordedAt = names.indexOf(formatSnapshotName(meta))
    const removed = names.slice(0, Math.max(0, recordedAt - oldCount))
    for (const name of removed) this.#disk.remove(`${this.#directory}/${name}`)
    if (removed.length > 0) this.#disk.syncDirectory(this.#directory)
  }

  /** Any error of `operation` stops the log: what is on disk is no longer known. */
  #run<T>(operation: () => T): T {
    try {
      return operation()
    } catch (error) {
      throw this.#stop(error)
    }
  }

  /** Nothing more can be done. The error to throw: a bug as it is, a refusal with the log's name. */
  #stop(cause: unknown): unknown {
    this.#failure = cause
    if (!(cause instanceof SwarmError)) return cause
    const message = `the log in "${this.#directory}" stopped: ${cause.message}`
    const facts = { ...cause.facts, stopped: true }
    this.#failure = new SwarmError(cause.code, message, { cause, facts })
    return this.#failure
  }

  #refuseIfStopped(): void {
    if (this.#failure !== undefined) throw this.#failure
  }
}

/** The directory is there, and its name is safe. */
function makeDirectory(disk: Disk, directory: string): void {
  disk.makeDirectory(directory)
  disk.syncDirectory(directory.slice(0, Math.max(0, directory.lastIndexOf('/'))))
}

/** Nothing unfinished is there any more. */
export function removeLeftovers(disk: Disk, directory: string): void {
  const names = disk.list(directory).filter((name) => name.endsWith('.tmp'))
  for (const name of names) disk.remove(`${directory}/${name}`)
}

function removeIfPresent(disk: Disk, directory: string, name: string): void {
  if (disk.list(directory).includes(name)) disk.remove(`${directory}/${name}`)
}

/** Snapshots without a log are what is left of a damaged directory, not an empty one. */
function refuseOrphans(disk: Disk, directory: string): void {
  const name = listSnapshots(disk, directory)[0]
  if (name === undefined) return
  throw newDamageError(`${directory}/${name}`, 0, 'there is a snapshot, but no segment of the log')
}
