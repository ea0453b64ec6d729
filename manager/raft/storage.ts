/**
 * Port Storage: the stable part of the log as the core reads it, and MemoryStorage, which holds it
 * in memory. It decides nothing about durability: the consensus machine writes to disk what a
 * Ready or a storage message says, then tells MemoryStorage, and only then answers the core.
 * At start it is filled from the log on disk. Semantics are etcd's `Storage`.
 */
import { assert, defined } from '../../lib/assert.ts'
import {
  type ConfState,
  type Entry,
  emptyConfState,
  emptyHardState,
  emptySnapshot,
  type HardState,
  type Snapshot,
} from './message.ts'
import { limitSize } from './size.ts'

/** Why an index cannot be read: it is at or below the snapshot, or it is not there yet. */
export type Absence = 'compacted' | 'unavailable'

export interface Storage {
  /** What was stored before the start; read once. */
  initialState(): { readonly hardState: HardState; readonly confState: ConfState }
  /** The entries in [low, high) that fit into `bytesMax` together, but at least one. */
  entries(low: number, high: number, bytesMax: number): readonly Entry[] | Absence
  /** The term of an entry in [firstIndex - 1, lastIndex]. */
  term(index: number): number | Absence
  /** The first entry that is still readable; one more than the snapshot's when there is none. */
  firstIndex(): number
  /** The last entry, or the snapshot's index when there is none after it. */
  lastIndex(): number
  /**
   * The newest snapshot; `unavailable` while it is being made: the core asks again later. A member
   * refuses one from before it was added, so there must be a newer one for it in time.
   */
  snapshot(): Snapshot | 'unavailable'
}

export class MemoryStorage implements Storage {
  #hardState: HardState = emptyHardState
  #snapshot: Snapshot = emptySnapshot
  #confState: ConfState
  /** Index and term of the entry before `#entries[0]`: the snapshot's, or the last compacted. */
  #compactedIndex = 0
  #compactedTerm = 0
  #entries: Entry[] = []

  /** An empty log. `confState` is in force before its first entry, until there is a snapshot. */
  constructor(confState: ConfState = emptyConfState) {
    this.#confState = confState
  }

  initialState(): { readonly hardState: HardState; readonly confState: ConfState } {
    return { hardState: this.#hardState, confState: this.#confState }
  }

  entries(low: number, high: number, bytesMax: number): readonly Entry[] | Absence {
    if (low <= this.#compactedIndex) return 'compacted'
    assert(high <= this.lastIndex() + 1, 'storage is asked for entries past its end', {
      high,
      lastIndex: this.lastIndex(),
    })
    if (this.#entries.length === 0) return 'unavailable'
    const offset = this.#compactedIndex + 1
    return limitSize(this.#entries, bytesMax, { start: low - offset, end: high - offset })
  }

  term(index: number): number | Absence {
    if (index < this.#compactedIndex) return 'compacted'
    if (index === this.#compactedIndex) return this.#compactedTerm
    return this.#entries[index - this.#compactedIndex - 1]?.term ?? 'unavailable'
  }

  firstIndex(): number {
    return this.#compactedIndex + 1
  }

  lastIndex(): number {
    return this.#compactedIndex + this.#entries.length
  }

  snapshot(): Snapshot | 'unavailable' {
    return this.#snapshot
  }

  /** The hard state is what a restart begins with. */
  setHardState(hardState: HardState): void {
    this.#hardState = hardState
  }

  /**
   * The log is empty and begins after the snapshot, whose configuration is the initial one. False,
   * and nothing is changed, if the snapshot is not newer than the one that is there.
   */
  applySnapshot(snapshot: Snapshot): boolean {
    if (snapshot.index <= this.#snapshot.index) return false
    this.#snapshot = snapshot
    this.#confState = snapshot.confState ?? emptyConfState
    this.#compactedIndex = snapshot.index
    this.#compactedTerm = snapshot.term
    this.#entries = []
    return true
  }

  /** A newer snapshot of this node's own state is available; the log keeps its entries. */
  setSnapshot(snapshot: Snapshot): void {
    assert(snapshot.index <= this.lastIndex(), 'a snapshot of entries that are not in the log', {
      index: snapshot.index,
      lastIndex: this.lastIndex(),
    })
    if (snapshot.index <= this.#snapshot.index) return
    this.#snapshot = snapshot
    this.#confState = snapshot.confState ?? emptyConfState
  }

  /** The entries up to and including `index` are gone; their last term stays known. */
  compact(index: number): void {
    if (index <= this.#compactedIndex) return
    assert(index <= this.lastIndex(), 'compaction past the end of the log', {
      index,
      lastIndex: this.lastIndex(),
    })
    const count = index - this.#compactedIndex
    this.#compactedTerm = defined(this.#entries[count - 1], 'compacted entry exists').term
    this.#compactedIndex = index
    this.#entries = this.#entries.slice(count)
  }

  /** The log ends with `entries`: what stood at their indexes and after them is replaced. */
  append(entries: readonly Entry[]): void {
    const first = entries[0]
    const last = entries.at(-1)
    if (first === undefined || last === undefined || last.index <= this.#compactedIndex) return
    assert(first.index <= this.lastIndex() + 1, 'a gap between the log and appended entries', {
      first: first.index,
      lastIndex: this.lastIndex(),
    })
    const kept =
      first.index <= this.#compactedIndex
        ? entries.slice(this.#compactedIndex + 1 - first.index)
        : entries
    const at = (kept[0]?.index ?? 0) - this.#compactedIndex - 1
    this.#entries.length = at
    for (const entry of kept) this.#entries.push(entry)
  }
}
