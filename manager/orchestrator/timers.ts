/**
 * Timers: which objects want to be looked at again, and at which cluster time. It is an index, not a
 * memory: every time in it is a sum of what stands in the store, and a new leader's first round,
 * which looks at everything, fills it again. Looking at an object too early does no harm.
 */

export class Timers {
  /** Object → cluster time, ms. */
  #times = new Map<string, number>()
  /** Not above any of the times, so that a round before it need not look through them. */
  #soonestMs = Number.POSITIVE_INFINITY

  /** The object is looked at again at `atMs`; never, if undefined. */
  set(id: string, atMs: number | undefined): void {
    if (atMs === undefined) {
      this.#times.delete(id)
      return
    }
    this.#times.set(id, atMs)
    if (atMs < this.#soonestMs) this.#soonestMs = atMs
  }

  /** The objects whose time has come, which are forgotten. */
  take(now: number): readonly string[] {
    if (now < this.#soonestMs) return []
    const due: string[] = []
    this.#soonestMs = Number.POSITIVE_INFINITY
    for (const [id, atMs] of this.#times) {
      if (atMs <= now) {
        due.push(id)
        this.#times.delete(id)
      } else if (atMs < this.#soonestMs) this.#soonestMs = atMs
    }
    return due
  }

  /** Forgets everything: all objects are about to be looked at. */
  clear(): void {
    this.#times.clear()
    this.#soonestMs = Number.POSITIVE_INFINITY
  }

  /** A cluster time, ms, that no timer is before; undefined without timers. */
  nextMs(): number | undefined {
    return this.#times.size === 0 ? undefined : this.#soonestMs
  }
}

/** The earlier of two times, of which each may be absent. */
export function earlier(left: number | undefined, right: number | undefined): number | undefined {
  if (left === undefined) return right
  return right === undefined ? left : Math.min(left, right)
}
