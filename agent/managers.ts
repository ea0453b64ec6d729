/**
 * Managers: those an agent knows, each with a weight that past attempts moved (SwarmKit's remotes:
 * a moving average). It decides which one to dial next: at random by weight, so that agents spread
 * out, and none a second time while there is one that did not fail in this round: where most are
 * gone, the one that is left must be found before this node counts as down. Who was a manager and is
 * not named any more is kept, within bounds: where nobody of the present ones is found, each round
 * ends with one of the former, which may be a manager again or know who is.
 */
import type { Random } from '../lib/random.ts'
import type { ManagerAddress } from '../proto/gen/dispatcher.ts'

/** Each observation counts half, all before it the other half. */
const GOOD_WEIGHT = 10
const BAD_WEIGHT = -10
const START_WEIGHT = 5
/** More managers than this are not kept. */
const MANAGERS_MAX = 64
/** Of former managers, the last heard of. */
const FORMER_MAX = 16
/**
 * Rounds over the present ones before a former one is dialed. With the waits between them that is
 * longer than a node may be silent, so a dial that nobody answers costs it nothing any more.
 */
const FORMER_AFTER_ROUNDS = 8

type Known = { readonly manager: ManagerAddress; weight: number }

export class Managers {
  #known: readonly Known[] = []
  /** Invariant: none of these is known as a present one. The next to dial comes first. */
  #former: readonly ManagerAddress[] = []
  /** Addresses that failed since the last success, or since the last round was over. */
  #failed: ReadonlySet<string> = new Set()
  #isRoundOver = false
  /** Rounds that were over since the last success. */
  #rounds = 0
  /** Address that failed last; undefined after a success. */
  #failedAddr: string | undefined

  /** In the order in which they were told, the last heard of first. */
  list(): readonly ManagerAddress[] {
    return this.#known.map(({ manager }) => manager)
  }

  /** Who is not named any more, in the order in which they are dialed. */
  listFormer(): readonly ManagerAddress[] {
    return this.#former
  }

  /** These are the managers now; those known by address keep their weight. No list is no news. */
  replace(managers: readonly ManagerAddress[]): void {
    if (managers.length === 0) return
    const weights = new Map(this.#known.map(({ manager, weight }) => [manager.addr, weight]))
    const before = this.list()
    this.#known = byAddress(managers)
      .slice(0, MANAGERS_MAX)
      .map((manager) => ({ manager, weight: weights.get(manager.addr) ?? START_WEIGHT }))
    this.addFormer(before)
  }

  /** These may be dialed too; whether any of them was not known as a present one. */
  add(managers: readonly ManagerAddress[]): boolean {
    const isNew = managers.some(({ addr }) => !this.#isKnown(addr))
    if (isNew) this.replace([...managers, ...this.list()])
    return isNew
  }

  /** These were managers once: the last resort. */
  addFormer(managers: readonly ManagerAddress[]): void {
    this.#former = byAddress([...managers, ...this.#former])
      .filter(({ addr }) => !this.#isKnown(addr))
      .slice(0, FORMER_MAX)
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
    if (others.length === 0 && this.#isFormerDue()) return this.#former[0]
    return draw(others.length > 0 ? others : this.#known, random)
  }

  #isKnown(addr: string): boolean {
    return this.#known.some(({ manager }) => manager.addr === addr)
  }

  #isFormerDue(): boolean {
    const haveFailed = this.#known.every(({ manager }) => this.#failed.has(manager.addr))
    return haveFailed && this.#rounds >= FORMER_AFTER_ROUNDS && this.#former.length > 0
  }

  #note(addr: string, outcome: 'good' | 'bad'): void {
    this.#failedAddr = outcome === 'bad' ? addr : undefined
    if (outcome === 'good') {
      this.#failed = new Set()
      this.#isRoundOver = false
      this.#rounds = 0
      return
    }
    this.#failed = new Set([...this.#failed, addr])
    const wasFormer = this.#former.some((manager) => manager.addr === addr)
    if (wasFormer) this.#turnFormer(addr)
    const haveFailed = this.#known.every(({ manager }) => this.#failed.has(manager.addr))
    this.#isRoundOver = haveFailed && (wasFormer || !this.#isFormerDue())
    if (!this.#isRoundOver) return
    this.#failed = new Set()
    this.#rounds += 1
  }

  /** Its turn comes again after all others. */
  #turnFormer(addr: string): void {
    const [turned, others] = [
      this.#former.filter((manager) => manager.addr === addr),
      this.#former.filter((manager) => manager.addr !== addr),
    ]
    this.#former = [...others, ...turned]
  }
}

/** Each address once; where two name it, the node of the first. */
function byAddress(managers: readonly ManagerAddress[]): readonly ManagerAddress[] {
  const addrs = new Set<string>()
  return managers.filter(({ addr }) => !addrs.has(addr) && addrs.add(addr))
}

/** At random by weight; undefined of none. */
function draw(candidates: readonly Known[], random: Random): ManagerAddress | undefined {
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
