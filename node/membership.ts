/**
 * Membership: what a manager that is alone makes of the answer to its question whether it still is a
 * member of the group. Only its own group ends its membership. A later one of the same cluster
 * (force-new-cluster) shuts it out: its log is kept, for it may hold what nobody else does
 * (docs/disasters.md). Who is of an earlier one knows nothing of this. `node.ts` and the nodes of the
 * simulator act on it.
 */

export type MembershipVerdict =
  /** It goes on: it is a member, or nobody of its group said otherwise. */
  | 'stays'
  /** Its group has let it go: it joins anew, with an empty log. */
  | 'removed'
  /** The swarm goes on in a later epoch, in which this member has no part. */
  | 'shut-out'

/** `answer.raftId` is that of the member which the answering group knows, undefined where it knows none. */
export function judgeMembership(
  own: { readonly raftId: number; readonly epoch: number },
  answer: { readonly raftId: number | undefined; readonly epoch: number },
): MembershipVerdict {
  if (answer.epoch > own.epoch) return 'shut-out'
  if (answer.epoch < own.epoch || answer.raftId === own.raftId) return 'stays'
  return 'removed'
}
