/**
 * Relay: heartbeats on their way to the leader. They travel in one batch every 250 ms, one batch at
 * a time; a session waits with its newest heartbeat only, so the queue is bounded by the sessions.
 * What no leader answered goes again with the next batch.
 */

/** How often a batch leaves. */
export const RELAY_INTERVAL_MS = 250
/** After this long without an answer a batch counts as lost. */
const RELAY_TIMEOUT_MS = 2_000

/** Session → sequence of its newest heartbeat. */
type Heartbeats = ReadonlyMap<number, number>

export class Relay {
  #waiting = new Map<number, number>()
  #inFlight: { readonly id: number; readonly heartbeats: Heartbeats } | undefined
  /** Monotonic, ms: when the last batch left. */
  #sentMs = Number.NEGATIVE_INFINITY
  #lastId = 0

  note(session: number, sequence: number): void {
    this.#waiting.set(session, sequence)
  }

  forget(session: number): void {
    this.#waiting.delete(session)
  }

  /** The batch that leaves now; undefined when none is due. */
  take(nowMs: number): { readonly id: number; readonly heartbeats: Heartbeats } | undefined {
    if (this.#inFlight !== undefined) {
      if (nowMs - this.#sentMs < RELAY_TIMEOUT_MS) return undefined
      this.finish(this.#inFlight.id, 'lost')
    }
    if (this.#waiting.size === 0 || nowMs - this.#sentMs < RELAY_INTERVAL_MS) return undefined
    this.#lastId += 1
    this.#sentMs = nowMs
    this.#inFlight = { id: this.#lastId, heartbeats: this.#waiting }
    this.#waiting = new Map()
    return this.#inFlight
  }

  /** What the batch held, if it is the one in flight; a lost one waits again. */
  finish(id: number, outcome: 'answered' | 'lost'): Heartbeats | undefined {
    const batch = this.#inFlight
    if (batch === undefined || batch.id !== id) return undefined
    this.#inFlight = undefined
    if (outcome === 'lost')
      for (const [session, sequence] of batch.heartbeats)
        if (!this.#waiting.has(session)) this.#waiting.set(session, sequence)
    return batch.heartbeats
  }
}
