/**
 * SessionWorld: real dispatchers, a real NodeStatus and real agents around a log that stands in for
 * Raft, with everything between them misbehaving as one seed says: streams that cut, lose, repeat
 * and reorder, managers that lag, restart from an old copy or are cut off, leaders that change,
 * agents that crash in the middle of anything, runtimes that fail. It checks while it runs what must
 * never happen (docs/sessions.md); `settle` heals it and lets it come to rest.
 */

import { Agent, type AgentNow, type AgentOutput } from '../agent/agent.ts'
import type { Container, Exit } from '../agent/runtime/runtime.ts'
import type { Operation, OperationResult } from '../agent/task.ts'
import { assert, defined } from '../lib/assert.ts'
import { SwarmError } from '../lib/errors.ts'
import { silentLog } from '../lib/log.ts'
import { newSeededRandom, type SeededRandom } from '../lib/random.ts'
import { Dispatcher, type DispatcherOutput } from '../manager/dispatcher/dispatcher.ts'
import {
  handleNodeLeave,
  handleNodeRegister,
  handleStatusReport,
} from '../manager/dispatcher/handlers.ts'
import { NodeStatus } from '../manager/dispatcher/node-status.ts'
import type { WriteOutcome } from '../manager/dispatcher/writes.ts'
import type { Change } from '../manager/store/change.ts'
import { decodeEntry, encodeEntry } from '../manager/store/entry.ts'
import type { Handled, HandlerContext } from '../manager/store/handler.ts'
import { Store } from '../manager/store/store.ts'
import type { View } from '../manager/store/view.ts'
import { compareMarks, ZERO_MARK } from '../proto/assignment-mark.ts'
import { decodeAgentState } from '../proto/gen/agent.ts'
import type { WriteRequest } from '../proto/gen/control.ts'
import { emptyCaller, emptyWriteReply } from '../proto/gen/control.ts'
import {
  type AgentMessage,
  type AssignmentMark,
  decodeAgentMessage,
  decodeSessionMessage,
  encodeAgentMessage,
  encodeSessionMessage,
  type SessionMessage,
} from '../proto/gen/dispatcher.ts'
import { emptyNodeDescription, emptyTaskStatus, type Task } from '../proto/gen/objects.ts'
import { emptyMember, type TaskState } from '../proto/gen/types.ts'
import { compareTaskState, isTerminal, isWanted } from '../proto/task-state.ts'
import { cluster, node, task } from './build.ts'

const MANAGERS = 3
const WORKERS = 3
const STEP_MS = 10
const WALL_MS = 1_700_000_000_000

/** Chances in a thousand, drawn from the seed for a whole run. */
type Faults = {
  /** Of a message on a stream, which real streams do not do. */
  readonly lost: number
  readonly repeated: number
  readonly reordered: number
  /** Each 10 ms, of one stream. */
  readonly cut: number
  /** Each 10 ms: an agent, a manager, the leadership, a link between managers. */
  readonly agentCrash: number
  readonly managerCrash: number
  readonly leaderChange: number
  readonly partition: number
  /** Of a crash: the agent's state is gone. */
  readonly stateLost: number
  /** Of a container when its agent crashes: gone without a trace. */
  readonly containerLost: number
  /** Of an operation, and each 10 ms of a running container. */
  readonly operationFailure: number
  readonly exit: number
  /** Of a ReadIndex: answered with what the manager itself has applied. */
  readonly readBroken: number
}

const NO_FAULTS: Faults = {
  lost: 0,
  repeated: 0,
  reordered: 0,
  cut: 0,
  agentCrash: 0,
  managerCrash: 0,
  leaderChange: 0,
  partition: 0,
  stateLost: 0,
  containerLost: 0,
  operationFailure: 0,
  exit: 0,
  readBroken: 0,
}

type ManagerHost = {
  readonly raftId: number
  readonly nodeId: string
  store: Store
  dispatcher: Dispatcher
  /** Told apart from what an earlier process asked for. */
  life: number
  /** Whether it reaches the leader. */
  isCut: boolean
  /** How seldom it applies an entry: 0 at once. */
  lag: number
}

type AgentHost = {
  readonly nodeId: string
  /** Undefined while it is down. */
  agent: Agent | undefined
  life: number
  disk: Uint8Array | undefined
  readonly containers: Map<string, Container>
  /** The highest mark that this disk has known. */
  mark: AssignmentMark
  /** What it ever lost. Of one that loses both nobody could tell what it had started. */
  losses: 'none' | 'state' | 'containers'
  /** Whether a full set was delivered in this life. */
  isTold: boolean
}

type Stream = {
  readonly id: number
  readonly manager: ManagerHost
  readonly managerLife: number
  readonly host: AgentHost
  readonly hostLife: number
  readonly session: number
  /** When the last message of each direction arrives. */
  upMs: number
  downMs: number
  isOpen: boolean
}

type Event = { readonly atMs: number; readonly order: number; readonly run: () => void }

export class SessionWorld {
  readonly #random: SeededRandom
  #faults: Faults
  #nowMs = 0
  #events: Event[] = []
  #order = 0

  /** The log, and the state that the leader has. Entry i has index i + 1. */
  readonly #log: { readonly changes: readonly Change[]; readonly bytes: Uint8Array }[] = []
  readonly #truth = new Store()
  #term = 1
  #leader = 0
  #liveness: NodeStatus
  readonly #managers: ManagerHost[] = []
  readonly #hosts: AgentHost[] = []
  #streams: Stream[] = []
  #lastStream = 0
  #lastTask = 0
  /** Task → how often a runtime was told to start it. */
  readonly #starts = new Map<string, number>()
  /** Messages that were refused by agents, for the reader of a run. */
  readonly counts: { starts: number; refused: number; sessions: number } = {
    starts: 0,
    refused: 0,
    sessions: 0,
  }

  constructor(seed: number, options: { readonly isHostile: boolean }) {
    this.#random = newSeededRandom(seed)
    this.#faults = this.#drawFaults(options.isHostile)
    const ids = [...Array(MANAGERS).keys()].map((at) => `m${at + 1}`)
    this.#commit([
      { kind: 'create', table: 'clusters', object: cluster() },
      ...ids.map(
        (id, at): Change => ({
          kind: 'create',
          table: 'nodes',
          object: node({
            id,
            member: { ...emptyMember, raftId: at + 1, nodeId: id, addr: id },
          }),
        }),
      ),
      ...[...Array(WORKERS).keys()].map(
        (at): Change => ({
          kind: 'create',
          table: 'nodes',
          object: node({ id: `n${at + 1}`, status: { state: 'unknown', addr: '' } }),
        }),
      ),
    ])
    this.#liveness = this.#newLiveness()
    for (const [at, nodeId] of ids.entries()) {
      const store = new Store()
      const life = { raftId: at + 1, nodeId, life: 0, isCut: false, lag: 0 }
      const host = { ...life, store, dispatcher: this.#newDispatcher(at + 1, store.view()) }
      this.#managers.push(host)
      this.#startManager(host, 0)
    }
    for (let at = 0; at < WORKERS; at++) {
      const host: AgentHost = {
        nodeId: `n${at + 1}`,
        agent: undefined,
        life: 0,
        disk: undefined,
        containers: new Map(),
        mark: ZERO_MARK,
        losses: 'none',
        isTold: false,
      }
      this.#hosts.push(host)
      this.#startAgent(host)
    }
  }

  /** Runs for so long with the faults of the seed, while tasks come, change and go. */
  run(durationMs: number): void {
    const untilMs = this.#nowMs + durationMs
    while (this.#nowMs < untilMs) {
      this.#misbehave()
      if (this.#chance(30)) this.#work()
      this.#advance()
    }
  }

  /** Heals everything and waits until it is at rest; asserts that it comes to rest. */
  settle(durationMs: number): void {
    this.#faults = NO_FAULTS
    for (const manager of this.#managers) {
      manager.isCut = false
      manager.lag = 0
    }
    for (const host of this.#hosts) if (host.agent === undefined) this.#startAgent(host)
    // As the restart reconciler does.
    for (const object of this.tasks())
      if (isTerminal(object.status?.state ?? 'new') && isWanted(object.desiredState))
        this.#turnTask({ ...object, desiredState: 'running' })
    const untilMs = this.#nowMs + durationMs
    while (this.#nowMs < untilMs) this.#advance()
    this.#checkRest()
  }

  /** What the leader's store says of every task. */
  tasks(): readonly Task[] {
    return [...this.#truth.view().tasks.list()]
  }

  // ── time and chance ────────────────────────────────────────────────────────────────────────

  #drawFaults(isHostile: boolean): Faults {
    const upTo = (most: number): number => this.#random.integer(most + 1)
    return {
      lost: isHostile ? upTo(300) : 0,
      repeated: isHostile ? upTo(200) : 0,
      reordered: isHostile ? upTo(200) : 0,
      cut: upTo(4),
      agentCrash: upTo(3),
      managerCrash: upTo(2),
      leaderChange: upTo(2),
      partition: upTo(4),
      stateLost: upTo(300),
      containerLost: upTo(200),
      operationFailure: upTo(300),
      exit: upTo(2),
      readBroken: isHostile ? upTo(300) : 0,
    }
  }

  #agentNow(): AgentNow {
    return { nowMs: this.#nowMs, wallMs: WALL_MS + this.#nowMs, bootMs: this.#nowMs }
  }

  #chance(inThousand: number): boolean {
    return this.#random.integer(1_000) < inThousand
  }

  #pick<T>(list: readonly T[]): T {
    return defined(list[this.#random.integer(list.length)], 'something to pick from')
  }

  #after(delayMs: number, run: () => void): void {
    this.#order += 1
    this.#events.push({ atMs: this.#nowMs + delayMs, order: this.#order, run })
  }

  #advance(): void {
    this.#nowMs += STEP_MS
    const due = this.#events.filter((event) => event.atMs <= this.#nowMs)
    this.#events = this.#events.filter((event) => event.atMs > this.#nowMs)
    due.sort((a, b) => a.atMs - b.atMs || a.order - b.order)
    for (const event of due) event.run()
    for (const manager of this.#managers) {
      this.#follow(manager)
      manager.dispatcher.tick(this.#nowMs)
      this.#drainManager(manager)
    }
    for (const host of this.#hosts) {
      host.agent?.tick(this.#agentNow())
      this.#drainAgent(host)
    }
    this.#reconcile()
  }

  // ── what users and control loops do ────────────────────────────────────────────────────────

  #work(): void {
    const tasks = this.tasks()
    const object = tasks.length === 0 ? undefined : this.#pick(tasks)
    const drawn = this.#random.integer(10)
    if (object === undefined || (drawn < 4 && tasks.length < 40)) this.#createTask()
    else if (drawn < 8) this.#turnTask(object)
    else if (isTerminal(object.status?.state ?? 'new') || object.desiredState === 'remove')
      this.#commit([{ kind: 'remove', table: 'tasks', id: object.id }])
    else if (drawn === 9 && this.#chance(100)) this.#giveUp(object)
  }

  #createTask(): void {
    this.#lastTask += 1
    const id = `t${this.#lastTask}`
    const desiredState = this.#chance(300) ? 'ready' : 'running'
    const status = { ...emptyTaskStatus, state: 'assigned' as const }
    const nodeId = this.#pick(this.#hosts).nodeId
    const object = task({ id, slot: this.#lastTask, nodeId, desiredState, status })
    this.#commit([{ kind: 'create', table: 'tasks', object }])
  }

  #turnTask(object: Task): void {
    const next: Partial<Record<TaskState, TaskState>> = {
      ready: 'running',
      running: 'shutdown',
      shutdown: 'remove',
    }
    const desiredState = next[object.desiredState]
    if (desiredState === undefined) return
    this.#commit([{ kind: 'update', table: 'tasks', object: { ...object, desiredState } }])
  }

  /** As the enforcer does. */
  #giveUp(object: Task): void {
    const status = { ...(object.status ?? emptyTaskStatus), state: 'rejected' as const }
    this.#commit([{ kind: 'update', table: 'tasks', object: { ...object, status } }])
  }

  #commit(changes: readonly Change[]): void {
    if (changes.length === 0) return
    const before = this.#truth.view()
    const bytes = encodeEntry(changes, { timeMs: this.#nowMs, wallMs: WALL_MS + this.#nowMs })
    this.#truth.apply(this.#log.length + 1, decodeEntry(bytes))
    this.#log.push({ changes, bytes })
    for (const change of changes)
      if (change.kind === 'update' && change.table === 'tasks') checkTask(before, change.object)
  }

  #reconcile(): void {
    this.#liveness.tick(this.#nowMs)
    const outcome = this.#liveness.reconcile({
      view: this.#truth.view(),
      changed: { all: true, ids: NO_IDS },
      now: this.#nowMs,
      wallMs: WALL_MS + this.#nowMs,
      random: this.#random,
    })
    this.#commit(outcome.changes)
  }

  // ── faults ─────────────────────────────────────────────────────────────────────────────────

  #misbehave(): void {
    const faults = this.#faults
    if (this.#chance(faults.cut) && this.#streams.length > 0) this.#cut(this.#pick(this.#streams))
    if (this.#chance(faults.agentCrash)) this.#crashAgent(this.#pick(this.#hosts))
    if (this.#chance(faults.managerCrash)) this.#crashManager(this.#pick(this.#managers))
    if (this.#chance(faults.leaderChange)) this.#changeLeader()
    if (this.#chance(faults.partition)) {
      const manager = this.#pick(this.#managers)
      manager.isCut = !manager.isCut && manager !== this.#managers[this.#leader]
      manager.lag = this.#pick([0, 0, 3, 50, 1_000])
      this.#tellLeader(manager)
    }
    for (const host of this.#hosts)
      for (const container of host.containers.values())
        if (container.state === 'running' && this.#chance(faults.exit))
          this.#exit(host, container, this.#pick([0, 1, 137]))
  }

  #changeLeader(): void {
    this.#term += 1
    this.#leader = this.#random.integer(MANAGERS)
    this.#liveness = this.#newLiveness()
    for (const manager of this.#managers) {
      if (manager === this.#managers[this.#leader]) manager.isCut = false
      this.#tellLeader(manager)
    }
  }

  #newLiveness(): NodeStatus {
    return new NodeStatus({ term: this.#term, electedMs: this.#nowMs, log: silentLog })
  }

  #tellLeader(manager: ManagerHost): void {
    const isKnown = !manager.isCut
    manager.dispatcher.step({ kind: 'leader', term: this.#term, isKnown })
  }

  #crashManager(manager: ManagerHost): void {
    for (const stream of this.#streams.filter((open) => open.manager === manager)) this.#cut(stream)
    // From an old copy of its disk, or none.
    this.#startManager(manager, this.#random.integer(this.#log.length + 1))
  }

  #startManager(manager: ManagerHost, index: number): void {
    manager.life += 1
    manager.store = new Store()
    for (const [at, { bytes }] of this.#log.slice(0, index).entries())
      manager.store.apply(at + 1, decodeEntry(bytes))
    manager.dispatcher = this.#newDispatcher(manager.raftId, manager.store.view())
    this.#tellLeader(manager)
  }

  #newDispatcher(raftId: number, view: View): Dispatcher {
    return new Dispatcher({ raftId, view, nowMs: this.#nowMs, log: silentLog })
  }

  /** Applies what the manager has not applied yet, as its lag allows. */
  #follow(manager: ManagerHost): void {
    const isLeader = manager === this.#managers[this.#leader]
    const from = manager.store.view().index
    const missing = this.#log.slice(from)
    if (manager.isCut || missing.length === 0) return
    if (!isLeader && manager.lag > 0 && !this.#chance(1_000 / manager.lag)) return
    const count = isLeader || this.#chance(500) ? missing.length : 1
    const changes: Change[] = []
    for (const [at, entry] of missing.slice(0, count).entries()) {
      manager.store.apply(from + at + 1, decodeEntry(entry.bytes))
      changes.push(...entry.changes)
    }
    const view = manager.store.view()
    if (this.#chance(20)) manager.dispatcher.step({ kind: 'reset', view })
    else manager.dispatcher.step({ kind: 'applied', view, changes })
  }

  #crashAgent(host: AgentHost): void {
    if (host.agent === undefined) return
    for (const stream of this.#streams.filter((open) => open.host === host)) this.#cut(stream)
    host.agent = undefined
    host.life += 1
    if (host.losses !== 'containers' && this.#chance(this.#faults.stateLost)) {
      host.losses = 'state'
      host.disk = undefined
      host.mark = ZERO_MARK
    }
    for (const container of host.containers.values()) {
      if (host.losses === 'state' || container.state === 'created') continue
      if (!this.#chance(this.#faults.containerLost)) continue
      host.losses = 'containers'
      host.containers.delete(container.taskId)
    }
    this.#after(this.#pick([50, 1_000, 20_000]), () => {
      if (host.agent === undefined) this.#startAgent(host)
    })
  }

  #startAgent(host: AgentHost): void {
    host.life += 1
    host.isTold = false
    const agent = new Agent({
      nodeId: host.nodeId,
      bootId: 'boot',
      instance: `${host.nodeId}-${host.life}`,
      random: this.#random.split(`agent ${host.nodeId} ${host.life}`),
      log: silentLog,
      state: host.disk,
      now: this.#agentNow(),
    })
    host.agent = agent
    const managers = this.#managers.map(({ nodeId }) => ({ nodeId, addr: nodeId }))
    agent.step({ kind: 'managers', managers })
    agent.step({ kind: 'described', description: emptyNodeDescription })
    agent.step({ kind: 'containers', list: [...host.containers.values()] })
  }

  // ── what agents want done ──────────────────────────────────────────────────────────────────

  #drainAgent(host: AgentHost): void {
    for (;;) {
      const { agent } = host
      const outputs = agent?.ready()
      if (agent === undefined || outputs === undefined) break
      for (const output of outputs) this.#carryOut(host, agent, output)
      agent.advance(outputs)
    }
    const mark = host.agent?.status().mark ?? host.mark
    assert(compareMarks(mark, host.mark) >= 0, 'a mark went back', { node: host.nodeId })
  }

  #carryOut(host: AgentHost, agent: Agent, output: AgentOutput): void {
    const { life } = host
    const ifAlive = (run: () => void) => () => {
      if (host.life === life && host.agent === agent) run()
    }
    switch (output.kind) {
      case 'dial':
        this.#after(
          this.#random.integer(30),
          ifAlive(() => this.#connect(host, agent, output.session, output.addr)),
        )
        break
      case 'send': {
        const stream = this.#streamOf(host, output.session)
        if (stream !== undefined) this.#sendUp(stream, output.message)
        break
      }
      case 'hangup': {
        const stream = this.#streamOf(host, output.session)
        if (stream !== undefined) this.#closeUp(stream)
        break
      }
      case 'operation':
        this.#operate(host, agent, output)
        break
      case 'persist':
        this.#after(
          this.#random.integer(30),
          ifAlive(() => {
            host.disk = output.state
            host.mark = decodeAgentState(output.state).mark ?? ZERO_MARK
            agent.step({ kind: 'persisted', version: output.version })
          }),
        )
        break
      // Nothing here has a health check.
      case 'probe':
      case 'cancel':
      case 'command':
      case 'node-changed':
      case 'managers-changed':
      case 'done':
        break
      default:
        output satisfies never
    }
  }

  #operate(
    host: AgentHost,
    agent: Agent,
    output: Extract<AgentOutput, { kind: 'operation' }>,
  ): void {
    const { operation, id } = output
    const { life } = host
    assert(host.isTold, 'an operation before any set', { node: host.nodeId, kind: operation.kind })
    checkOperation(this.#truth.view(), operation)
    this.#after(this.#random.integer(400), () => {
      const isAlive = host.life === life && host.agent === agent
      // A runtime goes on, or never began, when its caller died. That it goes on although the
      // caller's state is lost cannot be known by anybody, and is left out.
      if (!isAlive && (host.losses === 'state' || this.#chance(500))) return
      const result = this.#runOperation(host, operation)
      if (isAlive) agent.step({ kind: 'operation-done', id, result })
    })
  }

  #runOperation(host: AgentHost, { kind, task: { id } }: Operation): OperationResult {
    const isFailing = this.#chance(this.#faults.operationFailure)
    const container = host.containers.get(id)
    const failed = (retriable: boolean): OperationResult => ({
      kind: 'failed',
      error: new SwarmError('internal', `${kind} failed`, { retriable }),
    })
    switch (kind) {
      case 'prepare':
        if (isFailing) return failed(this.#chance(500))
        host.containers.set(id, container ?? newContainer(id))
        return { kind: 'done' }
      case 'start': {
        assert(container?.state === 'created', 'started what was not prepared', { id })
        this.#starts.set(id, (this.#starts.get(id) ?? 0) + 1)
        assert(this.#starts.get(id) === 1, 'a task was started twice', { task: id })
        this.counts.starts += 1
        if (isFailing && this.#chance(500)) return failed(false)
        const running: Container = { ...container, state: 'running', pid: 1 }
        host.containers.set(id, running)
        return isFailing ? failed(false) : { kind: 'started', started: running }
      }
      case 'stop':
        if (isFailing) return failed(true)
        if (container?.state === 'running') this.#exit(host, container, 143)
        return { kind: 'done' }
      case 'remove':
        if (isFailing) return failed(true)
        host.containers.delete(id)
        return { kind: 'done' }
      default:
        return kind satisfies never
    }
  }

  #exit(host: AgentHost, container: Container, exitCode: number): void {
    const { taskId } = container
    const exit: Exit = { taskId, exitCode, oomKilled: false, error: '', atMs: this.#nowMs }
    host.containers.set(taskId, { ...container, state: 'exited', exit })
    host.agent?.step({ kind: 'exited', exit })
  }

  // ── streams ────────────────────────────────────────────────────────────────────────────────

  #connect(host: AgentHost, agent: Agent, session: number, addr: string): void {
    const manager = this.#managers.find((known) => known.nodeId === addr)
    if (manager === undefined || agent.status().session !== 'dialing') return
    this.#lastStream += 1
    const stream: Stream = {
      id: this.#lastStream,
      manager,
      managerLife: manager.life,
      host,
      hostLife: host.life,
      session,
      upMs: this.#nowMs,
      downMs: this.#nowMs,
      isOpen: true,
    }
    this.counts.sessions += 1
    this.#streams.push(stream)
    const opened = { session: stream.id, nodeId: host.nodeId, peerAddr: '10.0.0.9' }
    manager.dispatcher.step({ kind: 'opened', ...opened })
    agent.step({ kind: 'connected', session })
  }

  #streamOf(host: AgentHost, session: number): Stream | undefined {
    return this.#streams.find(
      (stream) =>
        stream.host === host && stream.hostLife === host.life && stream.session === session,
    )
  }

  #sendUp(stream: Stream, message: AgentMessage): void {
    const bytes = encodeAgentMessage(message)
    // What is on its way when its sender hangs up may still arrive.
    stream.upMs = this.#deliver(stream.upMs, () => {
      if (stream.manager.life !== stream.managerLife) return
      const received = decodeAgentMessage(bytes)
      stream.manager.dispatcher.step({ kind: 'received', session: stream.id, message: received })
    })
  }

  #sendDown(stream: Stream, message: SessionMessage): void {
    const bytes = encodeSessionMessage(message)
    stream.downMs = this.#deliver(stream.downMs, () => {
      if (stream.host.life !== stream.hostLife) return
      const received = decodeSessionMessage(bytes)
      if (received.body?.kind === 'assignments') stream.host.isTold = true
      stream.host.agent?.step({ kind: 'received', session: stream.session, message: received })
    })
  }

  /** Delivers in order, unless the faults say otherwise; when the last message will have come. */
  #deliver(lastMs: number, run: () => void): number {
    if (this.#chance(this.#faults.lost)) return lastMs
    const usualMs = Math.max(lastMs, this.#nowMs + this.#random.integer(20))
    const isLate = this.#chance(this.#faults.reordered)
    const arrivesMs = isLate ? this.#nowMs + this.#random.integer(2_000) : usualMs
    this.#after(arrivesMs - this.#nowMs, run)
    if (this.#chance(this.#faults.repeated)) this.#after(this.#random.integer(3_000), run)
    return isLate ? lastMs : usualMs
  }

  #cut(stream: Stream): void {
    this.#closeUp(stream)
    this.#closeDown(stream, new SwarmError('unavailable', 'connection lost'))
  }

  #closeUp(stream: Stream): void {
    this.#drop(stream)
    this.#after(Math.max(stream.upMs, this.#nowMs) - this.#nowMs, () => {
      if (stream.manager.life === stream.managerLife)
        stream.manager.dispatcher.step({ kind: 'closed', session: stream.id })
    })
  }

  #closeDown(stream: Stream, error: SwarmError | undefined): void {
    this.#drop(stream)
    this.#after(Math.max(stream.downMs, this.#nowMs) - this.#nowMs, () => {
      if (stream.host.life === stream.hostLife)
        stream.host.agent?.step({ kind: 'disconnected', session: stream.session, error })
    })
  }

  #drop(stream: Stream): void {
    stream.isOpen = false
    this.#streams = this.#streams.filter((open) => open !== stream)
  }

  // ── what dispatchers want done ─────────────────────────────────────────────────────────────

  #drainManager(manager: ManagerHost): void {
    for (;;) {
      const { dispatcher } = manager
      const outputs = dispatcher.ready()
      if (outputs === undefined) return
      for (const output of outputs) this.#serve(manager, output)
      dispatcher.advance(outputs)
    }
  }

  #serve(manager: ManagerHost, output: DispatcherOutput): void {
    const { life } = manager
    const answer = (run: () => void): void =>
      this.#after(this.#random.integer(40), () => {
        if (manager.life === life) run()
      })
    switch (output.kind) {
      case 'send': {
        const stream = this.#streams.find((open) => open.id === output.session)
        if (stream !== undefined) this.#sendDown(stream, output.message)
        break
      }
      case 'close': {
        const stream = this.#streams.find((open) => open.id === output.session)
        if (stream !== undefined) this.#closeDown(stream, output.reason)
        break
      }
      case 'write':
        answer(() => {
          const outcome = this.#write(manager, output.request)
          manager.dispatcher.step({ kind: 'write-done', id: output.id, outcome })
        })
        break
      case 'relay':
        answer(() => {
          const reply = manager.isCut
            ? undefined
            : this.#liveness.relay(this.#truth.view(), output.request)
          manager.dispatcher.step({ kind: 'relay-done', id: output.id, reply })
        })
        break
      case 'read-index':
        answer(() => {
          const isBroken = this.#chance(this.#faults.readBroken)
          const index = isBroken ? manager.store.view().index : this.#log.length
          const told = manager.isCut && !isBroken ? undefined : index
          manager.dispatcher.step({ kind: 'read-index-done', id: output.id, index: told })
        })
        break
      case 'command-done':
        break
      default:
        output satisfies never
    }
  }

  #write(manager: ManagerHost, request: WriteRequest): WriteOutcome {
    const unavailable = new SwarmError('unavailable', 'no leader')
    if (manager.isCut) return { kind: 'refused', error: unavailable }
    try {
      this.#commit(this.#handle(request).changes)
    } catch (error) {
      if (error instanceof SwarmError) return { kind: 'refused', error }
      throw error
    }
    // The answer may be lost although it was written.
    if (this.#chance(this.#faults.cut * 10)) return { kind: 'refused', error: unavailable }
    return { kind: 'committed', reply: { ...emptyWriteReply, index: this.#log.length } }
  }

  #handle({ body, caller }: WriteRequest): Handled {
    const view = this.#truth.view()
    const context: HandlerContext = {
      now: this.#nowMs,
      wallMs: WALL_MS + this.#nowMs,
      random: this.#random,
      caller: caller ?? emptyCaller,
      managers: [],
    }
    if (body?.kind === 'nodeRegister') return handleNodeRegister(view, body.nodeRegister, context)
    if (body?.kind === 'statusReport') return handleStatusReport(view, body.statusReport, context)
    if (body?.kind === 'nodeLeave') return handleNodeLeave(view, body.nodeLeave, context)
    throw new SwarmError('unimplemented', `a dispatcher does not write ${body?.kind}`)
  }

  // ── what must hold ─────────────────────────────────────────────────────────────────────────

  /** At rest every node is ready, and each task is as it is wanted, or has ended. */
  #checkRest(): void {
    const view = this.#truth.view()
    for (const host of this.#hosts) {
      const state = view.nodes.get(host.nodeId)?.status?.state
      assert(state === 'ready', 'a node is not ready at rest', { node: host.nodeId, state })
      const agent = defined(host.agent, 'an agent runs at rest')
      const { reportsWaiting } = agent.status()
      assert(reportsWaiting === 0, 'a report waits at rest', { node: host.nodeId, reportsWaiting })
      const assigned = new Map([...view.tasks.by('node', host.nodeId)].map((t) => [t.id, t]))
      for (const object of assigned.values()) checkAtRest(object, host.containers.get(object.id))
      for (const taskId of host.containers.keys())
        assert(assigned.has(taskId), 'a container without a task at rest', { task: taskId })
    }
  }
}

const NONE: ReadonlySet<string> = new Set()
const NO_IDS = {
  clusters: NONE,
  nodes: NONE,
  services: NONE,
  tasks: NONE,
  secrets: NONE,
  configs: NONE,
}

function newContainer(taskId: string): Container {
  return {
    taskId,
    containerId: `c-${taskId}`,
    state: 'created',
    pid: 0,
    exit: undefined,
    hostPorts: [],
  }
}

/** Observed states only go up, and the end is the end. */
function checkTask(before: View, object: Task): void {
  const known = before.tasks.get(object.id)
  const from = known?.status?.state ?? 'new'
  const to = object.status?.state ?? 'new'
  assert(compareTaskState(to, from) >= 0, 'a task went back', { task: object.id, from, to })
  assert(!isTerminal(from) || from === to, 'an ended task changed', { task: object.id, from, to })
}

/** Nothing happens to a container that the cluster never wanted. */
function checkOperation(view: View, operation: Operation): void {
  const { id } = operation.task
  const object = view.tasks.get(id)
  const facts = { task: id, desired: object?.desiredState, state: object?.status?.state }
  if (operation.kind === 'start')
    assert(object?.desiredState !== 'ready', 'a task was started that was held back', facts)
  if (operation.kind === 'stop') {
    // After a start that failed, or was interrupted, a stop makes sure.
    const wasStarting = compareTaskState(object?.status?.state ?? 'new', 'running') < 0
    const isWantedStill = object !== undefined && isWanted(object.desiredState)
    const isGivenUp = isTerminal(object?.status?.state ?? 'new')
    assert(!isWantedStill || wasStarting || isGivenUp, 'a wanted task was stopped', facts)
  }
  if (operation.kind === 'remove') assert(object === undefined, 'a task was forgotten', facts)
}

function checkAtRest(object: Task, container: Container | undefined): void {
  const state = object.status?.state ?? 'new'
  const facts = { task: object.id, desired: object.desiredState, state, is: container?.state }
  const isRunning = container?.state === 'running'
  if (isTerminal(state)) assert(!isRunning, 'an ended task runs at rest', facts)
  else if (object.desiredState === 'ready') assert(state === 'ready', 'not held at rest', facts)
  else assert(state === 'running' && isRunning && isWanted(object.desiredState), 'not done', facts)
}
