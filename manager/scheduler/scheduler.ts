/**
 * Scheduler: gives pending tasks their nodes (swarm-mode.md 2.5, docs/scheduler.md). Tasks of one
 * spec are placed as a group, group after group, a bounded number in a round. Global tasks have
 * their node already and are only checked. A task that fits nowhere stays pending and says why; it
 * is tried again when a node, or what is taken of one, has changed. What is kept between rounds is
 * an index over the view's nodes and tasks; a leader's first rounds make it, in slices. What a round
 * returns is in it already, so that the scheduler need not be told of it (`Loop.knowsOwn`).
 */
import type { Outcome, Problem, Round } from '../store/round.ts'
import { ClusterIndex } from './cluster-index.ts'
import { newWork, placeGroup, type Rest } from './place.ts'
import { Pools } from './pool.ts'
import type { Group } from './service-state.ts'

/** How much is done in a round, so that it takes some milliseconds. */
export type Limits = {
  /** Tasks placed, and groups looked at. */
  readonly work: number
  /** Objects read by a new leader. */
  readonly loads: number
}

const LIMITS: Limits = { work: 500, loads: 4_000 }

/** What is derived from the view, and what is derived from that. */
type State = { readonly index: ClusterIndex; readonly pools: Pools }

export class Scheduler {
  readonly #limits: Limits
  #state: State | undefined
  /** Groups that are to be placed, from `#queueNext` on. */
  #queue: Group[] = []
  #queueNext = 0
  /** Groups with tasks that fit nowhere. */
  #waiting: Group[] = []
  /** Changes of nodes that all waiting groups have seen. */
  #seenVersion = -1

  constructor(limits: Limits = LIMITS) {
    this.#limits = limits
  }

  reconcile(round: Round): Outcome {
    const { index, pools } = this.#observe(round)
    if (!index.load(this.#limits.loads)) return { changes: [], nextMs: round.now }
    for (const group of index.fresh) this.#enqueue(group)
    index.fresh.clear()
    const work = newWork(round, index, pools, this.#limits.work)
    const problems: Problem[] = []
    while (work.left > 0) {
      const group = this.#nextGroup(index)
      if (group === undefined) break
      try {
        this.#keep(group, placeGroup(group, work), index)
      } catch (error) {
        // Set aside: it is tried again when it gets another task.
        const reason = error instanceof Error ? error.message : String(error)
        problems.push({ table: 'services', id: group.service.id, reason })
      }
    }
    const nextMs = this.#isDone(index) ? undefined : round.now
    return { changes: work.changes, nextMs, ...(problems.length === 0 ? {} : { problems }) }
  }

  #observe({ view, changed }: Round): State {
    if (this.#state !== undefined && !changed.all) {
      this.#state.index.observe(view, changed)
      return this.#state
    }
    const index = new ClusterIndex(view)
    this.#state = { index, pools: new Pools(index.nodes) }
    this.#queue = []
    this.#queueNext = 0
    this.#waiting = []
    this.#seenVersion = -1
    return this.#state
  }

  #enqueue(group: Group): void {
    if (group.isQueued) return
    group.isQueued = true
    this.#queue.push(group)
  }

  /** What waits comes after all that is new, once for all that has changed until then. */
  #nextGroup({ nodes }: ClusterIndex): Group | undefined {
    if (this.#queueNext === this.#queue.length) {
      this.#queue = []
      this.#queueNext = 0
      if (this.#seenVersion !== nodes.version) {
        this.#seenVersion = nodes.version
        for (const group of this.#waiting) this.#enqueue(group)
        this.#waiting = []
      }
    }
    const group = this.#queue[this.#queueNext]
    if (group === undefined) return undefined
    this.#queueNext += 1
    group.isQueued = false
    return group
  }

  #keep(group: Group, rest: Rest, index: ClusterIndex): void {
    if (rest === 'untried') this.#enqueue(group)
    else if (rest === 'waiting') this.#waiting.push(group)
    else index.drop(group)
  }

  #isDone({ nodes }: ClusterIndex): boolean {
    if (this.#queueNext < this.#queue.length) return false
    return this.#waiting.length === 0 || this.#seenVersion === nodes.version
  }
}
