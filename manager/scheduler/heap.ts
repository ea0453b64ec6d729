/**
 * Heap: some items, and which of them comes first by an order that is given. An item's rank must not
 * change while it is in the heap: it is taken out, changed, and added again.
 */
import { defined } from '../../lib/assert.ts'

export class Heap<T> {
  readonly #isBefore: (a: T, b: T) => boolean
  readonly #items: T[]

  /** Holds these items, whatever their order, in time as their number; the array is its own then. */
  constructor(isBefore: (a: T, b: T) => boolean, items: T[] = []) {
    this.#isBefore = isBefore
    this.#items = items
    for (let at = (items.length >> 1) - 1; at >= 0; at--) this.#sink(at)
  }

  /** The first item; undefined when there is none. */
  peek(): T | undefined {
    return this.#items[0]
  }

  /** Takes the first item out. */
  pop(): T | undefined {
    const first = this.#items[0]
    const last = this.#items.pop()
    if (last === undefined || this.#items.length === 0) return first
    this.#items[0] = last
    this.#sink(0)
    return first
  }

  push(item: T): void {
    const items = this.#items
    let at = items.push(item) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = defined(items[above], 'a heap has no gaps')
      if (!this.#isBefore(item, parent)) break
      items[at] = parent
      at = above
    }
    items[at] = item
  }

  #sink(from: number): void {
    const items = this.#items
    const item = defined(items[from], 'a heap has no gaps')
    let at = from
    for (;;) {
      let child = 2 * at + 1
      if (child >= items.length) break
      const left = defined(items[child], 'a heap has no gaps')
      const right = items[child + 1]
      if (right !== undefined && this.#isBefore(right, left)) child++
      const lesser = defined(items[child], 'a heap has no gaps')
      if (!this.#isBefore(lesser, item)) break
      items[at] = lesser
      at = child
    }
    items[at] = item
  }
}
