/**
 * Joining the Raft group: which membership change a node's request means (DESIGN section 5,
 * identity). A Raft id belongs to one data directory: a node that comes back with the directory it
 * had keeps its id and at most changes its address, or is told that its membership has ended; one with
 * an empty directory gets a new id, and its old member goes in the same joint change.
 */
import { SwarmError } from '../lib/errors.ts'
import type { Random } from '../lib/random.ts'
import type { Caller, MemberJoin } from '../proto/gen/control.ts'
import type { Member } from '../proto/gen/types.ts'
import type { MembershipChange } from './consensus-interface.ts'
import type { View } from './store/view.ts'
import { refuseOldVersion } from './versions.ts'

/** A member, and whether the leader can exchange messages with it now. */
export type JoinedMember = Member & { readonly isConnected: boolean }

export type JoinPlan =
  /** `change` is undefined when the member is there already as it should be. */
  | { readonly member: Member; readonly change: MembershipChange | undefined }
  /** The id that was asked with is no member's any more. */
  | { readonly member: undefined; readonly change: undefined }

export function planMemberJoin(
  view: View,
  request: MemberJoin,
  options: {
    readonly caller: Caller
    readonly members: readonly JoinedMember[]
    readonly random: Random
  },
): JoinPlan {
  const { nodeId, raftAddr, addr } = request
  const node = view.nodes.get(nodeId)
  if (options.caller.nodeId !== nodeId)
    throw new SwarmError('permission-denied', 'a node may join the managers only for itself')
  if (node?.spec?.role !== 'manager')
    throw new SwarmError(
      'failed-precondition',
      `node ${nodeId} is not to be a manager: promote it first`,
    )
  refuseOldVersion(view, nodeId)
  const known = options.members.find((member) => member.nodeId === nodeId)
  if (known !== undefined && known.raftId === request.raftId) {
    const member: Member = { raftId: known.raftId, nodeId, raftAddr, addr }
    const isSame = known.raftAddr === raftAddr && known.addr === addr
    return { member, change: isSame ? undefined : { kind: 'update', member } }
  }
  // A member of before that was removed asks whether it still is one: it begins anew, or not at all.
  if (request.raftId !== 0) return { member: undefined, change: undefined }
  // Whoever has lost its directory listens to nobody yet: this is an old request that comes late, and
  // carried out it would take the node's membership away.
  if (known?.isConnected === true)
    throw new SwarmError(
      'unavailable',
      `node ${nodeId} takes part as a manager already; if it lost its log, try again in a few seconds`,
      { retriable: true },
    )
  const member: Member = { raftId: newRaftId(options), nodeId, raftAddr, addr }
  return { member, change: { kind: 'add', member } }
}

/** A Raft id below 2^53 that no member has; the range makes an earlier one's return improbable. */
export function newRaftId(options: {
  readonly members: readonly Member[]
  readonly random: Random
}): number {
  for (;;) {
    const id = options.random.integer(2 ** 20) * 2 ** 32 + options.random.integer(2 ** 32)
    if (id > 0 && !options.members.some((member) => member.raftId === id)) return id
  }
}
