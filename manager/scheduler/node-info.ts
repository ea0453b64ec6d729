/**
 * NodeInfo: what the scheduler knows of one node beside its object: how much is taken, by how many
 * tasks, and which host ports. It is the sum of what its tasks take, so that whatever is charged for
 * a task can be given back, and a new leader that reads the view gets the same again.
 */
import { assert } from '../../lib/assert.ts'
import type { Node, Task } from '../../proto/gen/objects.ts'
import type { PortConfig } from '../../proto/gen/types.ts'
import { compareTaskState, isActive, isTerminal } from '../../proto/task-state.ts'
import { type Claims, NO_CLAIMS, withClaims } from '../model/generic-resources.ts'
import { nameKey } from '../store/schema.ts'

export type NodeInfo = {
  node: Node
  /** Its place among all nodes in the order of their ids; -1 until that is known. */
  ordinal: number
  /** The node was removed: whoever still knows it, its tasks and their services, passes over it. */
  isGone: boolean
  /** Reservations of tasks that may run or still run here. */
  nanoCpus: number
  memoryBytes: number
  claims: Claims
  /** Tasks that are wanted here and not dead: what the spread ranks by. */
  taskCount: number
  /** `tcp/80` → how many tasks publish it in mode host. */
  readonly hostPorts: Map<string, number>
}

export function newNodeInfo(node: Node): NodeInfo {
  return {
    node,
    ordinal: -1,
    isGone: false,
    nanoCpus: 0,
    memoryBytes: 0,
    claims: NO_CLAIMS,
    taskCount: 0,
    hostPorts: new Map(),
  }
}

/** Whether the task takes something of its node: it was placed, and has not ended. */
export function isHolding(task: Task): boolean {
  const state = task.status?.state ?? 'new'
  return task.nodeId !== '' && compareTaskState(state, 'assigned') >= 0 && !isTerminal(state)
}

/** Whether it also counts among the wanted tasks: ports and resources are held until it is dead. */
export function isCounted(task: Task): boolean {
  return isActive(task.desiredState, task.status?.state ?? 'new')
}

/** Takes what the task takes (`sign` 1), or gives it back (-1), but for its place among the wanted. */
export function charge(info: NodeInfo, task: Task, sign: 1 | -1): void {
  const reserved = task.spec?.resources?.reservations
  if (reserved !== undefined) {
    info.nanoCpus += sign * reserved.nanoCpus
    info.memoryBytes += sign * reserved.memoryBytes
  }
  if (task.assignedGeneric.length > 0)
    info.claims = withClaims(info.claims, task.assignedGeneric, sign)
  for (const port of hostPortsOf(task)) adjust(info.hostPorts, port, sign)
}

/** Ports that the task publishes on its node's own addresses with a number of its own. */
export function hostPortsOf(task: Task): readonly string[] {
  const ports = task.endpoint?.ports
  return ports === undefined || ports.length === 0 ? NONE : ports.filter(isHostPort).map(portKey)
}

/** Keys of the names of the services beside which the task must not be. */
export function shunnedBy(task: Task): readonly string[] {
  const affinities = task.spec?.placement?.affinities
  return affinities === undefined || affinities.length === 0
    ? NONE
    : affinities.filter(({ isAnti }) => isAnti).map(({ service }) => nameKey(service))
}

const NONE: readonly string[] = []

function isHostPort(port: PortConfig): boolean {
  return port.publishMode === 'host' && port.publishedPort !== 0
}

function portKey(port: PortConfig): string {
  return `${port.protocol}/${port.publishedPort}`
}

/** Adds to a count; one that is zero is left out. */
export function adjust<K>(counts: Map<K, number>, key: K, by: number): void {
  const sum = (counts.get(key) ?? 0) + by
  assert(sum >= 0, 'a count is never below zero', { sum })
  if (sum === 0) counts.delete(key)
  else counts.set(key, sum)
}
