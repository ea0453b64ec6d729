/**
 * Read rounds: reads that wait for a ReadIndex, asked of Raft in rounds (DESIGN section 4). A round
 * asks once for all reads that wait when it begins; those that come later wait for the next one, for
 * an index that was confirmed before a read began says nothing of it. A round without an answer is
 * asked again under a new number, and a read that nobody confirmed in time is refused. Whether this
 * member may ask at all is decided by `consensus.ts`.
 */
import { equalBytes } from '../lib/crypto.ts'

/** An unanswered round is asked again after this long. */
const READ_RETRY_TICKS = 4
/** A read that no leader confirmed within this time is refused: 5 s. */
const READ_DEADLINE_TICKS = 100

type WaitingRead = { readonly id: number; readonly deadlineTick: number }
type Round = {
  readonly context: Uint8Array
  readonly ids: ReadonlySet<number>
  readonly askedTick: number
}

export class ReadRounds {
  readonly #raftId: number
  /** Tells this start's rounds from an earlier one's. */
  readonly #nonce: number
  #waiting: WaitingRead[] = []
  /** The round under way; undefined when nothing waits. */
  #round: Round | undefined
  #count = 0

  constructor(raftId: number, nonce: number) {
    this.#raftId = raftId
    this.#nonce = nonce
  }

  /** The read waits for the next round to begin. */
  add(id: number, now: number): void {
    this.#waiting.push({ id, deadlineTick: now + READ_DEADLINE_TICKS })
  }

  /** Begins a round over all that waits, unless one is under way; what to ask Raft for. */
  begin(now: number): Uint8Array | undefined {
    if (this.#round !== undefined || this.#waiting.length === 0) return undefined
    const context = this.#newContext()
    const ids = new Set(this.#waiting.map((read) => read.id))
    this.#round = { context, ids, askedTick: now }
    return context
  }

  /** Asks again under a new number: an answer to the old round says nothing of reads since. */
  restart(now: number): Uint8Array | undefined {
    this.#round = undefined
    return this.begin(now)
  }

  /** The reads that an answer to `context` confirms; undefined when it is not the round under way. */
  take(context: Uint8Array): readonly number[] | undefined {
    const round = this.#round
    if (round === undefined || !equalBytes(context, round.context)) return undefined
    this.#waiting = this.#waiting.filter((read) => !round.ids.has(read.id))
    this.#round = undefined
    return [...round.ids]
  }

  /** The reads whose time is up; they wait no more. */
  takeExpired(now: number): readonly number[] {
    const expired = this.#waiting.filter((read) => read.deadlineTick <= now)
    if (expired.length > 0) this.#waiting = this.#waiting.filter((read) => read.deadlineTick > now)
    return expired.map((read) => read.id)
  }

  /** Whether the round under way has had no answer for too long. */
  isOverdue(now: number): boolean {
    return this.#round !== undefined && now - this.#round.askedTick >= READ_RETRY_TICKS
  }

  /** Unique in the group: the leader takes two requests of equal context for one. 20 bytes. */
  #newContext(): Uint8Array {
    const bytes = new Uint8Array(20)
    const data = new DataView(bytes.buffer)
    data.setFloat64(0, this.#raftId)
    data.setUint32(8, this.#nonce)
    data.setFloat64(12, ++this.#count)
    return bytes
  }
}
