/**
 * The end of the log that is not known to be on disk: entries, and a snapshot that came from the
 * leader. It gives them out to be written, remembers which are being written, and holds on to
 * them until they can be read from Storage.
 *
 *           offset        offsetInProgress        offset + entries
 *   Storage │ being written │ to be written         │
 *
 * Storage may be longer than `offset`: then the next write replaces its end.
 */
import { assert } from '../../lib/assert.ts'
import type { Entry, Snapshot } from './message.ts'
import type { Position, Trace } from './trace.ts'

export class Unstable {
  #entries: Entry[] = []
  /** Index of the first entry here, or of the next to come. */
  #offset: number
  /** Entries below are being written. Invariant: offset <= offsetInProgress. */
  #offsetInProgress: number
  /** A snapshot to be written; the log before it is void. */
  #snapshot: Snapshot | undefined = undefined
  #snapshotInProgress = false
  readonly #trace: Trace | undefined

  constructor(offset: number, trace: Trace | undefined) {
    this.#offset = offset
    this.#offsetInProgress = offset
    this.#trace = trace
  }

  get offset(): number {
    return this.#offset
  }

  get offsetInProgress(): number {
    return this.#offsetInProgress
  }

  get count(): number {
    return this.#entries.length
  }

  get snapshot(): Snapshot | undefined {
    return this.#snapshot
  }

  /** The first index after the snapshot; undefined without one. */
  firstIndex(): number | undefined {
    return this.#snapshot === undefined ? undefined : this.#snapshot.index + 1
  }

  /** The last index here; undefined without entry and snapshot. */
  lastIndex(): number | undefined {
    if (this.#entries.length > 0) return this.#offset + this.#entries.length - 1
    return this.#snapshot?.index
  }

  /** The term of an entry, or of the snapshot's last; undefined if it is not here. */
  term(index: number): number | undefined {
    if (index < this.#offset) {
      return this.#snapshot?.index === index ? this.#snapshot.term : undefined
    }
    return this.#entries[index - this.#offset]?.term
  }

  /** The entries in [low, high), which must all be here. */
  slice(low: number, high: number): readonly Entry[] {
    assert(
      this.#offset <= low && low <= high && high <= this.#offset + this.#entries.length,
      'a slice within the unstable entries',
      { low, high, offset: this.#offset, count: this.#entries.length },
    )
    return this.#entries.slice(low - this.#offset, high - this.#offset)
  }

  /** Entries that nobody writes yet. */
  nextEntries(): readonly Entry[] {
    return this.#entries.slice(this.#offsetInProgress - this.#offset)
  }

  hasNextEntries(): boolean {
    return this.#offset + this.#entries.length > this.#offsetInProgress
  }

  /** The snapshot, if nobody writes it yet. */
  nextSnapshot(): Snapshot | undefined {
    return this.#snapshotInProgress ? undefined : this.#snapshot
  }

  /** All that is here is being written from now on. */
  acceptInProgress(): void {
    this.#offsetInProgress = this.#offset + this.#entries.length
    this.#snapshotInProgress = this.#snapshot !== undefined
  }

  /**
   * The entries up to `stable` are on disk and no longer here. Ignored if the entry there is
   * another one by now. The caller vouches that no write under way will replace them.
   */
  stableTo(stable: Position): void {
    const { index } = stable
    const term = this.term(index)
    if (term === undefined) {
      this.#trace?.({ kind: 'stable-missing', index })
    } else if (index < this.#offset) {
      this.#trace?.({ kind: 'stable-matched-snapshot', index })
    } else if (term !== stable.term) {
      this.#trace?.({ kind: 'stable-mismatched', stable, ownTerm: term })
    } else {
      this.#entries = this.#entries.slice(index + 1 - this.#offset)
      this.#offset = index + 1
      this.#offsetInProgress = Math.max(this.#offsetInProgress, this.#offset)
    }
  }

  /** The snapshot at `index` is on disk and no longer here. */
  stableSnapshotTo(index: number): void {
    if (this.#snapshot?.index !== index) return
    this.#snapshot = undefined
    this.#snapshotInProgress = false
  }

  /** The log is the snapshot and nothing after it. */
  restore(snapshot: Snapshot): void {
    this.#offset = snapshot.index + 1
    this.#offsetInProgress = this.#offset
    this.#entries = []
    this.#snapshot = snapshot
    this.#snapshotInProgress = false
  }

  /** The log ends with `entries`; what was at their indexes and after is gone. */
  truncateAndAppend(entries: readonly Entry[]): void {
    const from = entries[0]?.index
    if (from === undefined) return
    if (from <= this.#offset && this.#entries.length + this.#offset !== from) {
      this.#trace?.({ kind: 'unstable-replaced', index: from })
      this.#entries = []
      this.#offset = from
      this.#offsetInProgress = from
    } else if (from < this.#offset + this.#entries.length) {
      this.#trace?.({ kind: 'unstable-truncated', index: from })
      this.#entries.length = from - this.#offset
      // What is being written from there on is about to be written again.
      this.#offsetInProgress = Math.min(this.#offsetInProgress, from)
    }
    assert(from === this.#offset + this.#entries.length, 'no gap between entries', {
      from,
      offset: this.#offset,
      count: this.#entries.length,
    })
    for (const entry of entries) this.#entries.push(entry)
  }
}
