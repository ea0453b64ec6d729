/**
 * Nodes: what is known of all nodes, in the order of their ids, and a log of which of them changed,
 * be it their object or what tasks take of them. Whoever derives something from nodes remembers how
 * far it has read that log (`Pool`), so that a change costs only those who ask.
 */
import type { Node } from '../../proto/gen/objects.ts'
import { type NodeInfo, newNodeInfo } from './node-info.ts'

export class Nodes {
  readonly #byId: Map<string, NodeInfo> = new Map()
  /** Invariant: each node's ordinal is its place here, while `#isOrdered`. */
  #ordered: readonly NodeInfo[] = []
  #isOrdered = true
  /** One more each time that places are given anew; what was derived before is of no use then. */
  #generation = 0
  /** Places of nodes that changed, oldest first; `#logStart` came before the first one. */
  #log: number[] = []
  #logStart = 0

  get size(): number {
    return this.#byId.size
  }

  /** How many changes there were; the log holds the last ones. */
  get version(): number {
    return this.#logStart + this.#log.length
  }

  get generation(): number {
    return this.#generation
  }

  get(id: string): NodeInfo | undefined {
    return this.#byId.get(id)
  }

  add(node: Node): NodeInfo {
    const info = newNodeInfo(node)
    this.#byId.set(node.id, info)
    this.#isOrdered = false
    this.#forgetLog()
    return info
  }

  remove(info: NodeInfo): void {
    info.isGone = true
    info.ordinal = -1
    this.#byId.delete(info.node.id)
    this.#isOrdered = false
    this.#forgetLog()
  }

  /** All nodes, each at its ordinal. */
  list(): readonly NodeInfo[] {
    if (!this.#isOrdered) this.#order()
    return this.#ordered
  }

  /** The node or what is taken of it has changed. */
  touch(info: NodeInfo): void {
    if (info.isGone || !this.#isOrdered) return
    // More than twice as many as there are nodes are better looked at node by node.
    if (this.#log.length > 2 * this.#ordered.length + LOG_MIN) this.#forgetLog()
    this.#log.push(info.ordinal)
  }

  /** Places that changed after `version`, some several times; undefined when that is forgotten. */
  *touchedSince(version: number): Generator<number, undefined> {
    for (let at = version - this.#logStart; at < this.#log.length; at++) yield this.#log[at] ?? 0
  }

  /** Whether the log goes back to `version`. */
  remembers(version: number): boolean {
    return version >= this.#logStart
  }

  #order(): void {
    const infos = [...this.#byId.values()].sort((a, b) => (a.node.id < b.node.id ? -1 : 1))
    infos.forEach((info, ordinal) => {
      info.ordinal = ordinal
    })
    this.#ordered = infos
    this.#isOrdered = true
    this.#generation += 1
  }

  #forgetLog(): void {
    this.#logStart += this.#log.length + 1
    this.#log = []
  }
}

const LOG_MIN = 1_024
