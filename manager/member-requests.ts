/**
 * Member requests: who is to come into the Raft group and who is to leave it, as the leader on the
 * main thread sees it. A node that asks to join is answered when its change is in force; a member
 * whose node is to be a worker is asked to leave until it has. Which change a request means is
 * `member-join.ts`'s, carrying it out `consensus.ts`'s.
 */
import { SwarmError } from '../lib/errors.ts'
import type { Random } from '../lib/random.ts'
import {
  type Caller,
  emptyWriteReply,
  type MemberJoin,
  type WriteReply,
} from '../proto/gen/control.ts'
import type { Member } from '../proto/gen/types.ts'
import type { Origin } from './calls.ts'
import type { MembershipChange } from './consensus-interface.ts'
import { type JoinedMember, planMemberJoin } from './member-join.ts'
import { newLeaderChanged } from './refusals.ts'
import type { View } from './store/view.ts'

/** A member that is to leave the group is asked to again after this long. */
export const LEAVING_RETRY_MS = 5_000

type Joining = { readonly origin: Origin; readonly member: Member }

/** A change of the group to ask consensus for. */
export type MemberChange = {
  readonly kind: 'change-members'
  readonly id: number
  readonly change: MembershipChange
}

/** What a caller is told. */
export type MemberAnswer = {
  readonly origin: Origin
  readonly outcome: WriteReply | SwarmError
}

/** The group at the index that the store has reached. */
export type GroupNow = { readonly index: number; readonly members: readonly JoinedMember[] }

export type JoinSituation = GroupNow & {
  readonly view: View
  readonly caller: Caller
  readonly random: Random
}

export class MemberRequests {
  /** Joins on their way through Raft, by their number. */
  #joining = new Map<number, Joining>()
  /** Who was last asked to leave. */
  #askedIds: readonly number[] = []
  /** Monotonic, ms: when. */
  #askedMs = 0
  /** Never used again, so that a change of an earlier term answers nobody. */
  #lastId = 0

  /**
   * A node asks to join: the change that this takes, or, when it takes none, an outcome that rests on
   * this leader's state and must be confirmed before it is told.
   */
  join(
    origin: Origin,
    request: MemberJoin,
    situation: JoinSituation,
  ): MemberChange | ({ readonly kind: 'outcome' } & MemberAnswer) {
    try {
      // Two at once would be decided on the same group, and the node would get two members.
      for (const { member } of this.#joining.values())
        if (member.nodeId === request.nodeId) throw newJoinUnderWay(request.nodeId)
      const { member, change } = planMemberJoin(situation.view, request, situation)
      if (change === undefined)
        return { kind: 'outcome', origin, outcome: newJoinReply(member, situation) }
      const id = ++this.#lastId
      this.#joining.set(id, { origin, member })
      return { kind: 'change-members', id, change }
    } catch (error) {
      if (!(error instanceof SwarmError)) throw error
      return { kind: 'outcome', origin, outcome: error }
    }
  }

  /** The change is in force; undefined when it was no join of this leader's. */
  joined(id: number, group: GroupNow): MemberAnswer | undefined {
    const joining = this.#take(id)
    return joining && { origin: joining.origin, outcome: newJoinReply(joining.member, group) }
  }

  /** The change will not be made, or nobody knows; undefined when it was no join of this leader's. */
  refused(id: number, reason: string): MemberAnswer | undefined {
    const joining = this.#take(id)
    const outcome = new SwarmError('unavailable', reason, { retriable: true })
    return joining && { origin: joining.origin, outcome }
  }

  /** The leadership is lost: joins under way have an unknown outcome. */
  stopLeading(): readonly MemberAnswer[] {
    const joining = [...this.#joining.values()]
    this.#joining = new Map()
    return joining.map(({ origin }) => ({ origin, outcome: newLeaderChanged() }))
  }

  /** These members are to leave: the requests to make now, when somebody is new or it is time again. */
  leave(raftIds: readonly number[], nowMs: number): readonly number[] {
    if (raftIds.length === 0) return []
    const isNew = raftIds.some((raftId) => !this.#askedIds.includes(raftId))
    if (!isNew && nowMs - this.#askedMs < LEAVING_RETRY_MS) return []
    this.#askedIds = raftIds
    this.#askedMs = nowMs
    return raftIds
  }

  remove(raftId: number): MemberChange {
    return { kind: 'change-members', id: ++this.#lastId, change: { kind: 'remove', raftId } }
  }

  #take(id: number): Joining | undefined {
    const joining = this.#joining.get(id)
    this.#joining.delete(id)
    return joining
  }
}

function newJoinUnderWay(nodeId: string): SwarmError {
  const message = `node ${nodeId} is being made a manager already: try again in a few seconds`
  return new SwarmError('unavailable', message, { retriable: true })
}

/** What a node is told that has become `member`, or is none any more. */
function newJoinReply(member: Member | undefined, { index, members }: GroupNow): WriteReply {
  if (member === undefined) return { ...emptyWriteReply, index, members }
  const others = members.filter((known) => known.raftId !== member.raftId)
  return { ...emptyWriteReply, index, member, members: [...others, member] }
}
