/**
 * Outbox: what a machine wants done, between `ready()` and `advance()` (STYLE section 4). A batch
 * that was given is not given again, and nothing more is given until the shell says it is done, so
 * that effects are carried out in the order in which they were decided.
 */
import { assert } from './assert.ts'

export class Outbox<T> {
  #waiting: T[] = []
  /** The batch in the shell's hands; undefined when there is none. */
  #given: readonly T[] | undefined

  push(effect: T): void {
    this.#waiting.push(effect)
  }

  /** The effects decided since the last batch, in order; undefined when there is nothing to do. */
  ready(): readonly T[] | undefined {
    if (this.#given !== undefined || this.#waiting.length === 0) return undefined
    this.#given = this.#waiting
    this.#waiting = []
    return this.#given
  }

  /** `batch` has been carried out, or is on its way. */
  advance(batch: readonly T[]): void {
    assert(batch === this.#given, 'only the batch that was given can be done')
    this.#given = undefined
  }
}
