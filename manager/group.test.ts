/** The group as of the last applied change, and as it was before. */
import { expect, test } from 'vitest'
import type { Member } from '../proto/gen/types.ts'
import { Group } from './group.ts'
import { type ConfState, emptyConfState } from './raft/message.ts'

function memberOf(raftId: number): Member {
  return { raftId, nodeId: `n${raftId}`, raftAddr: `n${raftId}:7946`, addr: `n${raftId}:2377` }
}

function confOf(voters: readonly number[], learners: readonly number[] = []): ConfState {
  return { ...emptyConfState, voters: [...voters], learners: [...learners] }
}

function newGroup(...voters: readonly number[]): Group {
  const group = new Group(1, emptyConfState)
  group.install({ index: 5, confState: confOf(voters), members: voters.map(memberOf) })
  return group
}

const idsOf = (members: readonly Member[]): readonly number[] =>
  members.map((member) => member.raftId)

test('a member is there from the change that adds it to the one that leaves it out', () => {
  const group = newGroup(1, 2)

  group.apply(6, confOf([1, 2], [3]), [memberOf(3)])
  const added = idsOf(group.list())
  group.apply(8, confOf([1, 3]), [])

  expect([added, idsOf(group.list())]).toEqual([
    [1, 2, 3],
    [1, 3],
  ])
})

test('a snapshot gets the group of its index, not the present one', () => {
  const group = newGroup(1, 2)
  group.apply(6, confOf([1, 2], [3]), [memberOf(3)])
  group.apply(8, confOf([1, 3]), [])

  const states = [5, 6, 7, 8, 90].map((index) => idsOf(group.at(index).members))

  expect(states).toEqual([
    [1, 2],
    [1, 2, 3],
    [1, 2, 3],
    [1, 3],
    [1, 3],
  ])
  expect(() => group.at(4)).toThrow('before the first configuration')
})

test('what was before a snapshot is forgotten, what it needs is not', () => {
  const group = newGroup(1, 2)
  group.apply(6, confOf([1, 2], [3]), [memberOf(3)])
  group.apply(8, confOf([1, 3]), [])

  group.forgetBefore(group.at(7))

  expect(idsOf(group.at(7).members)).toEqual([1, 2, 3])
  expect(() => group.at(5)).toThrow('before the first configuration')
})

test('a stream is news only when it opens or closes', () => {
  const group = newGroup(1, 2)

  const news = (['connected', 'connected', 'closed', 'closed'] as const).map((state) =>
    group.note(2, state),
  )

  expect(news).toEqual([true, false, true, false])
})

test('whoever leaves in a joint configuration still votes', () => {
  const group = newGroup(1, 2)
  group.apply(6, { ...confOf([1, 3]), votersOutgoing: [1, 2] }, [memberOf(3)])

  const states = group.listStates().map(({ raftId, isVoter, isConnected }) => ({
    ...{ raftId, isVoter, isConnected },
  }))

  expect(states).toEqual([
    { raftId: 1, isVoter: true, isConnected: true },
    { raftId: 2, isVoter: true, isConnected: false },
    { raftId: 3, isVoter: true, isConnected: false },
  ])
})
