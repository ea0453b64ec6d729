/**
 * Session: the agent's connection to one manager at a time. It decides whom to dial and when, sends
 * hello and heartbeats, leaves a manager that does not answer, and says so when it finds none for
 * long. What a session brings (assignments, acknowledgements) is the agent's business; whether the
 * node is alive is the leader's, whose answer every acknowledged heartbeat is (DESIGN section 7).
 *
 *   idle ─► dialing ─► hello ─► running ─► closing ─► closed
 *    ▲         │         │         │           (goodbye said)
 *    └─────────┴─────────┴─────────┘ failed, not answered for two periods, or to be opened anew
 */
import { type Backoff, backoffMs } from '../lib/backoff.ts'
import type { SwarmError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { Random } from '../lib/random.ts'
import type {
  AgentMessage,
  Hello,
  ManagerAddress,
  SessionMessage,
} from '../proto/gen/dispatcher.ts'
import type { Managers } from './managers.ts'

/**
 * Between two rounds over all managers. A round in which two of three are silent must end before the
 * third one, which leads again, counts this node as down: two dials and this are 11 s of its 12.
 */
const RECONNECT: Backoff = { baseMs: 100, maxMs: 5_000 }
/** A session that ran for so long was a good one: the next failure is the first in a row. */
const GOOD_SESSION_MS = 10_000
const DIAL_TIMEOUT_MS = 3_000
/** A manager answers hello within this time, also when many agents come at once. */
const START_TIMEOUT_MS = 30_000
/** Until a manager says otherwise (DESIGN section 7). */
const HEARTBEAT_PERIOD_MS = 2_000
/** A manager that did not answer for so many periods is left. */
const UNANSWERED_PERIODS = 2
/** Heartbeats come up to a tenth of a period early, so that nodes do not beat together. */
const JITTER_SHARE = 10
/** After goodbye the manager closes; for no longer than this is that waited for. */
const GOODBYE_TIMEOUT_MS = 2_000
/** So long without a session somebody must be told, and again each hour. */
const LOST_MS = 5 * 60_000
const LOST_AGAIN_MS = 60 * 60_000
const LOST_REMEDY =
  'if the managers of the swarm are well, they are others than those that this node knows: ' +
  'leave with "tsswarm leave --force" and join again'

export type SessionEffect =
  | { readonly kind: 'dial'; readonly session: number; readonly addr: string }
  | { readonly kind: 'send'; readonly session: number; readonly message: AgentMessage }
  | { readonly kind: 'hangup'; readonly session: number }

/** An open stream: `id` and `manager` are its, and it is answered or left. */
type Stream = {
  readonly id: number
  readonly manager: ManagerAddress
  /** Monotonic, ms: when a heartbeat was last answered, at first when hello was sent. */
  answeredMs: number
  /** Of the last heartbeat that was sent, and of the last that was answered. */
  sequence: number
  answeredSequence: number
  /** Monotonic, ms: when the next heartbeat is due. */
  beatMs: number
}

type State =
  | { readonly kind: 'idle'; readonly dialMs: number }
  | {
      readonly kind: 'dialing'
      readonly id: number
      readonly manager: ManagerAddress
      readonly sinceMs: number
    }
  | { readonly kind: 'hello'; readonly stream: Stream; readonly sinceMs: number }
  | { readonly kind: 'running'; readonly stream: Stream; readonly sinceMs: number }
  | { readonly kind: 'closing'; readonly id: number; readonly untilMs: number }
  | { readonly kind: 'closed' }

export type SessionOptions = {
  readonly managers: Managers
  readonly random: Random
  readonly log: Log
  readonly nowMs: number
}

export class Session {
  readonly #managers: Managers
  readonly #random: Random
  readonly #log: Log
  #state: State
  #nowMs: number
  #lastId = 0
  /** Attempts that failed in a row. */
  #failures = 0
  #periodMs = HEARTBEAT_PERIOD_MS
  #starts = 0
  /** Monotonic, ms: when it is next said that no session is to be had; while none runs. */
  #lostMs: number
  #effects: SessionEffect[] = []

  constructor({ managers, random, log, nowMs }: SessionOptions) {
    this.#managers = managers
    this.#random = random
    this.#log = log
    this.#nowMs = nowMs
    this.#lostMs = nowMs + LOST_MS
    this.#state = { kind: 'idle', dialMs: nowMs }
  }

  get kind(): State['kind'] {
    return this.#state.kind
  }

  /** How many sessions were accepted by a manager. */
  get starts(): number {
    return this.#starts
  }

  get periodMs(): number {
    return this.#periodMs
  }

  /** The manager being talked to, if any. */
  get manager(): ManagerAddress | undefined {
    const state = this.#state
    if (state.kind === 'dialing') return state.manager
    return state.kind === 'hello' || state.kind === 'running' ? state.stream.manager : undefined
  }

  /** What was decided since the last call. */
  takeEffects(): readonly SessionEffect[] {
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  /** What time does; `isWanted` is whether a session may be opened. */
  tick(nowMs: number, isWanted: boolean): void {
    this.#nowMs = nowMs
    this.#complain(isWanted)
    const state = this.#state
    switch (state.kind) {
      case 'idle':
        if (isWanted && nowMs >= state.dialMs) this.#dial()
        break
      case 'dialing':
        if (nowMs - state.sinceMs >= DIAL_TIMEOUT_MS) this.#leave('not connected in time')
        break
      case 'hello':
        if (nowMs - state.sinceMs >= START_TIMEOUT_MS) this.#leave('not registered in time')
        else this.#beat(state.stream)
        break
      case 'running':
        this.#beat(state.stream)
        break
      case 'closing':
        if (nowMs >= state.untilMs) this.#hangUp(state.id)
        break
      case 'closed':
        break
      default:
        state satisfies never
    }
  }

  /** The stream is open: hello is sent. False when it is not the one that was dialed last. */
  connected(session: number, hello: Hello): boolean {
    const state = this.#state
    if (state.kind !== 'dialing' || state.id !== session) return false
    const stream: Stream = {
      id: session,
      manager: state.manager,
      answeredMs: this.#nowMs,
      sequence: 0,
      answeredSequence: 0,
      beatMs: this.#nowMs,
    }
    this.#state = { kind: 'hello', stream, sinceMs: this.#nowMs }
    this.#push(stream, { kind: 'hello', hello })
    this.#beat(stream)
    return true
  }

  disconnected(session: number, error: SwarmError | undefined): void {
    if (this.#idOf() !== session) return
    if (this.#state.kind === 'closing') this.#state = { kind: 'closed' }
    else this.#fail(error?.message ?? 'closed by the manager')
  }

  /** The message if it is one of the running session's that the agent must see. */
  received(session: number, message: SessionMessage): SessionMessage['body'] {
    const state = this.#state
    if (state.kind !== 'hello' && state.kind !== 'running') return undefined
    if (state.stream.id !== session) return undefined
    const body = message.body
    if (body?.kind === 'start') this.#start(state.stream, body.start.heartbeatPeriodMs)
    if (body?.kind === 'heartbeatAck') answer(state.stream, body.heartbeatAck.sequence, this.#nowMs)
    if (this.#state.kind === 'running') return body
    // Whom it knows a manager says at once, also when it has no session to give.
    if (body?.kind === 'managers') return body
    // The manager is ahead: what it said before did not arrive.
    if (body?.kind !== 'heartbeatAck' || body.heartbeatAck.mark !== undefined)
      this.reopen('the start of the session was lost on the way', 'good')
    return undefined
  }

  /** Sent if a session is running. */
  send(body: AgentMessage['body']): void {
    if (this.#state.kind === 'running') this.#push(this.#state.stream, body)
  }

  /** This session is given up and another one opened, with another manager if this one is `bad`. */
  reopen(reason: string, manager: 'good' | 'bad'): void {
    const id = this.#idOf()
    if (id === undefined || this.#state.kind === 'closing') return
    this.#effects.push({ kind: 'hangup', session: id })
    this.#fail(reason, manager)
  }

  /** Says goodbye if there is somebody to say it to; ends `closed`. */
  close(returnMs: number): void {
    const state = this.#state
    if (state.kind === 'hello' || state.kind === 'running') {
      this.#push(state.stream, { kind: 'goodbye', goodbye: { returnMs } })
      const untilMs = this.#nowMs + GOODBYE_TIMEOUT_MS
      this.#state = { kind: 'closing', id: state.stream.id, untilMs }
    } else if (state.kind === 'dialing') this.#hangUp(state.id)
    else if (state.kind === 'idle') this.#state = { kind: 'closed' }
  }

  /** Nobody but the log may know of a node that knows no living manager. */
  #complain(isWanted: boolean): void {
    if (!isWanted || this.#state.kind === 'running') this.#lostMs = this.#nowMs + LOST_MS
    if (this.#nowMs < this.#lostMs) return
    this.#lostMs = this.#nowMs + LOST_AGAIN_MS
    const addrs = [...this.#managers.list(), ...this.#managers.listFormer()]
      .map(({ addr }) => addr)
      .join(', ')
    this.#log.error({ managers: addrs, remedy: LOST_REMEDY }, 'no manager found')
  }

  #dial(): void {
    const manager = this.#managers.choose(this.#random)
    if (manager === undefined) return
    this.#lastId += 1
    this.#state = { kind: 'dialing', id: this.#lastId, manager, sinceMs: this.#nowMs }
    this.#effects.push({ kind: 'dial', session: this.#lastId, addr: manager.addr })
  }

  #start(stream: Stream, periodMs: number): void {
    if (periodMs > 0) this.#periodMs = periodMs
    if (this.#state.kind === 'running') return
    this.#starts += 1
    this.#managers.observe(stream.manager.addr, 'good')
    this.#state = { kind: 'running', stream, sinceMs: this.#nowMs }
    this.#log.info({ manager: stream.manager.addr }, 'session started')
  }

  #beat(stream: Stream): void {
    if (this.#nowMs - stream.answeredMs >= UNANSWERED_PERIODS * this.#periodMs) {
      this.#leave('no answer for two heartbeat periods')
      return
    }
    if (this.#nowMs < stream.beatMs) return
    stream.sequence += 1
    const jitterMs = this.#random.integer(Math.max(1, Math.floor(this.#periodMs / JITTER_SHARE)))
    stream.beatMs = this.#nowMs + this.#periodMs - jitterMs
    this.#push(stream, { kind: 'heartbeat', heartbeat: { sequence: stream.sequence } })
  }

  #leave(reason: string): void {
    this.reopen(reason, 'bad')
  }

  #fail(reason: string, outcome: 'good' | 'bad' = 'bad'): void {
    const state = this.#state
    const { manager } = this
    if (manager !== undefined && outcome === 'bad') this.#managers.observe(manager.addr, 'bad')
    const wasGood = state.kind === 'running' && this.#nowMs - state.sinceMs >= GOOD_SESSION_MS
    const isRoundOver = outcome === 'good' || this.#managers.isRoundOver
    this.#failures = wasGood ? 1 : this.#failures + (isRoundOver ? 1 : 0)
    const waitMs = backoffMs(isRoundOver ? this.#failures : 1, this.#random, RECONNECT)
    this.#state = { kind: 'idle', dialMs: this.#nowMs + waitMs }
    this.#log.warn({ manager: manager?.addr, reason, waitMs }, 'session lost')
  }

  #hangUp(session: number): void {
    this.#effects.push({ kind: 'hangup', session })
    this.#state = { kind: 'closed' }
  }

  #push({ id }: Stream, body: AgentMessage['body']): void {
    this.#effects.push({ kind: 'send', session: id, message: { body } })
  }

  #idOf(): number | undefined {
    const state = this.#state
    if (state.kind === 'dialing' || state.kind === 'closing') return state.id
    return state.kind === 'hello' || state.kind === 'running' ? state.stream.id : undefined
  }
}

/** Answers that come twice, or late and out of order, are no sign of life. */
function answer(stream: Stream, sequence: number, nowMs: number): void {
  if (sequence <= stream.answeredSequence || sequence > stream.sequence) return
  stream.answeredSequence = sequence
  stream.answeredMs = nowMs
}
