/**
 * Who is heard is not down (peers.md 3.4, L6, at every step): a leader turns a node down only when it
 * missed five of its heartbeats. Counted are those that reached a manager which was well and had a
 * way to the leader, neither cut nor clogged, and knew the leader as a member: one that has just joined
 * may not have got the members yet. All others may be missed. One in flight may be lost to a cut, three
 * may not, and a process that was heard once may have died before that was passed on. Those of an
 * instance that the leader refuses as a clone are not the node's, for as long as the leader takes the one
 * in use for alive (docs/sessions.md). The leader is asked by what it logs, for what it decides may take
 * long to be committed.
 */
import type { SimNode } from '../sim-node.ts'
import type { World } from '../world.ts'

/** Five periods of two seconds. */
const DOWN_AFTER_MS = 10_000
/** A heartbeat that came less than this before the end may still be on its way. */
const ON_ITS_WAY_MS = 3_500
const HEARD_MAX = 3
/** Heartbeats closer than this count as one. */
const APART_MS = 1_000

export class HearingChecker {
  readonly #world: World
  /** Node → when it was heard under the present leader, ms, and which process of it. */
  #heard = new Map<string, { readonly atMs: number; readonly instance: string }[]>()
  /** Node → the instance that the present leader refuses. */
  #refused = new Map<string, string>()
  #leader: SimNode | undefined

  constructor(world: World) {
    this.#world = world
  }

  /** A new leader begins to listen anew. */
  elected(leader: SimNode): void {
    this.#leader = leader
    this.#heard = new Map()
    this.#refused = new Map()
  }

  /** A heartbeat of the node's agent has reached this manager. */
  heartbeat(agent: { nodeId: string; instance: string }, manager: SimNode): void {
    const { nodeId, instance } = agent
    const leader = this.#leader
    if (leader === undefined || !this.#hasWay(manager, leader)) return
    if (this.#refused.get(nodeId) === instance) return
    const { nowMs } = this.#world.schedule
    const times = this.#heard.get(nodeId) ?? []
    const last = times.at(-1)
    const isApart = last?.instance !== instance || nowMs - last.atMs >= APART_MS
    if (isApart) times.push({ atMs: nowMs, instance })
    this.#heard.set(nodeId, times.slice(-10))
  }

  /** This manager takes the instance for a clone of the node. */
  refused(agent: { nodeId: string; instance: string }, manager: SimNode): void {
    if (manager === this.#leader) this.#refused.set(agent.nodeId, agent.instance)
  }

  /** This manager decides that a node is not heard any more; what is wrong with that. */
  turnedDown(nodeId: string, manager: SimNode): string | undefined {
    if (manager !== this.#leader) return undefined
    // The one in use is dead, so the other one may take its place.
    this.#refused.delete(nodeId)
    const { nowMs } = this.#world.schedule
    const heard = this.#heard.get(nodeId) ?? []
    const wasPassedOn = (instance: string): boolean =>
      heard.filter((each) => each.instance === instance).length > 1
    const count = heard.filter(
      ({ atMs, instance }) =>
        atMs > nowMs - DOWN_AFTER_MS && atMs < nowMs - ON_ITS_WAY_MS && wasPassedOn(instance),
    ).length
    return count >= HEARD_MAX
      ? `L6: node ${nodeId} was turned down, but was heard ${count} times in the ten seconds before`
      : undefined
  }

  #hasWay(manager: SimNode, leader: SimNode): boolean {
    const { schedule, network } = this.#world
    const isWell = (node: SimNode): boolean =>
      node.isUp && !node.isPaused && schedule.nowMs >= node.mainStalledUntilMs
    return (
      isWell(manager) &&
      isWell(leader) &&
      leader.manager?.isLeading === true &&
      this.#isKnown(manager, leader) &&
      !network.isCut(manager.id, leader.id) &&
      !network.isClogged(manager.id, leader.id) &&
      !network.isCut(leader.id, manager.id)
    )
  }

  #isKnown(manager: SimNode, leader: SimNode): boolean {
    const status = manager.manager?.status()
    if (status?.leaderId !== leader.raftId) return false
    return manager === leader || status.members.some(({ raftId }) => raftId === leader.raftId)
  }
}
