/**
 * Roles: brings the Raft group and the node objects together. The desired role is the user's
 * (`Node.spec.role`), membership is the consensus machine's; this plans which member has to leave
 * the group and what the node objects must say of it (swarm-mode.md 2.17). A node that is to become
 * a manager asks for membership itself once it has its certificate.
 */
import type { Node } from '../../proto/gen/objects.ts'
import type { Member } from '../../proto/gen/types.ts'
import type { Change } from '../store/change.ts'
import type { View } from '../store/view.ts'

export type RolePlan = {
  /** `Node.member` of each node as the group is. */
  readonly changes: readonly Change[]
  /** Raft ids that must leave the group: their nodes are to be workers, or are gone. */
  readonly leaving: readonly number[]
}

export function planRoles(view: View, members: readonly Member[]): RolePlan {
  const changes: Change[] = []
  const leaving: number[] = []
  const memberOf = new Map(members.map((member) => [member.nodeId, member]))
  for (const member of members)
    if (view.nodes.get(member.nodeId)?.spec?.role !== 'manager') leaving.push(member.raftId)
  // One member a node, so that this settles whatever the group is.
  for (const node of view.nodes.list()) {
    const member = memberOf.get(node.id)
    if (!isSameMember(node.member, member)) changes.push(withMember(node, member))
  }
  return { changes, leaving }
}

function withMember(node: Node, member: Member | undefined): Change {
  const plain: Member | undefined = member && {
    raftId: member.raftId,
    nodeId: member.nodeId,
    raftAddr: member.raftAddr,
    addr: member.addr,
  }
  return { kind: 'update', table: 'nodes', object: { ...node, member: plain } }
}

function isSameMember(a: Member | undefined, b: Member | undefined): boolean {
  return a?.raftId === b?.raftId && a?.raftAddr === b?.raftAddr && a?.addr === b?.addr
}
