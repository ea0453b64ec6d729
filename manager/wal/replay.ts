/**
 * From the files of a log directory to the state they hold: the reading side of `wal.ts`. It
 * decides what batches mean one after another: a later entry voids what stood at its index and
 * after it, a snapshot voids the entries it contains, or, being the leader's, the whole log. It
 * checks what no single file shows: no gap between segments, entries or entries and snapshot.
 */
import type { Disk } from '../../lib/disk.ts'
import { emptyHardState } from '../../proto/gen/raft.ts'
import type { Batch, SnapshotMeta } from '../../proto/gen/wal.ts'
import type { Entry, HardState } from '../raft/message.ts'
import { type DataKeys, newDamageError } from './seal.ts'
import {
  checkIdentity,
  listSegments,
  readBatches,
  readSegmentHead,
  type SegmentEnd,
  type SegmentHead,
  type WalIdentity,
} from './segment.ts'

/** In a hard state: the member has not voted in the term. */
export const NO_VOTE = 0

/** A segment as compaction sees it. */
export type SegmentSummary = {
  readonly path: string
  readonly keyId: number
  /** The highest index of any entry ever written to it, void or not; 0 if it has none. */
  readonly lastIndex: number
}

export type Replayed = {
  readonly hardState: HardState
  readonly snapshot: SnapshotMeta | undefined
  /** All after the snapshot. */
  readonly entries: readonly Entry[]
  /** Oldest first, those of a replaced member included, which hold nothing that counts. */
  readonly segments: readonly SegmentSummary[]
  /** The newest segment and where its records end; undefined in an empty directory. */
  readonly last: { readonly head: SegmentHead; readonly end: SegmentEnd } | undefined
}

/** What the directory holds. Nothing is written; anything wrong is thrown. */
export function replay(
  disk: Disk,
  directory: string,
  options: { readonly identity: WalIdentity; readonly keys: DataKeys },
): Replayed {
  const all = listHeads(disk, directory, options.keys)
  const firstAt = Math.max(0, all.findLastIndex(isReplacement))
  const heads = all.slice(firstAt)
  for (const head of heads) checkIdentity(head.path, head.metadata, options.identity)
  const state = new ReplayState()
  let last: Replayed['last']
  const segments = heads.map((head, i): SegmentSummary => {
    let lastIndex = 0
    state.enter(head, i === 0)
    const end = readBatches(disk, head, {
      nextFirstSequence: heads[i + 1]?.firstSequence,
      visit: (batch, offset) => {
        state.apply(batch, head.path, offset)
        lastIndex = Math.max(lastIndex, batch.entries.at(-1)?.index ?? 0)
      },
    })
    last = { head, end }
    return { path: head.path, keyId: head.cipher.keyId, lastIndex }
  })
  const voided = all.slice(0, firstAt).map(({ path, cipher }): SegmentSummary => {
    return { path, keyId: cipher.keyId, lastIndex: 0 }
  })
  return { ...state.finish(directory), segments: [...voided, ...segments], last }
}

/** The starts of all segments, oldest first. */
export function listHeads(disk: Disk, directory: string, keys: DataKeys): readonly SegmentHead[] {
  return listSegments(disk, directory).map((path) => readSegmentHead(disk, path, keys))
}

/** Whether a member began with this segment that went on from another one's log. */
export function isReplacement({ metadata }: SegmentHead): boolean {
  return metadata.replacesRaftId !== 0
}

/** The state after the batches so far. */
class ReplayState {
  #hardState: HardState = emptyHardState
  #snapshot: SnapshotMeta | undefined
  /** Without gaps; may begin before or after the snapshot until `finish`. */
  #entries: Entry[] = []

  /** A segment says what the state was when it was begun; the oldest one is believed. */
  enter(head: SegmentHead, isOldest: boolean): void {
    const { hardState, snapshot } = head.metadata
    if (isOldest) this.#snapshot = snapshot
    if (snapshot?.index !== this.#snapshot?.index) {
      const reason = `it goes on from snapshot ${snapshot?.index}, not ${this.#snapshot?.index}`
      throw newDamageError(head.path, 0, reason)
    }
    this.#hardState = hardState ?? this.#hardState
  }

  apply(batch: Batch, file: string, offset: number): void {
    this.#hardState = batch.hardState ?? this.#hardState
    if (batch.snapshot !== undefined) this.#applySnapshot(batch.snapshot, batch.snapshotReplacesLog)
    const first = batch.entries[0]
    if (first === undefined) return
    const last = this.#entries.at(-1)
    if (last !== undefined && first.index > last.index + 1) {
      const reason = `entry ${first.index} follows entry ${last.index}`
      throw newDamageError(file, offset, reason)
    }
    const base = this.#entries[0]?.index ?? first.index
    this.#entries.length = Math.max(0, first.index - base)
    for (const entry of batch.entries) this.#entries.push(entry)
  }

  #applySnapshot(snapshot: SnapshotMeta, replacesLog: boolean): void {
    this.#snapshot = snapshot
    this.#entries = replacesLog ? [] : this.#entries.filter((entry) => entry.index > snapshot.index)
  }

  finish(directory: string): Pick<Replayed, 'hardState' | 'snapshot' | 'entries'> {
    const index = this.#snapshot?.index ?? 0
    // In the oldest segment the snapshot may be older than entries that came to be compacted.
    const entries = this.#entries.filter((entry) => entry.index > index)
    const first = entries[0]
    if (first !== undefined && first.index !== index + 1) {
      const reason = `the entries ${index + 1} to ${first.index - 1} are missing`
      throw newDamageError(directory, 0, reason)
    }
    return {
      hardState: liftHardState(this.#hardState, this.#snapshot),
      snapshot: this.#snapshot,
      entries,
    }
  }
}

/** What a snapshot contains is committed, whether or not that was written down before a crash. */
export function liftHardState(hardState: HardState, snapshot: SnapshotMeta | undefined): HardState {
  if (snapshot === undefined) return hardState
  const commit = Math.max(hardState.commit, snapshot.index)
  return hardState.term < snapshot.term
    ? { term: snapshot.term, vote: NO_VOTE, commit }
    : { ...hardState, commit }
}
