/**
 * Compaction: when main is asked for a snapshot of its state, after which the log is cut (DESIGN
 * section 5: after 10,000 entries or 64 MiB). Also at once after a member was added, since a member
 * takes no snapshot of a time before it was one. It counts and remembers; the snapshot is made and
 * written by `consensus.ts`.
 */
import type { ConsensusConfig } from './consensus-interface.ts'
import type { Entry } from './raft/message.ts'

export class Compaction {
  #interval: ConsensusConfig['snapshotInterval']
  #snapshotIndex: number
  /** Main was asked and has not answered. */
  #isAsked = false
  /** Index from which on a snapshot is wanted whatever the interval says; 0: none. */
  #neededAt = 0
  #oldSnapshots = 0
  /** Of entries' data that came to the log since the last snapshot. */
  #bytes = 0

  constructor(interval: ConsensusConfig['snapshotInterval'], snapshotIndex: number) {
    this.#interval = interval
    this.#snapshotIndex = snapshotIndex
  }

  /** Index of the newest snapshot. */
  get snapshotIndex(): number {
    return this.#snapshotIndex
  }

  adjust(entries: number, keepEntries: number, keepOldSnapshots: number): void {
    this.#interval = { ...this.#interval, entries, keepEntries }
    this.#oldSnapshots = keepOldSnapshots
  }

  /** How many snapshots beside the newest stay on the disk. */
  get oldSnapshots(): number {
    return this.#oldSnapshots
  }

  /** These entries came to the log. */
  grew(entries: readonly Entry[]): void {
    for (const entry of entries) this.#bytes += entry.data.length
  }

  /** A snapshot at or after `index` is needed soon. */
  need(index: number): void {
    this.#neededAt = index
  }

  /** Main answered, whether its snapshot is of use or not. */
  answered(): void {
    this.#isAsked = false
  }

  /** There is a snapshot at `index` now: main's own or the leader's. */
  saved(index: number): void {
    this.#snapshotIndex = index
    this.#bytes = 0
  }

  /** Up to where the log is cut behind a snapshot at `index`: slow followers need some entries. */
  cutIndex(index: number): number {
    return Math.max(0, index - this.#interval.keepEntries)
  }

  /** Whether main is to be asked now, having applied `appliedIndex`; it then counts as asked. */
  ask(appliedIndex: number): boolean {
    if (this.#isAsked) return false
    this.#isAsked = this.#isDue(appliedIndex)
    return this.#isAsked
  }

  #isDue(appliedIndex: number): boolean {
    const entries = appliedIndex - this.#snapshotIndex
    if (entries <= 0) return false
    if (this.#neededAt > this.#snapshotIndex && appliedIndex >= this.#neededAt) return true
    if (this.#interval.entries === 0) return false
    return entries >= this.#interval.entries || this.#bytes >= this.#interval.bytes
  }
}
