/**
 * Agent: the part of a node that runs tasks, as one machine. It composes the session with a manager
 * (`session.ts`), the tasks (`worker.ts`), what must still be reported (`reporter.ts`) and for how long
 * nobody was reached (`contact.ts`); each decides its own part. It calls nothing: the shell dials,
 * sends, runs the operations on a Runtime and keeps the state on disk, and reports back through
 * `step()`. DESIGN section 7, docs/sessions.md.
 */
import { assert } from '../lib/assert.ts'
import type { SwarmError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { Outbox } from '../lib/outbox.ts'
import type { Random } from '../lib/random.ts'
import { compareMarks } from '../proto/assignment-mark.ts'
import { decodeAgentState, emptyAgentState } from '../proto/gen/agent.ts'
import type {
  AgentCommand,
  AssignmentMark,
  Assignments,
  HeartbeatAck,
  Hello,
  ManagerAddress,
  NodeChange,
  SessionMessage,
} from '../proto/gen/dispatcher.ts'
import type { Health, NodeDescription, Task } from '../proto/gen/objects.ts'
import { Contact } from './contact.ts'
import type { Now, ProbeResult } from './health.ts'
import { Managers } from './managers.ts'
import { Memory } from './memory.ts'
import { Reporter } from './reporter.ts'
import type { Container, Exit } from './runtime/runtime.ts'
import { SavedState } from './saved-state.ts'
import { Session, type SessionEffect } from './session.ts'
import type { OperationResult } from './task.ts'
import { Worker, type WorkerEffect } from './worker.ts'

export type AgentInput =
  /** What the node has; no session is opened before the first. */
  | { readonly kind: 'described'; readonly description: NodeDescription }
  /** Every container of this node as the agent starts; once, and no session is opened before. */
  | { readonly kind: 'containers'; readonly list: readonly Container[] }
  /** Managers to try besides those known: of the configuration, the join, the log of a manager here. */
  | { readonly kind: 'managers'; readonly managers: readonly ManagerAddress[] }
  | { readonly kind: 'connected'; readonly session: number }
  | { readonly kind: 'received'; readonly session: number; readonly message: SessionMessage }
  /** The stream ended, or was never opened; `error` is why, undefined for a clean end. */
  | {
      readonly kind: 'disconnected'
      readonly session: number
      readonly error: SwarmError | undefined
    }
  | { readonly kind: 'persisted'; readonly version: number }
  | { readonly kind: 'operation-done'; readonly id: number; readonly result: OperationResult }
  | { readonly kind: 'probe-done'; readonly id: number; readonly result: ProbeResult }
  | { readonly kind: 'exited'; readonly exit: Exit }
  /** The daemon stops and is back within `returnMs`; tasks go on. Ends with the output `done`. */
  | { readonly kind: 'stop'; readonly returnMs: number }
  /** The node leaves: all tasks are stopped and removed. Ends with the output `done`. */
  | { readonly kind: 'leave' }

export type AgentOutput =
  /**
   * `dial`: open a stream, answered by `connected` or `disconnected`; `session` is never used again.
   * `hangup`: close it, or give the dialing up; no `disconnected` is expected for it.
   */
  | SessionEffect
  /**
   * `operation`: one call of the Runtime, answered by `operation-done` whatever happens; those of
   * different tasks overlap. `cancel`: abort it; it is answered all the same.
   */
  | Extract<WorkerEffect, { readonly kind: 'operation' | 'cancel' }>
  /** Run a health check by the Runtime, answered by `probe-done` whatever happens; `cancel` aborts it. */
  | Extract<WorkerEffect, { readonly kind: 'probe' }>
  /** Make `state` durable instead of what was before; answered by `persisted`. One at a time. */
  | { readonly kind: 'persist'; readonly version: number; readonly state: Uint8Array }
  | { readonly kind: 'command'; readonly command: AgentCommand }
  | { readonly kind: 'node-changed'; readonly change: NodeChange }
  | { readonly kind: 'managers-changed'; readonly managers: readonly ManagerAddress[] }
  /** After `stop` or `leave`: the machine does nothing any more. */
  | { readonly kind: 'done' }

export type AgentOptions = {
  readonly nodeId: string
  /** Of the host's kernel. */
  readonly bootId: string
  /** Drawn at random by each process. */
  readonly instance: string
  readonly random: Random
  readonly log: Log
  /** What the last `persist` of this node held; undefined when there is none. */
  readonly state: Uint8Array | undefined
  readonly now: AgentNow
}

export type AgentNow = Now & {
  /** Of the host since its boot, ms, suspended or not: by it the agent knows how long it is cut off. */
  readonly bootMs: number
}

export type AgentStatus = {
  readonly session: Session['kind']
  /** The manager of the session, if there is one. */
  readonly manager: ManagerAddress | undefined
  /** Of the highest set ever accepted. */
  readonly mark: AssignmentMark
  readonly tasks: number
  readonly reportsWaiting: number
  /** The metric agent_session_starts_total. */
  readonly sessionStarts: number
  /** Sets that were refused because they were older than one accepted before. */
  readonly setsRefused: number
}

/** How the agent ends: it is running, says goodbye, gives its tasks up, has ended. */
type Ending = 'none' | 'stopping' | 'leaving' | 'removing' | 'done'

export class Agent {
  readonly #options: AgentOptions
  readonly #outbox = new Outbox<AgentOutput>()
  readonly #memory = new Memory()
  readonly #managers = new Managers()
  readonly #reporter = new Reporter()
  readonly #saved = new SavedState()
  readonly #contact: Contact
  readonly #session: Session
  readonly #worker: Worker
  #now: AgentNow
  #description: NodeDescription | undefined
  #ending: Ending = 'none'
  #setsRefused = 0
  /** Whether there were inputs of which nothing followed yet. */
  #isDue = false

  /** Throws SwarmError `invalid-argument` when `state` was not written by an agent. */
  constructor(options: AgentOptions) {
    const { random, log, now } = options
    const state = options.state === undefined ? emptyAgentState : decodeAgentState(options.state)
    this.#options = options
    this.#now = now
    this.#managers.replace(state.managers)
    this.#managers.addFormer(state.formerManagers)
    this.#contact = new Contact(options.bootId, state.contact)
    this.#worker = new Worker({ state, memory: this.#memory, random, log })
    this.#session = new Session({ managers: this.#managers, random, log, nowMs: now.nowMs })
  }

  /** Takes the input in; what follows from it comes out of `ready()`. */
  step(input: AgentInput): void {
    if (this.#ending === 'done') return
    switch (input.kind) {
      case 'described':
        this.#describe(input.description)
        break
      case 'containers':
        this.#worker.adoptAll(input.list, this.#now.wallMs)
        break
      case 'managers':
        this.#hearOf(input.managers)
        break
      case 'connected':
        this.#connect(input.session)
        break
      case 'received':
        this.#receive(this.#session.received(input.session, input.message))
        break
      case 'disconnected':
        this.#session.disconnected(input.session, input.error)
        break
      case 'persisted':
        this.#memory.persisted(input.version)
        break
      case 'operation-done':
        this.#worker.operationDone(input.id, input.result, this.#now)
        break
      case 'probe-done':
        this.#worker.probeDone(input.id, input.result, this.#now)
        break
      case 'exited':
        this.#worker.exited(input.exit, this.#now.wallMs)
        break
      case 'stop':
        this.#end('stopping', input.returnMs)
        break
      case 'leave':
        this.#end('leaving', 0)
        break
      default:
        input satisfies never
    }
    this.#isDue = true
  }

  /** To be called every 50 ms or so, and before the inputs of a round. */
  tick(now: AgentNow): void {
    this.#now = now
    if (this.#ending === 'done') return
    const isWanted = this.#description !== undefined && this.#worker.isAdopted
    this.#session.tick(now.nowMs, isWanted && this.#ending === 'none')
    this.#isDue = true
  }

  /** What follows from all inputs since the last call: one write holds what they changed together. */
  ready(): readonly AgentOutput[] | undefined {
    if (this.#isDue && this.#ending !== 'done') this.#pump()
    this.#isDue = false
    return this.#outbox.ready()
  }

  advance(outputs: readonly AgentOutput[]): void {
    this.#outbox.advance(outputs)
  }

  status(): AgentStatus {
    return {
      session: this.#session.kind,
      manager: this.#session.manager,
      mark: this.#worker.mark,
      tasks: this.#worker.tasks,
      reportsWaiting: this.#reporter.waiting,
      sessionStarts: this.#session.starts,
      setsRefused: this.#setsRefused,
    }
  }

  /** Whom to ask what only managers know: first who is talked to, then those who should be managers. */
  listManagers(): readonly ManagerAddress[] {
    const { manager } = this.#session
    const isTalkedTo = this.#session.kind === 'running' && manager !== undefined
    const known = this.#managers.list()
    return isTalkedTo ? [manager, ...known.filter(({ addr }) => addr !== manager.addr)] : known
  }

  /** Tasks whose container runs, as far as the runtime has told. */
  listRunning(): readonly Task[] {
    return this.#worker.listRunning()
  }

  /** What is known of the health of a task's container; undefined where there is no check. */
  findHealth(taskId: string): Health | undefined {
    return this.#worker.findHealth(taskId)
  }

  #describe(description: NodeDescription): void {
    this.#description = description
    this.#session.send({ kind: 'description', description: { description } })
  }

  #connect(session: number): void {
    const { bootId, instance } = this.#options
    const hello: Hello = {
      bootId,
      instance,
      description: this.#description,
      taskIds: this.#worker.listTaskIds(),
      seen: this.#worker.mark,
    }
    if (!this.#session.connected(session, hello)) return
    this.#worker.restart()
    this.#reporter.restart()
    this.#contact.restart(this.#now.bootMs)
  }

  #receive(body: SessionMessage['body']): void {
    if (body === undefined) return
    switch (body.kind) {
      case 'start':
        break
      case 'heartbeatAck':
        this.#hear(body.heartbeatAck)
        break
      case 'assignments':
        this.#assign(body.assignments)
        break
      case 'statusAck':
        this.#reporter.acknowledge(body.statusAck.sequence)
        break
      case 'command':
        this.#outbox.push({ kind: 'command', command: body.command })
        break
      case 'managers':
        this.#learnManagers(body.managers.managers)
        break
      case 'node':
        this.#outbox.push({ kind: 'node-changed', change: body.node })
        break
      default:
        body satisfies never
    }
  }

  #hear({ sequence, mark, ready }: HeartbeatAck): void {
    // The manager sent more than arrived: only a new session makes that good.
    if (mark !== undefined && compareMarks(mark, this.#worker.mark) > 0)
      this.#session.reopen('assignments were lost on the way', 'good')
    else if (ready) this.#contact.answered(sequence, this.#worker.isSynced)
  }

  #assign(message: Assignments): void {
    const verdict = this.#worker.accept(message, this.#now.wallMs)
    switch (verdict) {
      case 'accepted':
        this.#contact.told()
        break
      case 'known':
        break
      case 'stale':
        this.#setsRefused += 1
        this.#options.log.warn(
          { mark: this.#worker.mark.index, offered: message.mark?.index },
          'older assignments refused',
        )
        this.#session.reopen('the manager is behind what was accepted before', 'bad')
        break
      case 'gap':
        this.#session.reopen('assignments do not follow on those known', 'good')
        break
      default:
        verdict satisfies never
    }
  }

  /** They may be managers: who says so may be one no more itself, or behind. */
  #hearOf(managers: readonly ManagerAddress[]): void {
    if (this.#managers.add(managers)) this.#memory.touch()
  }

  #learnManagers(managers: readonly ManagerAddress[]): void {
    if (this.#session.kind !== 'running') {
      this.#hearOf(managers)
      return
    }
    this.#managers.replace(managers)
    this.#memory.touch()
    this.#outbox.push({ kind: 'managers-changed', managers })
  }

  #end(ending: 'stopping' | 'leaving', returnMs: number): void {
    assert(this.#ending === 'none', 'an agent ends once', { ending: this.#ending })
    this.#ending = ending
    this.#session.close(returnMs)
  }

  /** Gives out what is to be done now. */
  #pump(): void {
    if (this.#ending === 'leaving' && this.#session.kind === 'closed' && this.#worker.isAdopted) {
      this.#ending = 'removing'
      this.#worker.leave(this.#now.wallMs)
    }
    // A stopping agent begins nothing that its process will not see the end of.
    if (this.#ending !== 'stopping') this.#work()
    this.#report()
    for (const effect of this.#session.takeEffects()) {
      const body = effect.kind === 'send' ? effect.message.body : undefined
      if (body?.kind === 'heartbeat') this.#contact.sent(body.heartbeat.sequence, this.#now.bootMs)
      this.#outbox.push(effect)
    }
    this.#persist()
    const isDone =
      this.#ending === 'stopping'
        ? this.#session.kind === 'closed'
        : this.#ending === 'removing' && this.#worker.tasks === 0
    if (!isDone) return
    this.#ending = 'done'
    this.#outbox.push({ kind: 'done' })
  }

  #work(): void {
    const contactAgeMs = this.#contact.ageMs(this.#now.bootMs)
    for (const effect of this.#worker.pump(this.#now, contactAgeMs)) {
      if (effect.kind === 'report') this.#reporter.note(effect.taskId, effect.status)
      else if (effect.kind === 'forgotten') this.#reporter.forget(effect.taskId)
      else this.#outbox.push(effect)
    }
  }

  #report(): void {
    if (this.#session.kind !== 'running') return
    const statuses = this.#reporter.take(this.#now.nowMs, this.#session.periodMs)
    if (statuses !== undefined) this.#session.send({ kind: 'statuses', statuses })
  }

  #persist(): void {
    const stopAfterMs = this.#worker.findStopAfterMs()
    if (stopAfterMs !== undefined && this.#contact.isStale(stopAfterMs)) this.#memory.touch()
    const version = this.#memory.take()
    if (version === undefined) return
    const rest = {
      mark: this.#worker.mark,
      managers: this.#managers.list(),
      formerManagers: this.#managers.listFormer(),
      contact: stopAfterMs === undefined ? undefined : this.#contact.save(),
    }
    const state = this.#saved.encode(rest, this.#worker.listRecords())
    this.#outbox.push({ kind: 'persist', version, state })
  }
}
