/**
 * Contact: when the managers were last known to count this node as ready, by the clock of the host. A
 * heartbeat that the leader answered so says it of the moment at which it was sent, once the session
 * has told what is wanted here: until then it may be that the node's tasks were replaced. Tasks that
 * must not outlive it (`Disconnect.stop_after_ms`) are stopped by the worker; that managers wait for
 * longer than that is their part (docs/disconnect.md).
 */
import type { Contact as SavedContact } from '../proto/gen/agent.ts'

/** So many heartbeats may wait for their answer; an older one's says nothing more. */
const WAITING_MAX = 16
/** What is on disk is no older than this part of the shortest time that a task may run without. */
const SAVED_PART = 6

export class Contact {
  readonly #bootId: string
  /** Of the host's clock, ms; undefined: none in this boot. */
  #lastMs: number | undefined
  /** The same as it was last written. */
  #savedMs: number | undefined
  /** Sequence → when it was sent; of this session. */
  #sent = new Map<number, number>()
  /** Answered, and not yet followed by a set. */
  #pendingMs: number | undefined

  /** `saved` is what an earlier process wrote: of another boot it says nothing. */
  constructor(bootId: string, saved: SavedContact | undefined) {
    this.#bootId = bootId
    const isOfThisBoot = bootId !== '' && saved?.bootId === bootId
    this.#lastMs = isOfThisBoot ? saved.bootMs : undefined
    this.#savedMs = this.#lastMs
  }

  /**
   * A session begins at `bootMs`, and its heartbeats are counted anew. It gives a set once the leader has
   * registered the node, which is as good as an answer to a heartbeat that had left with its hello.
   */
  restart(bootMs: number): void {
    this.#sent.clear()
    this.#pendingMs = bootMs
  }

  /** A heartbeat leaves, no earlier than at `bootMs`. */
  sent(sequence: number, bootMs: number): void {
    this.#sent.set(sequence, bootMs)
    for (const old of this.#sent.keys()) {
      if (this.#sent.size <= WAITING_MAX) break
      this.#sent.delete(old)
    }
  }

  /** The leader answered it, and counts the node as ready; `isTold`: what is wanted here is known. */
  answered(sequence: number, isTold: boolean): void {
    const sentMs = this.#sent.get(sequence)
    this.#sent.delete(sequence)
    if (sentMs === undefined) return
    this.#pendingMs = Math.max(this.#pendingMs ?? sentMs, sentMs)
    if (isTold) this.told()
  }

  /** What is wanted here is known as of this session. */
  told(): void {
    if (this.#pendingMs === undefined) return
    this.#lastMs = Math.max(this.#lastMs ?? this.#pendingMs, this.#pendingMs)
    this.#pendingMs = undefined
  }

  /** How long ago it was, ms; Infinity when there was none in this boot, or it is not over yet. */
  ageMs(bootMs: number): number {
    // A clock that was set back to an older state of the host tells nothing.
    if (this.#lastMs === undefined || this.#lastMs > bootMs) return Number.POSITIVE_INFINITY
    return bootMs - this.#lastMs
  }

  /** Whether it must be written anew, where a task may run without contact for this long. */
  isStale(stopAfterMs: number): boolean {
    if (this.#lastMs === undefined) return false
    return this.#savedMs === undefined || this.#lastMs - this.#savedMs >= stopAfterMs / SAVED_PART
  }

  /** What is written now. */
  save(): SavedContact | undefined {
    this.#savedMs = this.#lastMs
    const bootMs = this.#lastMs
    return bootMs === undefined ? undefined : { bootId: this.#bootId, bootMs: Math.floor(bootMs) }
  }
}
