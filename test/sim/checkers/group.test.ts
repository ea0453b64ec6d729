/** The group's checker, told of things that its calm cluster did not do. */
import { expect, test } from 'vitest'
import { calmCluster, leaderOf } from '../calm.ts'
import { GroupChecker } from './group.ts'

test('what is not on the disks of a quorum is not committed', () => {
  const world = calmCluster(1)
  const leader = leaderOf(world)
  const group = new GroupChecker(world)
  const [first, second] = leader.consensus?.confState.voters ?? []
  const entry = { term: 9, index: 1_000 }

  group.durable(first ?? 0, entry)
  expect([...group.committed(leader, [entry])].join()).toContain('S4')

  group.durable(second ?? 0, entry)
  expect([...group.committed(leader, [entry])]).toEqual([])
})

test('a Raft id is given to one directory only', () => {
  const world = calmCluster(1)
  const leader = leaderOf(world)
  const group = new GroupChecker(world)

  expect([...group.joined(leader, 7)]).toEqual([])
  expect([...group.joined(leader, 8)]).toEqual([])
  expect([...group.joined(leader, 7)].join()).toContain('S12')
})
