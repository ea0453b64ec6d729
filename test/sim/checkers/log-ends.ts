/**
 * Where the log on one disk ended, term by term (S7): in each term of the hard state, after the last
 * write of that term. An acknowledgement is a word of its term, as a vote is: where a disk was slow,
 * one sync takes the entries of one leader, and with them the next one's, which replace them. That is
 * as if each had been synced for itself and the acknowledgement had been long under way; its receiver
 * lost to the next leader as it would have then. What a leader had acknowledged stays in its term, so
 * the end that counts is the last one.
 */
import type { Persist } from '../../../manager/consensus-interface.ts'

export class LogEnds {
  #term: number
  #index: number
  /** Term → the index at which the log ended last in it. */
  readonly #ends = new Map<number, number>()

  /** What the disk holds as it is opened. */
  constructor(term: number, index: number) {
    this.#term = term
    this.#index = index
    this.#ends.set(term, index)
  }

  /** This is on the disk, after all that was told before. */
  persisted({
    hardState,
    entries,
    snapshot,
  }: Pick<Persist, 'hardState' | 'entries' | 'snapshot'>): void {
    this.#term = hardState?.term ?? this.#term
    this.#index = entries.at(-1)?.index ?? snapshot?.index ?? this.#index
    this.#ends.set(this.#term, this.#index)
  }

  /** Whether the disk held the log up to `index` in this term, or holds it now in a later one. */
  reached(term: number, index: number): boolean {
    const isNow = term <= this.#term && index <= this.#index
    return isNow || index <= (this.#ends.get(term) ?? Number.NEGATIVE_INFINITY)
  }
}
