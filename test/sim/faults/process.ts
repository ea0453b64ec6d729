/**
 * Faults of a daemon's process (peers.md 3.3, P): it is killed, at any moment or at one that matters,
 * stopped for a while, or its main thread makes no progress; managers go down together; versions differ.
 */
import { CLUSTER_VERSION } from '../../../manager/model/cluster-version.ts'
import { CRASH_POINTS, type SimNode } from '../sim-node.ts'
import type { Fault, FaultContext } from './fault.ts'

export const processFaults: readonly Fault[] = [
  { name: 'crash', classes: ['P1'], weight: 2, act: crash },
  { name: 'crash of the leader', classes: ['P1'], weight: 1, act: crashLeader },
  { name: 'crash in a write', classes: [], weight: 1, act: dieInWrite },
  { name: 'crash at a point', classes: [], weight: 1, act: dieAtPoint },
  { name: 'pause', classes: ['P3'], weight: 1, act: pause },
  { name: 'stall of main', classes: ['P4'], weight: 1, act: stall },
  { name: 'out of memory', classes: ['P5'], weight: 0.5, act: exhaustMemory },
  { name: 'crash of all managers', classes: ['P6'], weight: 0.3, act: crashAll },
  { name: 'restart of all managers in turn', classes: ['P6'], weight: 0.3, act: restartInTurn },
  { name: 'other version', classes: ['P7'], weight: 1, act: changeVersion },
]

const VERSION_MAX = CLUSTER_VERSION + 3
const RETURN_MAX_MS = 15_000
/** Longer than any part of the cluster waits for a leader. */
const PAUSE_LONG_MS = 12_000
/** Shorter than an election. */
const PAUSE_SHORT_MS = 500
const STALL_MIN_MS = 100
const STALL_MAX_MS = 30_000
/** After this many more operations of the disk the process dies in one: a snapshot takes about 20. */
const OPERATIONS_MAX = 40

/** SIGKILL; it comes back some time later. What was not synced is lost, in part or whole. */
export function crash(context: FaultContext, node: SimNode): boolean {
  const { world, random } = context
  if (!node.isUp) return false
  node.crash((['none', 'some', 'all'] as const)[random.integer(3)] ?? 'some')
  context.later(200 + random.integer(RETURN_MAX_MS), () => {
    if (!node.isUp) world.restart(node)
  })
  return true
}

function crashLeader(context: FaultContext, node: SimNode): boolean {
  return crash(context, context.world.findLeader() ?? node)
}

/** The process dies inside an operation of its disk: at any durability point. */
function dieInWrite({ random }: FaultContext, node: SimNode): boolean {
  if (!node.isUp) return false
  node.disk.dieAfter(1 + random.integer(random.integer(2) === 0 ? 8 : OPERATIONS_MAX))
  return true
}

/** Before or after a manager applies what was committed, or answers. */
function dieAtPoint({ random }: FaultContext, node: SimNode): boolean {
  if (node.manager === undefined) return false
  node.crashPoint = CRASH_POINTS[random.integer(CRASH_POINTS.length)]
  return true
}

/** SIGSTOP, and SIGCONT before or long after another has been elected. */
function pause({ world, random }: FaultContext, node: SimNode): boolean {
  if (!node.isUp) return false
  const at = random.integer(3) === 0 ? node : (world.findLeader() ?? node)
  at.pause(50 + random.integer(random.integer(3) === 0 ? PAUSE_SHORT_MS : PAUSE_LONG_MS))
  return true
}

/** Main makes no progress, for shorter or longer than a leader may. */
function stall({ world, random }: FaultContext, node: SimNode): boolean {
  if (!node.isUp) return false
  const ms = STALL_MIN_MS * (STALL_MAX_MS / STALL_MIN_MS) ** random.fraction()
  node.mainStalledUntilMs = world.schedule.nowMs + ms
  return true
}

/** It spends its time collecting garbage, and then the kernel ends it. */
function exhaustMemory(context: FaultContext, node: SimNode): boolean {
  const { world, random } = context
  if (!node.isUp) return false
  const ms = 500 + random.integer(5_000)
  node.mainStalledUntilMs = world.schedule.nowMs + ms
  context.later(ms, () => {
    if (!node.isUp) return
    node.crash('all')
    world.restartLater(node)
  })
  return true
}

/** Power is gone for all at once. */
function crashAll(context: FaultContext): boolean {
  const managers = context.world.listManagers()
  for (const node of managers) crash(context, node)
  return managers.length > 0
}

/** As an upgrade does it, or one that is in a hurry. */
function restartInTurn(context: FaultContext): boolean {
  const { world, random } = context
  const managers = world.listManagers()
  const stepMs = 200 + random.integer(4_000)
  managers.forEach((node, at) => {
    context.later(at * stepMs, () => {
      if (!node.isUp) return
      node.crash('all')
      context.later(100 + random.integer(2_000), () => {
        if (!node.isUp) world.restart(node)
      })
    })
  })
  return managers.length > 1
}

/** It is upgraded, or goes back to the version before while the cluster still speaks that one. */
function changeVersion({ world }: FaultContext, node: SimNode): boolean {
  const isNew = node.version > world.clusterVersion
  if (!node.isUp || node.version >= VERSION_MAX) return false
  node.crash('all')
  node.version += isNew ? -1 : 1
  world.trace(`${node.id} is of version ${node.version}`)
  world.restartLater(node)
  return true
}
