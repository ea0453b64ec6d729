/** Who becomes a voter, who the next leader, and whom the group cannot do without. */
import { expect, test } from 'vitest'
import type { Member } from '../proto/gen/types.ts'
import { Group } from './group.ts'
import { emptyConfState } from './raft/message.ts'
import type { ProgressView } from './raft/trace.ts'
import { findPromotable, findSuccessor, type LeaderSight, refuseRemoval } from './succession.ts'

type Peer = Partial<ProgressView> & { readonly isConnected?: boolean; readonly isHeard?: boolean }

function memberOf(raftId: number): Member {
  return { raftId, nodeId: `n${raftId}`, raftAddr: `n${raftId}:7946`, addr: `n${raftId}:2377` }
}

/** What leader 1, with everything up to 1000 committed, knows of its peers; all well by default. */
function sightOf(
  peers: Readonly<Record<number, Peer>>,
  learners: readonly number[] = [],
): LeaderSight {
  const ids = [1, ...Object.keys(peers).map(Number)]
  const voters = ids.filter((id) => !learners.includes(id))
  const confState = { ...emptyConfState, voters, learners: [...learners] }
  const group = new Group(1, confState)
  group.install({ index: 1, confState, members: ids.map(memberOf) })
  const progress = new Map<number, ProgressView>()
  for (const id of ids) {
    const { isConnected = true, isHeard: _, ...view } = peers[id] ?? {}
    if (id !== 1 && isConnected) group.note(id, 'connected')
    progress.set(id, {
      ...{ state: 'replicate', match: 1_000, next: 1_001, isLearner: learners.includes(id) },
      ...{ isPaused: false, recentActive: true, pendingSnapshot: 0 },
      ...{ inflightCount: 0, inflightFull: false },
      ...view,
    })
  }
  const basic = { id: 1, term: 2, vote: 1, commit: 1_000, applied: 1_000 }
  const role = { leader: 1, role: 'leader', leadTransferee: 0 } as const
  const isHeard = (id: number): boolean => peers[id]?.isHeard ?? true
  return { status: { ...basic, ...role, confState, progress }, group, isHeard }
}

test.each<readonly [Peer, number | undefined]>([
  [{ match: 900 }, 2],
  [{ match: 899 }, undefined],
  [{ state: 'snapshot', match: 1_000 }, undefined],
  [{ recentActive: false }, undefined],
])('a learner at %j is promoted: %s', (learner, expected) => {
  expect(findPromotable(sightOf({ 2: learner }, [2]))).toBe(expected)
})

test('the leadership goes to the most advanced other voter that is heard of', () => {
  const sight = sightOf(
    {
      2: { match: 990 },
      3: { match: 995 },
      4: { match: 999, isHeard: false },
      5: { match: 999, isConnected: false },
      6: { match: 1_000 },
    },
    [6],
  )

  expect(findSuccessor(sight)).toBe(3)
  expect(findSuccessor(sightOf({ 2: { isConnected: false } }))).toBeUndefined()
})

test('a member is not removed when too few of those left are heard of', () => {
  const lame = sightOf({ 2: {}, 3: { isHeard: false } })

  expect(refuseRemoval(lame, 3)).toBeUndefined()
  expect(refuseRemoval(lame, 2)).toContain('loss of quorum')
  expect(refuseRemoval(sightOf({}), 1)).toContain('last manager')
})

test('a learner may be removed whatever the voters do', () => {
  expect(refuseRemoval(sightOf({ 2: { isHeard: false }, 3: {} }, [3]), 3)).toBeUndefined()
})
