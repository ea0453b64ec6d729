/**
 * A peer as the leader sees it, and the window of appends in flight to it. Which entries to send
 * and what an answer means is decided in `replication.ts`; here are the transitions of the three
 * states, and flow control:
 *
 *             rejection, unreachable            snapshot needed
 *        ┌──────────────────────────── replicate ────────────┐
 *        v         ack ───────────────────^                  v
 *      probe ───────────────────── snapshot needed ──────> snapshot
 *        ^───────── caught up, snapshot finished or failed ──┘
 *
 * probe: one append at a time, `next` is a guess. replicate: optimistic, limited by the window.
 * snapshot: nothing is sent until the snapshot has been dealt with.
 */
import { assert } from '../../lib/assert.ts'
import type { ProgressView } from './trace.ts'

export type Progress = {
  state: 'probe' | 'replicate' | 'snapshot'
  /** The peer's log is known to equal the leader's up to here. Invariant: match < next. */
  match: number
  /** The next entry to send; in state replicate all in (match, next) are in flight. */
  next: number
  /** The highest commit index sent that the peer may still adopt; lowered when `next` is. */
  sentCommit: number
  /** Index of the snapshot under way; 0 but in state snapshot. */
  pendingSnapshot: number
  /** Whether anything was heard from the peer since the last look (CheckQuorum). */
  recentActive: boolean
  /**
   * No append is sent until a heartbeat is answered. probe: one is under way. replicate: the
   * window was full at the last send.
   */
  flowPaused: boolean
  /** Appends sent in state replicate and not yet acknowledged. */
  inflights: Inflights
  isLearner: boolean
}

/** How much may be in flight to one peer. */
export type Window = { readonly messagesMax: number; readonly bytesMax: number }

/** A peer of which nothing is known but that `next` is worth a try. */
export function newProgress(next: number, isLearner: boolean, window: Window): Progress {
  return {
    state: 'probe',
    match: 0,
    next,
    sentCommit: 0,
    pendingSnapshot: 0,
    recentActive: false,
    flowPaused: false,
    inflights: new Inflights(window),
    isLearner,
  }
}

/** Probing starts after the last match, or after the snapshot that was sent. */
export function becomeProbe(progress: Progress): void {
  const next = Math.max(progress.match, progress.pendingSnapshot) + 1
  resetState(progress, 'probe')
  progress.next = next
  progress.sentCommit = Math.min(progress.sentCommit, next - 1)
}

export function becomeReplicate(progress: Progress): void {
  resetState(progress, 'replicate')
  progress.next = progress.match + 1
}

export function becomeSnapshot(progress: Progress, index: number): void {
  resetState(progress, 'snapshot')
  progress.pendingSnapshot = index
  progress.next = index + 1
  progress.sentCommit = index
}

/** An append with `count` entries of `bytes` payload was sent. */
export function sentEntries(progress: Progress, count: number, bytes: number): void {
  assert(progress.state !== 'snapshot', 'an append to a peer that waits for a snapshot')
  if (progress.state === 'probe') {
    if (count > 0) progress.flowPaused = true
    return
  }
  if (count > 0) {
    progress.next += count
    progress.inflights.add(progress.next - 1, bytes)
  }
  // With a full window this append is a probe: the next one waits for an answer.
  progress.flowPaused = progress.inflights.isFull()
}

/** Whether a message with commit index `commit` could move the peer's. */
export function canRaiseCommit(progress: Progress, commit: number): boolean {
  return commit > progress.sentCommit && progress.sentCommit < progress.next - 1
}

/** The peer acknowledged all up to `index`; false if that was known. */
export function acknowledge(progress: Progress, index: number): boolean {
  if (index <= progress.match) return false
  progress.match = index
  progress.next = Math.max(progress.next, index + 1)
  progress.flowPaused = false
  return true
}

/**
 * The peer refused the append after `rejected` and may match at `hint`; `next` is lowered. False
 * if the refusal is stale: the peer has acknowledged more since, or another probe is under way.
 */
export function decrease(progress: Progress, rejected: number, hint: number): boolean {
  if (progress.state === 'replicate') {
    if (rejected <= progress.match) return false
    progress.next = progress.match + 1
  } else {
    if (progress.next - 1 !== rejected) return false
    progress.next = Math.max(Math.min(rejected, hint + 1), progress.match + 1)
    progress.flowPaused = false
  }
  // What was sent has probably not been adopted.
  progress.sentCommit = Math.min(progress.sentCommit, progress.next - 1)
  return true
}

export function isPaused(progress: Progress): boolean {
  return progress.state === 'snapshot' || progress.flowPaused
}

/** A copy for traces and status. */
export function viewProgress(progress: Progress): ProgressView {
  return {
    state: progress.state,
    match: progress.match,
    next: progress.next,
    isLearner: progress.isLearner,
    isPaused: isPaused(progress),
    recentActive: progress.recentActive,
    pendingSnapshot: progress.pendingSnapshot,
    inflightCount: progress.inflights.count(),
    inflightFull: progress.inflights.isFull(),
  }
}

function resetState(progress: Progress, state: Progress['state']): void {
  progress.state = state
  progress.flowPaused = false
  progress.pendingSnapshot = 0
  progress.inflights.clear()
}

/** The appends in flight, oldest first: the last index of each, and its payload. */
export class Inflights {
  readonly #window: Window
  /** Those before `#head` are acknowledged; they are cut off now and then. */
  #appends: { readonly index: number; readonly bytes: number }[] = []
  #head = 0
  #bytes = 0

  constructor(window: Window) {
    this.#window = window
  }

  count(): number {
    return this.#appends.length - this.#head
  }

  isFull(): boolean {
    return this.count() >= this.#window.messagesMax || this.#bytes >= this.#window.bytesMax
  }

  /** An append up to `index` is in flight. Invariant: added in the order of their indexes. */
  add(index: number, bytes: number): void {
    assert(!this.isFull(), 'an append is added to a full window', { index })
    this.#appends.push({ index, bytes })
    this.#bytes += bytes
  }

  /** All appends up to `index` are acknowledged. */
  freeTo(index: number): void {
    for (let append = this.#appends[this.#head]; append !== undefined; ) {
      if (append.index > index) break
      this.#bytes -= append.bytes
      this.#head++
      append = this.#appends[this.#head]
    }
    if (this.#head * 2 >= this.#appends.length) {
      this.#appends = this.#appends.slice(this.#head)
      this.#head = 0
    }
  }

  clear(): void {
    this.#appends = []
    this.#head = 0
    this.#bytes = 0
  }
}
