/**
 * Watch: the change feed of a store. A subscriber finds in its queue every applied entry that
 * changed something, in order, whole and once, or a `reset`: look at everything anew, on a view
 * taken now, and expect only what comes after. A reset comes after a snapshot was installed, and
 * when a subscriber was too slow for its queue. Nothing is called but a subscriber's own bell.
 */
import type { TableName, Tables } from './view.ts'

/** One object that was changed by an entry. */
export type StoreEvent<K extends TableName = TableName> = {
  [P in K]: { readonly table: P; readonly id: string } & (
    | { readonly kind: 'create'; readonly before: undefined; readonly after: Tables[P] }
    | { readonly kind: 'update'; readonly before: Tables[P]; readonly after: Tables[P] }
    | { readonly kind: 'remove'; readonly before: Tables[P]; readonly after: undefined }
  )
}[K]

export type Delivery =
  | {
      readonly kind: 'entry'
      readonly index: number
      readonly timeMs: number
      readonly events: readonly StoreEvent[]
    }
  /** Everything up to `index` is to be seen in a view, and not here. */
  | { readonly kind: 'reset'; readonly index: number }

export type SubscribeOptions = {
  /** How many events may wait; an entry that is more than that by itself is a reset too. */
  readonly eventsMax: number
  /** Called when the queue was empty and is not. It must only wake somebody, who drains later. */
  readonly onDelivery?: () => void
}

export interface Subscription {
  /** What has come since the last call, oldest first. */
  drain(): readonly Delivery[]
  close(): void
}

export class WatchFeed {
  readonly #queues = new Set<Queue>()

  /** A queue of what is applied from now on. */
  subscribe(options: SubscribeOptions): Subscription {
    const queue = new Queue(options)
    this.#queues.add(queue)
    return {
      drain: () => queue.drain(),
      close: () => {
        this.#queues.delete(queue)
      },
    }
  }

  /** For the store: an entry was applied. */
  publish(index: number, timeMs: number, events: readonly StoreEvent[]): void {
    if (events.length === 0) return
    for (const queue of this.#queues) queue.push({ kind: 'entry', index, timeMs, events })
  }

  /** For the store: its state was replaced by that of `index`. */
  reset(index: number): void {
    for (const queue of this.#queues) queue.push({ kind: 'reset', index })
  }
}

class Queue {
  readonly #options: SubscribeOptions
  /** Invariant: a reset is alone, for it stands for all that came before it and until it is seen. */
  #waiting: Delivery[] = []
  #events = 0

  constructor(options: SubscribeOptions) {
    this.#options = options
  }

  push(delivery: Delivery): void {
    const wasEmpty = this.#waiting.length === 0
    const isReset = delivery.kind === 'reset' || this.#waiting[0]?.kind === 'reset'
    const events = delivery.kind === 'entry' ? delivery.events.length : 0
    if (isReset || this.#events + events > this.#options.eventsMax) {
      this.#waiting = [{ kind: 'reset', index: delivery.index }]
    } else {
      this.#waiting.push(delivery)
      this.#events += events
    }
    if (wasEmpty) this.#options.onDelivery?.()
  }

  drain(): readonly Delivery[] {
    const drained = this.#waiting
    this.#waiting = []
    this.#events = 0
    return drained
  }
}
