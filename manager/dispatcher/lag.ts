/**
 * Lag: whether this manager's store gets on. Each answer of the leader's to heartbeats names the log
 * index that the leader had applied; the own store must reach it in bounded time. A manager that is
 * connected but gets no entries, or does not apply them, looks well to its agents: the leader
 * answers their heartbeats through it, and what they should do never comes. So they are sent
 * elsewhere (`dispatcher.ts`); with which of them, and how fast, is decided there.
 *
 * One index is waited for at a time: a manager that is a little behind all the time, under load or
 * with a snapshot to install, still reaches each in time and keeps its sessions.
 */

export class Lag {
  #own: number
  /** What the leader had applied `sinceMs` (monotonic) and the own store has not; undefined if nothing. */
  #awaited: { readonly index: number; readonly sinceMs: number } | undefined

  /** `own` is the log index that the own store has applied. */
  constructor(own: number) {
    this.#own = own
  }

  /** The own store has applied up to `index`. */
  applied(index: number): void {
    this.#own = index
    if (this.#awaited !== undefined && this.#awaited.index <= index) this.#awaited = undefined
  }

  /** The leader's store has applied up to `index`; 0 if it does not say. */
  heard(index: number, nowMs: number): void {
    if (index > this.#own) this.#awaited ??= { index, sinceMs: nowMs }
  }

  /** What the leader had applied `limitMs` ago and the own store has not; undefined if nothing. */
  findMissing(limitMs: number, nowMs: number): number | undefined {
    const awaited = this.#awaited
    return awaited !== undefined && nowMs - awaited.sinceMs >= limitMs ? awaited.index : undefined
  }
}
