/**
 * Leader stream: a stream from the leader that closed, and stays closed for 100 ms, is news (DESIGN
 * section 4): the leader's process has most likely ended, so the follower need not wait for its
 * election timer. A stream that opens again in time, or another leader, makes it nothing.
 */

/** How long a stream from the leader must stay closed before it is news: 100 ms. */
const CLOSED_TICKS = 2

export class LeaderStream {
  /** Tick at which it closed; undefined while it is open, or once its loss was told. */
  #closedTick: number | undefined

  note(state: 'connected' | 'closed', now: number): void {
    this.#closedTick = state === 'closed' ? now : undefined
  }

  /** Another leader, or none: nothing is known of its stream. */
  reset(): void {
    this.#closedTick = undefined
  }

  /** Whether it has been closed for so long; true once. */
  takeLoss(now: number): boolean {
    if (this.#closedTick === undefined || now - this.#closedTick < CLOSED_TICKS) return false
    this.#closedTick = undefined
    return true
  }
}
