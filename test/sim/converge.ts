/**
 * Convergence: once the faults are over, everything is as it should be within a bounded time
 * (peers.md 3.2), or what is missing is the violation. It compares hosts and state, adds capacity
 * where tasks wait for it and looks again, and lets the clients' history be judged. Where only a
 * core of the nodes was healed, the others are expected to be down and nothing else of them.
 */
import type { View } from '../../manager/store/view.ts'
import type { Task } from '../../proto/gen/objects.ts'
import { checkHistory } from './checkers/registers.ts'
import { findUnrest, listWaiting } from './checkers/rest.ts'
import { bringIn } from './operator.ts'
import type { SimNode } from './sim-node.ts'
import { StrangerWatch } from './stranger.ts'
import type { Workload } from './workload.ts'
import type { World } from './world.ts'

const HEALED_MS = 180_000
/** After a node was added for what waits. */
const CAPACITY_MS = 60_000
const QUIET_STEP_MS = 2_000

/** Until everything is as it should be, or time is up. */
export function converge(world: World, workload: Workload): void {
  settle(world, workload, HEALED_MS)
  // L4: what waited for room is placed when there is some.
  const isShort = listWaiting(world.checkers.reference.view()).length > 0
  if (isShort && world.violations.length === 0 && addHost(world))
    settle(world, workload, CAPACITY_MS)
  if (world.violations.length > 0) return
  for (const problem of checkHistory(world.history)) world.violation(problem)
}

function addHost(world: World): boolean {
  const host = bringIn(world, 'worker')
  if (host === undefined) return false
  if (world.core !== undefined) world.core = new Set([...world.core, host.id])
  return true
}

function settle(world: World, workload: Workload, limitMs: number): void {
  const untilMs = world.schedule.nowMs + limitMs
  const strangers = new StrangerWatch(world)
  let missing: string | undefined = 'L6: not looked yet'
  while (world.violations.length === 0 && world.schedule.nowMs < untilMs) {
    // What a client asked for before the end may be committed after it.
    workload.settle()
    strangers.look()
    world.run(world.schedule.nowMs + QUIET_STEP_MS)
    missing = findMissing(world)
    if (missing === undefined) return
  }
  if (world.violations.length === 0 && missing !== undefined)
    world.violation(`${missing}: not converged ${Math.round(limitMs / 1_000)} s after healing`)
}

/** The first thing that is not as it should be; undefined when all is. */
export function findMissing(world: World): string | undefined {
  const leader = world.findLeader()
  if (leader === undefined) return 'L6: no manager leads'
  const view = world.checkers.reference.view()
  const hosts = [...world.nodes.values()].filter(({ id }) => isHealed(world, id))
  return (
    findWrongNode(world, view, leader) ??
    findUnrest(view) ??
    first(hosts, (host) => findWrongContainer(world, view, host)) ??
    findLostTask(world, view) ??
    first(hosts, findBacklog)
  )
}

function isHealed({ core }: World, id: string): boolean {
  return core === undefined || core.has(id)
}

/** L6: each host is a node, its state and its role are true. */
function findWrongNode(world: World, view: View, leader: SimNode): string | undefined {
  for (const id of world.nodes.keys())
    if (isHealed(world, id) && view.nodes.get(id) === undefined) return `L6: host ${id} is no node`
  const voters = (leader.manager?.status().members ?? []).filter((member) => member.isVoter)
  for (const node of view.nodes.list()) {
    const state = node.status?.state ?? 'unknown'
    const isThere = isHealed(world, node.id) && world.nodes.has(node.id)
    if (isThere !== (state === 'ready')) return `L6: node ${node.id} is ${state}`
    const isVoter = voters.some((member) => member.nodeId === node.id)
    if (isThere && (node.spec?.role === 'manager') !== isVoter)
      return `L6: node ${node.id} is to be a ${node.spec?.role} and is not`
  }
  return undefined
}

/** L2: nothing is left of what was forgotten, and what runs is meant to, where it does. H2: it works. */
function findWrongContainer(world: World, view: View, host: SimNode): string | undefined {
  for (const { taskId } of host.runtime.list())
    if (view.tasks.get(taskId) === undefined)
      return `L2: container ${taskId} on ${host.id} belongs to no task`
  for (const { id } of host.runtime.listRunning()) {
    const task = view.tasks.get(id)
    const isMeant = task?.desiredState === 'running' && task.nodeId === host.id
    if (!isMeant) return `L2: container ${id} runs on ${host.id} and is not to`
    if (host.runtime.ailments.isSick(id, world.schedule.nowMs))
      return `H2: container ${id} on ${host.id} does not work, and is not replaced`
  }
  return undefined
}

/** L2: what is said to run does. */
function findLostTask(world: World, view: View): string | undefined {
  const running = new Set<string>()
  for (const host of world.nodes.values())
    for (const task of host.runtime.listRunning()) running.add(task.id)
  const lost = first<Task>(view.tasks.list(), ({ id, nodeId, status }) =>
    status?.state === 'running' && isHealed(world, nodeId) && !running.has(id)
      ? `L2: task ${id} is running and has no container on ${nodeId}`
      : undefined,
  )
  return lost
}

/** L9: what waits in the machines has gone through them. */
function findBacklog(host: SimNode): string | undefined {
  const { reportsWaiting = 0 } = host.agent?.status() ?? {}
  if (reportsWaiting > 0) return `L9: ${reportsWaiting} reports wait at ${host.id}`
  const { commit = 0, applied = 0 } = host.consensus?.status() ?? {}
  return commit === applied ? undefined : `L9: ${host.id} has applied ${applied} of ${commit}`
}

function first<T>(items: Iterable<T>, look: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const found = look(item)
    if (found !== undefined) return found
  }
  return undefined
}
