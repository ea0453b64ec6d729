/**
 * Calls: writes that this manager cannot evaluate itself, because another one leads or nobody does.
 * They wait for a leader, are passed on to it, and are tried again only if that one said it evaluated
 * nothing (DESIGN section 4); whatever else comes back is the answer. A call that no leader took in
 * time is given up. Who leads, and how a call is passed on, is `manager.ts`'s.
 */
import { SwarmError } from '../lib/errors.ts'
import type { WriteReply, WriteRequest } from '../proto/gen/control.ts'

/** A call that no leader took within this time is refused, as Docker's 20 s. */
const DEADLINE_MS = 20_000
/** A refused forward is tried again after this long. */
const FORWARD_RETRY_MS = 100
/** Calls waiting at once; more are refused. */
const WAITING_MAX = 50_000

/** Whose call it is: of the shell by its id, or of the dispatcher. */
export type Origin = { readonly from: 'shell' | 'dispatcher'; readonly id: number }
export type Call = {
  readonly origin: Origin
  readonly request: WriteRequest
  /** Monotonic, ms. */
  readonly deadlineMs: number
}
type Waiting = Call & {
  /** Monotonic, ms: it does not leave before. */
  readonly retryMs: number
}

export class Calls {
  /** For a leader, or for another try. */
  #waiting: Waiting[] = []
  /** On their way to the leader, by the number of the forward. */
  #forwarded = new Map<number, Call>()
  #lastForward = 0

  /** The call waits for a leader; false when too many do. */
  add(origin: Origin, request: WriteRequest, nowMs: number): boolean {
    if (this.#waiting.length >= WAITING_MAX) return false
    this.#waiting.push({ origin, request, deadlineMs: nowMs + DEADLINE_MS, retryMs: 0 })
    return true
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  /** Those that may go to a leader now; they wait no more. */
  takeDue(nowMs: number): readonly Call[] {
    const due = this.#waiting.filter((call) => call.retryMs <= nowMs)
    this.#waiting = this.#waiting.filter((call) => call.retryMs > nowMs)
    return due
  }

  /** The call is on its way to the leader; the number that its answer will carry. */
  forward(call: Call): number {
    const id = ++this.#lastForward
    this.#forwarded.set(id, call)
    return id
  }

  /** The call that `outcome` answers; undefined when it waits for another try, or is not known. */
  finish(id: number, outcome: WriteReply | SwarmError, nowMs: number): Call | undefined {
    const call = this.#forwarded.get(id)
    this.#forwarded.delete(id)
    if (call === undefined || !isUntouched(outcome)) return call
    this.#waiting.push({ ...call, retryMs: nowMs + FORWARD_RETRY_MS })
    return undefined
  }

  /** Those whose time is up; they wait no more. */
  takeExpired(nowMs: number): readonly Call[] {
    const expired = this.#waiting.filter((call) => call.deadlineMs <= nowMs)
    if (expired.length > 0) this.#waiting = this.#waiting.filter((call) => call.deadlineMs > nowMs)
    return expired
  }
}

/** Only a leader that says it evaluated nothing may be asked again. */
function isUntouched(outcome: WriteReply | SwarmError): boolean {
  return outcome instanceof SwarmError && outcome.code === 'unavailable' && outcome.retriable
}
