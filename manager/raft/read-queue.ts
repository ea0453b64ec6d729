/**
 * Reads that wait until a quorum has confirmed that the leader still leads (thesis section 6.4).
 * Each has a position, counted from the start of the leader's term. Heartbeats carry the last
 * position, and an answered one confirms it and all before, so that a single round serves every
 * read that waits. Which reads enter is decided in `read-index.ts`.
 */
import { type Message, NO_BYTES } from './message.ts'
import { committedIndex, type Quorum } from './quorum.ts'

export type WaitingRead = {
  readonly request: Message
  /** The commit index when the read arrived: what must be applied before it is answered. */
  readonly index: number
}

export class ReadQueue {
  #waiting: WaitingRead[] = []
  /** The position of the last read that was confirmed. */
  #confirmed = 0
  /** By node: the last position it has confirmed. */
  readonly #acknowledged = new Map<number, number>()

  add(read: WaitingRead): void {
    this.#waiting.push(read)
  }

  /** What heartbeats carry to confirm all that wait; empty if nothing does. */
  context(): Uint8Array {
    if (this.#waiting.length === 0) return NO_BYTES
    const bytes = new Uint8Array(8)
    const position = this.#confirmed + this.#waiting.length
    new DataView(bytes.buffer).setBigUint64(0, BigInt(position), true)
    return bytes
  }

  /** `from` has answered a heartbeat with `context`. */
  acknowledge(from: number, context: Uint8Array): void {
    if (context.length !== 8) return
    const view = new DataView(context.buffer, context.byteOffset, 8)
    const position = Number(view.getBigUint64(0, true))
    this.#acknowledged.set(from, Math.max(this.#acknowledged.get(from) ?? 0, position))
  }

  /** The reads that a quorum has confirmed, in the order they came; they wait no longer. */
  takeConfirmed(quorum: Quorum): readonly WaitingRead[] {
    const position = committedIndex(quorum, (voter) => this.#acknowledged.get(voter))
    const count = Math.min(Math.max(position - this.#confirmed, 0), this.#waiting.length)
    this.#confirmed += count
    return this.#waiting.splice(0, count)
  }
}
