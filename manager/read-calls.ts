/**
 * Read calls: all that waits for a ReadIndex on the main thread. A caller's read waits for the index
 * to be confirmed and then for the own store to reach it. An outcome of the leader that rests on its
 * state, and on no entry of its own, waits until it is known that it still leads, for a deposed one's
 * state may be old; so do the writer's refusals. Confirming is `consensus.ts`'s.
 */
import type { SwarmError } from '../lib/errors.ts'
import type { WriteReply } from '../proto/gen/control.ts'
import type { Origin } from './calls.ts'
import { newNoLeader, newNotLeader } from './refusals.ts'

/** Reads waiting at once; more are refused. */
const WAITING_MAX = 50_000

/** Who waits for a ReadIndex. */
export type Reader =
  | { readonly kind: 'caller'; readonly origin: Origin }
  /** This is the caller's answer if the leader is confirmed. */
  | {
      readonly kind: 'outcome'
      readonly origin: Origin
      readonly outcome: WriteReply | SwarmError
    }
  /** The writer, by its own number. */
  | { readonly kind: 'writer'; readonly id: number }

/** What came of it. */
export type ReadResult =
  | { readonly kind: 'read'; readonly origin: Origin; readonly outcome: number | SwarmError }
  | {
      readonly kind: 'outcome'
      readonly origin: Origin
      readonly outcome: WriteReply | SwarmError
    }
  /** `index` is undefined when the leader is not confirmed. */
  | { readonly kind: 'writer'; readonly id: number; readonly index: number | undefined }

export class ReadCalls {
  /** By the number that consensus knows the read by; ascending. */
  #asked = new Map<number, Reader>()
  /** Callers whose index is confirmed and not yet reached by the store. */
  #confirmed: { readonly origin: Origin; readonly index: number }[] = []
  #lastId = 0

  /** The number to ask consensus with; undefined when too many wait. */
  add(reader: Reader): number | undefined {
    if (reader.kind === 'caller' && this.#asked.size + this.#confirmed.length >= WAITING_MAX)
      return undefined
    const id = ++this.#lastId
    this.#asked.set(id, reader)
    return id
  }

  /** Consensus confirmed the read at `index`: what can be answered without waiting for the store. */
  ready(id: number, index: number): ReadResult | undefined {
    const reader = this.#asked.get(id)
    this.#asked.delete(id)
    switch (reader?.kind) {
      case undefined:
        return undefined
      case 'caller':
        this.#confirmed.push({ origin: reader.origin, index })
        return undefined
      case 'outcome':
        return reader
      case 'writer':
        return { ...reader, index }
      default:
        return reader satisfies never
    }
  }

  /** Consensus could not confirm the read. */
  refused(id: number): ReadResult | undefined {
    const reader = this.#asked.get(id)
    this.#asked.delete(id)
    switch (reader?.kind) {
      case undefined:
        return undefined
      case 'caller':
        return { kind: 'read', origin: reader.origin, outcome: newNoLeader() }
      case 'outcome':
        return { ...reader, outcome: newNotLeader() }
      case 'writer':
        return { ...reader, index: undefined }
      default:
        return reader satisfies never
    }
  }

  /** The reads that a store at `appliedIndex` can answer. */
  takeReached(appliedIndex: number): readonly ReadResult[] {
    const reached = this.#confirmed.filter(({ index }) => index <= appliedIndex)
    if (reached.length > 0)
      this.#confirmed = this.#confirmed.filter(({ index }) => index > appliedIndex)
    return reached.map(({ origin, index }) => ({ kind: 'read', origin, outcome: index }))
  }

  /**
   * The leadership is lost: outcomes that waited for it are refused. A later writer counts its reads
   * anew, so answers to this one's must not reach it.
   */
  stopLeading(): readonly ReadResult[] {
    const refused: ReadResult[] = []
    for (const [id, reader] of this.#asked) {
      if (reader.kind === 'caller') continue
      this.#asked.delete(id)
      if (reader.kind === 'outcome') refused.push({ ...reader, outcome: newNotLeader() })
    }
    return refused
  }
}
