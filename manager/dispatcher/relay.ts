/**
 * Relay: heartbeats on their way to the leader, and what its answers mean. They travel in one batch
 * every 250 ms, one batch at a time; a session waits with its newest heartbeat only, so the queue is
 * bounded by the sessions. What no leader of the current term answered goes again with the next
 * batch; an agent is answered only after that leader was (DESIGN section 7).
 */
import type { RelayReply, RelayRequest } from '../../proto/gen/control.ts'
import type { Session } from './session.ts'

/** How often a batch leaves. */
export const RELAY_INTERVAL_MS = 250
/** After this long without an answer a batch counts as lost. */
const RELAY_TIMEOUT_MS = 2_000

/** Session → sequence of its newest heartbeat. */
type Heartbeats = ReadonlyMap<Session, number>

/** What the leader said of one session's heartbeat. */
export type Answer = {
  readonly session: Session
  readonly sequence: number
  /** Why the session must end; undefined when the node counts as heard. */
  readonly refusal: string | undefined
  /** Whether its node counts as ready. */
  readonly isReady: boolean
}

export class Relay {
  /** Raft id of this manager. */
  readonly #holder: number
  #waiting = new Map<Session, number>()
  #inFlight: { readonly id: number; readonly heartbeats: Heartbeats } | undefined
  /** Monotonic, ms: when the last batch left. */
  #sentMs = Number.NEGATIVE_INFINITY
  #lastId = 0
  /** The newest term that was heard of. */
  #term = 0

  constructor(holder: number) {
    this.#holder = holder
  }

  /** A leader of an older term than this one was deposed, even if it does not know. */
  observeTerm(term: number): void {
    this.#term = Math.max(this.#term, term)
  }

  note(session: Session, sequence: number): void {
    this.#waiting.set(session, sequence)
  }

  forget(session: Session): void {
    this.#waiting.delete(session)
  }

  /** The batch that leaves now; undefined when none is due. */
  take(nowMs: number): { readonly id: number; readonly request: RelayRequest } | undefined {
    if (this.#inFlight !== undefined) {
      if (nowMs - this.#sentMs < RELAY_TIMEOUT_MS) return undefined
      this.finish(this.#inFlight.id, undefined)
    }
    if (this.#waiting.size === 0 || nowMs - this.#sentMs < RELAY_INTERVAL_MS) return undefined
    const id = this.#lastId + 1
    this.#lastId = id
    this.#sentMs = nowMs
    this.#inFlight = { id, heartbeats: this.#waiting }
    const heartbeats = [...this.#waiting.keys()].map(({ nodeId, hello }) => ({
      nodeId,
      instance: hello?.instance ?? '',
    }))
    this.#waiting = new Map()
    return { id, request: { holder: this.#holder, heartbeats } }
  }

  /** What the leader said of each heartbeat in the batch; without an answer they wait again. */
  finish(id: number, reply: RelayReply | undefined): readonly Answer[] {
    if (this.#inFlight?.id !== id) return []
    const { heartbeats } = this.#inFlight
    this.#inFlight = undefined
    if (reply === undefined || reply.term < this.#term) {
      for (const [session, sequence] of heartbeats)
        if (session.phase !== 'closed' && !this.#waiting.has(session))
          this.#waiting.set(session, sequence)
      return []
    }
    this.#term = reply.term
    const reasons = new Map(
      reply.refusals.map(({ nodeId, instance, reason }) => [`${nodeId}/${instance}`, reason]),
    )
    const notReady = new Set(reply.notReadyNodeIds)
    return [...heartbeats].map(([session, sequence]) => ({
      session,
      sequence,
      isReady: !notReady.has(session.nodeId),
      refusal: reasons.get(`${session.nodeId}/${session.hello?.instance ?? ''}`),
    }))
  }
}
