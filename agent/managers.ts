/**
 * Managers: those an agent knows, each with a weight that past attempts moved (SwarmKit's remotes:
 * a moving average). It decides which one to dial next: at random by weight, so that agents spread
 * out, and none a second time while there is one that did not fail in this round: where most are
 * gone, the one that is left must be found before this node counts as down.
 */
import type { Random } from '../lib/random.ts'
import type { ManagerAddress } from '../proto/gen/dispatcher.ts'

/** Each observation counts half, all before it the other half. */
const GOOD_WEIGHT = 10
const BAD_WEIGHT = -10
const START_WEIGHT = 5
/** More managers than this are not kept. */
const MANAGERS_MAX = 64

type Known = { readonly manager: ManagerAddress; weight: number }

export class Managers {
  #known: readonly Known[] = []
  /** Addresses that failed since the last success, or since the last round was over. */
  #failed: ReadonlySet<string> = new Set()
  #isRoundOver = false
  /** Address that failed last; undefined after a success. */
  #failedAddr: string | undefined

  /** In the order in which they were told. */
  list(): readonly ManagerAddress[] {
    return this.#known.map(({ manager }) => manager)
  }

  /** These are the managers now; those known by address keep their weight. No list is no news. */
  replace(managers: readonly ManagerAddress[]): void {
    if (managers.length === 0) return
    const weights = new Map(this.#known.map(({ manager, weight }) => [manager.addr, weight]))
    const byAddr = new Map(managers.map((manager) => [manager.addr, manager]))
    this.#known = [...byAddr.values()].slice(0, MANAGERS_MAX).map((manager) => ({
      manager,
      weight: weights.get(manager.addr) ?? START_WEIGHT,
    }))
  }

  /** These may be dialed too. */
  add(managers: readonly ManagerAddress[]): void {
    this.replace([...this.list(), ...managers])
  }

  /** How an attempt or a session with `addr` went. */
  observe(addr: string, outcome: 'good' | 'bad'): void {
    this.#note(addr, outcome)
    for (const known of this.#known)
      if (known.manager.addr === addr)
        known.weight = (known.weight + (outcome === 'good' ? GOOD_WEIGHT : BAD_WEIGHT)) / 2
  }

  /** Whether all have failed now: time to wait before the next round. */
  get isRoundOver(): boolean {
    return this.#isRoundOver
  }

  /** The one to dial next; undefined when none is known. */
  choose(random: Random): ManagerAddress | undefined {
    const others = this.#known.filter(
      ({ manager: { addr } }) => addr !== this.#failedAddr && !this.#failed.has(addr),
    )
    const candidates = others.length > 0 ? others : this.#known
    // From 1 for the worst to 21 for the best: a bad one is tried now and then.
    const chances = candidates.map(({ weight }) => Math.round(weight) - BAD_WEIGHT + 1)
    const total = chances.reduce((sum, chance) => sum + chance, 0)
    if (total === 0) return undefined
    let drawn = random.integer(total)
    for (const [at, { manager }] of candidates.entries()) {
      drawn -= chances[at] ?? 0
      if (drawn < 0) return manager
    }
    return undefined
  }

  #note(addr: string, outcome: 'good' | 'bad'): void {
    const failed = outcome === 'bad' ? new Set([...this.#failed, addr]) : new Set<string>()
    this.#isRoundOver = this.#known.every(({ manager }) => failed.has(manager.addr))
    this.#failed = this.#isRoundOver ? new Set() : failed
    this.#failedAddr = outcome === 'bad' ? addr : undefined
  }
}
