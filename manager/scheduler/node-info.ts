/**
 * NodeInfo: what the scheduler knows of one node beside its object: how much is free, how many
 * tasks of which service it has, which host ports are taken, and which specs failed there lately.
 * It is derived from the view alone (`charge` per task), so a new leader builds the same again.
 */
import { assert } from '../../lib/assert.ts'
import type { Node, Task } from '../../proto/gen/objects.ts'
import { emptyResources, type PortConfig, type Resources } from '../../proto/gen/types.ts'
import { compareTaskState, isActive, isTerminal } from '../../proto/task-state.ts'
import { addResources, getReservations, subtractResources } from '../model/resources.ts'

/** A node that saw this many failures of one spec within FAILURE_WINDOW_MS is avoided. */
export const FAILURES_MAX = 5
export const FAILURE_WINDOW_MS: number = 5 * 60_000

export type NodeInfo = {
  readonly node: Node
  /** Reservations of tasks that may run or still run here; at most what the node has. */
  used: Resources
  /** Tasks that are wanted here and not dead: what the spread ranks by. */
  taskCount: number
  readonly countByService: Map<string, number>
  /** `tcp/80` → how many tasks publish it in mode host. */
  readonly hostPorts: Map<string, number>
  /** Spec key → cluster times, ms, of its failures here, ascending. */
  readonly failures: Map<string, number[]>
}

/** What one task takes of its node; kept by the scheduler so that it can be given back. */
export type Charge = {
  readonly nodeId: string
  readonly serviceId: string
  readonly resources: Resources
  readonly ports: readonly string[]
  /** Whether it counts among the wanted tasks; resources and ports are held until it is dead. */
  readonly isCounted: boolean
}

export function newNodeInfo(node: Node): NodeInfo {
  return {
    node,
    used: emptyResources,
    taskCount: 0,
    countByService: new Map(),
    hostPorts: new Map(),
    failures: new Map(),
  }
}

/** The same bookkeeping for a newer version of the node. */
export function withNode(info: NodeInfo, node: Node): NodeInfo {
  return { ...info, node }
}

/** Tasks of one service and one version of its spec are alike for placement. */
export function specKey(task: Task): string {
  return `${task.serviceId}/${task.specVersion}`
}

/** What the task takes of its node; undefined for one that is not placed, or has ended. */
export function chargeOf(task: Task): Charge | undefined {
  const state = task.status?.state ?? 'new'
  if (task.nodeId === '' || compareTaskState(state, 'assigned') < 0 || isTerminal(state))
    return undefined
  return {
    nodeId: task.nodeId,
    serviceId: task.serviceId,
    resources: getReservations(task),
    ports: hostPortsOf(task).map(portKey),
    isCounted: isActive(task.desiredState, state),
  }
}

export function addCharge(info: NodeInfo, charge: Charge): void {
  info.used = addResources(info.used, charge.resources)
  for (const port of charge.ports) adjust(info.hostPorts, port, 1)
  if (!charge.isCounted) return
  info.taskCount++
  adjust(info.countByService, charge.serviceId, 1)
}

export function removeCharge(info: NodeInfo, charge: Charge): void {
  info.used = subtractResources(info.used, charge.resources)
  for (const port of charge.ports) adjust(info.hostPorts, port, -1)
  if (!charge.isCounted) return
  info.taskCount--
  assert(info.taskCount >= 0, 'a node has at least no tasks', { node: info.node.id })
  adjust(info.countByService, charge.serviceId, -1)
}

/** Ports that the task publishes on its node's own addresses with a number of its own. */
export function hostPortsOf(task: Task): readonly PortConfig[] {
  return (task.endpoint?.ports ?? []).filter(
    (port) => port.publishMode === 'host' && port.publishedPort !== 0,
  )
}

export function portKey(port: PortConfig): string {
  return `${port.protocol}/${port.publishedPort}`
}

/** Failures of a spec on this node within the window that ends at `now`. */
export function countFailures(info: NodeInfo, key: string, now: number): number {
  return (info.failures.get(key) ?? []).filter((at) => at > now - FAILURE_WINDOW_MS).length
}

/** Records a failure, once; old ones are forgotten. */
export function noteFailure(info: NodeInfo, key: string, atMs: number): void {
  const recent = (info.failures.get(key) ?? []).filter((at) => at > atMs - FAILURE_WINDOW_MS)
  recent.push(atMs)
  info.failures.set(key, recent)
}

function adjust(counts: Map<string, number>, key: string, by: number): void {
  const count = (counts.get(key) ?? 0) + by
  assert(count >= 0, 'a count is never below zero', { key })
  if (count === 0) counts.delete(key)
  else counts.set(key, count)
}
