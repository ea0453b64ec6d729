/**
 * One run of the simulator: builds the cluster that the seed decides, lets clients and faults play,
 * then heals and demands convergence in bounded time (peers.md 3.2). The outcome says what was
 * violated, with the last events before it.
 */
import { selectRelevant } from './checkers/relevant.ts'
import { converge } from './converge.ts'
import { chooseCore } from './core.ts'
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
const QUIET_STEP_MS = 2_000
/** Every call of before has ended by its deadline. */
const CALLS_END_MS = 22_000
const CORE_MAX_MS = 80_000

/** Of the events before a violation, those that matter are shown. */
const EVENTS_KEPT = 4_000
const EVENTS_SHOWN = 60

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
  const { stackTraceLimit } = Error
  // Each refusal is an Error, and its stack costs more than all else of it.
  if (onTrace === undefined) Error.stackTraceLimit = 0
  try {
    return run(seed, onTrace)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

function run(seed: number, onTrace: ((line: string) => void) | undefined): RunOutcome {
  const world = new World(seed, onTrace)
  const workload = new Workload(world)
  form(world)
  world.run(FORMING_MS)
  const chaos = new Chaos(world)
  play(world, workload, chaos)
  if (world.random.split('core').integer(2) === 0) findCore(world)
  chaos.heal()
  converge(world, workload)
  return {
    seed,
    violations: world.violations,
    hash: world.hash,
    recent: selectRelevant(world.recent(EVENTS_KEPT), world.violations, EVENTS_SHOWN),
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

/** Nothing new happens, until what was under way came to its end and a core can be chosen, if ever. */
function findCore(world: World): void {
  const random = world.random.split('core of nodes')
  const beganMs = world.schedule.nowMs
  for (let ms = CALLS_END_MS; ms <= CORE_MAX_MS && world.core === undefined; ms += QUIET_STEP_MS) {
    world.run(beganMs + ms)
    if (world.violations.length > 0) return
    world.core = chooseCore(world, random)
  }
  if (world.core !== undefined) world.reached('cores')
}
