/**
 * Reads: linearizable read indexes for sessions that begin. One request serves all sessions that
 * waited when it was made, those that come later wait for the next one: an index asked for before a
 * session's hello would not order anything after it. So at most one request is in flight.
 */

/** A request that was refused or never answered is made again after this long. */
const READ_RETRY_MS = 250
const READ_TIMEOUT_MS = 5_000

export class Reads<S extends object> {
  #waiting = new Set<S>()
  #inFlight: { readonly id: number; readonly sessions: ReadonlySet<S> } | undefined
  /** Monotonic, ms: when the request in flight was made. */
  #askedMs = 0
  /** Monotonic, ms: nothing is asked before. */
  #restUntilMs = 0
  #lastId = 0

  add(session: S): void {
    this.#waiting.add(session)
  }

  remove(session: S): void {
    this.#waiting.delete(session)
  }

  /** The id of a request to make now; undefined when there is none. */
  take(nowMs: number): number | undefined {
    if (this.#inFlight !== undefined && nowMs - this.#askedMs >= READ_TIMEOUT_MS)
      this.fail(this.#inFlight.id, nowMs)
    if (this.#inFlight !== undefined || this.#waiting.size === 0) return undefined
    if (nowMs < this.#restUntilMs) return undefined
    this.#lastId += 1
    this.#askedMs = nowMs
    this.#inFlight = { id: this.#lastId, sessions: this.#waiting }
    this.#waiting = new Set()
    return this.#lastId
  }

  /** The sessions that an answer is for; none when it is not for the request in flight. */
  finish(id: number): readonly S[] {
    const request = this.#inFlight
    if (request === undefined || request.id !== id) return []
    this.#inFlight = undefined
    return [...request.sessions]
  }

  /** The sessions of the request wait for another one. */
  fail(id: number, nowMs: number): void {
    for (const session of this.finish(id)) this.#waiting.add(session)
    this.#restUntilMs = nowMs + READ_RETRY_MS
  }
}
