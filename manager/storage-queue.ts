/**
 * Storage queue: what Raft gave out to be made durable and to be applied, and is not done yet. Each
 * piece carries the answers that become true with it (etcd's asynchronous storage writes): an
 * acknowledgement leaves only when the disk has what it acknowledges, and Raft's applied index is
 * main's. Both queues are done in order; `consensus.ts` delivers the answers.
 */
import type { Persist } from './consensus-interface.ts'
import type { Message } from './raft/message.ts'

type Persisting = { readonly persist: Persist; readonly responses: readonly Message[] }
type Applying = { readonly index: number; readonly responses: readonly Message[] }

export class StorageQueue {
  #sequence = 0
  /** Emitted but not yet durable, in order. */
  #persisting: Persisting[] = []
  /** Given to main but not yet applied there, in order. */
  #applying: Applying[] = []

  /** The effect of a `storage-append` message. */
  addPersist(message: Message, mustSync: boolean): Persist {
    const { term, vote, commit, entries, snapshot } = message
    const isHardState = term !== 0 || vote !== 0 || commit !== 0
    const hardState = isHardState ? { term, vote, commit } : undefined
    const sequence = ++this.#sequence
    const persist = { sequence, hardState, entries, snapshot, compaction: undefined, mustSync }
    this.#persisting.push({ persist, responses: message.responses })
    return persist
  }

  /** The effect of this member's own snapshot, behind which the log is cut; nobody waits for it. */
  addCompaction(compaction: NonNullable<Persist['compaction']>): Persist {
    const persist: Persist = {
      sequence: ++this.#sequence,
      hardState: undefined,
      entries: [],
      snapshot: undefined,
      compaction,
      mustSync: false,
    }
    this.#persisting.push({ persist, responses: [] })
    return persist
  }

  /** The oldest effect, if it is up to `sequence` and so durable; it is taken out. */
  takePersisted(sequence: number): Persisting | undefined {
    const first = this.#persisting[0]
    return first !== undefined && first.persist.sequence <= sequence
      ? this.#persisting.shift()
      : undefined
  }

  /** Whether a snapshot that replaces the whole log is on its way to the disk. */
  get isReplacing(): boolean {
    return this.#persisting.some(({ persist }) => persist.snapshot !== undefined)
  }

  /** Entries up to `index` were given to main. */
  addApply(index: number, responses: readonly Message[]): void {
    this.#applying.push({ index, responses })
  }

  /** The answers of the oldest entries, if main has applied `index`; they are taken out. */
  takeApplied(index: number): readonly Message[] | undefined {
    const first = this.#applying[0]
    if (first === undefined || first.index > index) return undefined
    return this.#applying.shift()?.responses
  }

  /** Entries up to `index` are covered by a snapshot that main was given. */
  dropApplying(index: number): void {
    this.#applying = this.#applying.filter((pending) => pending.index > index)
  }
}
