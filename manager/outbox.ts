/**
 * Outbox: what a member sends to the others, without the messages that a later one makes needless.
 * After each commit Raft tells every follower the new commit index by an append without entries;
 * while writes go on, the next append with entries says the same a moment later. So such a message
 * waits until something else goes to that member, or 5 ms. Held back, replaced or lost it harms
 * nobody: it moves the commit index only, and later appends and heartbeats bear it too
 * (etcd-io/raft sends it at once).
 */
import type { Message } from './raft/message.ts'

/** A commit index that nothing else bears to a follower is told it this long after. */
const HOLD_MS = 5

/** The last append without entries for a member, and since when that member has not been told. */
type Held = { readonly message: Message; readonly sinceMs: number }

export class Outbox {
  /** By receiver. */
  #held = new Map<number, Held>()

  /** What goes out now, in order. */
  add(messages: readonly Message[], nowMs: number): readonly Message[] {
    const out: Message[] = []
    for (const message of messages) {
      const held = this.#held.get(message.to)
      const isReplaced = held !== undefined && isCovered(held.message, message)
      if (held !== undefined && !isReplaced) out.push(held.message)
      this.#held.delete(message.to)
      const sinceMs = isReplaced ? held.sinceMs : nowMs
      if (isOnlyCommit(message)) this.#held.set(message.to, { message, sinceMs })
      else out.push(message)
    }
    return out
  }

  /** How long until something is due, ms; undefined while nothing is held back. */
  waitMs(nowMs: number): number | undefined {
    let first: number | undefined
    for (const { sinceMs } of this.#held.values())
      if (first === undefined || sinceMs < first) first = sinceMs
    return first === undefined ? undefined : Math.max(0, first + HOLD_MS - nowMs)
  }

  /** What has been held back long enough, which is no longer. */
  takeDue(nowMs: number): readonly Message[] {
    const due = [...this.#held].filter(([, { sinceMs }]) => sinceMs + HOLD_MS <= nowMs)
    for (const [to] of due) this.#held.delete(to)
    return due.map(([, { message }]) => message)
  }

  /** All that was held back, which is no longer. */
  flush(): readonly Message[] {
    return this.takeDue(Number.POSITIVE_INFINITY)
  }
}

function isOnlyCommit(message: Message): boolean {
  return message.type === 'append' && message.entries.length === 0
}

/**
 * Whether the later message says all that the earlier one did. To a follower that is being probed
 * nothing is sent until it answers, so what follows an append at a higher index replaces no probe.
 */
function isCovered(earlier: Message, later: Message): boolean {
  return (
    later.type === 'append' &&
    later.term === earlier.term &&
    later.index >= earlier.index &&
    later.commit >= earlier.commit
  )
}
