/**
 * Candidates: what a group's own rules say of nodes beside what its pool does: replicas per node,
 * affinities, and nodes that are avoided. It gives the order in which nodes are taken: those where
 * the spec keeps failing last; with `spread` then fewest tasks of the service; then the pool's
 * order (fewest tasks, or most reserved); then by id. Both rankings follow it (`ranking.ts`,
 * `branches.ts`).
 */
import type { Task } from '../../proto/gen/objects.ts'
import type { ServiceAffinity } from '../../proto/gen/specs.ts'
import { nameKey } from '../store/schema.ts'
import { explain, type Reason } from './filters.ts'
import { type NodeInfo, shunnedBy } from './node-info.ts'
import type { Nodes } from './nodes.ts'
import type { Pool } from './pool.ts'
import { type Group, listFailing, type ServiceState } from './service-state.ts'

/** What a group looks at beside its pool. */
export type Surroundings = {
  readonly nodes: Nodes
  /** Cluster time, ms. */
  readonly now: number
  /** Nodes with wanted tasks of the service of this name. */
  readonly findTasks: (name: string) => readonly NodeInfo[]
  /** Whether there is any task that does not want to be beside some service. */
  readonly isAnyShunning: () => boolean
  /** Nodes with wanted tasks that do not want to be beside a service of this name. */
  readonly findShunning: (name: string) => readonly NodeInfo[]
}

export class Candidates {
  readonly pool: Pool
  readonly service: ServiceState
  /** More than the others are avoided: those where the spec failed too often. */
  readonly failing: ReadonlyMap<NodeInfo, number>
  /** Nodes that the affinities leave; undefined where there are none. */
  readonly affine: ReadonlySet<NodeInfo> | undefined
  /** The service is to be near itself and is nowhere: its first task decides where. */
  readonly isOpening: boolean
  readonly #avoided: ReadonlySet<NodeInfo>
  /** The service is to be far from itself, so also from what is being placed now. */
  readonly #isAlone: boolean
  readonly #maxReplicas: number
  readonly #isSpread: boolean

  /** For tasks like `task`, which is of the group. */
  constructor(group: Group, task: Task, pool: Pool, around: Surroundings) {
    const placement = task.spec?.placement
    this.pool = pool
    this.service = group.service
    this.failing = listFailing(group, around.nodes, around.now)
    this.#maxReplicas = placement?.maxReplicas ?? 0
    this.#isSpread = pool.requirement.strategy === 'spread'
    if (!around.isAnyShunning() && (placement?.affinities.length ?? 0) === 0) {
      this.affine = undefined
      this.isOpening = false
      this.#isAlone = false
      this.#avoided = NOWHERE
      return
    }
    const own = nameKey(task.serviceAnnotations?.name ?? '')
    const near = placement?.affinities.filter(({ isAnti }) => !isAnti) ?? NONE
    const far = shunnedBy(task)
    this.affine = listAffine(near, own, around)
    this.isOpening = near.some((each) => isOpening(each, own, around))
    this.#isAlone = far.includes(own)
    const shunning = around.findShunning(own)
    this.#avoided =
      shunning.length + far.length === 0
        ? NOWHERE
        : new Set([...shunning, ...far.flatMap(around.findTasks)])
  }

  /** Why the group may not use a node that is fit; undefined when it may. */
  reasonOf(info: NodeInfo): Reason | undefined {
    if (this.#maxReplicas > 0 && this.countOn(info) >= this.#maxReplicas) return 'max-replicas'
    if (this.affine !== undefined && !this.affine.has(info)) return 'affinity'
    const isAvoided = this.#avoided.has(info) || (this.#isAlone && this.countOn(info) > 0)
    return isAvoided ? 'anti-affinity' : undefined
  }

  /** Whether a task of the group may be placed there now. */
  isUsable(info: NodeInfo): boolean {
    return !info.isGone && this.pool.isFit(info) && this.reasonOf(info) === undefined
  }

  countOn(info: NodeInfo): number {
    return this.service.counts?.get(info) ?? 0
  }

  /** Nodes that do not rank as the pool has them: apart from them its order is the group's. */
  listApart(): NodeInfo[] {
    const { counts } = this.service
    if (counts === undefined && this.failing.size + this.#avoided.size === 0) return []
    const apart = new Set<NodeInfo>()
    const add = (info: NodeInfo): void => {
      if (!info.isGone && this.isApart(info)) apart.add(info)
    }
    for (const info of counts?.nodes() ?? NONE) add(info)
    for (const info of this.failing.keys()) add(info)
    for (const info of this.#avoided) add(info)
    return [...apart]
  }

  /** Whether the node does not rank as the pool has it, but behind, or not at all. */
  isApart(info: NodeInfo): boolean {
    return (
      (this.#isSpread && this.countOn(info) > 0) ||
      this.failing.has(info) ||
      this.reasonOf(info) !== undefined
    )
  }

  /** Whether `a` is taken before `b`. */
  isBefore(a: NodeInfo, b: NodeInfo): boolean {
    const byFailures = (this.failing.get(a) ?? 0) - (this.failing.get(b) ?? 0)
    if (byFailures !== 0) return byFailures < 0
    const byCount = this.#isSpread ? this.countOn(a) - this.countOn(b) : 0
    if (byCount !== 0) return byCount < 0
    const byKey = this.pool.keyOf(a) - this.pool.keyOf(b)
    return byKey !== 0 ? byKey < 0 : a.ordinal < b.ordinal
  }

  /** Why none of all nodes can be used. */
  explain(): string {
    const reasons = this.pool.countReasons()
    const known = new Set([
      ...(this.service.counts?.nodes() ?? NONE),
      ...this.#avoided,
      ...(this.affine ?? NONE),
    ])
    let others = this.pool.fitCount
    for (const info of known) {
      if (info.isGone || !this.pool.isFit(info)) continue
      others -= 1
      const reason = this.reasonOf(info)
      if (reason !== undefined) reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
    }
    if (this.affine !== undefined) reasons.set('affinity', (reasons.get('affinity') ?? 0) + others)
    return explain(reasons)
  }
}

/**
 * Nodes with tasks of all the services that are wanted near; undefined for any node. A service that
 * is to be near itself begins anywhere.
 */
function listAffine(
  near: readonly ServiceAffinity[],
  own: string,
  around: Surroundings,
): ReadonlySet<NodeInfo> | undefined {
  let affine: ReadonlySet<NodeInfo> | undefined
  for (const each of near) {
    if (isOpening(each, own, around)) continue
    const nodes = around.findTasks(each.service)
    const known = affine
    affine = new Set(known === undefined ? nodes : nodes.filter((info) => known.has(info)))
  }
  return affine
}

function isOpening({ service }: ServiceAffinity, own: string, around: Surroundings): boolean {
  return nameKey(service) === own && around.findTasks(own).length === 0
}

const NONE: readonly never[] = []
const NOWHERE: ReadonlySet<NodeInfo> = new Set()
