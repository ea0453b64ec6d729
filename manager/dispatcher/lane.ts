/**
 * Lane: pacing of one sort of write. Keys wait in the order in which they came, at most so many are
 * in flight at once, and after a failure that will pass the whole lane rests for a moment. A key is
 * in it at most once, so a lane is never longer than what its keys name (sessions); one that is
 * added while it is in flight gets another turn after it.
 */
import { assert } from '../../lib/assert.ts'

export class Lane<K extends object> {
  readonly #inFlightMax: number
  #waiting = new Set<K>()
  /** Key → whether it was added again meanwhile. */
  #inFlight = new Map<K, boolean>()
  /** Monotonic, ms: nothing is taken before. */
  #restUntilMs = 0

  constructor(inFlightMax: number) {
    this.#inFlightMax = inFlightMax
  }

  get waiting(): number {
    return this.#waiting.size
  }

  isInFlight(key: K): boolean {
    return this.#inFlight.has(key)
  }

  /** `key` will have a turn that begins after now. */
  add(key: K): void {
    if (this.#inFlight.has(key)) this.#inFlight.set(key, true)
    else this.#waiting.add(key)
  }

  /** `key` will have no further turn. */
  remove(key: K): void {
    this.#waiting.delete(key)
    if (this.#inFlight.has(key)) this.#inFlight.set(key, false)
  }

  /** The next key, which is in flight now; undefined when none may go. */
  take(nowMs: number): K | undefined {
    if (nowMs < this.#restUntilMs || this.#inFlight.size >= this.#inFlightMax) return undefined
    for (const key of this.#waiting) {
      this.#waiting.delete(key)
      this.#inFlight.set(key, false)
      return key
    }
    return undefined
  }

  /** The turn of `key` is over. */
  done(key: K): void {
    const isWantedAgain = this.#inFlight.get(key)
    assert(isWantedAgain !== undefined, 'only a key in flight can be done')
    this.#inFlight.delete(key)
    if (isWantedAgain) this.#waiting.add(key)
  }

  /** Nothing is taken before `untilMs`. */
  rest(untilMs: number): void {
    this.#restUntilMs = Math.max(this.#restUntilMs, untilMs)
  }
}
