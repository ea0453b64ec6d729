/**
 * Member changes: requests to change the Raft group, on their way. They are proposed one after
 * another, because Raft turns a second change into an empty entry while one is pending; each is
 * answered once: applied, refused, or of unknown outcome when its time is up. It holds the queue and
 * its deadlines; which changes are safe stands in `succession.ts`, what they do to the group in
 * `raft/configuration.ts`.
 */
import { emptyMembershipContext, encodeMembershipContext } from '../proto/gen/consensus.ts'
import type { MembershipChange } from './consensus-interface.ts'
import type { Group } from './group.ts'
import type { ConfChangeSingle, ConfChangeV2 } from './raft/message.ts'
import { type LeaderSight, refuseRemoval } from './succession.ts'

/** A membership change that was not applied within this time has an unknown outcome: 10 s. */
const MEMBERSHIP_DEADLINE_TICKS = 200

type Pending = {
  readonly id: number
  readonly change: MembershipChange
  isProposed: boolean
  readonly deadlineTick: number
}

/** Why the request with this number is not carried out. */
export type MemberRefusal = { readonly id: number; readonly reason: string }

/** Raft as seen from here: it takes one change at a time, and none while it hands over. */
export type ChangeProposer = {
  readonly sight: () => LeaderSight
  readonly propose: (change: ConfChangeV2) => 'pending' | 'proposed'
}

export class MemberChanges {
  readonly #raftId: number
  #pending: Pending[] = []

  constructor(raftId: number) {
    this.#raftId = raftId
  }

  add(id: number, change: MembershipChange, now: number): void {
    const deadlineTick = now + MEMBERSHIP_DEADLINE_TICKS
    this.#pending.push({ id, change, isProposed: false, deadlineTick })
  }

  get isEmpty(): boolean {
    return this.#pending.length === 0
  }

  /** The change that this member's request `id` asked for is in force. */
  applied(id: number): void {
    this.#pending = this.#pending.filter((pending) => pending.id !== id)
  }

  /** Nothing waits any more. */
  refuseAll(reason: string): readonly MemberRefusal[] {
    const refused = this.#pending.map(({ id }) => ({ id, reason }))
    this.#pending = []
    return refused
  }

  /** The first request goes on: proposed, or refused for one of two reasons. The leader only. */
  step(now: number, proposer: ChangeProposer): MemberRefusal | undefined {
    const first = this.#pending[0]
    if (first === undefined) return undefined
    if (first.deadlineTick <= now)
      return this.#refuseFirst('the membership change was not applied in time, outcome unknown')
    if (first.isProposed) return undefined
    const { change } = first
    const sight = proposer.sight()
    const reason = change.kind === 'remove' ? refuseRemoval(sight, change.raftId) : undefined
    if (reason !== undefined) return this.#refuseFirst(reason)
    first.isProposed = proposer.propose(this.#toConfChange(first, sight.group)) === 'proposed'
    return undefined
  }

  #refuseFirst(reason: string): MemberRefusal | undefined {
    const first = this.#pending.shift()
    return first === undefined ? undefined : { id: first.id, reason }
  }

  #toConfChange({ id, change }: Pending, group: Group): ConfChangeV2 {
    return {
      transition: 'auto',
      changes: listSteps(change, group),
      context: encodeMembershipContext({
        ...emptyMembershipContext,
        proposer: this.#raftId,
        request: id,
        added: change.kind === 'remove' ? [] : [change.member],
      }),
    }
  }
}

/**
 * A member of a node that is in the group already comes and that one goes in the same joint change.
 * Decided here, where the group is that of the moment: who asked may have seen an older one.
 */
function listSteps(change: MembershipChange, group: Group): readonly ConfChangeSingle[] {
  switch (change.kind) {
    case 'add': {
      const { raftId, nodeId } = change.member
      const others = group.list().filter((known) => known.nodeId === nodeId)
      return [
        { type: 'add-learner', nodeId: raftId },
        ...others
          .filter((known) => known.raftId !== raftId)
          .map((known): ConfChangeSingle => ({ type: 'remove-node', nodeId: known.raftId })),
      ]
    }
    case 'update':
      return [{ type: 'update-node', nodeId: change.member.raftId }]
    case 'remove':
      return [{ type: 'remove-node', nodeId: change.raftId }]
    default:
      return change satisfies never
  }
}
