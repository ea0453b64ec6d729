/**
 * SimNode: one host of the simulated world, with the production machines of its daemon: consensus
 * with its log, manager, and agent. It is their shell: what the threads, gRPC and the runtime do in
 * a real node happens here as events. A crash forgets everything but the disk and the containers; a
 * power cut, the containers as well.
 */
import { Agent, type AgentOutput } from '../../agent/agent.ts'
import { isDiskError } from '../../lib/disk.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import type { SeededRandom } from '../../lib/random.ts'
import { isValidAt } from '../../manager/ca/certificate-life.ts'
import type { CertificateClaims } from '../../manager/ca/signer.ts'
import { Consensus } from '../../manager/consensus.ts'
import type { ConsensusInput, MainEvent, Persist } from '../../manager/consensus-interface.ts'
import { handleWrite, newLoops } from '../../manager/handle.ts'
import { Manager } from '../../manager/manager.ts'
import type { ManagerOutput } from '../../manager/manager-interface.ts'
import { CLUSTER_VERSION } from '../../manager/model/cluster-version.ts'
import { loadSnapshot, Persister } from '../../manager/persist.ts'
import type { Message } from '../../manager/raft/message.ts'
import { TICK_MS } from '../../manager/raft-core.ts'
import { findDowngrade } from '../../manager/versions.ts'
import { openWal } from '../../manager/wal/wal.ts'
import { listManagersToAsk } from '../../node/managers-to-ask.ts'
import type { RelayReply, WriteReply, WriteRequest } from '../../proto/gen/control.ts'
import type { AgentMessage, ManagerAddress, SessionMessage } from '../../proto/gen/dispatcher.ts'
import { TaskStateNumber } from '../../proto/gen/types.ts'
import { type Caller, callNode } from './call.ts'
import type { Held } from './checkers/reporters.ts'
import { SealChecker } from './checkers/seals.ts'
import { SimDisk, SimulatedCrash } from './disk.ts'
import { describeHost } from './host.ts'
import { admit, Life } from './life.ts'
import type { ContainersCopy, SimRuntime } from './runtime.ts'
import { HeardOf } from './stranger.ts'
import { Threads } from './threads.ts'
import type { World } from './world.ts'

const KEYS = { currentId: 1, keys: new Map([[1, new Uint8Array(32).fill(7)]]) }
const CLUSTER_ID = 'simulated'
const AGENT_STATE = 'agent/state'
const PEER_DEADLINE_MS = 2_000
/** A daemon that was told to stop has ended after this long, one way or another. */
const STOP_MAX_MS = 10_000
/** Containers are stopped with their grace before a node has left. */
const LEAVE_MAX_MS = 40_000
/** How often the role and the certificate's age are looked at, as `node/node.ts` does. */
const LOOK_TICKS = 1_000 / TICK_MS
/** Small, so that snapshots are taken and installed in a short life. */
const SNAPSHOT_INTERVAL = { entries: 200, bytes: 1 << 20, keepEntries: 20 }
const SEGMENT_BYTES = 32 * 1024

/** The daemon's process: gone with a crash. */
type Daemon = {
  readonly instance: number
  readonly agent: Agent
  readonly life: Life
  /** Of this process. */
  ticks: number
  /** When main was last given the time, ms of the world. */
  tickedMs: number
  /** Of the operations under way, by their id. */
  readonly cancels: Map<number, () => void>
  isStopping: boolean
  /** What comes after a leave. */
  left: (() => void) | undefined
  consensus: Consensus | undefined
  manager: Manager | undefined
  persister: Persister | undefined
  /** The way between the consensus thread and main; with the manager. */
  threads: Threads | undefined
  /** What the consensus thread sees of main's progress. */
  mainRounds: number
  /** Given to the persister and not yet durable. */
  unsaved: readonly Persist[]
  /** Waiting for the write before to end. */
  unwritten: readonly Persist[]
  isWriting: boolean
}

/** Where a manager may die as if by chance. */
export const CRASH_POINTS = [
  'before applying',
  'after applying',
  'before answering',
  'after answering',
] as const

export class SimNode {
  readonly id: string
  readonly addr: string
  readonly raftAddr: string
  readonly disk: SimDisk
  readonly runtime: SimRuntime
  /** Of the data directory; 0 before the node is a manager. */
  raftId = 0
  /** On disk beside it: managers of the join, later those that its log or its sessions told of. */
  managers: readonly ManagerAddress[] = []
  /** Whom its agent was told of, whatever that makes of it. */
  readonly heardOf: HeardOf = new HeardOf()
  /** Of the group that its log is of: how often the quorum was lost for good before. */
  epoch = 1
  /** The epoch that shut this member out, as its directory says; 0: none has. */
  shutOutBy = 0
  /** What the certificate on disk says; undefined before the node has joined. */
  claims: CertificateClaims | undefined
  #world: World
  #random: SeededRandom
  #log: Log
  #daemon: Daemon | undefined
  #starts = 0
  #managerStarts = 0
  #sequence = 0
  #writes = new Map<number, Caller<WriteReply>>()
  #reads = new Map<number, Caller<number>>()
  #isPumping = false
  #relayCalls = new Map<number, Caller<RelayReply>>()
  /** Sessions of agents by the number the manager knows: whom to answer. */
  #held = new Map<number, Held>()
  /** Another host that is this node as well. */
  isClone = false
  /** This agent's session: at which manager, and under which number there. */
  #session: { readonly own: number; readonly at: SimNode; readonly held: number } | undefined
  /** Where the last session was. */
  #lastAt: SimNode | undefined
  #isJoint = false
  /** While the process is stopped what reaches it waits here, in order. */
  #stopped: (() => void)[] | undefined
  /** Tells an end of a pause from a later one's. */
  #pauses = 0
  /** Until then main makes no progress; the consensus thread goes on. */
  mainStalledUntilMs = 0
  /** Main stalls for so long in the round that makes its next proposal; 0: it does not. */
  stallAtProposalMs = 0
  /** Until then the disk under the log takes what it is given and answers nothing. */
  diskHungUntilMs = 0
  /** The next full set that this agent is sent comes a second time, so much later; 0: it does not. */
  repeatSetMs = 0
  /** What this agent sends takes so much longer, until its session breaks. */
  sessionLateMs = 0
  /** The stream of this agent breaks under the next set of assignments. */
  isSetLost = false
  /** Is given each state of the agent as it was saved. */
  onAgentSaved: ((state: Uint8Array) => void) | undefined
  /** How long a sync takes at least in the mean; 0: as the seed says. */
  diskSlowMs = 0
  /** Where the process dies next. */
  crashPoint: (typeof CRASH_POINTS)[number] | undefined
  /** Of the program, as the node reports it. */
  version: number = CLUSTER_VERSION
  /** How far the wall clock is off. */
  wallOffsetMs = 0
  /** How fast this node's clock runs, and what it showed when that was set. */
  #clock = { speed: 1, setMs: 0, showedMs: 0 }

  constructor(
    world: World,
    id: string,
    options: { readonly random: SeededRandom; readonly log: Log; readonly runtime: SimRuntime },
  ) {
    this.#world = world
    this.id = id
    this.addr = `${id}:2377`
    this.raftAddr = `${id}:7946`
    this.#random = options.random
    this.#log = options.log
    this.runtime = options.runtime
    const seals = new SealChecker()
    this.disk = new SimDisk({
      random: options.random.split('disk'),
      observe: (operation, path, bytes) => {
        for (const problem of seals.observe(operation, path, bytes)) world.violation(problem)
      },
    })
    this.disk.makeDirectory('agent')
    this.disk.syncDirectory('')
  }

  get role(): 'worker' | 'manager' {
    return this.claims?.role ?? 'worker'
  }

  get hasLog(): boolean {
    if (!this.disk.list('').includes('raft')) return false
    return this.disk.list('raft').some((name) => name.endsWith('.segment'))
  }

  get isUp(): boolean {
    return this.#daemon !== undefined
  }

  /** Told to stop or to leave, and not yet ended. */
  get isStopping(): boolean {
    return this.#daemon?.isStopping === true
  }

  get manager(): Manager | undefined {
    return this.#daemon?.manager
  }

  get consensus(): Consensus | undefined {
    return this.#daemon?.consensus
  }

  /** What the agent of this process calls itself; of the next one while none runs. */
  get instance(): string {
    return this.#instanceName(this.#daemon?.instance ?? this.#starts + 1)
  }

  #instanceName(start: number): string {
    return `${this.id}-${start}${this.isClone ? '-clone' : ''}`
  }

  get agent(): Agent | undefined {
    return this.#daemon?.agent
  }

  /** Main of this process goes by a time that is no earlier, ms of the world. */
  get tickedMs(): number {
    return this.#daemon?.tickedMs ?? 0
  }

  /** The daemon starts, with what the disk holds, or ends at once if it cannot. */
  boot(): void {
    this.guard(() => this.#boot())
  }

  #boot(): void {
    const instance = ++this.#starts
    const agent = new Agent({
      nodeId: this.id,
      bootId: 'boot',
      instance: this.#instanceName(instance),
      random: this.#random.split(`agent-${instance}`),
      log: this.#log,
      state: this.#loadAgentState(),
      now: this.#now(),
    })
    this.#daemon = {
      instance,
      agent,
      life: new Life(this.#world, this, this.#random.split(`life-${instance}`)),
      ticks: 0,
      tickedMs: this.#world.schedule.nowMs,
      cancels: new Map(),
      isStopping: false,
      left: undefined,
      consensus: undefined,
      manager: undefined,
      persister: undefined,
      threads: undefined,
      mainRounds: 0,
      unsaved: [],
      unwritten: [],
      isWriting: false,
    }
    const isMember = this.role === 'manager' && this.raftId !== 0 && this.shutOutBy === 0
    if (isMember && this.hasLog) this.startManager()
    this.runtime.onExit = (exit) =>
      this.#whenAwake(() => {
        agent.step({ kind: 'exited', exit })
        this.#pump()
      })
    agent.step({ kind: 'managers', managers: this.managers })
    if (this.runtime.listRunning().length > 0) this.#world.reached('A3')
    this.runtime.whenListed((list) => {
      if (this.#daemon?.agent !== agent) return
      agent.step({ kind: 'containers', list })
      this.#pump()
    })
    agent.step({
      kind: 'described',
      description: {
        ...describeHost(this.id, this.#world.random.split(`host ${this.id}`)),
        version: this.version,
      },
    })
    this.#pump()
    this.#tickLater(instance)
  }

  /** Raft, log and store start beside the agent, or this node ends if its disk fails. */
  startManager(): void {
    this.guard(() => this.#startManager())
  }

  #startManager(): void {
    const daemon = this.#daemon
    if (daemon === undefined || daemon.consensus !== undefined) return
    const start = ++this.#managerStarts
    const opened = openWal(this.disk, 'raft', {
      identity: { clusterId: CLUSTER_ID, raftId: this.raftId },
      keys: KEYS,
      random: this.#random.split(`wal-${start}`),
      segmentBytes: SEGMENT_BYTES,
    })
    daemon.persister = new Persister(opened.wal)
    daemon.manager = new Manager({
      raftId: this.raftId,
      random: this.#random.split(`manager-${start}`),
      log: this.#log,
      handle: handleWrite,
      loops: newLoops,
      now: { ...this.#managerNow() },
    })
    daemon.consensus = new Consensus({
      raftId: this.raftId,
      random: this.#random.split(`raft-${start}`),
      log: this.#log,
      hardState: opened.hardState,
      entries: opened.entries,
      snapshot: loadSnapshot(opened),
      snapshotInterval: SNAPSHOT_INTERVAL,
      messageBytesMax: this.#world.rates.messageBytes,
      committedBytesMax: this.#world.rates.committedBytes,
    })
    daemon.threads = this.#newThreads(daemon, this.#random.split(`threads-${start}`))
    this.#world.checkers.opened(this, opened)
    this.#pump()
  }

  #newThreads(daemon: Daemon, random: SeededRandom): Threads {
    const { consensus } = daemon
    return new Threads(
      {
        nowMs: () => this.#monotonicMs(),
        after: (ms, work) => this.#after(ms, work),
        stalledMs: () => Math.max(0, this.mainStalledUntilMs - this.#world.schedule.nowMs),
        isLeader: () => consensus?.status().role === 'leader',
        send: (message) => this.#sendRaft(message),
        toMain: (events) => this.#readEvents(daemon, events),
        toThread: (inputs) => {
          this.guard(() => {
            for (const input of inputs) consensus?.step(input)
          })
          this.#pump()
        },
      },
      { random, turnMeanMs: this.#world.rates.threadTurnMeanMs },
    )
  }

  /** Not a manager any more; the agent goes on. */
  stopManager(): void {
    const daemon = this.#daemon
    if (daemon === undefined) return
    daemon.threads?.close()
    this.#endManager(daemon)
    daemon.threads = undefined
    daemon.consensus = undefined
    daemon.manager = undefined
    daemon.persister = undefined
    daemon.unsaved = []
    daemon.unwritten = []
    daemon.isWriting = false
  }

  /** The log is gone, and with it the member that it was. */
  removeLog(): void {
    if (this.disk.list('').includes('raft')) this.disk.restore('raft', new Map())
    this.#world.checkers.replaced(this)
  }

  /** What the agent knew of its tasks is gone, and so is what it promised by it. */
  removeAgentState(): void {
    this.disk.heal()
    this.disk.restore('agent', new Map())
    this.heardOf.replaced(undefined)
    this.#world.checkers.agentReplaced(this, undefined)
  }

  /** What the agent knows of its tasks is what it knew when it saved this. */
  restoreAgentState(state: Uint8Array): void {
    this.disk.heal()
    this.disk.restore('agent', new Map([[AGENT_STATE, state]]))
    this.heardOf.replaced(state)
    this.#world.checkers.agentReplaced(this, state)
  }

  /** The host's containers are those that it had then. */
  restoreContainers(copy: ContainersCopy): void {
    const { tasks } = this.#world.checkers.reference.view()
    // Of a task that is no more everybody knows that it is not to be started.
    const isStartKnown = (taskId: string): boolean =>
      TaskStateNumber[tasks.get(taskId)?.status?.state ?? 'remove'] >= TaskStateNumber.starting
    this.runtime.restoreContainers(copy, isStartKnown)
    this.#world.checkers.containersReplaced(this)
  }

  /** Who waits for this manager learns that it is gone. */
  #endManager(daemon: Daemon): void {
    const gone = new SwarmError('unavailable', 'the manager is gone, outcome unknown')
    const waiting: readonly ((outcome: SwarmError) => void)[] = [
      ...this.#writes.values(),
      ...this.#reads.values(),
    ]
    this.#world.schedule.after(1, () => {
      for (const caller of waiting) caller(gone)
    })
    this.#writes = new Map()
    this.#reads = new Map()
    this.#relayCalls = new Map()
    for (const held of this.#held.values()) {
      this.#world.checkers.session(held, { kind: 'ended' })
      this.#world.schedule.after(1, () => held.node.sessionLost(held.session, this))
    }
    this.#held = new Map()
    if (daemon.consensus !== undefined)
      for (const peer of this.#world.nodes.values()) peer.peerClosed(this.raftId)
  }

  /** SIGKILL: what was not synced may be lost or torn; containers go on. */
  crash(keep: 'none' | 'some' | 'all'): void {
    if (this.#daemon === undefined) return
    const daemon = this.#daemon
    this.#daemon = undefined
    this.#stopped = undefined
    this.crashPoint = undefined
    daemon.life.end()
    this.heardOf.crashed()
    if (this.disk.crash(keep)) this.#world.reached('D2')
    this.runtime.onExit = undefined
    this.runtime.abandon()
    this.#endManager(daemon)
    if (this.#session !== undefined) {
      const { at, held } = this.#session
      this.#world.schedule.after(1, () => at.heldLost(held))
      this.#session = undefined
    }
  }

  /** A manager's write, asked by a client or a joiner at this node. */
  write(request: WriteRequest, isForwarded: boolean, caller: Caller<WriteReply>): void {
    const { manager } = this.#daemon ?? {}
    if (manager === undefined) {
      caller(new SwarmError('unavailable', 'no manager here', { retriable: true }))
      return
    }
    const id = ++this.#sequence
    this.#writes.set(id, caller)
    this.#whenAwake(() => {
      manager.step({ kind: 'write', id, request, isForwarded })
      this.#pump()
    })
  }

  /** A linearizable read at this node: the index its view has reached. */
  read(caller: Caller<number>): void {
    const { manager } = this.#daemon ?? {}
    if (manager === undefined) {
      caller(new SwarmError('unavailable', 'no manager here', { retriable: true }))
      return
    }
    const id = ++this.#sequence
    this.#reads.set(id, caller)
    this.#whenAwake(() => {
      manager.step({ kind: 'read', id })
      this.#pump()
    })
  }

  receiveRaft(message: Message): void {
    this.#whenAwake(() => this.#receiveRaft(message))
  }

  #receiveRaft(message: Message): void {
    if (this.#daemon?.consensus === undefined || message.to !== this.raftId) return
    const from = this.#world.findByRaftId(message.from)
    if (message.type === 'snapshot') this.#world.snapshots.received(this)
    if (message.type === 'append-response' && from !== undefined)
      this.#world.snapshots.answered(this, from)
    this.guard(() => this.#daemon?.consensus?.step({ kind: 'message', message }))
    this.#pump()
  }

  peerConnected(raftId: number): void {
    this.#peer(raftId, 'connected')
  }

  peerClosed(raftId: number): void {
    if (raftId !== this.raftId) this.#peer(raftId, 'closed')
  }

  #peer(raftId: number, state: 'connected' | 'closed'): void {
    this.#whenAwake(() => {
      this.#daemon?.consensus?.step({ kind: 'peer', raftId, state })
      this.#pump()
    })
  }

  /** Another group of this cluster goes on without this member; its life ends it. */
  shutOut(epoch: number): void {
    if (this.isPaused || this.shutOutBy > 0 || this.consensus === undefined) return
    this.#world.trace(`${this.id} of epoch ${this.epoch} is shut out by epoch ${epoch}`)
    this.shutOutBy = epoch
  }

  get isPaused(): boolean {
    return this.#stopped !== undefined
  }

  /** SIGSTOP, and SIGCONT after so long. */
  pause(ms: number): void {
    if (this.#daemon === undefined) return
    this.#stopped ??= []
    const pause = ++this.#pauses
    this.#world.schedule.after(ms, () => {
      if (pause === this.#pauses) this.resume()
    })
  }

  /** SIGCONT: all that waited happens now. */
  resume(): void {
    const stopped = this.#stopped ?? []
    this.#stopped = undefined
    const daemon = this.#daemon
    for (const work of stopped) if (this.#daemon === daemon) work()
  }

  /** Nothing happens in a process that is stopped, and nothing of what waited if it is killed then. */
  #whenAwake(work: () => void): void {
    if (this.#stopped === undefined) work()
    else this.#stopped.push(work)
  }

  /** In this process, so much later, unless it is gone then. */
  #after(ms: number, work: () => void): void {
    const daemon = this.#daemon
    this.#world.schedule.after(ms, () => {
      if (this.#daemon !== daemon) return
      this.#whenAwake(() => {
        if (this.#daemon === daemon) work()
      })
    })
  }

  /** The process dies here, if this is where it was to die. */
  #dieAt(point: (typeof CRASH_POINTS)[number]): void {
    if (this.crashPoint !== point) return
    this.crashPoint = undefined
    this.#world.reached('P2')
    throw new SimulatedCrash(`died ${point}`)
  }

  /** The node's own wall time, ms. */
  wallMs(): number {
    return this.#world.wallMs() + this.wallOffsetMs
  }

  /** The node's own clock, which never jumps, ms. */
  #monotonicMs(): number {
    const { speed, setMs, showedMs } = this.#clock
    return showedMs + (this.#world.schedule.nowMs - setMs) * speed
  }

  /** From now on the node's clock runs this fast; 1 is right. */
  setClockSpeed(speed: number): void {
    const { nowMs } = this.#world.schedule
    this.#clock = { speed, setMs: nowMs, showedMs: this.#monotonicMs() }
  }

  /** Gives the machines the time and carries out what is due, while the process lives. */
  #tickLater(instance: number): void {
    this.#world.schedule.after(TICK_MS / this.#clock.speed, () => {
      if (this.#daemon?.instance !== instance) return
      if (!this.isPaused) this.#tick()
      this.#tickLater(instance)
    })
  }

  #tick(): void {
    const daemon = this.#daemon
    if (daemon === undefined) return
    const isStalled = this.#isMainStalled()
    if (!isStalled) {
      daemon.mainRounds++
      daemon.tickedMs = this.#world.schedule.nowMs
    }
    this.guard(() => {
      if (!isStalled) daemon.manager?.tick(this.#managerNow())
      daemon.consensus?.step({ kind: 'main-progress', counter: daemon.mainRounds })
      daemon.consensus?.tick()
      if (daemon.persister?.isFull === true) this.#writeLog(daemon)
      if (!isStalled) daemon.agent.tick(this.#now())
      // Of two hosts that are one node only one follows its role, and who stops or leaves follows none.
      const isLookDue = !isStalled && !this.isClone && daemon.ticks++ % LOOK_TICKS === 0
      if (isLookDue && !daemon.isStopping) daemon.life.look()
    })
    this.#pump()
  }

  #isMainStalled(): boolean {
    return this.#world.schedule.nowMs < this.mainStalledUntilMs
  }

  #now(): { nowMs: number; wallMs: number; bootMs: number } {
    // The clock of the host, which its processes share.
    const nowMs = this.#monotonicMs()
    return { nowMs, wallMs: this.wallMs(), bootMs: nowMs }
  }

  #managerNow(): { monotonicMs: number; wallMs: number; isOver: () => boolean } {
    return {
      monotonicMs: this.#monotonicMs(),
      wallMs: this.wallMs(),
      isOver: () => false,
    }
  }

  /** Carries out everything that the machines have ready. */
  #pump(): void {
    // An answer may bring the next request at once: the pump under way sees to it when it has
    // carried out what it was given, for what was decided first goes first.
    if (this.#isPumping) return
    this.#isPumping = true
    this.guard(() => {
      for (let isBusy = true; isBusy; ) {
        const consensus = this.#pumpConsensus()
        const manager = !this.#isMainStalled() && this.#pumpManager()
        const agent = !this.#isMainStalled() && this.#pumpAgent()
        isBusy = consensus || manager || agent
      }
      this.#daemon?.threads?.flush()
    })
    this.#isPumping = false
  }

  /** A broken assertion of production code is a violation; a simulated disk fault, a crash. */
  guard(work: () => void): void {
    try {
      work()
    } catch (error) {
      if (this.#world.isDiskFault(error)) {
        this.#world.trace(`${this.id} ends: ${String(error)}`)
        if (this.disk.isDead) this.#world.reached('P2')
        this.crash('some')
        this.#world.restartLater(this)
        return
      }
      if (this.#world.atlas.takes(this, error)) {
        this.#world.trace(`${this.id} ends, its log is damaged: ${String(error)}`)
        this.crash('all')
        return
      }
      this.#world.violation(
        `${this.id}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      )
    }
  }

  #pumpConsensus(): boolean {
    const daemon = this.#daemon
    const ready = daemon?.consensus?.ready()
    if (daemon === undefined || ready === undefined) return false
    this.#world.checkers.stepped(this)
    for (const event of ready.events) {
      this.#world.checkers.event(this, event)
      if (event.kind !== 'members') continue
      this.#world.membersSeen(this, event.members)
      this.#world.snapshots.membersChanged(this, event.members)
    }
    daemon.threads?.tellMain(ready.events)
    daemon.threads?.send(ready.send)
    if (ready.fatal !== undefined) {
      this.#world.trace(`${this.id} ends: ${ready.fatal}`)
      this.crash('all')
      this.#world.restartLater(this)
      return false
    }
    if (ready.persist.some(({ compaction }) => compaction !== undefined))
      this.#world.snapshots.compacted(this)
    this.#world.checkers.appending(this, ready.persist)
    if (ready.persist.length > 0) this.#persist(daemon, ready.persist)
    const isJoint = daemon.consensus?.confState.votersOutgoing.length !== 0
    if (isJoint && !this.#isJoint) this.#joint()
    this.#isJoint = isJoint
    return true
  }

  /** The agent may dial whom the manager beside it knows as members, and the node keeps them. */
  #tellMembers({ agent, manager }: Daemon): void {
    const members = manager?.status().members ?? []
    this.heardOf.told(members)
    agent.step({ kind: 'managers', managers: members })
    if (members.length > 0) this.managers = members
  }

  /** As `node/node.ts` does. */
  listManagersToAsk(): readonly string[] {
    const { agent, manager } = this.#daemon ?? {}
    const [ofAgent, members, place] = [
      agent?.listManagers() ?? [],
      manager?.status().members ?? [],
      this.managers,
    ].map((list) => list.map(({ addr }) => addr))
    return listManagersToAsk(
      { agent: ofAgent ?? [], members: members ?? [], place: place ?? [] },
      this.addr,
    )
  }

  #joint(): void {
    this.#world.reached('joint changes')
    const { onJoint } = this.#world
    this.#world.onJoint = undefined
    if (onJoint !== undefined)
      this.#world.schedule.after(0, () => onJoint(this.#world.findLeader() ?? this))
  }

  /** As the manager's shell does: all that arrived together, then a round. */
  #readEvents(daemon: Daemon, events: readonly MainEvent[]): void {
    this.guard(() => {
      for (const event of events) {
        if (event.kind === 'committed') this.#dieAt('before applying')
        daemon.manager?.step({ kind: 'event', event })
      }
      if (events.some(({ kind }) => kind === 'members' || kind === 'role'))
        this.#tellMembers(daemon)
    })
    this.#pump()
  }

  /** As TLS does: whether the other end's certificate is valid by this node's own clock. */
  #trusts({ claims }: SimNode): boolean {
    return claims !== undefined && isValidAt(claims, this.wallMs())
  }

  #sendRaft(message: Message): void {
    this.#world.checkers.sent(this, message)
    const to = this.#world.findByRaftId(message.to)
    if (to === undefined) return
    const isLetIn = to.epoch === this.epoch && this.#trusts(to) && to.#trusts(this)
    const isSent = isLetIn && !this.#world.drops(message)
    if (isSent) this.#world.network.send(this.id, to.id, () => to.receiveRaft(message))
    if (message.type === 'snapshot') {
      if (isSent) this.#world.snapshots.sent(this, to, message.snapshot?.index ?? 0)
      const daemon = this.#daemon
      const consensus = daemon?.consensus
      this.#world.schedule.after(20, () => {
        if (this.#daemon !== daemon || daemon?.consensus !== consensus) return
        // As the transport does: whatever became of it, the leader hears, and goes on sending.
        const isCut = this.#world.network.isCut(this.id, to.id)
        const outcome = isSent && !isCut ? 'finished' : 'failed'
        this.#daemon?.consensus?.step({ kind: 'snapshot-sent', raftId: message.to, outcome })
        this.#pump()
      })
    }
  }

  /** What the thread could not give to the disk yet goes with its next write, whole and in order. */
  #persist(daemon: Daemon, effects: readonly Persist[]): void {
    daemon.unwritten = [...daemon.unwritten, ...effects]
    if (!daemon.isWriting) this.#writeNext(daemon)
  }

  /** One write after another; each takes a while. */
  #writeNext(daemon: Daemon): void {
    const { persister, unwritten } = daemon
    daemon.isWriting = unwritten.length > 0
    if (!daemon.isWriting) return
    daemon.unwritten = []
    const hungMs = Math.max(0, this.diskHungUntilMs - this.#world.schedule.nowMs)
    this.#after(hungMs + this.#world.diskDelayMs(this), () => {
      if (daemon.persister !== persister) return
      this.guard(() => {
        persister?.add(unwritten)
        daemon.unsaved = [...daemon.unsaved, ...unwritten]
        this.#writeLog(daemon)
      })
      // It may have died of this write.
      if (this.#daemon !== daemon) return
      this.#writeNext(daemon)
      this.#pump()
    })
  }

  /** As the thread does: what finds no space is tried again. */
  #writeLog(daemon: Daemon): void {
    const { persister, consensus } = daemon
    if (persister === undefined || consensus === undefined) return
    const wasFull = persister.isFull
    const sequence = persister.run()
    if (sequence !== undefined) {
      const saved = daemon.unsaved.filter((effect) => effect.sequence <= sequence)
      daemon.unsaved = daemon.unsaved.filter((effect) => effect.sequence > sequence)
      this.#world.checkers.persisted(this, saved)
      consensus.step({ kind: 'persisted', sequence })
    }
    if (persister.isFull !== wasFull) {
      this.#world.trace(`${this.id} disk ${persister.isFull ? 'full' : 'has space'}`)
      consensus.step({ kind: 'disk', isFull: persister.isFull })
    }
  }

  #pumpManager(): boolean {
    const outputs = this.#daemon?.manager?.ready()
    if (outputs === undefined) return false
    for (const output of outputs) this.#carryOut(output)
    return true
  }

  #carryOut(output: ManagerOutput): void {
    switch (output.kind) {
      case 'consensus':
        this.#toConsensus(output.input)
        break
      case 'answer':
        this.#dieAt('before answering')
        settle(this.#writes, output.id, output.outcome)
        this.#dieAt('after answering')
        break
      case 'read-answer':
        settle(this.#reads, output.id, output.outcome)
        break
      case 'relay-answer':
        this.#relayCalls.get(output.id)?.(output.outcome)
        this.#relayCalls.delete(output.id)
        break
      case 'forward':
        this.#callPeer<WriteReply>(
          output.to.raftId,
          (peer, reply) => peer.write(output.request, true, reply),
          (outcome) =>
            this.#daemon?.manager?.step({ kind: 'forward-done', id: output.id, outcome }),
        )
        break
      case 'relay':
        this.#callPeer<RelayReply>(
          output.to.raftId,
          (peer, reply) => peer.relay(output.request, reply),
          (outcome) =>
            this.#daemon?.manager?.step({
              kind: 'relay-done',
              id: output.id,
              reply: outcome instanceof SwarmError ? undefined : outcome,
            }),
        )
        break
      case 'pass':
      case 'command-answer':
      case 'digest-answer':
        break
      case 'ask-digest':
      case 'fatal':
        this.#world.violation(`S8: the state of ${this.id} was found to differ`)
        break
      case 'send':
        this.#sendToAgent(output.session, output.message)
        break
      case 'close': {
        const held = this.#held.get(output.session)
        this.#held.delete(output.session)
        if (held === undefined) break
        this.#world.checkers.session(held, { kind: 'ended' })
        // Behind what was sent on it.
        this.#world.lanes.send(
          `${this.id}/${output.session}/down`,
          { from: this.id, to: held.node.id, lateMs: 0 },
          () => held.node.sessionLost(held.session, this),
        )
        break
      }
      case 'applied':
        this.#dieAt('after applying')
        this.#world.checkers.applied(this)
        this.#endIfDowngraded()
        break
      default:
        output satisfies never
    }
  }

  /** As the manager's shell does; whoever put it back to an older version upgrades it again. */
  #endIfDowngraded(): void {
    const view = this.manager?.view()
    const reason = view && findDowngrade(view, this.version)
    if (reason === undefined) return
    this.#world.trace(`${this.id} ends: ${reason}`)
    this.crash('all')
    this.version = this.#world.clusterVersion
    this.#world.restartLater(this)
  }

  #toConsensus(input: ConsensusInput): void {
    if (input.kind === 'propose' && this.stallAtProposalMs > 0) {
      this.mainStalledUntilMs = this.#world.schedule.nowMs + this.stallAtProposalMs
      this.stallAtProposalMs = 0
      this.#world.trace(`${this.id} stalls with a proposal until ${this.mainStalledUntilMs}`)
    }
    this.#daemon?.threads?.push(input)
  }

  /** Heartbeats of another manager. */
  relay(
    request: Extract<ManagerOutput, { readonly kind: 'relay' }>['request'],
    reply: Caller<RelayReply>,
  ): void {
    const { manager } = this.#daemon ?? {}
    if (manager === undefined) return
    const id = ++this.#sequence
    this.#relayCalls.set(id, reply)
    this.#whenAwake(() => {
      manager.step({ kind: 'relay', id, request })
      this.#pump()
    })
  }

  /** A call to another manager, answered whatever happens while this process lives. */
  #callPeer<T>(
    raftId: number,
    ask: (peer: SimNode, reply: Caller<T>) => void,
    done: (outcome: T | SwarmError) => void,
  ): void {
    const daemon = this.#daemon
    const peer = this.#world.findByRaftId(raftId)
    const finish = (outcome: T | SwarmError): void => {
      if (this.#daemon !== daemon) return
      this.#whenAwake(() => {
        this.guard(() => done(outcome))
        this.#pump()
      })
    }
    if (peer === undefined) {
      this.#world.schedule.after(PEER_DEADLINE_MS, () =>
        finish(new SwarmError('unavailable', 'no answer, outcome unknown')),
      )
      return
    }
    const way = { from: this, to: peer, deadlineMs: PEER_DEADLINE_MS }
    callNode<T>(this.#world, way, (reply) => ask(peer, reply), finish)
  }

  // ── sessions ───────────────────────────────────────────────────────────────────────────────

  #sendToAgent(session: number, message: SessionMessage): void {
    const held = this.#held.get(session)
    if (held === undefined) return
    this.#world.checkers.session(held, { kind: 'sent', body: message.body })
    const way = { from: this.id, to: held.node.id, lateMs: 0 }
    const deliver = (): void => held.node.sessionReceived(held.session, message)
    this.#world.lanes.send(`${this.id}/${session}/down`, way, deliver)
    const isFull = message.body?.kind === 'assignments' && message.body.assignments.full
    const { repeatSetMs } = held.node
    if (!isFull || repeatSetMs === 0) return
    held.node.repeatSetMs = 0
    this.#world.reached('A10')
    this.#world.schedule.after(repeatSetMs, deliver)
  }

  sessionReceived(session: number, message: SessionMessage): void {
    this.#whenAwake(() => this.#sessionReceived(session, message))
  }

  #sessionReceived(session: number, message: SessionMessage): void {
    if (this.#session?.own !== session) return
    if (this.isSetLost && message.body?.kind === 'assignments') {
      this.isSetLost = false
      this.#world.reached('A10')
      this.breakSession()
      return
    }
    if (message.body?.kind === 'managers') this.heardOf.told(message.body.managers.managers)
    this.#daemon?.agent.step({ kind: 'received', session, message })
    this.#world.checkers.told(this, message)
    this.#pump()
  }

  /** The stream of this agent broke at the other end. */
  sessionLost(session: number, at: SimNode): void {
    this.#whenAwake(() => this.#sessionLost(session, at))
  }

  #sessionLost(session: number, at: SimNode): void {
    if (this.#session?.own !== session || this.#session.at !== at) return
    this.#session = undefined
    this.#daemon?.agent.step({
      kind: 'disconnected',
      session,
      error: new SwarmError('unavailable', 'the session broke'),
    })
    this.#pump()
  }

  /** Where this agent's session is. */
  get sessionAt(): SimNode | undefined {
    return this.#session?.at
  }

  /** The stream of this agent breaks; the manager's end sees it once all that is on the way is there. */
  breakSession(): void {
    const session = this.#session
    if (session === undefined) return
    const { own, at, held } = session
    const way = { from: this.id, to: at.id, lateMs: this.sessionLateMs }
    this.#world.lanes.send(`${at.id}/${held}/up`, way, () => at.heldLost(held))
    this.sessionLateMs = 0
    this.sessionLost(own, at)
  }

  /**
   * The node leaves the cluster: its tasks are stopped and removed; then `left` is called. Refused, as by
   * a daemon, while it changes its role.
   */
  leave(left: () => void): boolean {
    const daemon = this.#daemon
    if (daemon === undefined || daemon.isStopping || daemon.life.isChanging) return false
    daemon.isStopping = true
    daemon.left = left
    this.guard(() => daemon.agent.step({ kind: 'leave' }))
    this.#pump()
    this.#world.schedule.after(LEAVE_MAX_MS, () => {
      if (this.#daemon === daemon) left()
    })
    return true
  }

  /** SIGTERM: leadership handed over, the return announced; the process ends soon after. */
  stop(returnMs: number): void {
    const daemon = this.#daemon
    if (daemon === undefined || daemon.isStopping) return
    daemon.isStopping = true
    this.guard(() => {
      daemon.manager?.step({ kind: 'stop' })
      daemon.agent.step({ kind: 'stop', returnMs })
    })
    this.#pump()
    this.#world.schedule.after(STOP_MAX_MS, () => {
      if (this.#daemon === daemon) this.crash('all')
    })
  }

  heldLost(session: number): void {
    this.#whenAwake(() => this.#heldLost(session))
  }

  #heldLost(session: number): void {
    const held = this.#held.get(session)
    if (held === undefined) return
    this.#held.delete(session)
    this.#world.checkers.session(held, { kind: 'ended' })
    this.#daemon?.manager?.step({ kind: 'session', input: { kind: 'closed', session } })
    this.#pump()
  }

  heldReceived(session: number, message: AgentMessage): void {
    this.#whenAwake(() => this.#heldReceived(session, message))
  }

  #heldReceived(session: number, message: AgentMessage): void {
    const held = this.#held.get(session)
    if (held === undefined) return
    if (message.body?.kind === 'statuses' && !held.node.#isSessionAt(this, session))
      this.#world.reached('A11')
    if (message.body?.kind === 'heartbeat') this.#world.checkers.heartbeat(held.node, this)
    this.#world.checkers.session(held, { kind: 'received', body: message.body })
    this.#daemon?.manager?.step({ kind: 'session', input: { kind: 'received', session, message } })
    this.#pump()
  }

  /** An agent dials this manager; the number of the session here, or undefined when refused. */
  accept(node: SimNode, session: number): number | undefined {
    const { manager } = this.#daemon ?? {}
    if (manager === undefined || !this.#isAdmitted(node)) return undefined
    const held = ++this.#sequence
    this.#held.set(held, { manager: this, node, instance: node.instance, session })
    manager.step({
      kind: 'session',
      input: { kind: 'opened', session: held, nodeId: node.id, peerAddr: node.id },
    })
    this.#pump()
    return held
  }

  #isSessionAt(at: SimNode, held: number): boolean {
    return this.#session?.at === at && this.#session.held === held
  }

  #isAdmitted({ claims }: SimNode): boolean {
    if (claims === undefined) return false
    try {
      admit(this.#world, this, { claims, roles: ['worker', 'manager'] })
      return true
    } catch (error) {
      if (!(error instanceof SwarmError)) throw error
      this.#world.trace(`${this.id} refuses ${claims.nodeId}: ${error.message}`)
      return false
    }
  }

  #pumpAgent(): boolean {
    const agent = this.#daemon?.agent
    const outputs = agent?.ready()
    if (agent === undefined || outputs === undefined) return false
    for (const output of outputs) this.#carryOutAgent(output)
    agent.advance(outputs)
    return true
  }

  #carryOutAgent(output: AgentOutput): void {
    switch (output.kind) {
      case 'dial':
        this.#dial(output.session, output.addr)
        break
      case 'send': {
        const session = this.#session
        if (session?.own !== output.session) break
        this.#world.checkers.said(this, output.message)
        const way = { from: this.id, to: session.at.id, lateMs: this.sessionLateMs }
        this.#world.lanes.send(`${session.at.id}/${session.held}/up`, way, () =>
          session.at.heldReceived(session.held, output.message),
        )
        break
      }
      case 'hangup': {
        const session = this.#session
        if (session?.own !== output.session) break
        this.#session = undefined
        this.#world.network.carry(
          this.id,
          session.at.id,
          () => session.at.heldLost(session.held),
          () => undefined,
        )
        break
      }
      case 'operation': {
        const daemon = this.#daemon
        const { kind, task } = output.operation
        // Who leaves stops what is wanted there, and so may a clone, which nobody counts on.
        const isOwn = !this.isClone && daemon?.left === undefined
        if (isOwn) this.#world.checkers.operation(this, kind, task)
        const { cancel } = this.runtime.operate(kind, task, (result) => {
          daemon?.cancels.delete(output.id)
          if (this.#daemon !== daemon) return
          this.#whenAwake(() => {
            this.#daemon?.agent.step({ kind: 'operation-done', id: output.id, result })
            this.#pump()
          })
        })
        daemon?.cancels.set(output.id, cancel)
        break
      }
      case 'probe': {
        const daemon = this.#daemon
        const { id, task, probe } = output
        const { cancel } = this.runtime.probe(task, probe, (result) => {
          daemon?.cancels.delete(id)
          if (this.#daemon !== daemon) return
          this.#whenAwake(() => {
            if (this.#daemon !== daemon) return
            this.runtime.ailments.told(task.id, result)
            this.#daemon?.agent.step({ kind: 'probe-done', id, result })
            this.#pump()
          })
        })
        daemon?.cancels.set(id, cancel)
        break
      }
      case 'persist':
        this.#persistAgent(this.#daemon, output)
        break
      case 'cancel':
        this.#daemon?.cancels.get(output.id)?.()
        break
      case 'command':
        break
      case 'managers-changed':
        if (this.manager === undefined && output.managers.length > 0)
          this.managers = output.managers
        break
      case 'done':
        this.#end(this.#daemon)
        break
      case 'node-changed':
        this.#daemon?.life.told(output.change)
        break
      default:
        output satisfies never
    }
  }

  /** The agent has done what it was to do before its process ends. */
  #end(daemon: Daemon | undefined): void {
    this.#world.schedule.after(1, () => {
      if (daemon === undefined || this.#daemon !== daemon) return
      if (daemon.left === undefined) this.crash('all')
      else daemon.left()
    })
  }

  #dial(session: number, addr: string): void {
    const daemon = this.#daemon
    const at = this.#world.findByAddr(addr)
    const fail = (): void => {
      if (this.#daemon !== daemon) return
      this.#whenAwake(() => {
        this.#daemon?.agent.step({
          kind: 'disconnected',
          session,
          error: new SwarmError('unavailable', 'connection refused'),
        })
        this.#pump()
      })
    }
    if (at === undefined || !at.isUp) {
      this.#world.schedule.after(5, fail)
      return
    }
    // A cut way swallows the dial; the agent's own timeout ends it.
    this.#world.network.carry(
      this.id,
      at.id,
      () => {
        at.#whenAwake(() => {
          if (this.#daemon !== daemon) return
          const held = at.accept(this, session)
          if (held === undefined) fail()
          else this.#connected(session, { at, held })
        })
      },
      () => undefined,
    )
  }

  #connected(session: number, to: { readonly at: SimNode; readonly held: number }): void {
    this.#session = { own: session, ...to }
    if (this.#lastAt !== undefined && this.#lastAt !== to.at) this.#world.reached('agents moved')
    this.#lastAt = to.at
    this.#whenAwake(() => {
      this.#daemon?.agent.step({ kind: 'connected', session })
      this.#pump()
    })
  }

  /** On a full disk it is tried again. */
  #persistAgent(
    daemon: Daemon | undefined,
    output: Extract<AgentOutput, { readonly kind: 'persist' }>,
  ): void {
    if (daemon === undefined || this.#daemon !== daemon) return
    try {
      this.#saveAgentState(output.state)
    } catch (error) {
      if (!isDiskError(error, 'enospc')) throw error
      this.#world.schedule.after(500, () => {
        this.guard(() => this.#persistAgent(daemon, output))
        this.#pump()
      })
      return
    }
    this.heardOf.saved()
    if (!this.isClone) this.#world.checkers.agentSaved(this, output.state)
    this.onAgentSaved?.(output.state)
    daemon.agent.step({ kind: 'persisted', version: output.version })
  }

  #saveAgentState(state: Uint8Array): void {
    const temporary = 'agent/state.tmp'
    if (this.disk.list('agent').includes('state.tmp')) this.disk.remove(temporary)
    this.disk.create(temporary, 0)
    this.disk.write(temporary, 0, state)
    this.disk.sync(temporary)
    this.disk.rename(temporary, AGENT_STATE)
    this.disk.syncDirectory('agent')
  }

  #loadAgentState(): Uint8Array | undefined {
    const isThere = this.disk.list('agent').includes('state')
    const size = isThere ? this.disk.size(AGENT_STATE) : 0
    const state = isThere ? this.disk.read(AGENT_STATE, 0, size) : undefined
    if (!this.isClone) this.#world.checkers.agentSaved(this, state)
    return state
  }
}

function settle<T>(waiting: Map<number, Caller<T>>, id: number, outcome: T | SwarmError): void {
  const caller = waiting.get(id)
  waiting.delete(id)
  caller?.(outcome)
}
