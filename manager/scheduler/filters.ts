/**
 * Filters: what a task asks of any node, compiled once for all tasks that ask the same, and why a
 * node does not have it, in Swarm's order and words (swarm-mode.md 2.5; clients match the texts).
 * What depends on the other tasks of the same service (max replicas, affinities) has its reason here
 * too, but is looked up by the group. Drivers of volumes, networks and logs and CSI volumes, which
 * Swarm filters by as well, cannot be asked for: such specs are refused.
 */
import type { Task } from '../../proto/gen/objects.ts'
import { emptyPlacement, type PlacementStrategy } from '../../proto/gen/specs.ts'
import type { GenericResource, Platform } from '../../proto/gen/types.ts'
import { type Constraint, matchesConstraints, parseConstraints } from '../model/constraint.ts'
import { fitsGeneric } from '../model/generic-resources.ts'
import { isNodeReady, matchesPlatform } from '../model/node.ts'
import { hostPortsOf, type NodeInfo } from './node-info.ts'

export type Reason =
  | 'not-ready'
  | 'resources'
  | 'constraints'
  | 'platform'
  | 'host-port'
  | 'max-replicas'
  | 'affinity'
  | 'anti-affinity'

/** In the order in which they are asked; the last three by the group. */
export const REASONS: readonly Reason[] = [
  'not-ready',
  'resources',
  'constraints',
  'platform',
  'host-port',
  'max-replicas',
  'affinity',
  'anti-affinity',
]

/** What a task asks of any node. Those with equal keys ask the same. */
export type Requirement = {
  readonly key: string
  readonly nanoCpus: number
  readonly memoryBytes: number
  readonly generic: readonly GenericResource[]
  readonly constraints: readonly Constraint[]
  readonly platforms: readonly Platform[]
  readonly ports: readonly string[]
  readonly strategy: PlacementStrategy
}

/** SwarmError 'invalid-argument' for a constraint that is none. */
export function newRequirement(task: Task, key: string = requirementKey(task)): Requirement {
  const reserved = task.spec?.resources?.reservations
  const placement = task.spec?.placement ?? emptyPlacement
  return {
    key,
    nanoCpus: reserved?.nanoCpus ?? 0,
    memoryBytes: reserved?.memoryBytes ?? 0,
    generic: reserved?.generic ?? [],
    constraints: parseConstraints(placement),
    platforms: placement.platforms,
    ports: hostPortsOf(task),
    strategy: placement.strategy,
  }
}

/** The key of what the task asks for, without working out what it is. */
export function requirementKey(task: Task): string {
  const reserved = task.spec?.resources?.reservations
  const placement = task.spec?.placement
  const hasLists =
    (reserved?.generic.length ?? 0) > 0 ||
    (placement !== undefined && placement.constraints.length + placement.platforms.length > 0)
  const amounts = `${reserved?.nanoCpus ?? 0}/${reserved?.memoryBytes ?? 0}`
  const lists = hasLists
    ? JSON.stringify([reserved?.generic, placement?.constraints, placement?.platforms])
    : ''
  return `${placement?.strategy ?? 'spread'} ${amounts} ${hostPortsOf(task).join()} ${lists}`
}

/**
 * What of the requirement rests on the node's object alone and is long to find out: constraints and
 * platform. Undefined when it has them.
 */
export function findFixedReason(wanted: Requirement, { node }: NodeInfo): Reason | undefined {
  if (!matchesConstraints(wanted.constraints, node)) return 'constraints'
  if (wanted.platforms.length === 0) return undefined
  return wanted.platforms.some((each) => matchesPlatform(node, each)) ? undefined : 'platform'
}

/** Why the node is unfit, given what `findFixedReason` said of it; undefined when it is fit. */
export function findReason(
  wanted: Requirement,
  info: NodeInfo,
  fixed: Reason | undefined,
): Reason | undefined {
  if (!isNodeReady(info.node)) return 'not-ready'
  if (!hasRoom(wanted, info)) return 'resources'
  if (fixed !== undefined) return fixed
  for (const port of wanted.ports) if (info.hostPorts.has(port)) return 'host-port'
  return undefined
}

/** An amount of 0 fits also where nothing is left. */
function hasRoom(wanted: Requirement, info: NodeInfo): boolean {
  const { nanoCpus, memoryBytes, generic } = wanted
  if (nanoCpus === 0 && memoryBytes === 0 && generic.length === 0) return true
  const total = info.node.description?.resources
  return (
    (nanoCpus === 0 || info.nanoCpus + nanoCpus <= (total?.nanoCpus ?? 0)) &&
    (memoryBytes === 0 || info.memoryBytes + memoryBytes <= (total?.memoryBytes ?? 0)) &&
    (generic.length === 0 || fitsGeneric(generic, total?.generic ?? [], info.claims))
  )
}

/** Why no node fits, from how many nodes there are of each reason: `no suitable node (…)`. */
export function explain(counts: ReadonlyMap<Reason, number>): string {
  const texts = [...counts]
    .filter(([, count]) => count > 0)
    .sort(([a, countA], [b, countB]) => countB - countA || REASONS.indexOf(a) - REASONS.indexOf(b))
    .map(([reason, count]) => reasonText(reason, count))
  return texts.length === 0 ? 'no suitable node' : `no suitable node (${texts.join('; ')})`
}

function reasonText(reason: Reason, count: number): string {
  const nodes = count === 1 ? '1 node' : `${count} nodes`
  switch (reason) {
    case 'not-ready':
      return `${nodes} not available for new tasks`
    case 'resources':
      return `insufficient resources on ${nodes}`
    case 'constraints':
      return `scheduling constraints not satisfied on ${nodes}`
    case 'platform':
      return `unsupported platform on ${nodes}`
    case 'host-port':
      return `host-mode port already in use on ${nodes}`
    case 'max-replicas':
      return 'max replicas per node limit exceed'
    case 'affinity':
      return `service affinity not satisfied on ${nodes}`
    case 'anti-affinity':
      return `service anti-affinity not satisfied on ${nodes}`
    default:
      return reason satisfies never
  }
}
