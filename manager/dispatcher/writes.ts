/**
 * Writes: what sessions have the leader write: that a node is there, what became of its tasks, that
 * it goes. Each sort has a lane with so many in flight; what waits is bounded by the sessions, for
 * each waits with its newest only. All of them may be written twice, so what failed in a way that
 * passes is written again. What they do is decided by `handlers.ts`, on the leader.
 */
import { defined } from '../../lib/assert.ts'
import type { SwarmError } from '../../lib/errors.ts'
import type { NodeLeave, WriteReply, WriteRequest } from '../../proto/gen/control.ts'
import type { StatusBatch } from '../../proto/gen/dispatcher.ts'
import type { NodeDescription } from '../../proto/gen/objects.ts'
import { Lane } from './lane.ts'
import type { Session } from './session.ts'

/** In flight at once: the leader commits them in groups, the rest wait here. */
const REGISTRATIONS_MAX = 64
const REPORTS_MAX = 256
/** After a write failed in a way that passes (no leader), its lane rests for this long. */
const RETRY_MS = 250
/** A goodbye that could not be written for this long is given up: the node will be missed. */
const LEAVE_TIMEOUT_MS = 10_000

export type WriteOutcome =
  | { readonly kind: 'committed'; readonly reply: WriteReply }
  | { readonly kind: 'refused'; readonly error: SwarmError }

/** A goodbye that is being written; it outlives its stream. */
type Leave = { readonly session: Session; readonly body: NodeLeave; readonly untilMs: number }

type Job =
  | { readonly kind: 'register'; readonly session: Session; readonly description: NodeDescription }
  | { readonly kind: 'report'; readonly session: Session; readonly batch: StatusBatch }
  | { readonly kind: 'leave'; readonly session: Session; readonly leave: Leave }

/** What a write has come to, for the session it was made for. */
export type Finished =
  | { readonly kind: 'registered'; readonly session: Session; readonly index: number }
  | { readonly kind: 'reported'; readonly session: Session; readonly sequence: number }
  | { readonly kind: 'left'; readonly session: Session }
  /** It will never succeed. */
  | { readonly kind: 'refused'; readonly session: Session; readonly error: SwarmError }

export class Writes {
  /** Raft id of this manager. */
  readonly #holder: number
  #registrations = new Lane<Session>(REGISTRATIONS_MAX)
  #reports = new Lane<Session>(REPORTS_MAX)
  #goodbyes = new Lane<Leave>(REGISTRATIONS_MAX)
  #leaves = new Set<Leave>()
  #inFlight = new Map<number, Job>()
  #lastId = 0

  constructor(holder: number) {
    this.#holder = holder
  }

  /** Sessions that wait for their turn to register. */
  get registrationsWaiting(): number {
    return this.#registrations.waiting
  }

  /** The node is written as ready, with the newest description of the session. */
  register(session: Session): void {
    this.#registrations.add(session)
  }

  /** The batch is written; it holds all that is not acknowledged, so it replaces one that waits. */
  report(session: Session, batch: StatusBatch): void {
    const known = session.held ?? session.reporting
    if (batch.sequence <= (known?.sequence ?? session.reportedSequence)) return
    if (this.#reports.isInFlight(session)) session.held = batch
    else session.reporting = batch
    this.#reports.add(session)
  }

  /** The node is written as gone; nothing else of the session is written any more. */
  leave(session: Session, returnMs: number, nowMs: number): void {
    this.forget(session)
    const body = { nodeId: session.nodeId, announceReturn: returnMs > 0, returnMs }
    const leave = { session, body, untilMs: nowMs + LEAVE_TIMEOUT_MS }
    this.#leaves.add(leave)
    this.#goodbyes.add(leave)
  }

  /** The session has ended; its goodbye is written all the same. */
  forget(session: Session): void {
    this.#registrations.remove(session)
    this.#reports.remove(session)
  }

  /** The next write to make; undefined when none may be made now. */
  take(nowMs: number): { readonly id: number; readonly request: WriteRequest } | undefined {
    const job = this.#takeJob(nowMs)
    if (job === undefined) return undefined
    this.#lastId += 1
    this.#inFlight.set(this.#lastId, job)
    const { nodeId } = job.session
    const request = { caller: { nodeId, role: 'worker' as const }, body: this.#bodyOf(job) }
    return { id: this.#lastId, request }
  }

  /** What the write has come to; undefined when it is made again, or nobody waits for it. */
  finish(id: number, outcome: WriteOutcome, nowMs: number): Finished | undefined {
    const job = this.#inFlight.get(id)
    if (job === undefined) return undefined
    this.#inFlight.delete(id)
    switch (job.kind) {
      case 'register':
        return this.#finishRegistration(job, outcome, nowMs)
      case 'report':
        return this.#finishReport(job, outcome, nowMs)
      case 'leave':
        return this.#finishLeave(job.leave, outcome, nowMs)
      default:
        return job satisfies never
    }
  }

  /** Sessions whose goodbye could not be written in time. */
  giveUp(nowMs: number): readonly Session[] {
    const late = [...this.#leaves].filter((leave) => leave.untilMs <= nowMs)
    for (const leave of late) {
      this.#leaves.delete(leave)
      this.#goodbyes.remove(leave)
    }
    return late.map((leave) => leave.session)
  }

  #takeJob(nowMs: number): Job | undefined {
    const leave = this.#goodbyes.take(nowMs)
    if (leave !== undefined) return { kind: 'leave', session: leave.session, leave }
    const registering = this.#registrations.take(nowMs)
    if (registering !== undefined) {
      const description = defined(registering.description, 'a session that registers is described')
      return { kind: 'register', session: registering, description }
    }
    const reporting = this.#reports.take(nowMs)
    if (reporting === undefined) return undefined
    const batch = defined(reporting.reporting, 'a session that reports has a batch')
    return { kind: 'report', session: reporting, batch }
  }

  #bodyOf(job: Job): WriteRequest['body'] {
    const { nodeId, hello, peerAddr } = job.session
    const instance = hello?.instance ?? ''
    switch (job.kind) {
      case 'register': {
        const { description } = job
        const bootId = hello?.bootId ?? ''
        const node = { nodeId, instance, bootId, description, addr: peerAddr, holder: this.#holder }
        return { kind: 'nodeRegister', nodeRegister: node }
      }
      case 'report': {
        const { updates } = job.batch
        return { kind: 'statusReport', statusReport: { nodeId, instance, updates } }
      }
      case 'leave':
        return { kind: 'nodeLeave', nodeLeave: job.leave.body }
      default:
        return job satisfies never
    }
  }

  #finishRegistration(
    { session, description }: Extract<Job, { kind: 'register' }>,
    outcome: WriteOutcome,
    nowMs: number,
  ): Finished | undefined {
    this.#registrations.done(session)
    if (!isOpen(session)) return undefined
    if (outcome.kind === 'refused')
      return retry(this.#registrations, session, nowMs, outcome.error)
        ? undefined
        : { kind: 'refused', session, error: outcome.error }
    if (session.description !== description) this.#registrations.add(session)
    return { kind: 'registered', session, index: outcome.reply.index }
  }

  #finishReport(
    { session, batch }: Extract<Job, { kind: 'report' }>,
    outcome: WriteOutcome,
    nowMs: number,
  ): Finished | undefined {
    this.#reports.done(session)
    if (!isOpen(session)) return undefined
    const { held } = session
    session.held = undefined
    if (outcome.kind === 'refused') {
      session.reporting = held ?? batch
      return retry(this.#reports, session, nowMs, outcome.error)
        ? undefined
        : { kind: 'refused', session, error: outcome.error }
    }
    session.reportedSequence = batch.sequence
    session.reporting = held
    return { kind: 'reported', session, sequence: batch.sequence }
  }

  #finishLeave(leave: Leave, outcome: WriteOutcome, nowMs: number): Finished | undefined {
    this.#goodbyes.done(leave)
    if (!this.#leaves.has(leave)) return undefined
    if (outcome.kind === 'refused' && retry(this.#goodbyes, leave, nowMs, outcome.error))
      return undefined
    this.#leaves.delete(leave)
    return { kind: 'left', session: leave.session }
  }
}

function isOpen(session: Session): boolean {
  return session.phase !== 'leaving' && session.phase !== 'closed'
}

/** Whether the same write may succeed later, and so has another turn. */
function retry<K extends object>(
  lane: Lane<K>,
  key: K,
  nowMs: number,
  { code, retriable }: SwarmError,
): boolean {
  const isPassing =
    retriable ||
    ['unavailable', 'deadline-exceeded', 'aborted', 'resource-exhausted'].includes(code)
  if (!isPassing) return false
  lane.rest(nowMs + RETRY_MS)
  lane.add(key)
  return true
}
