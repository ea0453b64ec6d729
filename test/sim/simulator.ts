/**
 * One run of the simulator: builds the cluster that the seed decides, lets clients and faults play,
 * then heals and demands convergence in bounded time (peers.md 3.2). The outcome says what was
 * violated, with the last events before it.
 */
import type { SeededRandom } from '../../lib/random.ts'
import { localCaller } from '../../manager/manager.ts'
import { isTerminal } from '../../proto/task-state.ts'
import type { SimNode } from './sim-node.ts'
import { Workload } from './workload.ts'
import { World } from './world.ts'

const FORMING_MS = 20_000
const CHAOS_MS = 120_000
const HEALED_MS = 180_000
const QUIET_STEP_MS = 2_000

export type RunOutcome = {
  readonly seed: number
  readonly violations: readonly string[]
  readonly hash: string
  readonly recent: readonly string[]
  readonly summary: string
}

/** The run of a seed; equal seeds give equal hashes. */
export function runSeed(seed: number, onTrace?: (line: string) => void): RunOutcome {
  const world = new World(seed, onTrace)
  const workload = new Workload(world)
  form(world)
  world.run(FORMING_MS)
  const chaos = new Chaos(world)
  playUntil(world, FORMING_MS + CHAOS_MS, workload, chaos)
  chaos.heal()
  workload.settle()
  converge(world, workload)
  const { counts } = world.checkers
  const faults = [...chaos.counts].map(([name, count]) => `${name} ${count}`).join(', ')
  return {
    seed,
    violations: world.violations,
    hash: world.hash,
    recent: world.recent(60),
    summary:
      `${world.nodes.size} nodes, ${counts.elections} elections, ${counts.committed} entries, ` +
      `${workload.counts.acknowledged}/${workload.counts.asked} writes acknowledged, ` +
      `${counts.snapshotsInstalled} snapshots installed, ${counts.tornTails} torn tails; ${faults}`,
  }
}

/** One, three or five managers, and up to four workers. */
function form(world: World): void {
  const random = world.random.split('form')
  const managers = [1, 3, 3, 3, 5][random.integer(5)] ?? 3
  const workers = random.integer(4)
  world.init('m1')
  for (let n = 2; n <= managers; n++)
    world.schedule.after(3_000 + n * 500, () => world.join(`m${n}`, 'manager'))
  for (let n = 1; n <= workers; n++)
    world.schedule.after(3_000 + n * 300, () => world.join(`w${n}`, 'worker'))
}

function playUntil(world: World, untilMs: number, workload: Workload, chaos: Chaos): void {
  const random = world.random.split('play')
  const mean = (ms: number): number => -ms * Math.log(1 - random.fraction())
  const client = (): void => {
    if (world.schedule.nowMs >= untilMs) return
    workload.next()
    world.schedule.after(mean(400), client)
  }
  const fault = (): void => {
    if (world.schedule.nowMs >= untilMs) return
    chaos.next()
    world.schedule.after(mean(world.rates.faultEveryMs), fault)
  }
  const peers = (): void => {
    world.refreshPeers()
    world.schedule.after(250, peers)
  }
  client()
  fault()
  peers()
  world.run(untilMs)
}

/** Until everything is as it should be, or time is up: then what is missing is the violation. */
function converge(world: World, workload: Workload): void {
  const untilMs = world.schedule.nowMs + HEALED_MS
  let missing = 'not looked yet'
  while (world.violations.length === 0 && world.schedule.nowMs < untilMs) {
    world.run(world.schedule.nowMs + QUIET_STEP_MS)
    missing = findMissing(world)
    if (missing === '') return
    // What a client asked for before the end may be committed after it.
    workload.settle()
  }
  if (world.violations.length === 0) world.violation(`L1: not converged: ${missing}`)
}

/** L1, L2, L6: what is not as it should be; empty when all is. */
function findMissing(world: World): string {
  const leader = world.findLeader()
  if (leader === undefined) return 'no leader'
  const view = world.checkers.reference.view()
  for (const node of view.nodes.list())
    if (node.status?.state !== 'ready') return `node ${node.id} is ${node.status?.state}`
  const voters = (leader.manager?.status().members ?? []).filter((member) => member.isVoter)
  for (const node of view.nodes.list())
    if ((node.spec?.role === 'manager') !== voters.some((member) => member.nodeId === node.id))
      return `node ${node.id} is to be a ${node.spec?.role} and is not`
  const running = new Map<string, string>()
  for (const node of world.nodes.values())
    for (const task of node.runtime.listRunning()) {
      // A paused update is left to its user, and may stand between two tasks of a slot.
      if (view.services.get(task.serviceId)?.updateStatus?.state === 'paused') continue
      const slot = `${task.serviceId}/${task.slot}/${task.slot === 0 ? task.nodeId : ''}`
      const other = running.get(slot)
      if (other !== undefined) return `slot ${slot} runs twice: ${other} and ${task.id}`
      running.set(slot, task.id)
      const known = view.tasks.get(task.id)
      if (known === undefined) return `container ${task.id} on ${node.id} belongs to no task`
    }
  for (const service of view.services.list()) {
    // A paused update is left to its user; failing tasks are restarted for ever.
    if (service.updateStatus?.state === 'paused') continue
    const tasks = [...view.tasks.by('service', service.id)]
    const live = tasks.filter(
      (task) => task.desiredState === 'running' && task.status?.state === 'running',
    )
    const wanted =
      service.spec?.mode?.kind === 'replicated'
        ? service.spec.mode.replicated.replicas
        : view.nodes.size
    const isPending = tasks.some((task) => task.status?.state === 'pending')
    if (live.length !== wanted && !isPending)
      return `service ${service.id} runs ${live.length} of ${wanted}`
  }
  for (const task of view.tasks.list())
    if (view.services.get(task.serviceId) === undefined && !isTerminal(task.status?.state ?? 'new'))
      return `task ${task.id} outlives its service`
  return ''
}

/** A manager that takes part, and whose disk takes what it is given. */
function isServing(node: SimNode): boolean {
  return node.manager !== undefined && node.manager.status().members.length >= 3
}

/** Faults, and their end. */
class Chaos {
  readonly counts = new Map<string, number>()
  #world: World
  #random: SeededRandom
  #isHealed = false
  #lostLogMs = 0

  constructor(world: World) {
    this.#world = world
    this.#random = world.random.split('chaos')
  }

  next(): void {
    const nodes = [...this.#world.nodes.values()]
    const node = nodes[this.#random.integer(nodes.length)]
    if (node === undefined) return
    const faults: readonly (readonly [string, () => void])[] = [
      ['crash', () => this.#crash(node, false)],
      ['crash', () => this.#crash(node, false)],
      ['power cut', () => this.#crash(node, true)],
      ['crash of the leader', () => this.#crash(this.#world.findLeader() ?? node, false)],
      ['crash in a write', () => this.#dieInWrite(node)],
      ['partition', () => this.#partition(nodes)],
      ['one-way cut', () => this.#cutOneWay(nodes)],
      ['pause', () => this.#pause(node)],
      ['stall of main', () => this.#stall(node)],
      ['full disk', () => this.#fillDisk(node)],
      ['failed sync', () => this.#failSync(node)],
      ['lost log', () => this.#loseLog(node)],
      ['role change', () => this.#changeRole(node)],
      ['heal', () => this.#world.network.heal()],
      ['heal', () => this.#world.network.heal()],
    ]
    const [name, act] = faults[this.#random.integer(faults.length)] ?? faults[0] ?? []
    if (name === undefined || act === undefined) return
    this.#world.trace(`fault ${name} ${node.id}`)
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
    act()
  }

  /** No more faults: everything comes back and stays. */
  heal(): void {
    this.#isHealed = true
    this.#world.trace('healed')
    this.#world.network.heal()
    this.#world.network.rates = { ...this.#world.network.rates, loss: 0, duplication: 0, spike: 0 }
    for (const node of this.#world.nodes.values()) {
      node.pausedUntilMs = 0
      node.mainStalledUntilMs = 0
      node.disk.heal()
      node.runtime.rates = { prepareFailure: 0, startFailure: 0, exitPerMinute: 0 }
      if (!node.isUp) this.#world.restart(node)
    }
    this.#world.refreshPeers()
  }

  #crash(node: SimNode, isPowerCut: boolean): void {
    if (!node.isUp) return
    node.crash((['none', 'some', 'all'] as const)[this.#random.integer(3)] ?? 'some')
    if (isPowerCut) node.runtime.powerCut()
    this.#world.schedule.after(200 + this.#random.integer(15_000), () => {
      if (!node.isUp && !this.#isHealed) this.#world.restart(node)
    })
  }

  /** The process dies after so many more operations of its disk: at any durability point. */
  #dieInWrite(node: SimNode): void {
    if (node.isUp) node.disk.dieAfter(1 + this.#random.integer(8))
  }

  #partition(nodes: readonly SimNode[]): void {
    const side = new Set(nodes.filter(() => this.#random.integer(2) === 0))
    for (const a of nodes)
      for (const b of nodes) if (side.has(a) !== side.has(b)) this.#world.network.cut(a.id, b.id)
    this.#world.refreshPeers()
    this.#healLater()
  }

  #cutOneWay(nodes: readonly SimNode[]): void {
    const a = nodes[this.#random.integer(nodes.length)]
    const b = nodes[this.#random.integer(nodes.length)]
    if (a === undefined || b === undefined || a === b) return
    this.#world.network.cut(a.id, b.id)
    this.#world.refreshPeers()
    this.#healLater()
  }

  #pause(node: SimNode): void {
    node.pausedUntilMs = this.#world.schedule.nowMs + this.#random.integer(8_000)
  }

  /** Main makes no progress, for longer than a leader may. */
  #stall(node: SimNode): void {
    node.mainStalledUntilMs = this.#world.schedule.nowMs + this.#random.integer(10_000)
  }

  #fillDisk(node: SimNode): void {
    node.disk.fill()
    this.#world.schedule.after(1_000 + this.#random.integer(15_000), () => node.disk.heal())
  }

  #failSync(node: SimNode): void {
    node.disk.inject({ operation: 'sync', kind: 'eio', skip: this.#random.integer(4) })
  }

  /** One copy is lost, and only when no other is at risk. */
  #loseLog(node: SimNode): void {
    const { nowMs } = this.#world.schedule
    const managers = [...this.#world.nodes.values()].filter((other) => other.role === 'manager')
    const isSafe = managers.length >= 3 && managers.every((other) => isServing(other))
    if (!isServing(node) || !isSafe || nowMs - this.#lostLogMs < 30_000) return
    this.#lostLogMs = nowMs
    node.crash('none')
    node.wipe()
    this.#world.restartLater(node)
  }

  #changeRole(node: SimNode): void {
    const stored = this.#world.checkers.reference.view().nodes.get(node.id)
    if (stored?.spec === undefined) return
    const role = stored.spec.role === 'manager' ? 'worker' : 'manager'
    const version = stored.meta?.version ?? 0
    this.#world.anyManager()?.write(
      {
        caller: localCaller,
        body: {
          kind: 'nodeUpdate',
          nodeUpdate: { id: node.id, version, spec: { ...stored.spec, role } },
        },
      },
      false,
      () => undefined,
    )
  }

  #healLater(): void {
    this.#world.schedule.after(1_000 + this.#random.integer(20_000), () => {
      this.#world.network.heal()
      this.#world.refreshPeers()
    })
  }
}
