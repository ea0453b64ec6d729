/**
 * NodeCounts: how many of something there are on which nodes. Most services have tasks on a single
 * node when there are many services; a Map for each of those would be most of the scheduler's memory.
 */
import { assert } from '../../lib/assert.ts'
import { adjust, type NodeInfo } from './node-info.ts'

export class NodeCounts {
  /** The only node, while there is one. */
  #node: NodeInfo | undefined
  #count = 0
  /** All nodes, from the second one on. */
  #all: Map<NodeInfo, number> | undefined

  get isEmpty(): boolean {
    return this.#all === undefined ? this.#node === undefined : this.#all.size === 0
  }

  get(info: NodeInfo): number {
    if (this.#all !== undefined) return this.#all.get(info) ?? 0
    return this.#node === info ? this.#count : 0
  }

  /** The nodes with at least one. */
  nodes(): Iterable<NodeInfo> {
    if (this.#all !== undefined) return this.#all.keys()
    return this.#node === undefined ? NOWHERE : [this.#node]
  }

  adjust(info: NodeInfo, by: number): void {
    if (this.#all === undefined && (this.#node ?? info) === info) {
      this.#count += by
      assert(this.#count >= 0, 'a count is never below zero', { count: this.#count })
      this.#node = this.#count === 0 ? undefined : info
      return
    }
    if (this.#all === undefined) {
      this.#all = new Map()
      if (this.#node !== undefined) this.#all.set(this.#node, this.#count)
    }
    adjust(this.#all, info, by)
  }
}

const NOWHERE: readonly NodeInfo[] = []
