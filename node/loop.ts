/**
 * Loop: THE timer of the main thread (STYLE section 4). A round reads the clock once, gives the
 * time to the machines, and lets the shells carry out what they return; inputs that arrive between
 * two rounds get a round of their own soon after. It also keeps the counter by which the consensus
 * thread sees that this thread makes progress.
 */
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'

export const ROUND_MS = 50
/** Work of one round before other events of the thread get their turn. */
const SLICE_MS = 10

export type RoundTime = {
  readonly monotonicMs: number
  readonly wallMs: number
  readonly isOver: () => boolean
}

export interface LoopPart {
  /** A round: time goes on, and whatever there is to do is carried out. */
  round(time: RoundTime): void
}

export class Loop {
  #clock: Clock
  #log: Log
  #parts: LoopPart[] = []
  #progress: Int32Array
  #timer: NodeJS.Timeout | undefined
  #isScheduled = false
  #roundMs: number
  #onFatal: (error: unknown) => void

  constructor(options: {
    readonly clock: Clock
    readonly log: Log
    readonly progress: SharedArrayBuffer
    /** The node must end: a machine tripped an assertion, or a task of the daemon failed. */
    readonly onFatal: (error: unknown) => void
    /** How often there is a round if nothing arrives, ms. */
    readonly roundMs?: number
  }) {
    this.#clock = options.clock
    this.#log = options.log
    this.#progress = new Int32Array(options.progress)
    this.#onFatal = options.onFatal
    this.#roundMs = options.roundMs ?? ROUND_MS
  }

  start(): void {
    this.#timer = setInterval(() => this.#round(), this.#roundMs)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#parts = []
  }

  add(part: LoopPart): void {
    this.#parts.push(part)
  }

  remove(part: LoopPart): void {
    this.#parts = this.#parts.filter((known) => known !== part)
  }

  now(): RoundTime {
    const monotonicMs = this.#clock.monotonicMs()
    return {
      monotonicMs,
      wallMs: this.#clock.wallMs(),
      isOver: () => this.#clock.monotonicMs() - monotonicMs >= SLICE_MS,
    }
  }

  /** Something arrived: a round follows as soon as the events at hand are read. */
  wake(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#round()
    })
  }

  /** A task of the daemon itself: the node ends when it fails. */
  run(name: string, work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      this.#log.error({ task: name, error: String(error) }, 'task of the daemon failed')
      this.#onFatal(error)
    })
  }

  #round(): void {
    Atomics.add(this.#progress, 0, 1)
    const time = this.now()
    try {
      for (const part of this.#parts) part.round(time)
    } catch (error) {
      this.#onFatal(error)
    }
  }
}
