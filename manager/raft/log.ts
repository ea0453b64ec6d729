/**
 * The log as one: what Storage holds, and after it what is not on disk yet (`unstable.ts`). It owns
 * how far the log is committed, handed out to be applied, and applied.
 *
 * Invariants: applied <= applying <= committed <= lastIndex. committed never goes back.
 */
import { assert } from '../../lib/assert.ts'
import type { Entry, Snapshot } from './message.ts'
import { limitSize } from './size.ts'
import type { Absence, Storage } from './storage.ts'
import type { Position, Trace } from './trace.ts'
import { Unstable } from './unstable.ts'

export class Log {
  readonly #storage: Storage
  readonly #unstable: Unstable
  readonly #trace: Trace | undefined
  /** Known to be on the disks of a quorum. */
  #committed: number
  /** Given to the application to be applied, in Readies or messages. */
  #applying: number
  /** Known to have been applied. */
  #applied: number
  /** How many bytes of entries may be given out and not yet applied. */
  readonly #applyingBytesMax: number
  #applyingBytes = 0
  /** Nothing more is given out until something was applied. */
  #applyingPaused = false

  constructor(storage: Storage, applyingBytesMax: number, trace: Trace | undefined) {
    this.#storage = storage
    this.#trace = trace
    this.#applyingBytesMax = applyingBytesMax
    this.#unstable = new Unstable(storage.lastIndex() + 1, trace)
    const compacted = storage.firstIndex() - 1
    this.#committed = compacted
    this.#applying = compacted
    this.#applied = compacted
  }

  get committed(): number {
    return this.#committed
  }

  get applying(): number {
    return this.#applying
  }

  get applied(): number {
    return this.#applied
  }

  get unstable(): Unstable {
    return this.#unstable
  }

  firstIndex(): number {
    return this.#unstable.firstIndex() ?? this.#storage.firstIndex()
  }

  lastIndex(): number {
    return this.#unstable.lastIndex() ?? this.#storage.lastIndex()
  }

  /** The term of an entry in [firstIndex - 1, lastIndex], or why it is not known. */
  term(index: number): number | Absence {
    const unstable = this.#unstable.term(index)
    if (unstable !== undefined) return unstable
    if (index + 1 < this.firstIndex()) return 'compacted'
    if (index > this.lastIndex()) return 'unavailable'
    return this.#storage.term(index)
  }

  /** The term of an entry; 0, which no entry has, if it is not known. */
  termOrZero(index: number): number {
    const term = this.term(index)
    return typeof term === 'number' ? term : 0
  }

  matches(position: Position): boolean {
    return this.term(position.index) === position.term
  }

  /** The end of the log. */
  last(): Position {
    const index = this.lastIndex()
    const term = this.term(index)
    assert(typeof term === 'number', 'the term of the last entry is known', { index, term })
    return { term, index }
  }

  /** Whether a log that ends with `last` holds at least as much as this one (section 5.4.1). */
  isUpToDate(last: Position): boolean {
    const own = this.last()
    return last.term > own.term || (last.term === own.term && last.index >= own.index)
  }

  /**
   * A leader's entries after `previous` are in the log; those that conflicted are gone. The
   * result is the last index that now equals the leader's, or undefined if `previous` is not here.
   */
  appendAfter(
    previous: Position,
    entries: readonly Entry[],
    leaderCommit: number,
  ): number | undefined {
    if (!this.matches(previous)) return undefined
    const lastNew = previous.index + entries.length
    const conflict = this.findConflict(entries)
    if (conflict !== undefined) {
      assert(conflict > this.#committed, 'a committed entry conflicts with the leader', {
        conflict,
        committed: this.#committed,
      })
      this.append(entries.slice(conflict - previous.index - 1))
    }
    this.commitTo(Math.min(leaderCommit, lastNew))
    return lastNew
  }

  /** The log ends with `entries`. */
  append(entries: readonly Entry[]): void {
    const first = entries[0]
    if (first === undefined) return
    assert(first.index > this.#committed, 'an append replaces committed entries', {
      first: first.index,
      committed: this.#committed,
    })
    this.#unstable.truncateAndAppend(entries)
  }

  /** The first of `entries` that is not in the log as it is; undefined if all are. */
  findConflict(entries: readonly Entry[]): number | undefined {
    for (const { index, term } of entries) {
      if (this.matches({ index, term })) continue
      if (index <= this.lastIndex()) {
        this.#trace?.({ kind: 'conflict-found', index, ownTerm: this.termOrZero(index), term })
      }
      return index
    }
    return undefined
  }

  /**
   * The highest index up to `position.index` at which this log may equal one that has `position`:
   * whose term here is not higher, or not known (then the result's term is 0).
   */
  findMatchHint(position: Position): Position {
    for (let index = position.index; index > 0; index--) {
      const term = this.term(index)
      if (typeof term !== 'number') return { term: 0, index }
      if (term <= position.term) return { term, index }
    }
    return { term: 0, index: 0 }
  }

  /** Entries from `low` on that fit into `bytesMax`, at least one if there is one. */
  entries(low: number, bytesMax: number): readonly Entry[] | 'compacted' {
    return low > this.lastIndex() ? [] : this.slice(low, this.lastIndex() + 1, bytesMax)
  }

  /** The entries in [low, high) that fit into `bytesMax`, at least one. */
  slice(low: number, high: number, bytesMax: number): readonly Entry[] | 'compacted' {
    assert(low <= high && high <= this.lastIndex() + 1, 'a slice within the log', {
      low,
      high,
      lastIndex: this.lastIndex(),
    })
    if (low < this.firstIndex()) return 'compacted'
    if (low === high) return []
    const offset = this.#unstable.offset
    if (low >= offset) return limitSize(this.#unstable.slice(low, high), bytesMax)
    const stored = this.#storage.entries(low, Math.min(high, offset), bytesMax)
    if (stored === 'compacted') return 'compacted'
    assert(stored !== 'unavailable', 'stored entries are available', { low, offset })
    if (high <= offset || stored.length < offset - low) return stored
    return limitSize([...stored, ...this.#unstable.slice(offset, high)], bytesMax)
  }

  /** The newest snapshot: the one that came from the leader, or the application's. */
  snapshot(): Snapshot | 'unavailable' {
    return this.#unstable.snapshot ?? this.#storage.snapshot()
  }

  /** `index` and all before are committed; never fewer than before. */
  commitTo(index: number): void {
    if (index <= this.#committed) return
    assert(index <= this.lastIndex(), 'commit past the end: was the log damaged or lost?', {
      index,
      lastIndex: this.lastIndex(),
    })
    this.#committed = index
  }

  /** `position` is committed if it is new and the entry there has its term; whether it was. */
  commitIfMatches(position: Position): boolean {
    if (position.index <= this.#committed || !this.matches(position)) return false
    this.commitTo(position.index)
    return true
  }

  /**
   * Committed entries to be applied next, within the limit of bytes. Not while a snapshot waits,
   * which must be applied before. `allowUnstable`: also those not on this node's disk yet.
   */
  nextCommittedEntries(allowUnstable: boolean): readonly Entry[] {
    if (!this.hasNextCommittedEntries(allowUnstable)) return []
    const entries = this.slice(
      this.#applying + 1,
      this.#appliableIndex(allowUnstable) + 1,
      this.#applyingBytesMax - this.#applyingBytes,
    )
    assert(entries !== 'compacted', 'entries are applied before they are compacted', {
      applying: this.#applying,
    })
    return entries
  }

  hasNextCommittedEntries(allowUnstable: boolean): boolean {
    if (this.#applyingPaused || this.#unstable.snapshot !== undefined) return false
    return this.#applying < this.#appliableIndex(allowUnstable)
  }

  /** Entries of `bytes` up to `index` have been given out to be applied. */
  acceptApplying(index: number, bytes: number, allowUnstable: boolean): void {
    assert(index <= this.#committed, 'only committed entries are applied', {
      index,
      committed: this.#committed,
    })
    this.#applying = index
    this.#applyingBytes += bytes
    // Paused also if the entries ended early, because the next one would exceed the limit.
    this.#applyingPaused =
      this.#applyingBytes >= this.#applyingBytesMax || index < this.#appliableIndex(allowUnstable)
  }

  /** Entries of `bytes` up to `index` have been applied. */
  appliedTo(index: number, bytes: number): void {
    assert(this.#applied <= index && index <= this.#committed, 'applied only what is committed', {
      index,
      applied: this.#applied,
      committed: this.#committed,
    })
    this.#applied = index
    this.#applying = Math.max(this.#applying, index)
    // A snapshot may have overtaken what was given out, of which nobody reports then.
    const isDone = this.#applied === this.#applying
    this.#applyingBytes = isDone ? 0 : Math.max(0, this.#applyingBytes - bytes)
    this.#applyingPaused = this.#applyingBytes >= this.#applyingBytesMax
  }

  /** The log is the snapshot and nothing after it. */
  restore(snapshot: Snapshot): void {
    this.#trace?.({
      kind: 'restore-started',
      snapshot: { term: snapshot.term, index: snapshot.index },
      commit: this.#committed,
      applied: this.#applied,
      applying: this.#applying,
      unstableOffset: this.#unstable.offset,
      unstableOffsetInProgress: this.#unstable.offsetInProgress,
      unstableCount: this.#unstable.count,
    })
    assert(snapshot.index > this.#committed, 'a snapshot that goes back', {
      index: snapshot.index,
      committed: this.#committed,
    })
    this.#committed = snapshot.index
    this.#unstable.restore(snapshot)
  }

  #appliableIndex(allowUnstable: boolean): number {
    return allowUnstable ? this.#committed : Math.min(this.#committed, this.#unstable.offset - 1)
  }
}
