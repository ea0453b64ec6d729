/**
 * Pool: all nodes as tasks of one requirement see them: why each is unfit, how many are so for which
 * reason, and of the fit ones the one that ranks first. It is shared by all services that ask the
 * same, and kept from round to round: a change of a node is taken over when the pool is asked next.
 * The ranks of one service's own are the ranking's (`ranking.ts`), which takes nodes off their seats
 * for as long as it is at work.
 */
import type { Node, Task } from '../../proto/gen/objects.ts'
import {
  findFixedReason,
  findReason,
  newRequirement,
  REASONS,
  type Reason,
  type Requirement,
  requirementKey,
} from './filters.ts'
import type { NodeInfo } from './node-info.ts'
import type { Nodes } from './nodes.ts'
import { Tournament } from './tournament.ts'

export class Pool {
  readonly requirement: Requirement
  readonly generation: number
  readonly #nodes: Nodes
  readonly #infos: readonly NodeInfo[]
  /** The fit nodes, but those taken off their seats, by `keyOf`. */
  readonly #seats: Tournament
  /** By ordinal: 0 where the node is fit, else 1 and the place of its reason in REASONS. */
  readonly #reasons: Uint8Array
  /** The same of `findFixedReason`, for the node that it was found out for. */
  readonly #fixed: Uint8Array
  readonly #judged: (Node | undefined)[]
  /** How many nodes have each reason, fit ones first. */
  readonly #counts: Int32Array
  /** How far the log of changes was read. */
  #version: number

  constructor(nodes: Nodes, requirement: Requirement) {
    this.#infos = nodes.list()
    this.requirement = requirement
    this.generation = nodes.generation
    this.#nodes = nodes
    this.#seats = new Tournament(this.#infos.length)
    this.#reasons = new Uint8Array(this.#infos.length)
    this.#fixed = new Uint8Array(this.#infos.length)
    this.#judged = new Array(this.#infos.length)
    this.#counts = new Int32Array(REASONS.length + 1)
    this.#counts[0] = this.#infos.length
    this.#version = nodes.version
    this.#refreshAll()
  }

  /** How many nodes are fit. */
  get fitCount(): number {
    return this.#counts[0] ?? 0
  }

  /** Takes over what has changed since the last time. */
  refresh(): void {
    const version = this.#nodes.version
    if (version === this.#version) return
    if (this.#nodes.remembers(this.#version))
      for (const ordinal of this.#nodes.touchedSince(this.#version)) this.seat(ordinal)
    else this.#refreshAll()
    this.#version = version
  }

  /** All changes until now are known here: they were of nodes that the caller seats. */
  skipChanges(): void {
    this.#version = this.#nodes.version
  }

  /** The seated node that ranks first. */
  first(): NodeInfo | undefined {
    const ordinal = this.#seats.first()
    return ordinal < 0 ? undefined : this.#infos[ordinal]
  }

  isFit(info: NodeInfo): boolean {
    return this.#reasons[info.ordinal] === 0
  }

  /** Why the node is unfit, as of the last time that it was looked at; undefined when it is fit. */
  reasonOf(info: NodeInfo): Reason | undefined {
    return REASONS[(this.#reasons[info.ordinal] ?? 0) - 1]
  }

  /** Of how many nodes each reason holds. */
  countReasons(): Map<Reason, number> {
    return new Map(REASONS.map((reason, at) => [reason, this.#counts[at + 1] ?? 0]))
  }

  /** Looks at the node anew, and seats it where it belongs. */
  seat(ordinal: number): void {
    const info = this.#infos[ordinal]
    if (info === undefined) return
    this.judge(info)
    this.#seats.set(ordinal, this.isFit(info) ? this.keyOf(info) : Number.POSITIVE_INFINITY)
  }

  /** Looks at the node anew. */
  judge(info: NodeInfo): void {
    const { ordinal } = info
    const reason = findReason(this.requirement, info, this.#fixedReason(info))
    const code = reason === undefined ? 0 : REASONS.indexOf(reason) + 1
    const before = this.#reasons[ordinal] ?? 0
    if (code === before) return
    this.#reasons[ordinal] = code
    this.#counts[before] = (this.#counts[before] ?? 0) - 1
    this.#counts[code] = (this.#counts[code] ?? 0) + 1
  }

  /** Takes nodes off their seats: `first` does not give them until they are seated again. */
  unseat(infos: readonly NodeInfo[]): void {
    this.#change(infos, () => Number.POSITIVE_INFINITY)
  }

  /** Looks at nodes anew, and seats them where they belong. */
  seatAll(infos: readonly NodeInfo[]): void {
    this.#change(infos, (info) => {
      this.judge(info)
      return this.isFit(info) ? this.keyOf(info) : Number.POSITIVE_INFINITY
    })
  }

  /** The least key ranks first: fewest tasks, or for `binpack` most reserved, then most tasks. */
  keyOf(info: NodeInfo): number {
    return this.requirement.strategy === 'spread' ? info.taskCount : packKeyOf(info)
  }

  #refreshAll(): void {
    this.seatAll(this.#infos)
  }

  /** Many changes at once are cheaper than one by one. */
  #change(infos: readonly NodeInfo[], keyOf: (info: NodeInfo) => number): void {
    if (infos.length === 0) return
    if (infos.length * CLIMB < this.#infos.length) {
      for (const info of infos) this.#seats.set(info.ordinal, keyOf(info))
      return
    }
    for (const info of infos) this.#seats.put(info.ordinal, keyOf(info))
    this.#seats.restore()
  }

  #fixedReason(info: NodeInfo): Reason | undefined {
    const { constraints, platforms } = this.requirement
    if (constraints.length === 0 && platforms.length === 0) return undefined
    const { ordinal } = info
    if (this.#judged[ordinal] !== info.node) {
      const reason = findFixedReason(this.requirement, info)
      this.#judged[ordinal] = info.node
      this.#fixed[ordinal] = reason === undefined ? 0 : REASONS.indexOf(reason) + 1
    }
    return REASONS[(this.#fixed[ordinal] ?? 0) - 1]
  }
}

/** About how many nodes of a tournament one change touches. */
const CLIMB = 8
/** Shares are compared in millionths, and tasks counted up to about as many. */
const SHARE = 1_000_000
const TASKS_MAX = 2 ** 20 - 1

/** Of CPUs and memory the mean share that is free, then the lack of tasks. */
function packKeyOf({ node, nanoCpus, memoryBytes, taskCount }: NodeInfo): number {
  const total = node.description?.resources
  const used =
    shareOf(nanoCpus, total?.nanoCpus ?? 0) + shareOf(memoryBytes, total?.memoryBytes ?? 0)
  const free = SHARE - Math.floor(used / 2)
  return free * (TASKS_MAX + 1) + TASKS_MAX - Math.min(taskCount, TASKS_MAX)
}

function shareOf(used: number, total: number): number {
  return total <= 0 ? 0 : Math.min(SHARE, Math.floor((used / total) * SHARE))
}

/** The pools in use, so many that they take a bounded amount of memory. */
export class Pools {
  readonly #nodes: Nodes
  /** By key, the one that was not asked for the longest first. */
  readonly #pools: Map<string, Pool> = new Map()
  /** The one that was asked for last: often it is asked for again. */
  #last: Pool | undefined

  constructor(nodes: Nodes) {
    this.#nodes = nodes
  }

  /** The pool of what the task asks for, up to date. */
  get(task: Task): Pool {
    const key = requirementKey(task)
    const known = this.#last?.requirement.key === key ? this.#last : this.#pools.get(key)
    // Places of nodes may have been given anew only now.
    this.#nodes.list()
    const isUsable = known !== undefined && known.generation === this.#nodes.generation
    const pool = isUsable ? known : new Pool(this.#nodes, newRequirement(task, key))
    if (isUsable) pool.refresh()
    if (pool !== this.#last) this.#keep(key, pool)
    return pool
  }

  #keep(key: string, pool: Pool): void {
    this.#last = pool
    this.#pools.delete(key)
    this.#pools.set(key, pool)
    this.#drop()
  }

  #drop(): void {
    const countMax = Math.max(1, Math.floor(BYTES_MAX / (BYTES_PER_NODE * (this.#nodes.size + 1))))
    for (const key of this.#pools.keys()) {
      if (this.#pools.size <= countMax) return
      this.#pools.delete(key)
    }
  }
}

const BYTES_MAX = 128 * 2 ** 20
const BYTES_PER_NODE = 48
