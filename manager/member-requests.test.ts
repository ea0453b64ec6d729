/** Joins and leaves as the leader asks for them. Which change a request means is planMemberJoin's. */
import { expect, test } from 'vitest'
import { newSeededRandom } from '../lib/random.ts'
import { node, storeWith } from '../test/build.ts'
import type { Origin } from './calls.ts'
import { type JoinSituation, type MemberChange, MemberRequests } from './member-requests.ts'

const ORIGIN: Origin = { from: 'shell', id: 9 }
const JOIN = { nodeId: 'n2', raftAddr: 'n2:7946', addr: 'n2:2377', raftId: 0 }
const nodes = ['n1', 'n2'].map((id) => node({ id, spec: { role: 'manager' } }))
const first = { raftId: 1, nodeId: 'n1', raftAddr: 'n1:7946', addr: 'n1:2377', isConnected: true }
const situation: JoinSituation = {
  index: 4,
  members: [first],
  view: storeWith({ nodes }).view(),
  caller: { nodeId: 'n2', role: 'manager' },
  random: newSeededRandom('member-requests'),
}

function join(requests: MemberRequests): MemberChange {
  const effect = requests.join(ORIGIN, JOIN, situation)
  if (effect.kind !== 'change-members') throw new Error('a change was expected')
  return effect
}

test('a join is answered with the whole group once its change is in force', () => {
  const requests = new MemberRequests()
  const { id } = join(requests)

  const answer = requests.joined(id, situation)

  expect(answer?.origin).toEqual(ORIGIN)
  expect(answer?.outcome).toMatchObject({
    ...{ index: 4, member: { nodeId: 'n2' }, members: [{ nodeId: 'n1' }, { nodeId: 'n2' }] },
  })
  expect(requests.joined(id, situation)).toBeUndefined()
})

test('a join that changes nothing, or is refused, is an outcome that must be confirmed', () => {
  const requests = new MemberRequests()
  const { nodeId, raftAddr, addr, raftId } = first

  const same = requests.join(
    ORIGIN,
    { nodeId, raftAddr, addr, raftId },
    {
      ...situation,
      caller: { nodeId, role: 'manager' },
    },
  )
  const foreign = requests.join(ORIGIN, { ...JOIN, nodeId: 'n1' }, situation)

  expect(same).toMatchObject({ kind: 'outcome', outcome: { member: { raftId: 1 } } })
  expect(foreign).toMatchObject({ kind: 'outcome', outcome: { code: 'permission-denied' } })
})

test('a join under way when the leadership is lost is answered once, with an unknown outcome', () => {
  const requests = new MemberRequests()
  const { id } = join(requests)

  const lost = requests.stopLeading()

  expect(lost).toMatchObject([{ origin: ORIGIN, outcome: { code: 'unavailable' } }])
  expect(lost.map(({ outcome }) => 'retriable' in outcome && outcome.retriable)).toEqual([false])
  expect(requests.joined(id, situation)).toBeUndefined()
  expect(join(requests).id).not.toBe(id)
})

test('a second join of a node is refused while its first is under way', () => {
  const requests = new MemberRequests()
  const { id } = join(requests)

  const second = requests.join({ from: 'shell', id: 10 }, JOIN, situation)
  requests.refused(id, 'outcome unknown')

  expect(second).toMatchObject({
    ...{ kind: 'outcome', origin: { id: 10 }, outcome: { code: 'unavailable', retriable: true } },
  })
  expect(join(requests).id).not.toBe(id)
})

test('members are asked to leave at once, and again every 5 s until they have', () => {
  const requests = new MemberRequests()

  const asked = [
    requests.leave([2], 10_000),
    requests.leave([2], 14_999),
    requests.leave([2, 3], 14_999),
    requests.leave([2, 3], 19_999),
    requests.leave([], 30_000),
  ]

  expect(asked).toEqual([[2], [], [2, 3], [2, 3], []])
})
