/**
 * A bounded ring buffer: a queue with both ends, whose capacity is given once. It refuses what does
 * not fit and leaves it to its owner what that means: drop, wait or fail (STYLE section 4). Pushing
 * and shifting cost the same however many values it holds.
 */
import { assert, defined } from './assert.ts'

export class Deque<T extends NonNullable<unknown>> implements Iterable<T> {
  /** How many values fit. */
  readonly capacity: number
  /** Grows to `capacity` as needed; slots outside of [head, head + size) are undefined. */
  #slots: (T | undefined)[]
  /** The slot of the first value. Invariant: 0 <= head < slots.length. */
  #head = 0
  #size = 0

  constructor(capacity: number) {
    assert(Number.isSafeInteger(capacity) && capacity > 0, 'a deque holds one or more', {
      capacity,
    })
    this.capacity = capacity
    this.#slots = new Array(Math.min(capacity, 16)).fill(undefined)
  }

  get size(): number {
    return this.#size
  }

  get isFull(): boolean {
    return this.#size === this.capacity
  }

  /** The value is the last one; false, with nothing changed, when full. */
  push(value: T): boolean {
    if (this.isFull) return false
    this.#grow()
    this.#slots[this.#slot(this.#size)] = value
    this.#size += 1
    return true
  }

  /** The value is the first one; false, with nothing changed, when full. */
  unshift(value: T): boolean {
    if (this.isFull) return false
    this.#grow()
    this.#head = this.#slot(this.#slots.length - 1)
    this.#slots[this.#head] = value
    this.#size += 1
    return true
  }

  /** The first value, which is taken out; undefined when empty. */
  shift(): T | undefined {
    if (this.#size === 0) return undefined
    const value = this.#slots[this.#head]
    this.#slots[this.#head] = undefined
    this.#head = this.#slot(1)
    this.#size -= 1
    return value
  }

  /** The last value, which is taken out; undefined when empty. */
  pop(): T | undefined {
    if (this.#size === 0) return undefined
    this.#size -= 1
    const slot = this.#slot(this.#size)
    const value = this.#slots[slot]
    this.#slots[slot] = undefined
    return value
  }

  /** The value at `index`, counted from the first (0) or, when negative, from the end (-1). */
  at(index: number): T | undefined {
    const position = index < 0 ? this.#size + index : index
    if (position < 0 || position >= this.#size) return undefined
    return this.#slots[this.#slot(position)]
  }

  /** It is empty, and holds on to nothing. */
  clear(): void {
    this.#slots.fill(undefined)
    this.#head = 0
    this.#size = 0
  }

  /** First to last. The deque must not change meanwhile. */
  *[Symbol.iterator](): Generator<T, void, undefined> {
    for (let i = 0; i < this.#size; i++) yield defined(this.at(i), 'a slot in use holds a value')
  }

  #slot(position: number): number {
    return (this.#head + position) % this.#slots.length
  }

  #grow(): void {
    if (this.#size < this.#slots.length) return
    const larger = new Array<T | undefined>(Math.min(this.capacity, this.#slots.length * 2))
    larger.fill(undefined)
    for (let i = 0; i < this.#size; i++) larger[i] = this.#slots[this.#slot(i)]
    this.#slots = larger
    this.#head = 0
  }
}
