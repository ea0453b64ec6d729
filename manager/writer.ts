/**
 * Writer: the leader's one queue of writes (DESIGN section 5, group commit). Requests and rounds of
 * the control loops run in it one after another on the working view, each with a savepoint; what
 * is waiting goes into one proposal, and all are answered at its commit. Refusals too are answered
 * only then, for they may rest on a neighbour that is not committed yet. It owns cluster time
 * while it leads. On loss of leadership everything not committed is dropped and answered with
 * "outcome unknown".
 */
import { assert } from '../lib/assert.ts'
import { SwarmError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { Random } from '../lib/random.ts'
import {
  emptyCaller,
  emptyWriteReply,
  type WriteReply,
  type WriteRequest,
} from '../proto/gen/control.ts'
import { type DigestCheck, encodeStoreEntry } from '../proto/gen/store.ts'
import type { Leader } from './leader.ts'
import type { Change } from './store/change.ts'
import {
  ENTRY_BYTES_MAX,
  ENTRY_CHANGES_MAX,
  groupChanges,
  newEntry,
  splitChanges,
} from './store/entry.ts'
import type { Handled, HandlerContext, ManagerReach } from './store/handler.ts'
import type { Store } from './store/store.ts'
import type { View } from './store/view.ts'
import type { Working } from './store/working.ts'

/** Proposals on their way at once; more waiting requests make the next one larger. */
const IN_FLIGHT_MAX = 4
/** Requests evaluated for one proposal. */
const BATCH_REQUESTS_MAX = 512
/**
 * Changes after which an entry is proposed before requests and control loops go on. Applying an entry is
 * one piece of work for every manager's main thread: so many take some milliseconds.
 */
const BATCH_CHANGES_MAX = 250
/** Requests waiting; more are refused at once. */
const QUEUE_MAX = 20_000
/**
 * While a timer is pending an entry is written so often that time goes on whoever leads: what a leader
 * did not write of its time is lost with it. Of what is left until the timer a quarter is risked, so
 * that leaders which last for some seconds get there (test/sim/rolling-update.test.ts).
 */
const TIME_ENTRY_MAX_MS = 5_000
const TIME_ENTRY_MIN_MS = 1_000
const TIME_ENTRY_SHARE = 1 / 4

export type WriterEffect =
  | {
      readonly kind: 'propose'
      readonly id: number
      readonly term: number
      readonly data: Uint8Array
    }
  | { readonly kind: 'read-index'; readonly id: number }
  | { readonly kind: 'answer'; readonly id: number; readonly reply: WriteReply }
  | { readonly kind: 'refuse'; readonly id: number; readonly error: SwarmError }

export type WriterConfig = {
  readonly store: Store
  readonly leader: Leader
  readonly random: Random
  readonly log: Log
  readonly handle: (view: View, request: WriteRequest, context: HandlerContext) => Handled
}

export type WriterRun = {
  readonly monotonicMs: number
  readonly wallMs: number
  readonly managers: readonly ManagerReach[]
  readonly isOver: () => boolean
}

type Answer = { readonly id: number; readonly outcome: Omit<WriteReply, 'index'> | SwarmError }
export type Waiting = { readonly id: number; readonly request: WriteRequest }
/** Refusals that wait for a ReadIndex and for the proposals that they rest on. */
type Confirming = {
  readonly answers: readonly Answer[]
  /** The last proposal that was in flight when they were decided; 0: none. */
  readonly after: number
  /** What the ReadIndex was confirmed at, once it was. */
  readonly index: number | undefined
}
/** An entry on its way through Raft, and who is answered when it is committed. */
type InFlight = { readonly proposal: number; readonly answers: readonly Answer[] }

export class Writer {
  #config: WriterConfig
  #term: number
  #working: Working
  #waiting: Waiting[] = []
  #inFlight: InFlight[] = []
  /** Refusals without changes, waiting for a ReadIndex, by the number of the read. */
  #confirming = new Map<number, Confirming>()
  /** The last proposal that was committed; 0 before the first. */
  #committedProposal = 0
  #sequence = 0
  /** Changes since the last proposal. */
  #openCount = 0
  #effects: WriterEffect[] = []

  /** Cluster time: where it stood when this manager began to lead, and the monotonic time then. */
  #baseTimeMs: number
  #baseMonotonicMs: number
  /** Cluster time of the last proposed entry. */
  #lastTimeMs: number
  /** Index of the last digest that was sent along. */
  #digestIndex = 0

  /** Begins to lead `term`; the store has applied the first entry of it. */
  constructor(config: WriterConfig, term: number, monotonicMs: number) {
    this.#config = config
    this.#term = term
    this.#working = config.store.working()
    this.#baseTimeMs = config.store.view().timeMs
    this.#lastTimeMs = this.#baseTimeMs
    this.#baseMonotonicMs = monotonicMs
  }

  /** The request waits for its turn; exactly one answer or refusal with `id` follows. */
  submit(id: number, request: WriteRequest): void {
    if (this.#waiting.length >= QUEUE_MAX) {
      this.#refuse(
        id,
        new SwarmError('resource-exhausted', 'too many writes are waiting, try again later', {
          retriable: true,
        }),
      )
      return
    }
    this.#waiting.push({ id, request })
  }

  /** Cluster time at this monotonic time, ms. */
  clusterMs(monotonicMs: number): number {
    const elapsed = Math.max(0, Math.floor(monotonicMs - this.#baseMonotonicMs))
    return Math.max(this.#lastTimeMs, this.#baseTimeMs + elapsed)
  }

  /** The state with everything that is proposed, for decisions of the leader. */
  view(): View {
    return this.#working.view
  }

  /** Whether `run` has something to do now. */
  isDue(monotonicMs: number): boolean {
    if (this.#inFlight.length >= IN_FLIGHT_MAX) return false
    const now = this.clusterMs(monotonicMs)
    return this.#waiting.length > 0 || this.#config.leader.isDue(now) || this.#isTimeEntryDue(now)
  }

  /**
   * Evaluates what waits, runs the control loops that have a reason to, and proposes what came of
   * it. `isOver` says when the caller's slice of time is used up (DESIGN section 6: 10 ms); what is
   * left is done by the next call.
   */
  run(options: WriterRun): void {
    if (!this.isDue(options.monotonicMs)) return
    // The commit of what is in flight gives another turn: a larger proposal then beats a small one now.
    if (this.#inFlight.length > 0 && options.isOver()) return
    const now = this.clusterMs(options.monotonicMs)
    const answers = this.#evaluate(now, options)
    while (this.#openCount < BATCH_CHANGES_MAX && !options.isOver()) {
      if (!this.#runLoop(now, options.wallMs)) break
    }
    this.#openCount = 0
    const changes = this.#working.takeChanges()
    if (changes.length > 0 || this.#isTimeEntryDue(now))
      this.#propose(changes, answers, now, options.wallMs)
    else if (answers.length > 0) this.#confirm(answers)
  }

  /** An entry of this term was committed and applied: its writers are answered. */
  committed(index: number): void {
    const entry = this.#inFlight.shift()
    assert(entry !== undefined, 'an entry was committed that this leader did not propose', {
      index,
    })
    for (const answer of entry.answers) this.#answer(answer, index)
    this.#committedProposal = entry.proposal
    this.#answerConfirmed()
  }

  /** A ReadIndex that was asked for by effect `read-index` was confirmed and applied. */
  readReady(id: number, index: number): boolean {
    const confirming = this.#confirming.get(id)
    if (confirming === undefined) return false
    this.#confirming.set(id, { ...confirming, index })
    this.#answerConfirmed()
    return true
  }

  /** That ReadIndex was not confirmed: nothing was changed, and nothing can be said. */
  readRefused(id: number): void {
    const answers = this.#confirming.get(id)?.answers ?? []
    this.#confirming.delete(id)
    const error = new SwarmError(
      'unavailable',
      'this manager could not confirm that it still leads, nothing was changed: try again',
      { retriable: true },
    )
    for (const answer of answers) this.#refuse(answer.id, error)
  }

  /** No more leading: requests not evaluated are given back, all others are answered. */
  stop(): readonly Waiting[] {
    const unknown = new SwarmError(
      'unavailable',
      'the leader changed while the request was on its way, outcome unknown: look before trying again',
    )
    for (const { answers } of this.#inFlight)
      for (const answer of answers) this.#refuse(answer.id, unknown)
    for (const { answers } of this.#confirming.values())
      for (const answer of answers) this.#refuse(answer.id, unknown)
    const waiting = this.#waiting
    this.#inFlight = []
    this.#confirming = new Map()
    this.#waiting = []
    this.#working.drop()
    return waiting
  }

  takeEffects(): readonly WriterEffect[] {
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  /** What waits, in its order: at least one request, so that a slice used up by others stops nobody. */
  #evaluate(now: number, options: WriterRun): readonly Answer[] {
    const answers: Answer[] = []
    for (const waiting of this.#waiting) {
      answers.push(this.#evaluateOne(waiting, now, options))
      if (answers.length >= BATCH_REQUESTS_MAX || this.#openCount >= BATCH_CHANGES_MAX) break
      if (options.isOver()) break
    }
    this.#waiting.splice(0, answers.length)
    return answers
  }

  #evaluateOne({ id, request }: Waiting, now: number, options: WriterRun): Answer {
    const savepoint = this.#working.savepoint()
    try {
      const { changes, reply } = this.#config.handle(this.#working.view, request, {
        now,
        wallMs: options.wallMs,
        random: this.#config.random,
        caller: request.caller ?? emptyCaller,
        managers: options.managers,
      })
      this.#working.apply(changes)
      this.#config.leader.noteChanges(changes)
      this.#openCount += changes.length
      return { id, outcome: { ...emptyWriteReply, ...reply } }
    } catch (error) {
      this.#working.rollback(savepoint)
      return { id, outcome: this.#refusalOf(error, request) }
    }
  }

  /** A bug in a handler refuses its request, loudly, and harms nobody else. */
  #refusalOf(error: unknown, request: WriteRequest): SwarmError {
    if (error instanceof SwarmError) return error
    const detail = error instanceof Error ? error.stack : String(error)
    this.#config.log.error({ request: request.body?.kind, detail }, 'request tripped an assertion')
    return new SwarmError('internal', 'the request met a bug in tsswarm, see the manager’s log', {
      cause: error,
    })
  }

  /** One control loop ran; false when none has a reason to. */
  #runLoop(now: number, wallMs: number): boolean {
    const run = this.#config.leader.runNext({
      view: this.#working.view,
      now,
      wallMs,
      random: this.#config.random,
    })
    if (run === undefined) return false
    for (const problem of run.outcome.problems ?? [])
      this.#config.log.error({ loop: run.name, ...problem }, 'object set aside by a control loop')
    this.#working.apply(run.outcome.changes)
    this.#config.leader.noteChanges(run.outcome.changes, run.name)
    this.#openCount += run.outcome.changes.length
    return true
  }

  #propose(
    changes: readonly Change[],
    answers: readonly Answer[],
    now: number,
    wallMs: number,
  ): void {
    const groups = groupChanges(changes, this.#config.store.view())
    const digest = this.#digestCheck()
    const encode = (part: readonly Change[], check: DigestCheck | undefined): Uint8Array =>
      encodeStoreEntry({ ...newEntry(part, { timeMs: now, wallMs }), digest: check })
    // Nearly always it is one entry, and then each change is encoded once.
    const whole = groups.flat()
    const isOne = whole.length <= ENTRY_CHANGES_MAX
    const data = isOne ? encode(whole, digest) : undefined
    const entries =
      data !== undefined && data.length <= ENTRY_BYTES_MAX
        ? [data]
        : this.#split(groups).map((part, at) => encode(part, at === 0 ? digest : undefined))
    entries.forEach((entry, at) => {
      const id = ++this.#sequence
      this.#inFlight.push({ proposal: id, answers: at === entries.length - 1 ? answers : [] })
      this.#effects.push({ kind: 'propose', id, term: this.#term, data: entry })
    })
    this.#lastTimeMs = now
  }

  /** A slot is never cut, unless its tasks alone are more than one entry holds. */
  #split(groups: readonly (readonly Change[])[]): readonly (readonly Change[])[] {
    try {
      return splitChanges(groups)
    } catch (error) {
      if (!(error instanceof SwarmError) || error.code !== 'resource-exhausted') throw error
      this.#config.log.warn({ reason: error.message }, 'slot cut between two entries')
      return splitChanges(groups.flat().map((change) => [change]))
    }
  }

  /**
   * Refusals and no change. They rest on what is committed and on proposals in flight: so this
   * leader must be known to lead after they were decided, and those must have been committed.
   */
  #confirm(answers: readonly Answer[]): void {
    const id = ++this.#sequence
    const after = this.#inFlight.at(-1)?.proposal ?? 0
    this.#confirming.set(id, { answers, after, index: undefined })
    this.#effects.push({ kind: 'read-index', id })
  }

  #answerConfirmed(): void {
    for (const [id, { answers, after, index }] of this.#confirming) {
      if (index === undefined || after > this.#committedProposal) continue
      this.#confirming.delete(id)
      for (const answer of answers) this.#answer(answer, index)
    }
  }

  #isTimeEntryDue(now: number): boolean {
    const nextMs = this.#config.leader.nextMs()
    if (nextMs === undefined) return false
    const risked = Math.max(TIME_ENTRY_MIN_MS, (nextMs - this.#lastTimeMs) * TIME_ENTRY_SHARE)
    return now - this.#lastTimeMs >= Math.min(TIME_ENTRY_MAX_MS, risked)
  }

  /** The newest digest that all managers took, once. */
  #digestCheck(): DigestCheck | undefined {
    const check = this.#config.store.lastDigest()
    if (check === undefined || check.index <= this.#digestIndex) return undefined
    this.#digestIndex = check.index
    return check
  }

  #answer(answer: Answer, index: number): void {
    if (answer.outcome instanceof SwarmError) this.#refuse(answer.id, answer.outcome)
    else this.#effects.push({ kind: 'answer', id: answer.id, reply: { ...answer.outcome, index } })
  }

  #refuse(id: number, error: SwarmError): void {
    this.#effects.push({ kind: 'refuse', id, error })
  }
}
