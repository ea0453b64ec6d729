/**
 * Chaos: draws for a seed which faults are on and how often each comes (swarm testing: runs differ
 * in kind, not only in detail), makes them happen, counts them, and ends them all when the cluster is
 * to heal.
 */
import type { SeededRandom } from '../../../lib/random.ts'
import type { SimNode } from '../sim-node.ts'
import type { World } from '../world.ts'
import { agentFaults } from './agents.ts'
import { clockFaults } from './clock.ts'
import { conjunctionFaults } from './conjunctions.ts'
import { diskFaults } from './disk.ts'
import type { Fault, FaultContext } from './fault.ts'
import { identityFaults } from './identity.ts'
import { membershipFaults } from './membership.ts'
import { networkFaults } from './network.ts'
import { orchestrationFaults } from './orchestration.ts'
import { processFaults } from './process.ts'
import { quorumFaults } from './quorum.ts'
import { tailFaults } from './tails.ts'

export const allFaults: readonly Fault[] = [
  ...networkFaults,
  ...processFaults,
  ...diskFaults,
  ...clockFaults,
  ...membershipFaults,
  ...identityFaults,
  ...agentFaults,
  ...orchestrationFaults,
  ...conjunctionFaults,
  ...tailFaults,
  ...quorumFaults,
]

/** Of the faults that exist, a seed knows so many. */
const SHARE_ON = 0.7
/** A fault that has nothing to be done to gives way to another one. */
const TRIES = 10
/** Until it is looked again whether a process has ended. */
const LOOK_MS = 500

export class Chaos {
  /** How often each was done, by name. */
  readonly counts: Map<string, number> = new Map()
  #world: World
  #random: SeededRandom
  #isHealed = false
  /** Those of this seed, each with its weight. */
  #faults: readonly (readonly [Fault, number])[]

  constructor(world: World) {
    this.#world = world
    this.#random = world.random.split('chaos')
    const taste = world.random.split('taste of faults')
    this.#faults = allFaults
      .filter(() => taste.fraction() < SHARE_ON)
      .map((fault) => [fault, fault.weight * (0.25 + taste.fraction() ** 2 * 4)] as const)
    world.trace(`faults ${this.#faults.map(([fault]) => fault.name).join(', ')}`)
  }

  /** How many were done. */
  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0)
  }

  /** One more fault. */
  next(): void {
    const nodes = [...this.#world.nodes.values()]
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const node = nodes[this.#random.integer(nodes.length)]
      const fault = this.#draw()
      if (node === undefined || fault === undefined) return
      this.#world.trace(`fault ${fault.name} ${node.id}`)
      if (!fault.act(this.#context, node)) continue
      this.counts.set(fault.name, (this.counts.get(fault.name) ?? 0) + 1)
      for (const name of fault.classes) this.#world.reached(name)
      return
    }
  }

  /** No more faults: everything comes back and stays, or all of the world's core; the rest is broken. */
  heal(): void {
    const { core, network, rates, nodes } = this.#world
    this.#isHealed = true
    this.#world.isHealed = true
    this.#world.trace(`healed ${core === undefined ? 'all' : [...core].join(', ')}`)
    // What waits for its moment would be a fault that comes after the last one.
    this.#world.onJoint = undefined
    this.#world.snapshots.disarm()
    network.heal()
    network.rates = { ...rates, loss: 0, duplication: 0, spike: 0 }
    for (const node of nodes.values())
      if (core === undefined || core.has(node.id)) this.#healNode(node)
      else this.#breakNode(node, core)
    this.#world.refreshPeers()
  }

  /** For ever: it is down, or nobody of the core hears it or is heard by it. */
  #breakNode(node: SimNode, core: ReadonlySet<string>): void {
    for (const id of core) {
      this.#world.network.cut(id, node.id)
      this.#world.network.cut(node.id, id)
    }
    if (this.#random.integer(2) === 0) node.crash('some')
    this.#world.trace(`${node.id} is ${node.isUp ? 'cut off' : 'down'} for ever`)
  }

  #healNode(node: SimNode): void {
    node.resume()
    node.mainStalledUntilMs = 0
    node.crashPoint = undefined
    node.diskSlowMs = 0
    node.wallOffsetMs = 0
    node.setClockSpeed(1)
    node.stallAtProposalMs = 0
    node.diskHungUntilMs = 0
    node.repeatSetMs = 0
    node.onAgentSaved = undefined
    node.disk.heal()
    node.runtime.heal()
    this.#upgrade(node)
    this.#world.atlas.repair(node)
    this.#start(node)
  }

  /** Who was told to stop before starts as well, once its process has ended. */
  #start(node: SimNode): void {
    if (!node.isUp) this.#world.restart(node)
    else if (node.isStopping) this.#world.schedule.after(LOOK_MS, () => this.#start(node))
  }

  /** To the newest version that any node is of: a cluster that has moved on refuses older ones. */
  #upgrade(node: SimNode): void {
    const newest = Math.max(...[...this.#world.nodes.values()].map(({ version }) => version))
    if (node.version === newest) return
    node.crash('all')
    node.version = newest
  }

  get #context(): FaultContext {
    return {
      world: this.#world,
      random: this.#random,
      isHealed: () => this.#isHealed,
      later: (ms, work) =>
        this.#world.schedule.after(ms, () => {
          if (!this.#isHealed) work()
        }),
    }
  }

  #draw(): Fault | undefined {
    const total = this.#faults.reduce((sum, [, weight]) => sum + weight, 0)
    let left = this.#random.fraction() * total
    for (const [fault, weight] of this.#faults) {
      left -= weight
      if (left < 0) return fault
    }
    return this.#faults.at(-1)?.[0]
  }
}
