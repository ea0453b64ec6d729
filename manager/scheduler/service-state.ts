/**
 * ServiceState: what the scheduler knows of one service: on which nodes how many of its tasks are,
 * which of its tasks wait, and which failed where. It is derived from tasks alone, and exists while
 * there are such.
 */
import type { Task } from '../../proto/gen/objects.ts'
import { hasGrownFully } from '../model/restart-delay.ts'
import { NodeCounts } from './node-counts.ts'
import type { NodeInfo } from './node-info.ts'
import type { Nodes } from './nodes.ts'

/** A node that saw this many failures of one spec within FAILURE_WINDOW_MS is avoided. */
export const FAILURES_MAX = 5
export const FAILURE_WINDOW_MS: number = 5 * 60_000

export type ServiceState = {
  readonly id: string
  /** Wanted tasks that are not dead, by node, also nodes that are gone; undefined: none. */
  counts: NodeCounts | undefined
  /** Waiting tasks, a group for each version of the spec. */
  groups: readonly Group[]
  /** By task; undefined while there is none. */
  failures: Map<string, Failure> | undefined
}

/** A task of which something follows: it waits, it takes something of its node, or it failed. */
export type Known = {
  /** As it was when it was last looked at. */
  task: Task
  isWaiting: boolean
  /** Where it takes something; undefined where it does not. */
  info: NodeInfo | undefined
  /** Of which it is counted on that node, or has failed. */
  service: ServiceState | undefined
}

/** Tasks of one service and one version of its spec are alike for placement. */
export type Group = {
  readonly service: ServiceState
  readonly specVersion: number
  /** Tasks that wait for a node, or did; in the order of slots up to `sortedCount`. */
  free: Known[]
  sortedCount: number
  /** Tasks that have a node and wait until they may run there, or did. */
  fixed: Known[]
  /** How many of them were looked at, while others were not. */
  fixedNext: number
  isQueued: boolean
}

type Failure = {
  readonly specVersion: number
  readonly nodeId: string
  /** Cluster time, ms. */
  readonly atMs: number
  /** For how many it counts: where tasks wait longer and longer, so many do not come together. */
  readonly weight: number
}

export function newServiceState(id: string): ServiceState {
  return { id, counts: undefined, groups: NONE, failures: undefined }
}

/** Whether nothing is known any more. */
export function isForgettable({ counts, groups, failures }: ServiceState): boolean {
  return counts === undefined && groups.length === 0 && failures === undefined
}

/** The service has one wanted task more (`sign` 1) or less on the node. */
export function countOn(service: ServiceState, info: NodeInfo, sign: 1 | -1): void {
  service.counts ??= new NodeCounts()
  service.counts.adjust(info, sign)
  if (service.counts.isEmpty) service.counts = undefined
}

/** The group of the task, made if there is none. */
export function groupOf(service: ServiceState, { specVersion }: Task): Group {
  const known = service.groups.find((group) => group.specVersion === specVersion)
  if (known !== undefined) return known
  const made: Group = {
    service,
    specVersion,
    free: NONE,
    sortedCount: 0,
    fixed: NONE,
    fixedNext: 0,
    isQueued: false,
  }
  service.groups = service.groups.length === 0 ? [made] : [...service.groups, made]
  return made
}

/** The task waits from now on. */
export function addToGroup(group: Group, known: Known): void {
  // Most groups have a single task: a list grown by push() would have room for many.
  if (known.task.nodeId !== '')
    group.fixed = group.fixed.length === 0 ? [known] : pushed(group.fixed, known)
  else group.free = group.free.length === 0 ? [known] : pushed(group.free, known)
}

function pushed<T>(list: T[], item: T): T[] {
  list.push(item)
  return list
}

const NONE: never[] = []

/** Remembers the task's failure as long as there is the task. */
export function noteFailure(service: ServiceState, task: Task): void {
  service.failures ??= new Map()
  service.failures.set(task.id, {
    specVersion: task.specVersion,
    nodeId: task.nodeId,
    atMs: task.endedClusterMs,
    weight: hasGrownFully(task) ? FAILURES_MAX : 1,
  })
}

/** The task was removed. */
export function forgetFailure(service: ServiceState, taskId: string): void {
  service.failures?.delete(taskId)
  if (service.failures?.size === 0) service.failures = undefined
}

/** Nodes that are to be avoided by this version of the spec now, and how often it failed there. */
export function listFailing(
  { service, specVersion }: Group,
  nodes: Nodes,
  now: number,
): ReadonlyMap<NodeInfo, number> {
  if (service.failures === undefined) return NO_NODES
  const counts = new Map<NodeInfo, number>()
  for (const failure of service.failures.values()) {
    if (failure.specVersion !== specVersion || failure.atMs <= now - FAILURE_WINDOW_MS) continue
    const info = nodes.get(failure.nodeId)
    if (info !== undefined) counts.set(info, (counts.get(info) ?? 0) + failure.weight)
  }
  for (const [info, count] of counts) if (count < FAILURES_MAX) counts.delete(info)
  return counts
}

const NO_NODES: ReadonlyMap<NodeInfo, number> = new Map()
