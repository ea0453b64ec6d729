/** Joining the Raft group: ids of data directories, addresses that changed, and who may not. */
import { expect, test } from 'vitest'
import { newSeededRandom } from '../lib/random.ts'
import type { MemberJoin } from '../proto/gen/control.ts'
import type { Member } from '../proto/gen/types.ts'
import { node, storeWith } from '../test/build.ts'
import { type JoinPlan, newRaftId, planMemberJoin } from './member-join.ts'

const view = storeWith({
  nodes: [
    node({ id: 'n1', spec: { role: 'manager' } }),
    node({ id: 'n2', spec: { role: 'manager' } }),
    node({ id: 'w1', spec: { role: 'worker' } }),
  ],
}).view()
const m1: Member = { raftId: 11, nodeId: 'n1', raftAddr: '10.0.0.1:7946', addr: '10.0.0.1:2377' }
const random = newSeededRandom('member-join')

function plan(
  part: Partial<MemberJoin>,
  callerId = part.nodeId ?? 'n1',
  isConnected = false,
): JoinPlan {
  return planMemberJoin(
    view,
    { nodeId: 'n1', raftAddr: m1.raftAddr, addr: m1.addr, raftId: 0, ...part },
    { caller: { nodeId: callerId, role: 'manager' }, members: [{ ...m1, isConnected }], random },
  )
}

test('a node that is no member yet gets an id of its own', () => {
  const { member, change } = plan({ nodeId: 'n2', raftAddr: 'b:7946', addr: 'b:2377' })

  expect(member).toMatchObject({ nodeId: 'n2', raftAddr: 'b:7946', addr: 'b:2377' })
  expect(member?.raftId).not.toBe(11)
  expect(change).toEqual({ kind: 'add', member })
})

test('a member that comes back with its directory is the same, and nothing changes', () => {
  expect(plan({ raftId: 11 })).toEqual({ member: m1, change: undefined })
})

test.each([{ raftAddr: '10.0.0.9:7946' }, { addr: '10.0.0.9:2377' }])(
  'a member that comes back with another address is moved (%j)',
  (moved) => {
    const { member, change } = plan({ raftId: 11, ...moved })

    expect(member).toEqual({ ...m1, ...moved })
    expect(change).toEqual({ kind: 'update', member })
  },
)

test('a member that comes back with an empty directory gets a new id', () => {
  const { member, change } = plan({ raftId: 0 })

  expect(member?.raftId).not.toBe(11)
  expect(change).toEqual({ kind: 'add', member })
})

test.each(['n1', 'n2'])(
  'a member that was removed is told so when it asks with its old id, and nothing changes (%s)',
  (nodeId) => {
    expect(plan({ nodeId, raftId: 5 })).toEqual({ member: undefined, change: undefined })
  },
)

test.each([
  ['for another node', { nodeId: 'n2' }, 'n1', 'permission-denied'],
  ['for a worker', { nodeId: 'w1' }, 'w1', 'failed-precondition'],
  ['for a node that is not there', { nodeId: 'n9' }, 'n9', 'failed-precondition'],
])('joining %s is refused', (_, part, callerId, code) => {
  expect(() => plan(part, callerId)).toThrow(expect.objectContaining({ code }))
})

test('a raft id is drawn anew while it is nobody’s or somebody’s', () => {
  // Zero, then the id of a member, then one that is free.
  const draws = [0, 0, 0, 11, 0, 12]
  const scripted = { ...random, integer: () => draws.shift() ?? 99 }

  expect(newRaftId({ members: [m1], random: scripted })).toBe(12)
  expect(draws).toEqual([])
})

test('raft ids are safe integers over the whole range', () => {
  const ids = Array.from({ length: 1_000 }, () => newRaftId({ members: [], random }))

  for (const id of ids) expect(Number.isSafeInteger(id) && id > 0).toBe(true)
  expect(new Set(ids).size).toBe(1_000)
  expect(Math.max(...ids)).toBeGreaterThan(2 ** 51)
})

test('a request that comes late does not replace a member that is connected', () => {
  expect(() => plan({ raftId: 0 }, 'n1', true)).toThrow(/takes part as a manager already/)
  expect(plan({ raftId: 0 }, 'n1', false).change).toMatchObject({ kind: 'add' })
  expect(plan({ raftId: 11 }, 'n1', true).change).toBeUndefined()
})
