/**
 * Filters: whether a task may run on a node, and if not, why, in Swarm's order and words
 * (swarm-mode.md 2.5; clients match the texts). Those that look only at spec and node are compiled
 * once for a group of like tasks; those that depend on what else runs there are asked at each
 * placement.
 */
import type { Node, Task } from '../../proto/gen/objects.ts'
import { emptyResources } from '../../proto/gen/types.ts'
import { matchesConstraints, parseConstraints } from '../model/constraint.ts'
import { isNodeReady, normalArchitecture } from '../model/node.ts'
import { fitsResources, getReservations, subtractResources } from '../model/resources.ts'
import { hostPortsOf, type NodeInfo, portKey } from './node-info.ts'

export type Reason =
  | 'not-ready'
  | 'resources'
  | 'constraints'
  | 'platform'
  | 'host-port'
  | 'max-replicas'

/** Undefined when the node is fit. */
export type Filter = (info: NodeInfo) => Reason | undefined

/** The filters for tasks like this one, as one: the first reason in Swarm's order. */
export function newFilter(task: Task): Filter {
  const wanted = getReservations(task)
  const constraints = parseConstraints(task.spec?.placement)
  const platforms = task.spec?.placement?.platforms ?? []
  const maxReplicas = task.spec?.placement?.maxReplicas ?? 0
  const ports = hostPortsOf(task).map(portKey)
  return (info) => {
    if (!isNodeReady(info.node)) return 'not-ready'
    const total = info.node.description?.resources ?? emptyResources
    if (!fitsResources(wanted, subtractResources(total, info.used))) return 'resources'
    if (!matchesConstraints(constraints, info.node)) return 'constraints'
    if (platforms.length > 0 && !platforms.some((platform) => isPlatform(info.node, platform)))
      return 'platform'
    if (ports.some((port) => info.hostPorts.has(port))) return 'host-port'
    if (maxReplicas > 0 && (info.countByService.get(task.serviceId) ?? 0) >= maxReplicas)
      return 'max-replicas'
    return undefined
  }
}

/** Why no node fits, counted over all nodes: `no suitable node (…)`. */
export function explain(reasons: ReadonlyMap<Reason, number>): string {
  const texts = [...reasons]
    .sort(([a, countA], [b, countB]) => countB - countA || ORDER.indexOf(a) - ORDER.indexOf(b))
    .map(([reason, count]) => reasonText(reason, count))
  return texts.length === 0 ? 'no suitable node' : `no suitable node (${texts.join('; ')})`
}

const ORDER: readonly Reason[] = [
  'not-ready',
  'resources',
  'constraints',
  'platform',
  'host-port',
  'max-replicas',
]

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
    default:
      return reason satisfies never
  }
}

function isPlatform(
  node: Node,
  platform: { readonly architecture: string; readonly os: string },
): boolean {
  const own = node.description?.platform
  if (own === undefined) return false
  const isArchitecture =
    platform.architecture === '' ||
    normalArchitecture(platform.architecture) === normalArchitecture(own.architecture)
  return isArchitecture && (platform.os === '' || platform.os === own.os)
}
