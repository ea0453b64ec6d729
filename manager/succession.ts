/**
 * Succession: who becomes more than it is. Pure rules over what the leader knows of the others:
 * which learner has caught up and becomes a voter, which voter the leadership is handed to, and
 * whether the group can do without a member. `consensus.ts` proposes and hands over.
 */
import type { Group } from './group.ts'
import type { Status } from './raft/raw-node.ts'

/** A learner at most this many entries behind the commit index becomes a voter. */
const PROMOTE_BEHIND_ENTRIES = 100

/** What the leader knows: its Raft core's status, its group, and whom it heard lately. */
export type LeaderSight = {
  readonly status: Status
  readonly group: Group
  /**
   * Whether anything came from that member within an election timeout. Raft's own mark does not say
   * so: each check of the quorum takes it back, and for a moment nobody seems to have been heard.
   */
  readonly isHeard: (raftId: number) => boolean
}

/** Whether that member said something within the last election timeout and its stream is open. */
function isRecentlyHeard({ group, isHeard }: LeaderSight, raftId: number): boolean {
  return isHeard(raftId) && group.isConnected(raftId)
}

/** The first learner that has caught up. */
export function findPromotable({ status, group }: LeaderSight): number | undefined {
  return group.confState.learners.find((raftId) => {
    const learner = status.progress.get(raftId)
    return (
      learner !== undefined &&
      learner.state === 'replicate' &&
      learner.recentActive &&
      learner.match + PROMOTE_BEHIND_ENTRIES >= status.commit
    )
  })
}

/** The most advanced other voter that can be reached: nobody else could win at once. */
export function findSuccessor(sight: LeaderSight): number | undefined {
  let best: { readonly raftId: number; readonly match: number } | undefined
  for (const raftId of sight.group.confState.voters) {
    if (raftId === sight.status.id || !isRecentlyHeard(sight, raftId)) continue
    const match = sight.status.progress.get(raftId)?.match ?? 0
    if (best === undefined || match > best.match) best = { raftId, match }
  }
  return best?.raftId
}

/** Why this member must not be removed; undefined when it may. */
export function refuseRemoval(sight: LeaderSight, raftId: number): string | undefined {
  const { voters } = sight.group.confState
  if (!voters.includes(raftId)) return undefined
  const left = voters.filter((voter) => voter !== raftId)
  if (left.length === 0) return 'the last manager of the swarm cannot be removed'
  const reachable = left.filter(
    (voter) => voter === sight.status.id || isRecentlyHeard(sight, voter),
  )
  return reachable.length > left.length / 2
    ? undefined
    : 'removing this manager would result in a loss of quorum'
}
