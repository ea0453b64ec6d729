/**
 * The fault atlas (as TigerBeetle's): it keeps damage to logs recoverable. At most one manager's log is
 * damaged at a time, and only while all others take part under one leader and hold on their disks
 * whatever that one has promised. Then its loss costs nothing, and a damage that is served, or from
 * which the cluster does not come back, is a bug. It knows which refusals to go on are the damage's
 * doing, and plays the operator who then does what the product says: `--rebuild`.
 */
import { AssertionError } from '../../lib/assert.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

const REPAIR_AFTER_MS = 2_000
const REPAIR_SPREAD_MS = 20_000
/** Of the facts of a log that does not open; a disk that fails (`eio`) is another matter. */
const REFUSALS: readonly unknown[] = ['damage', 'foreign', 'unknown-key', 'newer-format']

type Damage = {
  readonly node: SimNode
  /** Whose log it is. */
  readonly raftId: number
  /** It had promised entries up to here. */
  readonly lastIndex: number
  /** What it promised is forgotten, and nothing on its disk says so. */
  readonly isForgetful: boolean
}

export class Atlas {
  #world: World
  #damage: Damage | undefined
  /** Of those that the group let go while they were down: they find out when they are up again. */
  readonly #left: Map<SimNode, Damage> = new Map()
  /** Ended because of their damage, and wait for their operator, whatever they are to the group now. */
  readonly #refused: Set<SimNode> = new Set()

  constructor(world: World) {
    this.#world = world
  }

  /** Whether what this manager holds can be spared now, and nobody else's log is damaged. */
  isSpare(node: SimNode): boolean {
    if (this.#damage !== undefined) {
      if (!this.#isRepaired(this.#damage)) return false
      if (!this.#holds(this.#damage)) this.#left.set(this.#damage.node, this.#damage)
      this.#damage = undefined
    }
    const leader = this.#world.findLeader()
    const members = leader?.manager?.status().members ?? []
    const { term, lastIndex } = this.#world.checkers.durable(node)
    return (
      members.length >= 3 &&
      leader?.consensus?.isMembershipSettled === true &&
      leader.consensus.confState.votersOutgoing.length === 0 &&
      members.every((member) => this.#isWanted(member.nodeId)) &&
      members.every(({ raftId, isVoter }) => {
        const other = this.#world.findByRaftId(raftId)
        if (other === node) return true
        const status = other?.manager?.status()
        if (other === undefined || status?.leaderId !== leader?.raftId || !isVoter) return false
        const held = this.#world.checkers.durable(other)
        return held.term >= term && held.lastIndex >= lastIndex && !other.isPaused
      })
    )
  }

  #isWanted(nodeId: string): boolean {
    const stored = this.#world.checkers.reference.view().nodes.get(nodeId)
    return stored?.spec?.role === 'manager'
  }

  /** Whether its log was damaged, and it may not have what it had again. */
  isDamaged(node: SimNode): boolean {
    return this.#damage?.node === node && !this.#isRepaired(this.#damage)
  }

  /** This manager's log, of a process that is dead, was damaged. */
  damaged(node: SimNode, isForgetful: boolean): void {
    const { lastIndex } = this.#world.checkers.durable(node)
    this.#damage = { node, raftId: node.raftId, lastIndex, isForgetful }
    // What an older self did not yet know it may go back on: that is what was done to it.
    if (isForgetful) this.#world.checkers.replaced(node)
  }

  /** Whether `error`, by which the node ended, is what was done to its log; then it is repaired. */
  takes(node: SimNode, error: unknown): boolean {
    const damage = this.#damage?.node === node ? this.#damage : this.#left.get(node)
    if (damage === undefined || damage.raftId !== node.raftId) return false
    const isRefusal = error instanceof SwarmError && REFUSALS.includes(error.facts['kind'])
    const isOld = error instanceof SwarmError && error.facts['kind'] === 'old-copy'
    const isLate = damage.isForgetful && (isOld || error instanceof AssertionError)
    if (!isRefusal && !isLate) return false
    this.#refused.add(node)
    this.#world.reached('damage refused')
    this.#world.schedule.after(REPAIR_AFTER_MS + this.#world.random.integer(REPAIR_SPREAD_MS), () =>
      this.repair(node),
    )
    return true
  }

  /** The operator starts it with an empty log; the group takes it in as another member. */
  repair(node: SimNode): void {
    if (!this.#refused.delete(node) || this.#world.nodes.get(node.id) !== node) return
    node.crash('all')
    this.#world.trace(`${node.id} is rebuilt`)
    node.disk.heal()
    node.removeLog()
    node.raftId = 0
    this.#world.checkers.replaced(node)
    this.#world.restart(node)
  }

  /** It takes part again and holds what it had promised, or is no member any more. */
  #isRepaired(damage: Damage): boolean {
    const stored = this.#world.checkers.reference.view().nodes.get(damage.node.id)
    if (stored === undefined || (stored.spec?.role === 'worker' && stored.member === undefined))
      return true
    return this.#holds(damage)
  }

  #holds({ node, lastIndex }: Damage): boolean {
    return node.manager !== undefined && this.#world.checkers.durable(node).lastIndex >= lastIndex
  }
}
