/**
 * SnapshotWatch: sees the snapshots that leaders send, counts what comes about around them (peers.md
 * 3.3, M6 to M9), and lets a fault wait for the next one: a moment that none drawn at random would hit.
 */
import type { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

/** Two snapshots within this time come shortly after each other. */
const SHORTLY_MS = 5_000

type Sent = { readonly index: number; readonly atMs: number; isAnswered: boolean }

export class SnapshotWatch {
  #world: World
  /** The last snapshot by sender and receiver. */
  #sent = new Map<string, Sent>()
  /** What the next snapshot is waited for with. */
  #waiting: ((to: SimNode, from: SimNode) => void)[] = []
  /** Nodes that die while they install the next one. */
  #dying = new Map<string, number>()

  constructor(world: World) {
    this.#world = world
  }

  /** Once, when the next snapshot leaves. */
  onNext(act: (to: SimNode, from: SimNode) => void): void {
    if (this.#waiting.length < 4) this.#waiting.push(act)
  }

  /** The node's process dies after so many operations of its disk from its next snapshot on. */
  dieInstalling(node: SimNode, operations: number): void {
    this.#dying.set(node.id, operations)
  }

  /** No faults any more: nothing waits for a snapshot. */
  disarm(): void {
    this.#waiting = []
    this.#dying.clear()
  }

  sent(from: SimNode, to: SimNode, index: number): void {
    const { nowMs } = this.#world.schedule
    const key = `${from.id}>${to.id}`
    const before = this.#sent.get(key)
    if (before !== undefined && before.index !== index && nowMs - before.atMs < SHORTLY_MS)
      this.#world.reached('M7')
    this.#sent.set(key, { index, atMs: nowMs, isAnswered: false })
    const waiting = this.#waiting
    this.#waiting = []
    for (const act of waiting) this.#world.schedule.after(0, () => act(to, from))
  }

  received(node: SimNode): void {
    const operations = this.#dying.get(node.id)
    if (operations === undefined) return
    this.#dying.delete(node.id)
    node.disk.dieAfter(operations)
    this.#world.reached('M9')
  }

  /** The receiver has it, or something newer. */
  answered(from: SimNode, by: SimNode): void {
    const sent = this.#sent.get(`${from.id}>${by.id}`)
    if (sent !== undefined) sent.isAnswered = true
  }

  /** The node's log was cut up to a snapshot of its own. */
  compacted(node: SimNode): void {
    for (const _ of this.#underWay(node)) this.#world.reached('M6')
  }

  /** The group has these members now, as the node sees it. */
  membersChanged(node: SimNode, members: readonly { readonly nodeId: string }[]): void {
    for (const to of this.#underWay(node)) {
      if (members.some((member) => member.nodeId === to)) continue
      this.#world.reached('M8')
      this.#sent.delete(`${node.id}>${to}`)
    }
  }

  /** Whom this node has sent a snapshot that was not answered. */
  #underWay(from: SimNode): readonly string[] {
    const { nowMs } = this.#world.schedule
    return [...this.#sent]
      .filter(([key, sent]) => key.startsWith(`${from.id}>`) && !sent.isAnswered)
      .filter(([, sent]) => nowMs - sent.atMs < SHORTLY_MS)
      .map(([key]) => key.slice(from.id.length + 1))
  }
}
