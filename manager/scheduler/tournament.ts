/**
 * Tournament: numbered places with a key each, and which place has the least: a complete binary tree
 * in one array, every inner node the lesser key of its two children. Of equal keys the lower number
 * wins. The least is found, and a key changed, in the logarithm of the number of places, and mostly
 * less, as a change climbs only as far as it matters. A place with the key Infinity has left.
 */
export class Tournament {
  /** Leaves begin here; a power of two. */
  readonly #first: number
  /** Invariant: keys[i] is the lesser of keys[2i] and keys[2i + 1] for each i from 1 below #first. */
  readonly #keys: Float64Array

  /** With so many places, all of which have left. */
  constructor(size: number) {
    this.#first = 2 ** Math.ceil(Math.log2(Math.max(size, 1)))
    this.#keys = new Float64Array(2 * this.#first).fill(Number.POSITIVE_INFINITY)
  }

  /** The place with the least key; -1 when all have left. */
  first(): number {
    const keys = this.#keys
    if (this.#at(1) === Number.POSITIVE_INFINITY) return -1
    let at = 1
    while (at < this.#first) {
      const left = 2 * at
      at = (keys[left] ?? 0) <= (keys[left + 1] ?? 0) ? left : left + 1
    }
    return at - this.#first
  }

  set(place: number, key: number): void {
    const keys = this.#keys
    let at = this.#first + place
    keys[at] = key
    while (at > 1) {
      at >>>= 1
      const least = Math.min(keys[2 * at] ?? 0, keys[2 * at + 1] ?? 0)
      if (keys[at] === least) return
      keys[at] = least
    }
  }

  /** As many `set`, but `restore` must follow before anything else is asked. */
  put(place: number, key: number): void {
    this.#keys[this.#first + place] = key
  }

  /** Afterwards everything that was `put` counts. Takes time as the number of places. */
  restore(): void {
    const keys = this.#keys
    for (let at = this.#first - 1; at >= 1; at--)
      keys[at] = Math.min(keys[2 * at] ?? 0, keys[2 * at + 1] ?? 0)
  }

  #at(index: number): number {
    return this.#keys[index] ?? Number.POSITIVE_INFINITY
  }
}
