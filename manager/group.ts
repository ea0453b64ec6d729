/**
 * Group: the members of the Raft group as this member knows them, as of the last applied change of
 * membership, and who of them can be talked to now. It remembers what the group was after each
 * change that main's state may still predate, because a snapshot at an index carries the
 * configuration of that index (Raft thesis 5.1). Who is added or removed is decided elsewhere.
 */
import { assert } from '../lib/assert.ts'
import type { Member } from '../proto/gen/types.ts'
import type { MemberState } from './consensus-interface.ts'
import type { ConfState } from './raft/message.ts'

/** The group after the change at `index`. */
export type GroupState = {
  readonly index: number
  readonly confState: ConfState
  /** By ascending Raft id. */
  readonly members: readonly Member[]
}

export class Group {
  readonly #raftId: number
  #confState: ConfState
  #members = new Map<number, Member>()
  /** After each change, oldest first. Invariant: the last one is the present state. */
  #history: GroupState[] = []
  #connected = new Set<number>()

  constructor(raftId: number, confState: ConfState) {
    this.#raftId = raftId
    this.#confState = confState
  }

  get confState(): ConfState {
    return this.#confState
  }

  has(raftId: number): boolean {
    return this.#members.has(raftId)
  }

  /** The group is that of a snapshot. */
  install(state: GroupState): void {
    this.#confState = state.confState
    this.#members = new Map(state.members.map((member) => [member.raftId, member]))
    this.#history = [state]
  }

  /** A change of membership was applied, which made or renewed the members in `added`. */
  apply(index: number, confState: ConfState, added: readonly Member[]): void {
    this.#confState = confState
    for (const member of added) this.#members.set(member.raftId, member)
    const present = new Set(listIds(confState))
    for (const raftId of [...this.#members.keys()])
      if (!present.has(raftId)) this.#members.delete(raftId)
    this.#history.push({ index, confState, members: this.list() })
  }

  /** The group as it was at `index`. */
  at(index: number): GroupState {
    const state = this.#history.findLast((change) => change.index <= index)
    assert(state !== undefined, 'a snapshot before the first configuration', { index })
    return state
  }

  /** What the group was before `state` is asked for no more. */
  forgetBefore(state: GroupState): void {
    this.#history = this.#history.filter((change) => change.index >= state.index)
  }

  /** The stream to that member opened or closed; whether that is news. */
  note(raftId: number, state: 'connected' | 'closed'): boolean {
    const isNews = this.#connected.has(raftId) !== (state === 'connected')
    if (state === 'connected') this.#connected.add(raftId)
    else this.#connected.delete(raftId)
    return isNews
  }

  isConnected(raftId: number): boolean {
    return this.#connected.has(raftId)
  }

  /** By ascending Raft id. */
  list(): readonly Member[] {
    return [...this.#members.values()].sort((a, b) => a.raftId - b.raftId)
  }

  /** The members with what this one knows of them, by ascending Raft id. */
  listStates(): readonly MemberState[] {
    const voters = new Set([...this.#confState.voters, ...this.#confState.votersOutgoing])
    return this.list().map((member) => ({
      ...member,
      isVoter: voters.has(member.raftId),
      isConnected: member.raftId === this.#raftId || this.#connected.has(member.raftId),
    }))
  }
}

/** Everybody who is in the configuration in any part of it. */
export function listIds(confState: ConfState): readonly number[] {
  const { voters, votersOutgoing, learners, learnersNext } = confState
  return [...voters, ...votersOutgoing, ...learners, ...learnersNext]
}
