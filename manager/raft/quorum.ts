/**
 * Majority and joint decisions: what index a quorum has acknowledged, and how a vote stands.
 * A joint configuration decides only what both of its halves decide (thesis section 4.3). Half a
 * configuration without voters agrees to everything, so that the same rule serves both forms.
 */

/** The two halves of a configuration; `votersOutgoing` is empty unless it is joint. */
export type Quorum = {
  readonly voters: readonly number[]
  readonly votersOutgoing: readonly number[]
}

export type VoteResult = 'won' | 'lost' | 'pending'

/** What a voter has acknowledged; undefined if nothing is known of it. */
export type AcknowledgedIndex = (voter: number) => number | undefined

/** The highest index that both halves have acknowledged; infinite without any voter. */
export function committedIndex(quorum: Quorum, acknowledged: AcknowledgedIndex): number {
  return Math.min(
    majorityIndex(quorum.voters, acknowledged),
    majorityIndex(quorum.votersOutgoing, acknowledged),
  )
}

/** The highest index that a majority of `voters` has acknowledged; infinite without any. */
export function majorityIndex(voters: readonly number[], acknowledged: AcknowledgedIndex): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY
  const indexes = voters.map((voter) => acknowledged(voter) ?? 0).sort((a, b) => b - a)
  return indexes[majority(voters.length) - 1] ?? 0
}

/** How an election stands when both halves have to agree. */
export function voteResult(quorum: Quorum, votes: ReadonlyMap<number, boolean>): VoteResult {
  const incoming = majorityVote(quorum.voters, votes)
  const outgoing = majorityVote(quorum.votersOutgoing, votes)
  if (incoming === outgoing) return incoming
  return incoming === 'lost' || outgoing === 'lost' ? 'lost' : 'pending'
}

/** How an election stands among `voters`; won without any. */
export function majorityVote(
  voters: readonly number[],
  votes: ReadonlyMap<number, boolean>,
): VoteResult {
  if (voters.length === 0) return 'won'
  let granted = 0
  let missing = 0
  for (const voter of voters) {
    const vote = votes.get(voter)
    if (vote === undefined) missing++
    else if (vote) granted++
  }
  const needed = majority(voters.length)
  if (granted >= needed) return 'won'
  return granted + missing >= needed ? 'pending' : 'lost'
}

function majority(count: number): number {
  return Math.floor(count / 2) + 1
}
