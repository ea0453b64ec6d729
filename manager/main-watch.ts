/**
 * Main watch: whether the main thread still makes progress, as the consensus thread sees it (DESIGN
 * section 4). Main advances a counter with each of its rounds. A main that stands still for 3 s may
 * not lead and confirms no read, for it would answer nothing; after 30 s the process ends, so that
 * what supervises it can start another. It only counts; what follows is `consensus.ts`'s.
 */

/** Main without progress for this long: leadership handed over, reads refused: 3 s. */
export const MAIN_STALLED_TICKS = 60
/** Main without progress for this long: the process ends: 30 s. */
export const MAIN_DEAD_TICKS = 600
/** The leadership is handed over again after this long, as an attempt may fail: 500 ms. */
const HAND_OVER_RETRY_TICKS = 10

export class MainWatch {
  /** As it was last seen; -1 before the first time. */
  #counter = -1
  #stalledTicks = 0

  /** Main's counter, once a tick. */
  see(counter: number): void {
    this.#stalledTicks = counter === this.#counter ? this.#stalledTicks + 1 : 0
    this.#counter = counter
  }

  get stalledTicks(): number {
    return this.#stalledTicks
  }

  get isStalled(): boolean {
    return this.#stalledTicks >= MAIN_STALLED_TICKS
  }

  get isDead(): boolean {
    return this.#stalledTicks >= MAIN_DEAD_TICKS
  }

  /** Whether a leader should hand over now: at the beginning of a stall, and again while it lasts. */
  get isHandOverDue(): boolean {
    return this.isStalled && (this.#stalledTicks - MAIN_STALLED_TICKS) % HAND_OVER_RETRY_TICKS === 0
  }
}
