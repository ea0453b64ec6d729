/**
 * The simulated world's clock: a queue of events in order of their time, and of their making where
 * the times are equal. There is no other time in the simulator, and nothing waits for real.
 */
import { assert } from '../../lib/assert.ts'

type Event = { readonly atMs: number; readonly sequence: number; readonly run: () => void }

export class Schedule {
  #heap: Event[] = []
  #sequence = 0
  #nowMs = 0

  /** Simulated milliseconds since the start. */
  get nowMs(): number {
    return this.#nowMs
  }

  /** `run` happens `delayMs` from now. */
  after(delayMs: number, run: () => void): void {
    assert(delayMs >= 0, 'nothing happens in the past', { delayMs })
    this.#push({ atMs: this.#nowMs + delayMs, sequence: this.#sequence++, run })
  }

  /** The next event happens; false when there is none up to `untilMs`. */
  step(untilMs: number): boolean {
    const next = this.#heap[0]
    if (next === undefined || next.atMs > untilMs) {
      this.#nowMs = Math.max(this.#nowMs, untilMs)
      return false
    }
    this.#pop()
    this.#nowMs = next.atMs
    next.run()
    return true
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.push(event) - 1
    while (at > 0) {
      const parent = (at - 1) >>> 1
      const above = heap[parent]
      if (above === undefined || !isBefore(event, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      const left = 2 * at + 1
      const right = left + 1
      const leftEvent = heap[left]
      if (leftEvent === undefined) break
      const rightEvent = heap[right]
      const isRight = rightEvent !== undefined && isBefore(rightEvent, leftEvent)
      const child = isRight ? rightEvent : leftEvent
      if (!isBefore(child, last)) break
      heap[at] = child
      at = isRight ? right : left
    }
    heap[at] = last
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence)
}
