/**
 * The simulated network. Datagrams (Raft's messages) are lost, delayed, duplicated and reordered;
 * calls (gRPC between managers) are lost either way and then time out; streams (sessions) keep
 * their order, break when a host dies, and hang silently while the way is cut, in one direction or
 * both. Everything follows from the seeded Random.
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

const SPIKE_MS = 1_500

export class SimNetwork {
  #schedule: Schedule
  #random: SeededRandom
  rates: NetworkRates
  /** `from>to` pairs over which nothing gets. */
  #cut = new Set<string>()

  constructor(schedule: Schedule, random: SeededRandom, rates: NetworkRates) {
    this.#schedule = schedule
    this.#random = random
    this.rates = rates
  }

  isCut(from: string, to: string): boolean {
    return from !== to && this.#cut.has(`${from}>${to}`)
  }

  /** Nothing gets from `from` to `to` until `heal`. */
  cut(from: string, to: string): void {
    this.#cut.add(`${from}>${to}`)
  }

  heal(): void {
    this.#cut = new Set()
  }

  /** A datagram: delivered once, twice, late, or never. */
  send(from: string, to: string, deliver: () => void): void {
    if (this.isCut(from, to) || this.#random.fraction() < this.rates.loss) return
    const copies = this.#random.fraction() < this.rates.duplication ? 2 : 1
    for (let copy = 0; copy < copies; copy++)
      this.#schedule.after(this.delayMs(), () => {
        if (!this.isCut(from, to)) deliver()
      })
  }

  /** One way of a call or a stream: delivered, unless the way is cut when it is sent or arrives. */
  carry(from: string, to: string, deliver: () => void, lost: () => void): void {
    if (this.isCut(from, to)) {
      lost()
      return
    }
    this.#schedule.after(this.delayMs(), () => {
      if (this.isCut(from, to)) lost()
      else deliver()
    })
  }

  delayMs(): number {
    if (this.#random.fraction() < this.rates.spike) return SPIKE_MS * (1 + this.#random.fraction())
    return 0.2 - this.rates.delayMeanMs * Math.log(1 - this.#random.fraction())
  }
}
