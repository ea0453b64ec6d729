/**
 * Committed hold: when a member tells its main thread what is committed. On the leader callers wait
 * for it, so at once. A follower's main thread is woken for it at most every 10 ms: a wake costs
 * more than the entries it is for, and takes a core from whoever answers a caller. After a quiet
 * time nothing is held, and what is held goes before anything else that main is told: so main's
 * order is Raft's, and no read waits for what is held.
 */
import type { MainEvent } from './consensus-interface.ts'

/** A follower's main thread is not woken again for committed entries within this time. */
const HOLD_MS = 10

export class CommittedHold {
  #held: MainEvent[] = []
  /** Monotonic, ms: when main was last told something. */
  #toldMs = Number.NEGATIVE_INFINITY

  /** What main is told now, in order. */
  add(
    events: readonly MainEvent[],
    { isLeader, nowMs }: { readonly isLeader: boolean; readonly nowMs: number },
  ): readonly MainEvent[] {
    this.#held.push(...events)
    const canWait = !isLeader && events.every((event) => event.kind === 'committed')
    return canWait ? this.takeDue(nowMs) : this.flush(nowMs)
  }

  /** How long until what is held is due, ms; undefined while nothing is held. */
  waitMs(nowMs: number): number | undefined {
    if (this.#held.length === 0) return undefined
    return Math.max(0, this.#toldMs + HOLD_MS - nowMs)
  }

  /** What has been held long enough, which is no longer. */
  takeDue(nowMs: number): readonly MainEvent[] {
    return this.waitMs(nowMs) === 0 ? this.flush(nowMs) : []
  }

  /** All that was held, which is no longer. */
  flush(nowMs: number): readonly MainEvent[] {
    const held = this.#held
    this.#held = []
    if (held.length > 0) this.#toldMs = nowMs
    return held
  }
}
