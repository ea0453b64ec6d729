/**
 * Digest watch: what a manager does when its state differs from another's (DESIGN section 5). It asks
 * all others for their digest of that index; who differs from a majority ends, a leader hands over
 * first and gets some time for it. The counting is `digest-vote.ts`'s; asking and ending are the
 * shell's.
 */
import type { Log } from '../lib/log.ts'
import type { Member } from '../proto/gen/types.ts'
import { DigestVote } from './digest-vote.ts'
import { NO_BYTES } from './raft/message.ts'

/** A leader whose state is wrong ends this long after it handed over. */
const HAND_OVER_MS = 2_000

/** What follows from a vote. */
export type DigestEffect =
  | { readonly kind: 'ask-digest'; readonly to: Member; readonly index: number }
  /** To the manager that asked; empty when this one's digest is not known. */
  | { readonly kind: 'digest-answer'; readonly id: number; readonly digest: Uint8Array }
  /** This manager's state is wrong: it hands the leadership over if it has it. */
  | { readonly kind: 'hand-over' }

export type DigestSituation = {
  readonly raftId: number
  readonly members: readonly Member[]
  readonly isRaftLeader: boolean
  /** Monotonic, ms. */
  readonly nowMs: number
}

export class DigestWatch {
  readonly #log: Log
  /** This manager's digest at an index; undefined when it is not known. */
  readonly #findDigest: (index: number) => Uint8Array | undefined
  #vote: DigestVote | undefined
  /** Monotonic time at which this manager ends because its state is wrong. */
  #endMs: number | undefined

  constructor(log: Log, findDigest: (index: number) => Uint8Array | undefined) {
    this.#log = log
    this.#findDigest = findDigest
  }

  /** This manager's state at `index` differs from another's: all are asked, once. */
  suspect(index: number, situation: DigestSituation): readonly DigestEffect[] {
    const own = this.#findDigest(index)
    if (own === undefined || this.#vote?.index === index) return []
    this.#log.error({ index }, 'state differs from another manager’s, all are asked')
    const others = situation.members.filter((member) => member.raftId !== situation.raftId)
    this.#vote = new DigestVote(
      index,
      own,
      others.map((member) => member.raftId),
    )
    const asks = others.map((to) => ({ kind: 'ask-digest', to, index }) as const)
    return [...asks, ...this.#judge(situation)]
  }

  /** Another manager found the same: it is answered, and this one looks as well. */
  asked(id: number, index: number, situation: DigestSituation): readonly DigestEffect[] {
    const digest = this.#findDigest(index) ?? NO_BYTES
    return [{ kind: 'digest-answer', id, digest }, ...this.suspect(index, situation)]
  }

  /** An answer; `digest` is undefined when that member did not answer or does not know. */
  answer(
    from: { readonly raftId: number; readonly index: number },
    digest: Uint8Array | undefined,
    situation: DigestSituation,
  ): readonly DigestEffect[] {
    const vote = this.#vote
    vote?.answer(from.raftId, from.index === vote.index ? digest : undefined)
    return this.#judge(situation)
  }

  /** Why this manager must end now; undefined while it need not. Said once. */
  takeEnd(nowMs: number): string | undefined {
    if (this.#endMs === undefined || nowMs < this.#endMs) return undefined
    this.#endMs = undefined
    return `the state of this manager differs from a majority's at index ${this.#vote?.index}: remove its directory raft/ and join again`
  }

  /** Who differs from a majority ends; a leader hands over first. */
  #judge({ isRaftLeader, nowMs }: DigestSituation): readonly DigestEffect[] {
    const verdict = this.#vote?.verdict()
    if (this.#vote === undefined || verdict === undefined) return []
    const { index } = this.#vote
    switch (verdict) {
      case 'right':
        this.#log.error({ index }, 'another manager’s state is wrong, this one’s is a majority’s')
        return []
      case 'undecided':
        this.#log.error({ index }, 'managers’ states differ and none has a majority: alarm')
        return []
      case 'wrong':
        this.#endMs = nowMs + (isRaftLeader ? HAND_OVER_MS : 0)
        this.#log.error({ index }, 'this manager’s state is wrong, it ends')
        return isRaftLeader ? [{ kind: 'hand-over' }] : []
      default:
        return verdict satisfies never
    }
  }
}
