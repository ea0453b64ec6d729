/**
 * Strangers: hosts that are up and know no manager any more, because all were replaced while they were
 * away (docs/disasters.md, "A node finds no manager"). Here is kept, apart from the agents, whom each
 * host was told of, so that one that forgot a manager is not taken for one that never heard of it; and
 * once the faults are over, the operator does for strangers what the product says.
 */
import { decodeAgentState } from '../../proto/gen/agent.ts'
import { takeInAnew } from './operator.ts'
import type { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

/** Longer than a change of role that is under way, which may make a manager of one that is known. */
const STRANGE_MS = 30_000

type Manager = { readonly addr: string }

/** The managers that a host was told of, present and former ones, as far as its disk has them. */
export class HeardOf {
  #saved: ReadonlySet<string> = new Set()
  #unsaved: readonly string[] = []

  told(managers: readonly Manager[]): void {
    const addrs = managers.map(({ addr }) => addr).filter((addr) => !this.has(addr))
    this.#unsaved = [...this.#unsaved, ...addrs]
  }

  /** The agent has saved its state. */
  saved(): void {
    if (this.#unsaved.length === 0) return
    this.#saved = new Set([...this.#saved, ...this.#unsaved])
    this.#unsaved = []
  }

  /** The process is gone. */
  crashed(): void {
    this.#unsaved = []
  }

  /** The agent's state on the disk is this one now, or none. */
  replaced(state: Uint8Array | undefined): void {
    const { managers, formerManagers } =
      state === undefined ? { managers: [], formerManagers: [] } : decodeAgentState(state)
    this.#unsaved = []
    this.#saved = new Set([...managers, ...formerManagers].map(({ addr }) => addr))
  }

  has(addr: string): boolean {
    return this.#saved.has(addr) || this.#unsaved.includes(addr)
  }
}

/** The operator who finds strangers and takes them in anew; to be called every few seconds. */
export class StrangerWatch {
  #world: World
  /** Since when each of them is one, ms. */
  #since = new Map<SimNode, number>()

  constructor(world: World) {
    this.#world = world
  }

  look(): void {
    const { nowMs } = this.#world.schedule
    for (const node of [...this.#world.nodes.values()]) {
      if (!isStranger(this.#world, node)) {
        this.#since.delete(node)
        continue
      }
      const sinceMs = this.#since.get(node) ?? nowMs
      this.#since.set(node, sinceMs)
      if (nowMs - sinceMs < STRANGE_MS) continue
      const spec = this.#world.checkers.reference.view().nodes.get(node.id)?.spec
      this.#world.trace(`${node.id} knows no manager any more, and is taken in anew`)
      // Who comes after the faults has none of its own.
      takeInAnew(this.#world, node, spec?.role ?? node.role)?.runtime.heal()
    }
  }
}

/** It is up, is no manager of the group itself, and heard of none whom it could reach. */
function isStranger(world: World, node: SimNode): boolean {
  const { core } = world
  if (!node.isUp || core?.has(node.id) === false) return false
  const members = [...world.checkers.reference.view().nodes.list()]
    .filter(({ member }) => member !== undefined)
    .flatMap(({ id }) => world.nodes.get(id) ?? [])
    .filter(({ id }) => core?.has(id) !== false)
  return members.every((member) => member !== node && !hasHeardOf(node, member))
}

/** By a session, by its log, or when it joined. */
export function hasHeardOf(node: SimNode, { addr }: Manager): boolean {
  return node.heardOf.has(addr) || node.managers.some((manager) => manager.addr === addr)
}
