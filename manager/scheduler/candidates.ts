/**
 * Candidates: what a group's own rules say of nodes beside what its pool does: replicas per node,
 * affinities, and nodes that are avoided. It gives the order in which nodes are taken: those where
 * the spec keeps failing last; with `spread` then fewest tasks of the service; then the pool's
 * order (fewest tasks, or most reserved); then by id. Both rankings follow it (`ranking.ts`,
 * `branches.ts`).
 */
import type { Task } from '../../proto/gen/objects.ts'
import type { Placement, ServiceAffinity } from '../../proto/gen/specs.ts'
import { nameKey } from '../store/schema.ts'
import { explain, type Reason } from './filters.ts'
import { type NodeInfo, shunnedBy } from './node-info.ts'
import type { Nodes } from './nodes.ts'
import type { Pool } from './pool.ts'
import { type Group, listFailing, type ServiceState } from './service-state.ts'

/** On which nodes wanted tasks of a service are, and how many, by the service's name. */
export type FindTasks = (name: string) => ReadonlyMap<NodeInfo, number>

export type CandidateOptions = {
  readonly nodes: Nodes
  readonly pool: Pool
  /** Cluster time, ms. */
  readonly now: number
  readonly findTasks: FindTasks
  /** Nodes with tasks that do not want to be beside a service of this name. */
  readonly findShunning: (name: string) => ReadonlyMap<NodeInfo, number>
}

export class Candidates {
  readonly pool: Pool
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
  readonly #service: ServiceState

  /** For tasks like `task`, which is of the group. */
  constructor(group: Group, task: Task, options: CandidateOptions) {
    const placement = task.spec?.placement
    this.pool = options.pool
    this.#service = group.service
    this.failing = listFailing(group, options.nodes, options.now)
    this.#maxReplicas = placement?.maxReplicas ?? 0
    this.#isSpread = options.pool.requirement.strategy === 'spread'
    const own = nameKey(task.serviceAnnotations?.name ?? '')
    this.affine = listAffine(placement, own, options.findTasks)
    const isNear = placement?.affinities.some((each) => isOwn(each, own)) ?? false
    this.isOpening = isNear && listThere(options.findTasks(own)).length === 0
    this.#isAlone = shunnedBy(task).includes(own)
    this.#avoided = listAvoided(task, own, options)
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
    return this.#service.counts?.get(info) ?? 0
  }

  /** Nodes that do not rank as the pool has them: apart from them its order is the group's. */
  listApart(): readonly NodeInfo[] {
    const { counts } = this.#service
    if (counts === undefined && this.failing.size + this.#avoided.size === 0) return []
    const apart = new Set<NodeInfo>()
    const add = (info: NodeInfo): void => {
      if (!info.isGone && this.isApart(info)) apart.add(info)
    }
    for (const info of counts?.keys() ?? []) add(info)
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
      ...(this.#service.counts?.keys() ?? []),
      ...this.#avoided,
      ...(this.affine ?? []),
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
 * Nodes with tasks of all the services that are wanted near. A service that is to be near itself
 * begins anywhere.
 */
function listAffine(
  placement: Placement | undefined,
  own: string,
  findTasks: FindTasks,
): ReadonlySet<NodeInfo> | undefined {
  let affine: Set<NodeInfo> | undefined
  for (const { service, isAnti } of placement?.affinities ?? []) {
    if (isAnti) continue
    const near = listThere(findTasks(service))
    if (near.length === 0 && isOwn({ service, isAnti }, own)) continue
    const known: ReadonlySet<NodeInfo> | undefined = affine
    affine = new Set(known === undefined ? near : near.filter((info) => known.has(info)))
  }
  return affine
}

function listThere(nodes: ReadonlyMap<NodeInfo, number>): readonly NodeInfo[] {
  return [...nodes.keys()].filter((info) => !info.isGone)
}

function isOwn({ service, isAnti }: ServiceAffinity, own: string): boolean {
  return !isAnti && nameKey(service) === own
}

/** Nodes with tasks of a service that is to be far, or that want this one to be. */
function listAvoided(task: Task, own: string, options: CandidateOptions): ReadonlySet<NodeInfo> {
  const shunning = options.findShunning(own)
  const far = shunnedBy(task)
  if (shunning.size === 0 && far.length === 0) return NO_NODES
  return new Set([
    ...shunning.keys(),
    ...far.flatMap((name) => [...options.findTasks(name).keys()]),
  ])
}

const NO_NODES: ReadonlySet<NodeInfo> = new Set()
