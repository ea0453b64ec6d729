/**
 * Threads: the way between the consensus thread and the main thread of a simulated manager, the twin
 * of `node/consensus-thread.ts` and `node/consensus-port.ts` with their own machines: what goes to
 * other members waits in `Outbox`, what main is told in `CommittedHold`, what the thread is told in
 * `AppliedHold`. As a thread's port does, each way keeps its order; whoever is on the other side
 * reads all that is there when it gets its turn, a small random time later, or when main's stall is over.
 */
import type { SeededRandom } from '../../lib/random.ts'
import { AppliedHold } from '../../manager/applied-hold.ts'
import { CommittedHold } from '../../manager/committed-hold.ts'
import type { ConsensusInput, MainEvent } from '../../manager/consensus-interface.ts'
import { Outbox } from '../../manager/outbox.ts'
import type { Message } from '../../manager/raft/message.ts'

const TURN_MIN_MS = 0.02
/** Now and then a thread is busy: it collects garbage, or is in a long round. */
const BUSY_CHANCE = 0.02
const BUSY_MS = 40

/** The process that both threads are of. */
export type Process = {
  /** The node's own clock, ms. */
  readonly nowMs: () => number
  /** In this process, so much later, unless it is gone then. */
  readonly after: (ms: number, work: () => void) => void
  /** How long main's present round goes on at least, ms; 0 when it does not stall. */
  readonly stalledMs: () => number
  readonly isLeader: () => boolean
  readonly send: (message: Message) => void
  /** Main reads what arrived together. */
  readonly toMain: (events: readonly MainEvent[]) => void
  readonly toThread: (inputs: readonly ConsensusInput[]) => void
}

export class Threads {
  readonly #process: Process
  readonly #random: SeededRandom
  readonly #turnMeanMs: number
  readonly #outbox = new Outbox()
  readonly #hold = new CommittedHold()
  readonly #applied = new AppliedHold()
  /** On their way, in order. */
  #events: MainEvent[] = []
  #inputs: ConsensusInput[] = []
  #isOutboxArmed = false
  #isHoldArmed = false
  #isOver = false

  constructor(
    process: Process,
    options: { readonly random: SeededRandom; readonly turnMeanMs: number },
  ) {
    this.#process = process
    this.#random = options.random
    this.#turnMeanMs = options.turnMeanMs
  }

  /** What the consensus thread has for main. */
  tellMain(events: readonly MainEvent[]): void {
    const nowMs = this.#process.nowMs()
    this.#postEvents(this.#hold.add(events, { isLeader: this.#process.isLeader(), nowMs }))
    this.#armHold()
  }

  /** What the consensus thread has for other members. */
  send(messages: readonly Message[]): void {
    if (messages.length === 0) return
    this.#transmit(this.#outbox.add(messages, this.#process.nowMs()))
    this.#armOutbox()
  }

  /** What main has for the consensus thread, at the end of its round. */
  push(input: ConsensusInput): void {
    this.#applied.add(input)
  }

  /** A round of main is over. */
  flush(): void {
    this.#postInputs(this.#applied.take(this.#process.nowMs()))
  }

  /** The manager ends, and its process goes on: the last words go out. */
  close(): void {
    this.#transmit(this.#outbox.flush())
    this.#isOver = true
  }

  #transmit(messages: readonly Message[]): void {
    for (const message of messages) this.#process.send(message)
  }

  #armOutbox(): void {
    const waitMs = this.#outbox.waitMs(this.#process.nowMs())
    if (waitMs === undefined || this.#isOutboxArmed) return
    this.#isOutboxArmed = true
    this.#after(Math.ceil(waitMs), () => {
      this.#isOutboxArmed = false
      this.#transmit(this.#outbox.takeDue(this.#process.nowMs()))
      this.#armOutbox()
    })
  }

  #armHold(): void {
    const waitMs = this.#hold.waitMs(this.#process.nowMs())
    if (waitMs === undefined || this.#isHoldArmed) return
    this.#isHoldArmed = true
    this.#after(Math.ceil(waitMs), () => {
      this.#isHoldArmed = false
      this.#postEvents(this.#hold.takeDue(this.#process.nowMs()))
      this.#armHold()
    })
  }

  #postEvents(events: readonly MainEvent[]): void {
    if (events.length === 0) return
    const isOnTheWay = this.#events.length > 0
    this.#events.push(...events)
    if (!isOnTheWay) this.#after(this.#drawTurnMs(), () => this.#readEvents())
  }

  #readEvents(): void {
    const stalledMs = this.#process.stalledMs()
    if (stalledMs > 0) {
      this.#after(stalledMs + 1, () => this.#readEvents())
      return
    }
    this.#process.toMain(this.#events.splice(0))
  }

  #postInputs(inputs: readonly ConsensusInput[]): void {
    if (inputs.length === 0) return
    const isOnTheWay = this.#inputs.length > 0
    this.#inputs.push(...inputs)
    if (!isOnTheWay) this.#after(this.#drawTurnMs(), () => this.#readInputs())
  }

  /** A round that stalls posts what it decided when it goes on. */
  #readInputs(): void {
    const stalledMs = this.#process.stalledMs()
    if (stalledMs > 0) this.#after(stalledMs, () => this.#readInputs())
    else this.#process.toThread(this.#inputs.splice(0))
  }

  #after(ms: number, work: () => void): void {
    this.#process.after(ms, () => {
      if (!this.#isOver) work()
    })
  }

  #drawTurnMs(): number {
    if (this.#random.fraction() < BUSY_CHANCE) return this.#random.fraction() * BUSY_MS
    return TURN_MIN_MS - this.#turnMeanMs * Math.log(1 - this.#random.fraction())
  }
}
