/**
 * Outbox: what a member sends to the others, without the messages that a later one makes needless.
 * After each commit Raft tells every follower the new commit index by an append without entries;
 * while writes go on, the next append with entries says the same a moment later. So such a message
 * waits until something else goes to that member or until `flush`, which the shell calls shortly
 * after. Held back, replaced or lost it harms nobody: it moves the commit index only, and later
 * appends and heartbeats bear it too (etcd-io/raft sends it at once).
 */
import type { Message } from './raft/message.ts'

export class Outbox {
  /** The last append without entries by receiver. */
  #held = new Map<number, Message>()

  /** What goes out now, in order. */
  add(messages: readonly Message[]): readonly Message[] {
    const out: Message[] = []
    for (const message of messages) {
      const held = this.#held.get(message.to)
      if (held !== undefined) {
        this.#held.delete(message.to)
        if (!isCovered(held, message)) out.push(held)
      }
      if (isOnlyCommit(message)) this.#held.set(message.to, message)
      else out.push(message)
    }
    return out
  }

  get isEmpty(): boolean {
    return this.#held.size === 0
  }

  /** What was held back, which is no longer. */
  flush(): readonly Message[] {
    const held = [...this.#held.values()]
    this.#held.clear()
    return held
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
