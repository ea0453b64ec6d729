/**
 * Lanes: streams between two hosts, in order, as TCP keeps them. What is sent while the way is cut is
 * sent again until it gets there, and all that follows waits behind it; after a while the stream is
 * given up, and nothing more of it arrives: never does a later message come without an earlier one.
 */
import type { SimNetwork } from './network.ts'
import type { Schedule } from './schedule.ts'

/** How soon what was lost is sent again. */
const RESEND_MS = 200
/** Longer than both ends put up with silence: neither expects anything of the stream any more. */
const GIVEN_UP_MS = 15_000

export type Way = { readonly from: string; readonly to: string; readonly lateMs: number }

type Message = { readonly way: Way; readonly deliver: () => void }

type Lane = {
  /** When the last message is at the other end, if all goes well. */
  lastMs: number
  /** The first was lost, and since when it is. */
  waiting: Message[]
  sinceMs: number
  isBroken: boolean
}

export class Lanes {
  readonly #schedule: Schedule
  readonly #network: SimNetwork
  readonly #lanes: Map<string, Lane> = new Map()

  constructor(schedule: Schedule, network: SimNetwork) {
    this.#schedule = schedule
    this.#network = network
  }

  send(name: string, way: Way, deliver: () => void): void {
    let lane = this.#lanes.get(name)
    if (lane === undefined) {
      lane = { lastMs: 0, waiting: [], sinceMs: 0, isBroken: false }
      this.#lanes.set(name, lane)
    }
    const { nowMs } = this.#schedule
    const atMs = Math.max(nowMs + this.#network.delayMs() + way.lateMs, lane.lastMs + 0.001)
    lane.lastMs = atMs
    this.#schedule.after(atMs - nowMs, () => this.#arrive(lane, { way, deliver }))
  }

  #arrive(lane: Lane, message: Message): void {
    if (lane.isBroken) return
    const { from, to } = message.way
    if (lane.waiting.length > 0) lane.waiting.push(message)
    else if (this.#network.isCut(from, to)) {
      lane.waiting.push(message)
      lane.sinceMs = this.#schedule.nowMs
      this.#schedule.after(RESEND_MS, () => this.#resend(lane))
    } else this.#deliver(lane, message)
  }

  #resend(lane: Lane): void {
    const [first] = lane.waiting
    if (first === undefined) return
    if (!this.#network.isCut(first.way.from, first.way.to)) {
      for (const message of lane.waiting.splice(0)) this.#deliver(lane, message)
      return
    }
    lane.isBroken = this.#schedule.nowMs - lane.sinceMs >= GIVEN_UP_MS
    if (lane.isBroken) lane.waiting = []
    else this.#schedule.after(RESEND_MS, () => this.#resend(lane))
  }

  /** What a clogged way still holds when it is cut is lost, and the stream with it. */
  #deliver(lane: Lane, { way, deliver }: Message): void {
    const lost = (): void => {
      lane.isBroken = true
    }
    this.#network.arrive(way.from, way.to, { deliver, lost })
  }
}
