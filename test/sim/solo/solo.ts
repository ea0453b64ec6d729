/**
 * Solo: a leader alone with its store, its writer and its control loops, users, and agents on hosts that
 * are made up; no Raft, disks or network. A seed takes a sixth of what it takes the whole simulator, so
 * that the rules of services, slots, updates, drains and budgets meet each other in every order, in
 * one entry and cut in two by the writer's slice. Leaders change, entries on their way are lost with
 * them, nodes are cut off, reboot and come back. Checkers of steps and of rest are the simulator's own.
 */
import { SwarmError } from '../../../lib/errors.ts'
import { type Log, silentLog } from '../../../lib/log.ts'
import { newSeededRandom, type SeededRandom } from '../../../lib/random.ts'
import { handleWrite, newLoops } from '../../../manager/handle.ts'
import { Leadership } from '../../../manager/leadership.ts'
import { localCaller } from '../../../manager/manager.ts'
import { newEntry } from '../../../manager/store/entry.ts'
import type { Store } from '../../../manager/store/store.ts'
import type { View } from '../../../manager/store/view.ts'
import {
  emptyClusterUpdate,
  emptyServiceUpdate,
  type StatusReport,
  type WriteReply,
  type WriteRequest,
} from '../../../proto/gen/control.ts'
import { emptyNode, emptyService, emptyTask, type Node } from '../../../proto/gen/objects.ts'
import { emptyAnnotations, type NodeSpec } from '../../../proto/gen/specs.ts'
import { decodeStoreEntry, type StoreEntry } from '../../../proto/gen/store.ts'
import { cluster, node, storeWith } from '../../build.ts'
import { FenceChecker } from '../checkers/fences.ts'
import { findUnrest } from '../checkers/rest.ts'
import { newRules } from '../checkers/rules.ts'
import { newStep, type Step, type StepChecker } from '../checkers/step.ts'
import { TaskChecker } from '../checkers/tasks.ts'
import { describeHost } from '../host.ts'
import { fitted, withDisconnect } from '../workload/disconnect.ts'
import { drawBy } from '../workload/draw.ts'
import { asJob, isJobSpec } from '../workload/jobs.ts'
import { withWishes } from '../workload/placement.ts'
import {
  deploy,
  drawServiceSpec,
  type Edit,
  force,
  inZone,
  move,
  relabel,
  SERVICE_NAMES,
  scale,
  wish,
  ZONES,
} from '../workload/specs.ts'
import { GOOD_MOODS, type Link, type Moods, type Now, SoloAgent } from './agents.ts'

const START_WALL_MS = 1_900_000_000_000
const EVENTS = 600
const CALM_MS = 400_000
const SERVICES_MAX = 4
const HOSTS_MAX = 8

export type SoloOutcome = {
  readonly violations: readonly string[]
  readonly entries: number
  readonly timeMs: number
}

export function runSolo(seed: number, onTrace?: (line: string) => void): SoloOutcome {
  const solo = new Solo(seed, onTrace)
  try {
    solo.play()
  } catch (error) {
    // A machine tripped an assertion: a manager would have died of it.
    const { violations, ...outcome } = solo.outcome
    return {
      ...outcome,
      violations: [...violations, `${error instanceof Error ? error.stack : error}`],
    }
  }
  return solo.outcome
}

class Solo {
  readonly #random: SeededRandom
  readonly #store: Store
  readonly #agents: SoloAgent[]
  readonly #tasks = new TaskChecker()
  readonly #fences = new FenceChecker()
  readonly #steps: readonly StepChecker[]
  readonly #violations: string[] = []
  readonly #onTrace: ((line: string) => void) | undefined
  readonly #moods: Moods
  /** What the leader calls an error is a bug: an object set aside, a request that met an assertion. */
  readonly #log: Log = {
    ...silentLog,
    error: (fields, message) => this.#violate(`${message} ${JSON.stringify(fields)}`),
    child: () => this.#log,
  }
  #leadership: Leadership
  /** Entries that are proposed and not committed. */
  #flying: Uint8Array[] = []
  #nowMs = 1_000
  #term = 1
  #entries = 0
  /** Requests that the leader did not answer yet. */
  #unanswered = 0
  #labels = 0
  #hosts: number

  constructor(seed: number, onTrace: ((line: string) => void) | undefined) {
    this.#random = newSeededRandom(`solo ${seed}`)
    this.#onTrace = onTrace
    const draw = drawBy(this.#random)
    const count = 2 + this.#random.integer(5)
    const ids = Array.from({ length: count }, (_, at) => (at < 2 ? `m${at + 1}` : `w${at + 1}`))
    const nodes = ids.map((id) => newNode(id, this.#random))
    this.#store = storeWith({ clusters: [cluster()], nodes, timeMs: this.#nowMs })
    this.#hosts = count
    this.#agents = nodes.map(
      ({ id, description }) =>
        new SoloAgent(id, this.#random.split(id), { now: this.#now, description }),
    )
    this.#moods = {
      rejected: draw(0, 0, 3, 20),
      failed: draw(0, 0, 3, 20),
      ended: draw(0, 0, 1, 3, 10),
      sick: draw(0, 0, 3, 20),
    }
    this.#steps = [this.#tasks, ...newRules()]
    this.#leadership = this.#elect()
  }

  get outcome(): SoloOutcome {
    return { violations: this.#violations, entries: this.#entries, timeMs: this.#nowMs }
  }

  play(): void {
    for (let event = 0; event < EVENTS && this.#isFine; event++) this.#happen()
    this.#heal()
    const untilMs = this.#nowMs + CALM_MS
    let unrest: string | undefined = 'not looked'
    while (this.#nowMs < untilMs && this.#isFine && unrest !== undefined) {
      for (let step = 0; step < 20 && this.#isFine; step++) this.#live(GOOD_MOODS, 100)
      this.#commit(Number.POSITIVE_INFINITY)
      unrest = findUnrest(this.#view) ?? this.#findStray()
    }
    if (this.#isFine && unrest !== undefined) this.#violate(`${unrest}: not at rest`)
  }

  /** L2: what runs is meant to, where it does, and what is said to run does. */
  #findStray(): string | undefined {
    for (const agent of this.#agents) {
      const { nodeId } = agent
      if (this.#view.nodes.get(nodeId) === undefined) continue
      const running = new Set(agent.listRunning().map(({ id }) => id))
      for (const id of running)
        if (this.#view.tasks.get(id)?.desiredState !== 'running')
          return `L2: container ${id} runs on ${nodeId} and is not to`
      for (const { id, status } of this.#view.tasks.by('node', nodeId))
        if (status?.state === 'running' && !running.has(id))
          return `L2: task ${id} is running and has no container on ${nodeId}`
    }
    return undefined
  }

  get #view(): View {
    return this.#store.view()
  }

  get #isFine(): boolean {
    return this.#violations.length === 0
  }

  #trace(line: string): void {
    this.#onTrace?.(`${this.#nowMs} ${line}`)
  }

  #violate(problem: string): void {
    this.#trace(`VIOLATION ${problem}`)
    this.#violations.push(problem)
  }

  // ── the leader ─────────────────────────────────────────────────────────────────────────────

  #elect(): Leadership {
    this.#term++
    return new Leadership({
      ...{ store: this.#store, term: this.#term, electedMs: this.#nowMs, members: () => [] },
      ...{ random: this.#random.split(`term ${this.#term}`), log: this.#log },
      ...{ handle: handleWrite, loops: newLoops },
    })
  }

  /** Of what is on its way some is committed still; nobody remembers the rest. */
  #depose(): void {
    this.#commit(this.#random.integer(this.#flying.length + 1))
    this.#trace(`leader lost, and ${this.#flying.length} entries`)
    this.#flying = []
    this.#leadership.stop()
    this.#unanswered = 0
    if (this.#random.integer(4) === 0 && this.#view.nodes.size < HOSTS_MAX) this.#join()
    this.#leadership = this.#elect()
  }

  /** A host joins, by an entry that no leader here has proposed: between two of them. */
  #join(): void {
    const id = `w${++this.#hosts}`
    const object = newNode(id, this.#random)
    const { timeMs, index } = this.#view
    const { wallMs } = this.#now
    this.#apply(
      index + 1,
      newEntry([{ kind: 'create', table: 'nodes', object }], { timeMs, wallMs }),
    )
    const { description } = object
    this.#agents.push(new SoloAgent(id, this.#random.split(id), { now: this.#now, description }))
  }

  #submit(request: WriteRequest): void {
    const { body } = request
    if (body?.kind === 'statusReport') this.#noteReport(body.statusReport)
    else this.#onTrace?.(`${this.#nowMs} asked: ${JSON.stringify(body)}`)
    this.#unanswered++
    this.#leadership.submit({ from: 'shell', id: 1 }, request)
  }

  #noteReport({ nodeId, updates }: StatusReport): void {
    for (const { taskId, status } of updates) {
      this.#trace(`${nodeId} says that ${taskId} is ${status?.state}`)
      if (status !== undefined) this.#tasks.reported(nodeId, taskId, status.state)
    }
  }

  #run(): void {
    const { nowMs: monotonicMs, wallMs } = this.#now
    const isShort = this.#random.integer(4) === 0
    let looks = 0
    const isOver = (): boolean => isShort && looks++ > 3
    this.#leadership.tick(this.#nowMs)
    for (const effect of this.#leadership.run({ monotonicMs, wallMs, isOver })) {
      if (effect.kind === 'propose') this.#flying.push(effect.data)
      else if (effect.kind === 'read-index') this.#leadership.readDone(effect.id, undefined)
      else this.#answered(effect.outcome)
    }
  }

  #answered(outcome: WriteReply | SwarmError): void {
    this.#unanswered--
    if (outcome instanceof SwarmError) this.#trace(`refused: ${outcome.message}`)
  }

  #commit(count: number): void {
    for (const data of this.#flying.splice(0, count)) {
      const index = this.#view.index + 1
      this.#apply(index, decodeStoreEntry(data))
      this.#leadership.committed(index)
    }
  }

  #apply(index: number, entry: StoreEntry): void {
    const before = this.#view
    this.#store.apply(index, entry)
    this.#entries++
    const step = newStep(before, this.#view, entry)
    this.#traceStep(step, index)
    for (const checker of this.#steps)
      for (const problem of checker.check(step)) this.#violate(`${problem} (index ${index})`)
  }

  #traceStep({ tasks, nodes, services }: Step, index: number): void {
    if (this.#onTrace === undefined) return
    const trace = (what: string): void => this.#trace(`  ${index} ${what}`)
    for (const { id, before, after } of tasks) {
      const then = before ? `${before.desiredState}/${before.status?.state}` : 'nothing'
      const now = after ? `${after.desiredState}/${after.status?.state}` : 'nothing'
      const { serviceId, slot, specVersion, nodeId } = after ?? before ?? emptyTask
      trace(`task ${id} ${serviceId}/${slot} v${specVersion} on ${nodeId}: ${then} → ${now}`)
    }
    for (const id of nodes) {
      const { status, spec } = this.#view.nodes.get(id) ?? emptyNode
      trace(`node ${id} ${status?.state} ${spec?.availability}`)
    }
    for (const id of services) {
      const { specVersion, updateStatus } = this.#view.services.get(id) ?? emptyService
      trace(`service ${id} v${specVersion} ${JSON.stringify(updateStatus)}`)
    }
  }

  // ── what happens ───────────────────────────────────────────────────────────────────────────

  #happen(): void {
    const draw = drawBy(this.#random)
    for (let more = draw(0, 0, 0, 1, 1, 2, 3); more > 0; more--) this.#ask()
    if (this.#random.integer(12) === 0) this.#disturb()
    this.#live(this.#moods, draw(0, 10, 50, 100, 100, 300, 1_000, 1_000, 3_000, 8_000))
  }

  /** Time passes, agents talk, the leader works, and some of what it proposed is committed. */
  #live(moods: Moods, ms: number): void {
    this.#nowMs += ms
    const isCalm = moods === GOOD_MOODS
    for (const agent of this.#agents) {
      if (isCalm || this.#random.integer(3) > 0) agent.live(this.#now, moods)
      const isNode = this.#view.nodes.get(agent.nodeId) !== undefined
      if (isNode && (isCalm || this.#random.integer(3) > 0)) agent.talk(this.#link())
    }
    for (let round = 0; round < 1 + this.#random.integer(3); round++) {
      this.#run()
      this.#commit(isCalm ? Number.POSITIVE_INFINITY : this.#random.integer(4))
    }
    const hosts = this.#agents.map((agent) => ({
      ...{ id: agent.nodeId, isAble: true, isCloned: false },
      running: agent.listRunning(),
    }))
    for (const problem of this.#fences.inspect(hosts, this.#nowMs)) this.#violate(problem)
  }

  get #now(): Now {
    return { nowMs: this.#nowMs, wallMs: START_WALL_MS + this.#nowMs }
  }

  #link(): Link {
    const view = this.#view
    return {
      ...{ term: this.#term, view },
      isIdle: () => this.#unanswered === 0,
      submit: (request) => this.#submit(request),
      beat: (nodeId, instance) => {
        const heartbeats = [{ nodeId, instance }]
        const reply = this.#leadership.relay(view, { holder: 1, heartbeats })
        return reply.refusals.length > 0 ? undefined : reply.notReadyNodeIds.length === 0
      },
    }
  }

  #disturb(): void {
    const agent = this.#pick(this.#agents)
    if (agent === undefined) return
    switch (this.#random.integer(7)) {
      case 0:
      case 1:
        agent.isCut = !agent.isCut
        this.#trace(`${agent.nodeId} is ${agent.isCut ? 'cut off' : 'back'}`)
        break
      case 2:
        for (const each of this.#agents) each.isCut = false
        this.#trace('all are back')
        break
      case 3:
        agent.reboot(this.#now)
        this.#trace(`${agent.nodeId} reboots`)
        break
      case 4:
        agent.restart(this.#now)
        this.#trace(`the daemon of ${agent.nodeId} is started again`)
        break
      default:
        this.#depose()
    }
  }

  #heal(): void {
    this.#trace('heal')
    for (const agent of this.#agents) {
      agent.isCut = false
      this.#editNode(agent.nodeId, (spec) => ({ ...spec, availability: 'active' }))
    }
  }

  // ── users ──────────────────────────────────────────────────────────────────────────────────

  #ask(): void {
    const draw = drawBy(this.#random)
    const act = draw<() => void>(
      () => this.#create(),
      () => this.#create(),
      () => this.#edit(scale),
      () => this.#edit(scale),
      () => this.#edit(deploy),
      () => this.#edit(deploy),
      () => this.#edit(deploy),
      () => this.#edit(move),
      () => this.#edit(force),
      () => this.#edit(relabel),
      () => this.#edit(wish),
      () => this.#rollBack(),
      () => this.#rollBack(),
      () => this.#remove(),
      () => this.#changeAvailability(),
      () => this.#changeAvailability(),
      () => this.#changeZone(),
      () => this.#changeRarely(),
    )
    act()
  }

  #pick<T>(items: Iterable<T>): T | undefined {
    const list = [...items]
    return list[this.#random.integer(Math.max(1, list.length))]
  }

  #write(body: WriteRequest['body']): void {
    this.#submit({ caller: localCaller, body })
  }

  #create(): void {
    if (this.#view.services.size >= SERVICES_MAX) return
    const name = this.#pick(SERVICE_NAMES) ?? 'web'
    const drawn = drawServiceSpec(name, `l${++this.#labels}`, this.#random)
    const made = this.#random.integer(5) === 0 ? asJob(drawn, this.#random) : drawn
    const meant = withWishes(made, SERVICE_NAMES, this.#random)
    const spec = withDisconnect(meant, this.#random)
    this.#write({ kind: 'serviceCreate', serviceCreate: { spec } })
  }

  #edit(edit: Edit): void {
    const service = this.#pick(this.#view.services.list())
    const spec = service?.spec && edit(service.spec, this.#random)
    if (service === undefined || spec === undefined) return
    const version = service.meta?.version ?? 0
    this.#write({
      kind: 'serviceUpdate',
      serviceUpdate: { ...emptyServiceUpdate, id: service.id, version, spec: fitted(spec) },
    })
  }

  #rollBack(): void {
    const service = this.#pick(
      [...this.#view.services.list()].filter(
        ({ previousSpec, spec }) => previousSpec !== undefined && spec && !isJobSpec(spec),
      ),
    )
    if (service === undefined) return
    const version = service.meta?.version ?? 0
    this.#write({
      kind: 'serviceUpdate',
      serviceUpdate: { ...emptyServiceUpdate, id: service.id, version, rollback: true },
    })
  }

  #remove(): void {
    const service = this.#pick(this.#view.services.list())
    if (service === undefined || this.#random.integer(2) === 0) return
    this.#write({ kind: 'serviceRemove', serviceRemove: { id: service.id } })
  }

  #changeAvailability(): void {
    const draw = drawBy(this.#random)
    const availability = draw('active', 'active', 'pause', 'drain')
    const drainDeadlineMs = draw(undefined, 0, 5_000, 30_000)
    const agent = this.#pick(this.#agents)
    if (agent !== undefined)
      this.#editNode(agent.nodeId, (spec) => ({ ...spec, availability, drainDeadlineMs }))
  }

  /** Nodes go for good, and history is kept longer or shorter. */
  #changeRarely(): void {
    const draw = drawBy(this.#random)
    const id = this.#pick(this.#agents)?.nodeId ?? ''
    const [cluster] = this.#view.clusters.list()
    if (this.#random.integer(3) > 0) return
    if (draw(true, false) && this.#view.nodes.size > 2)
      this.#write({ kind: 'nodeRemove', nodeRemove: { id, force: draw(true, false) } })
    else if (cluster?.spec !== undefined) {
      const spec = { ...cluster.spec, taskHistoryLimit: draw(0, 1, 5, -1) }
      const version = cluster.meta?.version ?? 0
      const clusterUpdate = { ...emptyClusterUpdate, version, spec }
      this.#write({ kind: 'clusterUpdate', clusterUpdate })
    }
  }

  #changeZone(): void {
    const zone = this.#pick(ZONES) ?? 'a'
    const agent = this.#pick(this.#agents)
    if (agent === undefined) return
    this.#editNode(agent.nodeId, (spec) => inZone(spec, zone))
  }

  #editNode(id: string, edit: (spec: NodeSpec) => NodeSpec): void {
    const node = this.#view.nodes.get(id)
    if (node?.spec === undefined) return
    const version = node.meta?.version ?? 0
    this.#write({ kind: 'nodeUpdate', nodeUpdate: { id, version, spec: edit(node.spec) } })
  }
}

function newNode(id: string, random: SeededRandom): Node {
  const labels = new Map([['zone', drawBy(random)(...ZONES)]])
  return node({
    id,
    spec: {
      role: id.startsWith('m') ? 'manager' : 'worker',
      annotations: { ...emptyAnnotations, labels },
    },
    description: describeHost(id, random),
    status: { state: 'ready', addr: id },
  })
}
