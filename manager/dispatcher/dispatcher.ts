/**
 * Dispatcher: the sessions of agents that this manager holds, as one machine. It runs on every
 * manager. It decides when a session may begin (ReadIndex, own store far enough, node registered
 * with the leader), what each node is told (assignments, its own node object, the managers), which
 * heartbeats travel to the leader and which of its answers go back. Liveness is judged by the
 * leader (`node-status.ts`); writes are evaluated there (`handlers.ts`). DESIGN section 7,
 * docs/sessions.md.
 */
import { type Code, SwarmError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { Outbox } from '../../lib/outbox.ts'
import { compareMarks, ZERO_MARK } from '../../proto/assignment-mark.ts'
import type { RelayReply, RelayRequest, WriteRequest } from '../../proto/gen/control.ts'
import type {
  AgentCommand,
  AgentMessage,
  Hello,
  SessionMessage,
  StatusBatch,
} from '../../proto/gen/dispatcher.ts'
import type { NodeDescription } from '../../proto/gen/objects.ts'
import type { Change } from '../store/change.ts'
import type { View } from '../store/view.ts'
import { findEpoch } from './assignments.ts'
import { Briefing } from './briefing.ts'
import { STATUS_UPDATES_MAX } from './handlers.ts'
import { Lag } from './lag.ts'
import { NodeSessions } from './node-sessions.ts'
import { Reads } from './reads.ts'
import { Relay } from './relay.ts'
import { heartbeatPeriodOf, newSession, type Session } from './session.ts'
import { type WriteOutcome, Writes } from './writes.ts'

/** More streams than this are refused: `resource-exhausted`. */
const SESSIONS_MAX = 20_000
/** A stream must say hello, and the own store must catch up, within this time. */
const PHASE_TIMEOUT_MS = 10_000
/** A stream that is silent, or takes nothing, for so many heartbeat periods is closed. */
const SILENT_PERIODS = 5
/** Sessions end after this long without a leader: an election timeout. */
const LEADERLESS_MS = 1_000
const EXPIRE_INTERVAL_MS = 1_000
/** While this manager is behind, so many running sessions end each time. */
const SENT_ELSEWHERE_MAX = 1_000

export type DispatcherInput =
  /** A stream was opened by the node that its certificate names. `session` is never used again. */
  | {
      readonly kind: 'opened'
      readonly session: number
      readonly nodeId: string
      /** IP address under which the node is seen here. */
      readonly peerAddr: string
    }
  | { readonly kind: 'received'; readonly session: number; readonly message: AgentMessage }
  | { readonly kind: 'closed'; readonly session: number }
  /** The stream's buffer is full: assignments wait until `drained`. */
  | { readonly kind: 'blocked'; readonly session: number }
  | { readonly kind: 'drained'; readonly session: number }
  /** The store has applied more entries; `changes` is all that they changed. */
  | { readonly kind: 'applied'; readonly view: View; readonly changes: readonly Change[] }
  /** The store was replaced: everything may have changed. */
  | { readonly kind: 'reset'; readonly view: View }
  /** Whether this manager knows the leader and where it is; at start and at each change. */
  | { readonly kind: 'leader'; readonly term: number; readonly isKnown: boolean }
  | { readonly kind: 'write-done'; readonly id: number; readonly outcome: WriteOutcome }
  /** `reply` is undefined when no leader answered. */
  | { readonly kind: 'relay-done'; readonly id: number; readonly reply: RelayReply | undefined }
  /** `index` is undefined when the read was refused. */
  | { readonly kind: 'read-index-done'; readonly id: number; readonly index: number | undefined }
  /** Answered by the output `command-done`. */
  | {
      readonly kind: 'command'
      readonly id: number
      readonly nodeId: string
      readonly command: AgentCommand
    }

export type DispatcherOutput =
  | { readonly kind: 'send'; readonly session: number; readonly message: SessionMessage }
  /** The stream ends, with `reason` as its status if there is one; no `closed` is expected. */
  | {
      readonly kind: 'close'
      readonly session: number
      readonly reason: SwarmError | undefined
    }
  /** To be evaluated on the leader, answered by `write-done` whatever happens. */
  | { readonly kind: 'write'; readonly id: number; readonly request: WriteRequest }
  /** To the leader (`NodeStatus.relay` there), answered by `relay-done` whatever happens. */
  | { readonly kind: 'relay'; readonly id: number; readonly request: RelayRequest }
  /** A linearizable read index, answered by `read-index-done` whatever happens. */
  | { readonly kind: 'read-index'; readonly id: number }
  | { readonly kind: 'command-done'; readonly id: number; readonly isDelivered: boolean }

export type DispatcherOptions = {
  /** Raft id of this manager: the holder of its sessions. */
  readonly raftId: number
  /** The store as it is now. */
  readonly view: View
  /** Monotonic, ms. */
  readonly nowMs: number
  readonly log: Log
}

export type DispatcherStatus = {
  readonly sessions: number
  readonly runningSessions: number
  /** Sessions that wait for their turn to register. */
  readonly registrationsWaiting: number
}

export class Dispatcher {
  readonly #log: Log
  readonly #outbox = new Outbox<DispatcherOutput>()
  readonly #reads = new Reads<Session>()
  readonly #relay: Relay
  readonly #lag: Lag
  readonly #writes: Writes
  readonly #briefing: Briefing
  #nowMs: number

  #sessions = new Map<number, Session>()
  /** Those of them that have said hello. */
  #byNode = new NodeSessions()
  #catchingUp = new Set<Session>()

  /** Monotonic, ms, since when no leader is known; undefined while one is. */
  #leaderlessMs: number | undefined
  /** Monotonic, ms: when silent sessions were last looked for. */
  #expiredMs: number

  constructor({ raftId, view, nowMs, log }: DispatcherOptions) {
    this.#log = log
    this.#relay = new Relay(raftId)
    this.#lag = new Lag(view.index)
    this.#writes = new Writes(raftId)
    this.#nowMs = nowMs
    this.#briefing = new Briefing({
      view,
      send: (session, body) => this.#send(session, body),
      close: (session, code, message) => this.#close(session, code, message),
    })
    this.#leaderlessMs = nowMs
    this.#expiredMs = nowMs
  }

  /** Takes the input in; what follows from it comes out of `ready()`. */
  step(input: DispatcherInput): void {
    switch (input.kind) {
      case 'opened':
        this.#open(input)
        break
      case 'received':
        this.#receive(input.session, input.message)
        break
      case 'closed':
        this.#forget(input.session)
        break
      case 'blocked':
        this.#block(input.session)
        break
      case 'drained':
        this.#drain(input.session)
        break
      case 'applied':
        this.#lag.applied(input.view.index)
        this.#briefing.apply(input.view, input.changes, this.#nowMs)
        this.#catchUpAll()
        break
      case 'reset':
        this.#lag.applied(input.view.index)
        this.#briefing.reset(input.view, this.#nowMs)
        this.#catchUpAll()
        break
      case 'leader':
        this.#relay.observeTerm(input.term)
        this.#leaderlessMs = input.isKnown ? undefined : (this.#leaderlessMs ?? this.#nowMs)
        break
      case 'write-done':
        this.#finishWrite(input.id, input.outcome)
        break
      case 'relay-done':
        this.#finishRelay(input.id, input.reply)
        break
      case 'read-index-done':
        this.#finishRead(input.id, input.index)
        break
      case 'command':
        this.#command(input.id, input.nodeId, input.command)
        break
      default:
        input satisfies never
    }
    this.#ask()
  }

  /** `nowMs` is monotonic; to be called every 50 ms or so, and before the inputs of a round. */
  tick(nowMs: number): void {
    this.#nowMs = nowMs
    this.#endLeaderless()
    this.#expire()
    this.#relayHeartbeats()
    this.#briefing.tick(this.#nowMs)
    this.#ask()
  }

  ready(): readonly DispatcherOutput[] | undefined {
    return this.#outbox.ready()
  }

  advance(outputs: readonly DispatcherOutput[]): void {
    this.#outbox.advance(outputs)
  }

  status(): DispatcherStatus {
    let runningSessions = 0
    for (const session of this.#sessions.values())
      if (session.phase === 'running') runningSessions += 1
    return {
      sessions: this.#sessions.size,
      runningSessions,
      registrationsWaiting: this.#writes.registrationsWaiting,
    }
  }

  // ── the life of a session ──────────────────────────────────────────────────────────────────

  #open(opened: Extract<DispatcherInput, { kind: 'opened' }>): void {
    this.#briefing.refer({ id: opened.session })
    const refusal = this.#openRefusal()
    if (refusal !== undefined)
      this.#outbox.push({ kind: 'close', session: opened.session, reason: refusal })
    else this.#sessions.set(opened.session, newSession(opened, this.#nowMs))
  }

  #openRefusal(): SwarmError | undefined {
    if (this.#isLeaderless()) return noLeader()
    if (this.#sessions.size < SESSIONS_MAX) return undefined
    return new SwarmError(
      'resource-exhausted',
      `this manager holds ${SESSIONS_MAX} sessions already: try another one`,
      { retriable: true },
    )
  }

  #receive(id: number, message: AgentMessage): void {
    const session = this.#sessions.get(id)
    if (session === undefined || session.phase === 'leaving') return
    session.heardMs = this.#nowMs
    const body = message.body
    // A newer agent may say more than this manager understands.
    if (body === undefined) return
    if ((body.kind === 'hello') !== (session.phase === 'opened')) {
      this.#close(session, 'invalid-argument', 'a session begins with one hello, and only one')
      return
    }
    switch (body.kind) {
      case 'hello':
        this.#hello(session, body.hello)
        break
      case 'heartbeat':
        this.#heartbeat(session, body.heartbeat.sequence)
        break
      case 'statuses':
        this.#report(session, body.statuses)
        break
      case 'description':
        this.#describe(session, body.description.description)
        break
      case 'goodbye':
        session.phase = 'leaving'
        this.#withdraw(session)
        this.#writes.leave(session, body.goodbye.returnMs, this.#nowMs)
        break
      default:
        body satisfies never
    }
  }

  #hello(session: Session, hello: Hello): void {
    if (hello.instance === '' || hello.description === undefined) {
      this.#close(session, 'invalid-argument', 'hello must name an instance and describe the node')
      return
    }
    session.hello = hello
    session.description = hello.description
    this.#replace(this.#byNode.greet(session))
    session.phase = 'confirming'
    this.#reads.add(session)
    this.#log.debug(
      { node: session.nodeId, instance: hello.instance, tasks: hello.taskIds.length },
      'session opened',
    )
  }

  #finishRead(id: number, index: number | undefined): void {
    if (index === undefined) {
      this.#reads.fail(id, this.#nowMs)
      return
    }
    for (const session of this.#reads.finish(id)) {
      if (session.phase !== 'confirming') continue
      session.phase = 'catching-up'
      session.phaseMs = this.#nowMs
      session.catchUpIndex = index
      this.#catchingUp.add(session)
      this.#catchUp(session)
    }
  }

  #catchUpAll(): void {
    for (const session of this.#catchingUp) this.#catchUp(session)
  }

  /** No step back: the own store must have what the cluster and the agent have seen. */
  #catchUp(session: Session): void {
    const epoch = findEpoch(this.#briefing.view)
    if (this.#briefing.view.index < session.catchUpIndex || epoch === undefined) return
    const seen = session.hello?.seen ?? ZERO_MARK
    if (seen.epoch > epoch) {
      this.#close(
        session,
        'failed-precondition',
        `node ${session.nodeId} has seen epoch ${seen.epoch} of the cluster, this manager is in epoch ${epoch}: it must join the cluster anew`,
      )
      return
    }
    if (compareMarks(seen, { epoch, index: this.#briefing.view.index }) > 0) {
      session.catchUpIndex = seen.index
      return
    }
    if (this.#briefing.view.nodes.get(session.nodeId) === undefined) {
      this.#close(session, 'not-found', `node ${session.nodeId} is not part of the swarm`)
      return
    }
    this.#catchingUp.delete(session)
    session.phase = 'registering'
    this.#writes.register(session)
  }

  #begin(session: Session): void {
    this.#replace(this.#byNode.accept(session))
    session.phase = 'running'
    this.#briefing.begin(session, this.#nowMs)
    this.#log.debug({ node: session.nodeId, session: session.id }, 'session running')
  }

  #replace(sessions: readonly Session[]): void {
    for (const session of sessions)
      this.#close(session, 'aborted', `node ${session.nodeId} opened a newer session here`)
  }

  #close(session: Session, code: Code, message: string): void {
    this.#end(session, new SwarmError(code, message, { retriable: code === 'unavailable' }))
  }

  #end(session: Session, reason: SwarmError | undefined): void {
    if (session.phase === 'closed') return
    this.#outbox.push({ kind: 'close', session: session.id, reason })
    if (reason !== undefined)
      this.#log.debug(
        { node: session.nodeId, session: session.id, reason: reason.message },
        'session closed',
      )
    this.#forget(session.id)
  }

  #forget(id: number): void {
    const session = this.#sessions.get(id)
    if (session === undefined) return
    this.#sessions.delete(id)
    session.phase = 'closed'
    this.#byNode.forget(session)
    this.#withdraw(session)
    this.#writes.forget(session)
  }

  /** Nothing more is asked or told for the session. */
  #withdraw(session: Session): void {
    this.#reads.remove(session)
    this.#catchingUp.delete(session)
    this.#relay.forget(session)
    this.#briefing.forget(session)
  }

  // ── what time does ─────────────────────────────────────────────────────────────────────────

  #isLeaderless(): boolean {
    return this.#leaderlessMs !== undefined && this.#nowMs - this.#leaderlessMs >= LEADERLESS_MS
  }

  #endLeaderless(): void {
    if (this.#sessions.size === 0 || !this.#isLeaderless()) return
    for (const session of [...this.#sessions.values()]) this.#end(session, noLeader())
  }

  #expire(): void {
    if (this.#nowMs - this.#expiredMs < EXPIRE_INTERVAL_MS) return
    this.#expiredMs = this.#nowMs
    const silentMs = SILENT_PERIODS * heartbeatPeriodOf(this.#briefing.view)
    for (const session of [...this.#sessions.values()]) {
      const reason = this.#expiry(session, silentMs)
      if (reason !== undefined) this.#close(session, 'unavailable', reason)
    }
    this.#sendElsewhere(silentMs)
    for (const session of this.#writes.giveUp(this.#nowMs)) this.#end(session, undefined)
  }

  /**
   * Of a manager that is behind, nodes do not hear what they should do. Their sessions end; the next
   * one waits in `catching-up` if it is here again. Its heartbeats are relayed there, so that no node is
   * down because all the managers that it reaches are behind.
   */
  #sendElsewhere(limitMs: number): void {
    const missing = this.#lag.findMissing(limitMs, this.#nowMs)
    if (missing === undefined) return
    const { index } = this.#briefing.view
    const running = [...this.#sessions.values()].filter(({ phase }) => phase === 'running')
    if (running.length > 0)
      this.#log.warn({ applied: index, missing, sessions: running.length }, 'manager is behind')
    const reason = `this manager is behind, it has applied index ${index} and the leader had ${missing} before: try another one`
    for (const session of running.slice(0, SENT_ELSEWHERE_MAX))
      this.#close(session, 'unavailable', reason)
  }

  /** Why the session must end now. */
  #expiry(session: Session, silentMs: number): string | undefined {
    const node = `node ${session.nodeId}`
    if (session.phase === 'opened')
      return this.#nowMs - session.phaseMs >= PHASE_TIMEOUT_MS ? `${node} said no hello` : undefined
    if (session.phase === 'catching-up' && this.#nowMs - session.phaseMs >= PHASE_TIMEOUT_MS)
      return `this manager has applied index ${this.#briefing.view.index}, ${node} needs ${session.catchUpIndex}: try another one`
    if (session.blockedMs !== undefined && this.#nowMs - session.blockedMs >= silentMs)
      return `${node} takes no messages`
    if (session.phase !== 'leaving' && this.#nowMs - session.heardMs >= silentMs)
      return `${node} was not heard for ${silentMs} ms`
    return undefined
  }

  // ── heartbeats ─────────────────────────────────────────────────────────────────────────────

  #heartbeat(session: Session, sequence: number): void {
    // From hello on, so that no node is down because many wait for their registration.
    this.#relay.note(session, sequence)
    if (this.#needsRegistration(session)) this.#writes.register(session)
  }

  /**
   * Its node was turned down or disconnected after it registered, and yet it lives. Asked at a
   * heartbeat only: of a dead agent's session none comes.
   */
  #needsRegistration(session: Session): boolean {
    if (session.phase !== 'running' || this.#briefing.view.index < session.registeredIndex)
      return false
    const node = this.#briefing.view.nodes.get(session.nodeId)
    return node !== undefined && node.status?.state !== 'ready'
  }

  #relayHeartbeats(): void {
    if (this.#leaderlessMs !== undefined) return
    const batch = this.#relay.take(this.#nowMs)
    if (batch !== undefined) this.#outbox.push({ kind: 'relay', ...batch })
  }

  #finishRelay(id: number, reply: RelayReply | undefined): void {
    this.#lag.heard(reply?.appliedIndex ?? 0, this.#nowMs)
    for (const { session, sequence, refusal, isReady } of this.#relay.finish(id, reply)) {
      if (session.phase === 'leaving' || session.phase === 'closed') continue
      if (refusal !== undefined) this.#close(session, 'permission-denied', refusal)
      else
        this.#send(session, {
          kind: 'heartbeatAck',
          heartbeatAck: { sequence, mark: session.assignments.mark, ready: isReady },
        })
    }
  }

  // ── writes ─────────────────────────────────────────────────────────────────────────────────

  #describe(session: Session, description: NodeDescription | undefined): void {
    if (description === undefined) return
    session.description = description
    if (session.phase === 'running') this.#writes.register(session)
  }

  #report(session: Session, batch: StatusBatch): void {
    const count = batch.updates.length
    if (count > STATUS_UPDATES_MAX)
      this.#close(
        session,
        'invalid-argument',
        `a batch of ${count} statuses is more than ${STATUS_UPDATES_MAX}`,
      )
    else if (session.phase === 'running') this.#writes.report(session, batch)
  }

  /** Asks for what may be asked for now. */
  #ask(): void {
    const read = this.#reads.take(this.#nowMs)
    if (read !== undefined) this.#outbox.push({ kind: 'read-index', id: read })
    for (;;) {
      const write = this.#writes.take(this.#nowMs)
      if (write === undefined) return
      this.#outbox.push({ kind: 'write', ...write })
    }
  }

  #finishWrite(id: number, outcome: WriteOutcome): void {
    const finished = this.#writes.finish(id, outcome, this.#nowMs)
    if (finished === undefined) return
    const { session } = finished
    switch (finished.kind) {
      case 'registered':
        session.registeredIndex = finished.index
        if (session.phase === 'registering') this.#begin(session)
        break
      case 'reported':
        this.#send(session, { kind: 'statusAck', statusAck: { sequence: finished.sequence } })
        break
      case 'left':
        this.#end(session, undefined)
        break
      case 'refused':
        this.#end(session, finished.error)
        break
      default:
        finished satisfies never
    }
  }

  // ── streams ────────────────────────────────────────────────────────────────────────────────

  #command(id: number, nodeId: string, command: AgentCommand): void {
    const session = this.#byNode.findRunning(nodeId)
    const isDelivered = session !== undefined && session.blockedMs === undefined
    if (isDelivered) this.#send(session, { kind: 'command', command })
    this.#outbox.push({ kind: 'command-done', id, isDelivered })
  }

  #block(id: number): void {
    const session = this.#sessions.get(id)
    if (session !== undefined) session.blockedMs ??= this.#nowMs
  }

  #drain(id: number): void {
    const session = this.#sessions.get(id)
    if (session === undefined) return
    session.blockedMs = undefined
    this.#briefing.sendAssignments(session, this.#nowMs)
  }

  #send(session: Pick<Session, 'id'>, body: SessionMessage['body']): void {
    this.#outbox.push({ kind: 'send', session: session.id, message: { body } })
  }
}

function noLeader(): SwarmError {
  return new SwarmError('unavailable', 'this manager knows no leader: try another one', {
    retriable: true,
  })
}
