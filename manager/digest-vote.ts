/**
 * DigestVote: what follows when managers' states differ (DESIGN section 5, digest). Each one that
 * learns of it asks all others for their digest of that index; who differs from a majority of the
 * group has to stop, and without a majority nobody knows who is right. It only counts; asking and
 * ending are its owner's.
 */

export type DigestVerdict =
  /** A majority has another state than this manager. */
  | 'wrong'
  /** A majority has this manager's state, so somebody else is wrong. */
  | 'right'
  | 'undecided'

export class DigestVote {
  readonly index: number
  #own: string
  #memberCount: number
  /** Who still has to answer. */
  #waiting: Set<number>
  #counts = new Map<string, number>()

  constructor(index: number, own: Uint8Array, others: readonly number[]) {
    this.index = index
    this.#own = textOf(own)
    this.#memberCount = others.length + 1
    this.#waiting = new Set(others)
    this.#count(this.#own)
  }

  /** An answer; undefined or empty when that member does not know. */
  answer(raftId: number, digest: Uint8Array | undefined): void {
    if (!this.#waiting.delete(raftId) || digest === undefined || digest.length === 0) return
    this.#count(textOf(digest))
  }

  /** Undefined while answers that may matter are missing. */
  verdict(): DigestVerdict | undefined {
    for (const [digest, count] of this.#counts)
      if (count * 2 > this.#memberCount) return digest === this.#own ? 'right' : 'wrong'
    return this.#waiting.size === 0 ? 'undecided' : undefined
  }

  #count(digest: string): void {
    this.#counts.set(digest, (this.#counts.get(digest) ?? 0) + 1)
  }
}

function textOf(digest: Uint8Array): string {
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
