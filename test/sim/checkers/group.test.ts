/** The group's checker, told of things that its calm cluster did not do. */
import { expect, test } from 'vitest'
import type { Persist } from '../../../manager/consensus-interface.ts'
import { localCaller } from '../../../manager/manager.ts'
import { type Entry, NO_BYTES } from '../../../manager/raft/message.ts'
import { calmCluster, leaderOf, until } from '../calm.ts'
import type { SimNode } from '../sim-node.ts'
import { drawServiceSpec } from '../workload/specs.ts'
import type { World } from '../world.ts'
import { GroupChecker } from './group.ts'

test('what is not on the disks of a quorum is not committed', () => {
  const world = calmCluster(1)
  const leader = leaderOf(world)
  const group = new GroupChecker(world)
  const [first = 0, second = 0] = leader.consensus?.confState.voters ?? []
  expect([...group.stepped(leader)]).toEqual([])

  group.durable(first, commitMore(world, leader, 'one'))
  expect([...group.stepped(leader)].join()).toContain('S4')

  const end = commitMore(world, leader, 'two')
  group.durable(first, end)
  group.durable(second, end)
  expect([...group.stepped(leader)]).toEqual([])
})

test('who campaigns has applied the membership changes that it knows to be committed', () => {
  const world = calmCluster(1)
  const leader = leaderOf(world)
  const group = new GroupChecker(world)
  const { term, index } = commitMore(world, leader, 'one')
  const change = {
    term,
    index,
    type: 'conf-change',
    data: NO_BYTES,
    confChange: undefined,
  } as const
  expect([...group.appending(leader, [newPersist([change])])]).toEqual([])
  expect([...group.committed(leader, [change])]).toEqual([])
  expect([...group.campaigns(leader, { role: 'leader', term })]).toEqual([])

  // What it has now is another configuration than the one after that index.
  world.join('m4', 'manager')
  until(world, () => leader.consensus?.confState.voters.length === 4)
  expect([...group.campaigns(leader, { role: 'leader', term })].join()).toContain('S12')
})

test('a log is cut behind its snapshot, and no further', () => {
  const world = calmCluster(1)
  const leader = leaderOf(world)
  const group = new GroupChecker(world)
  const snapshot = { index: 7, term: 1, confState: undefined, data: NO_BYTES }
  const cutAt = (compactIndex: number): Persist => ({
    ...newPersist([]),
    compaction: { snapshot, compactIndex, oldSnapshots: 0 },
  })

  expect([...group.appending(leader, [cutAt(7)])]).toEqual([])
  expect([...group.appending(leader, [cutAt(8)])].join()).toContain('S9')
})

test('a Raft id is given to one directory only', () => {
  const world = calmCluster(1)
  const leader = leaderOf(world)
  const group = new GroupChecker(world)

  expect([...group.joined(leader, 7)]).toEqual([])
  expect([...group.joined(leader, 8)]).toEqual([])
  expect([...group.joined(leader, 7)].join()).toContain('S12')
})

function newPersist(entries: readonly Entry[]): Persist {
  const nothing = { hardState: undefined, snapshot: undefined, compaction: undefined }
  return { sequence: 1, ...nothing, entries, mustSync: true }
}

/** One more entry is committed, and nobody was told that it is on any disk. */
function commitMore(world: World, leader: SimNode, name: string): { term: number; index: number } {
  const before = leader.consensus?.status().commit ?? 0
  const spec = drawServiceSpec(name, name, world.random.split(name))
  const body = { kind: 'serviceCreate', serviceCreate: { spec } } as const
  leader.write({ caller: localCaller, body }, false, () => undefined)
  until(world, () => (leader.consensus?.status().commit ?? 0) > before)
  const { term = 0, commit = 0 } = leader.consensus?.status() ?? {}
  return { term, index: commit }
}
