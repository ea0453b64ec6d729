/** The Raft group and the node objects brought together: who leaves, and what the objects say. */
import { expect, test } from 'vitest'
import type { Node } from '../../proto/gen/objects.ts'
import type { Member } from '../../proto/gen/types.ts'
import type { Part } from '../../test/build.ts'
import { applyTo, node, storeWith } from '../../test/build.ts'
import { planRoles } from './roles.ts'

const m1: Member = { raftId: 11, nodeId: 'n1', raftAddr: '10.0.0.1:7946', addr: '10.0.0.1:2377' }
const m2: Member = { raftId: 12, nodeId: 'n2', raftAddr: '10.0.0.2:7946', addr: '10.0.0.2:2377' }

function plan(nodes: readonly Part<Node>[], members: readonly Member[]) {
  const store = storeWith({ nodes: nodes.map((part) => node(part)) })
  const { changes, leaving } = planRoles(store.view(), members)
  applyTo(store, changes)
  const after = planRoles(store.view(), members)
  return {
    leaving,
    members: Object.fromEntries(
      [...store.view().nodes.list()].map((each) => [each.id, each.member?.raftId]),
    ),
    changes: changes.length,
    isSettled: after.changes.length === 0,
  }
}

const manager = { spec: { role: 'manager' as const } }

test.each<[string, readonly Part<Node>[], readonly Member[], object]>([
  [
    'what is as it should be stays',
    [{ id: 'n1', ...manager, member: m1 }],
    [m1],
    { leaving: [], members: { n1: 11 }, changes: 0 },
  ],
  [
    'a new member is noted on its node',
    [
      { id: 'n1', ...manager, member: m1 },
      { id: 'n2', ...manager },
    ],
    [m1, m2],
    { leaving: [], members: { n1: 11, n2: 12 }, changes: 1 },
  ],
  [
    'a demoted node leaves the group, and is a member until it has',
    [{ id: 'n1', spec: { role: 'worker' }, member: m1 }],
    [m1],
    { leaving: [11], members: { n1: 11 }, changes: 0 },
  ],
  [
    'a member whose node is gone leaves the group',
    [{ id: 'n1', ...manager, member: m1 }],
    [m1, m2],
    { leaving: [12], members: { n1: 11 }, changes: 0 },
  ],
  [
    'a node that has left the group is no member any more',
    [{ id: 'n1', spec: { role: 'worker' }, member: m1 }],
    [],
    { leaving: [], members: { n1: undefined }, changes: 1 },
  ],
  [
    'a member with a new id or address is noted anew',
    [
      { id: 'n1', ...manager, member: { ...m1, raftId: 7 } },
      { id: 'n2', ...manager, member: { ...m2, raftAddr: '10.9.9.9:7946' } },
    ],
    [m1, m2],
    { leaving: [], members: { n1: 11, n2: 12 }, changes: 2 },
  ],
  [
    'a node that is two members is noted as the later one, once (simulator, seed 3)',
    [{ id: 'n1', ...manager, member: m1 }],
    [m1, { ...m1, raftId: 13 }],
    { leaving: [], members: { n1: 13 }, changes: 1 },
  ],
  [
    'a node that is to be a manager and has not joined the group waits',
    [{ id: 'n2', ...manager }],
    [],
    { leaving: [], members: { n2: undefined }, changes: 0 },
  ],
])('%s', (_, nodes, members, expected) => {
  expect(plan(nodes, members)).toEqual({ ...expected, isSettled: true })
})

test('what is noted is the member alone, without the state that Raft knows of it', () => {
  const known = { ...m1, isVoter: true, isActive: false }
  const { changes } = planRoles(storeWith({ nodes: [node({ id: 'n1', ...manager })] }).view(), [
    known,
  ])

  expect(changes).toMatchObject([{ kind: 'update', table: 'nodes' }])
  expect(
    changes.map(
      (change) => change.kind === 'update' && change.table === 'nodes' && change.object.member,
    ),
  ).toEqual([m1])
})
