/**
 * Ranking: which node the next task of a group goes to, and what placing it there changes. A group
 * without preferences goes by its pool: the nodes that do not rank there as they do for the group
 * (they have tasks of the service, say) are taken off their seats meanwhile and stand in a heap of
 * their own. As every one of those ranks behind all that are seated, the heap is not looked at
 * before the pool is empty.
 */
import { assert } from '../../lib/assert.ts'
import type { Candidates } from './candidates.ts'
import { Heap } from './heap.ts'
import type { NodeInfo } from './node-info.ts'

export interface Ranking {
  /** The node for the next task; undefined when none can be used. */
  next(): NodeInfo | undefined
  /** A task was placed on the node that `next` gave, and charged. */
  placed(info: NodeInfo): void
  /** The pool is as it was, with what was placed. */
  close(): void
}

export class PoolRanking implements Ranking {
  readonly #candidates: Candidates
  /** Nodes off their seats. */
  readonly #apart: NodeInfo[]
  /** Those of them that can be used; undefined until somebody wants one. */
  #heap: Heap<NodeInfo> | undefined
  /** Where the last task was placed, while that is not taken over: often it is the only one. */
  #last: NodeInfo | undefined

  constructor(candidates: Candidates) {
    this.#candidates = candidates
    this.#apart = candidates.listApart()
    candidates.pool.unseat(this.#apart)
  }

  next(): NodeInfo | undefined {
    this.#takeOver()
    return this.#candidates.pool.first() ?? this.#heapOfApart().peek()
  }

  placed(info: NodeInfo): void {
    assert(this.#last === undefined, 'a node is asked for before each task')
    this.#last = info
  }

  close(): void {
    const { pool } = this.#candidates
    pool.seatAll(this.#apart)
    if (this.#last !== undefined) pool.seat(this.#last.ordinal)
    pool.skipChanges()
  }

  #takeOver(): void {
    const info = this.#last
    if (info === undefined) return
    this.#last = undefined
    const { pool } = this.#candidates
    const isFromHeap = this.#heap?.peek() === info
    if (isFromHeap) this.#heap?.pop()
    pool.judge(info)
    if (!isFromHeap && !this.#candidates.isApart(info)) {
      pool.seat(info.ordinal)
      return
    }
    if (!isFromHeap) {
      pool.unseat([info])
      this.#apart.push(info)
    }
    if (this.#candidates.isUsable(info)) this.#heap?.push(info)
  }

  #heapOfApart(): Heap<NodeInfo> {
    this.#heap ??= new Heap(
      (a, b) => this.#candidates.isBefore(a, b),
      this.#apart.filter((info) => this.#candidates.isUsable(info)),
    )
    return this.#heap
  }
}
