/**
 * One run of the simulator: builds the cluster that the seed decides, lets clients and faults play,
 * then heals and demands convergence in bounded time (peers.md 3.2). The outcome says what was
 * violated, with the last events before it.
 */
import type { View } from '../../manager/store/view.ts'
import { emptyTask, type Service } from '../../proto/gen/objects.ts'
import { isTerminal } from '../../proto/task-state.ts'
import { mayRun } from './checkers/places.ts'
import type { Line } from './coverage.ts'
import { Chaos } from './faults/chaos.ts'
import { Workload } from './workload.ts'
import { World } from './world.ts'

const FORMING_MS = 20_000
const CHAOS_MS = 600_000
/** A seed with less than this proves less than it says, and has failed. */
const OPERATIONS_MIN = 300
const FAULTS_MIN = 20
/** Faults go on until a seed has had its share, but not for ever. */
const CHAOS_MAX_MS = 1_500_000
const OPERATION_EVERY_MS = 1_500
const HEALED_MS = 180_000
const QUIET_STEP_MS = 2_000

export type RunOutcome = {
  readonly seed: number
  readonly violations: readonly string[]
  readonly hash: string
  readonly recent: readonly string[]
  readonly summary: string
  readonly reached: ReadonlyMap<Line, number>
  readonly simulatedMs: number
}

/** The run of a seed; equal seeds give equal hashes. */
export function runSeed(seed: number, onTrace?: (line: string) => void): RunOutcome {
  const world = new World(seed, onTrace)
  const workload = new Workload(world)
  form(world)
  world.run(FORMING_MS)
  const chaos = new Chaos(world)
  play(world, workload, chaos)
  chaos.heal()
  workload.settle()
  converge(world, workload)
  return {
    seed,
    violations: world.violations,
    hash: world.hash,
    recent: world.recent(60),
    summary: summarize(world, workload, chaos),
    reached: world.coverage,
    simulatedMs: world.schedule.nowMs,
  }
}

function summarize(world: World, workload: Workload, chaos: Chaos): string {
  const { counts } = world.checkers
  const faults = [...chaos.counts].map(([name, count]) => `${name} ${count}`).join(', ')
  return (
    `${world.nodes.size} nodes, ${counts.elections} elections, ${counts.committed} entries, ` +
    `${workload.counts.acknowledged}/${workload.counts.asked} writes acknowledged, ` +
    `${counts.snapshotsInstalled} snapshots installed, ${counts.tornTails} torn tails; ${faults}`
  )
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

/** Faults and clients, for their time and until there were enough of both. */
function play(world: World, workload: Workload, chaos: Chaos): void {
  const random = world.random.split('play')
  const mean = (ms: number): number => -ms * Math.log(1 - random.fraction())
  let isOver = false
  const client = (): void => {
    if (isOver) return
    workload.next()
    world.schedule.after(mean(OPERATION_EVERY_MS), client)
  }
  const fault = (): void => {
    if (isOver) return
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
  const isEnough = (): boolean =>
    workload.counts.asked >= OPERATIONS_MIN && chaos.total >= FAULTS_MIN
  for (let untilMs = FORMING_MS + CHAOS_MS; ; untilMs += QUIET_STEP_MS) {
    world.run(untilMs)
    if (isEnough() || world.violations.length > 0 || untilMs > CHAOS_MAX_MS) break
  }
  isOver = true
  if (world.violations.length === 0 && !isEnough())
    world.violation(`too little: ${workload.counts.asked} operations, ${chaos.total} faults`)
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
        : countEligible(view, service)
    const isPending = tasks.some((task) => task.status?.state === 'pending')
    if (live.length !== wanted && !isPending)
      return `service ${service.id} runs ${live.length} of ${wanted}`
  }
  for (const task of view.tasks.list())
    if (view.services.get(task.serviceId) === undefined && !isTerminal(task.status?.state ?? 'new'))
      return `task ${task.id} outlives its service`
  return ''
}

/** Nodes on which a global service has a task. */
function countEligible(view: View, service: Service): number {
  const task = { ...emptyTask, spec: service.spec?.task }
  return [...view.nodes.list()].filter((node) => mayRun(task, node)).length
}
