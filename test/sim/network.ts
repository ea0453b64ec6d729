/**
 * The simulated network. Datagrams (Raft's messages) are lost, delayed, duplicated and reordered;
 * calls (gRPC between managers) are lost either way and then time out; streams (sessions) keep
 * their order, break when a host dies, and hang silently while the way is cut, in one direction or
 * both. A clogged way takes everything and delivers nothing, until it opens, with all of it in order, or
 * breaks, with nothing (a slow receiver, a half-open connection). Everything follows from the seeded
 * Random. Faults N1 to N10 of peers.md 3.3.
 */
import type { SeededRandom } from '../../lib/random.ts'
import type { Schedule } from './schedule.ts'

export type NetworkRates = {
  /** Of datagrams, 0 to 1. */
  readonly loss: number
  readonly duplication: number
  readonly delayMeanMs: number
  /** Chance of a delay beyond an election timeout. */
  readonly spike: number
}

/** What came about by the rates, by its class of faults. */
export type NetworkEvent = 'N5' | 'N6' | 'N7' | 'N8'

type Waiting = { readonly deliver: () => void; readonly lost: () => void }

const SPIKE_MS = 1_500

export class SimNetwork {
  rates: NetworkRates
  #schedule: Schedule
  #random: SeededRandom
  #reached: (event: NetworkEvent) => void
  /** `from>to` pairs over which nothing gets, and how many faults say so. */
  #cut = new Map<string, number>()
  /** `from>to` pairs that are clogged, with what waits there. */
  #clogged = new Map<string, Waiting[]>()
  /** When the last datagram of a pair arrives: an earlier one has overtaken it. */
  #lastMs = new Map<string, number>()

  constructor(
    schedule: Schedule,
    options: {
      readonly random: SeededRandom
      readonly rates: NetworkRates
      readonly reached: (event: NetworkEvent) => void
    },
  ) {
    this.#schedule = schedule
    this.#random = options.random
    this.rates = options.rates
    this.#reached = options.reached
  }

  isCut(from: string, to: string): boolean {
    return this.#cut.size > 0 && from !== to && this.#cut.has(`${from}>${to}`)
  }

  /** Nothing gets from `from` to `to`, until `mend` was called as often, or `heal`. */
  cut(from: string, to: string): void {
    const way = `${from}>${to}`
    this.#cut.set(way, (this.#cut.get(way) ?? 0) + 1)
  }

  mend(from: string, to: string): void {
    const way = `${from}>${to}`
    const count = this.#cut.get(way) ?? 0
    if (count > 1) this.#cut.set(way, count - 1)
    else this.#cut.delete(way)
  }

  /** What is sent from `from` to `to` waits for `unclog`. */
  clog(from: string, to: string): void {
    const way = `${from}>${to}`
    if (!this.#clogged.has(way)) this.#clogged.set(way, [])
  }

  isClogged(from: string, to: string): boolean {
    return this.#clogged.has(`${from}>${to}`)
  }

  /** What waited arrives at once and in order, or never. */
  unclog(from: string, to: string, isDelivered: boolean): void {
    const way = `${from}>${to}`
    const waiting = this.#clogged.get(way) ?? []
    this.#clogged.delete(way)
    for (const { deliver, lost } of waiting) {
      if (isDelivered && !this.isCut(from, to)) deliver()
      else lost()
    }
  }

  heal(): void {
    this.#cut = new Map()
    const clogged = this.#clogged
    this.#clogged = new Map()
    for (const waiting of clogged.values()) for (const { deliver } of waiting) deliver()
  }

  /** A datagram: delivered once, twice, late, or never. */
  send(from: string, to: string, deliver: () => void): void {
    if (this.isCut(from, to)) return
    if (this.#random.fraction() < this.rates.loss) {
      this.#reached('N5')
      return
    }
    const isTwice = this.#random.fraction() < this.rates.duplication
    if (isTwice) this.#reached('N6')
    const way = `${from}>${to}`
    for (let copy = 0; copy < (isTwice ? 2 : 1); copy++) {
      const delayMs = this.delayMs()
      const atMs = this.#schedule.nowMs + delayMs
      if (atMs < (this.#lastMs.get(way) ?? 0)) this.#reached('N7')
      else this.#lastMs.set(way, atMs)
      this.#schedule.after(delayMs, () => this.arrive(from, to, { deliver, lost: ignore }))
    }
  }

  /** One way of a call or a stream: delivered, unless the way is cut when it is sent or arrives. */
  carry(from: string, to: string, deliver: () => void, lost: () => void): void {
    if (this.isCut(from, to)) {
      lost()
      return
    }
    this.#schedule.after(this.delayMs(), () => this.arrive(from, to, { deliver, lost }))
  }

  /** At the other end now, if the way is open; behind what waits there, if it is clogged. */
  arrive(from: string, to: string, what: Waiting): void {
    const clogged =
      this.#clogged.size > 0 && from !== to ? this.#clogged.get(`${from}>${to}`) : undefined
    if (this.isCut(from, to)) what.lost()
    else if (clogged !== undefined) clogged.push(what)
    else what.deliver()
  }

  delayMs(): number {
    if (this.#random.fraction() < this.rates.spike) {
      this.#reached('N8')
      return SPIKE_MS * (1 + this.#random.fraction())
    }
    return 0.2 - this.rates.delayMeanMs * Math.log(1 - this.#random.fraction())
  }
}

function ignore(): void {
  // Who sent a datagram never learns what became of it.
}
