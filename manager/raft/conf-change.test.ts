/**
 * Membership changes on running nodes: one at a time, in force when applied, jointly where several
 * voters change; and what the leader does when its quorum changes.
 */
import { describe, expect, test } from 'vitest'
import {
  type ConfChangeSingle,
  type ConfChangeTransition,
  type ConfChangeV2,
  leaveJointChange,
  NO_BYTES,
} from './message.ts'
import { encode, storageAt, TestCluster, TestNode } from './test-cluster.ts'

const letters = {
  v: 'add-voter',
  l: 'add-learner',
  r: 'remove-node',
  u: 'update-node',
} as const

/** `v1 l2 r3`: makes 1 a voter and 2 a learner, removes 3. */
function change(text: string, transition: ConfChangeTransition = 'auto'): ConfChangeV2 {
  const changes = text.split(' ').map((token): ConfChangeSingle => {
    const letter = token.charAt(0)
    if (letter !== 'v' && letter !== 'l' && letter !== 'r' && letter !== 'u') throw new Error(token)
    return { type: letters[letter], nodeId: Number(token.slice(1)) }
  })
  return { transition, changes, context: NO_BYTES }
}

/** Voters that begin with a snapshot, so that a newcomer learns of the configuration from it. */
function clusterAfterSnapshot(voters: readonly number[], newcomers: readonly number[]) {
  const cluster = new TestCluster(0)
  for (const id of voters) cluster.add({ id, storage: storageAt(2, 1, { voters }) })
  for (const id of newcomers) cluster.add({ id, voters: [] })
  cluster.elect(1)
  return cluster
}

function proposeChange(cluster: TestCluster, id: number, next: ConfChangeV2): void {
  expect(cluster.node(id).raw.proposeConfChange(next)).toBe('ok')
  cluster.settle()
}

function members(node: TestNode): string {
  const { voters, votersOutgoing, learners, learnersNext } = node.raw.status().confState
  const parts = [voters.join(' ')]
  if (votersOutgoing.length > 0) parts.push(`&& ${votersOutgoing.join(' ')}`)
  if (learners.length > 0) parts.push(`learners ${learners.join(' ')}`)
  if (learnersNext.length > 0) parts.push(`next ${learnersNext.join(' ')}`)
  return parts.join(' ')
}

describe('one change', () => {
  test('adds a learner, promotes it, and removes a voter, on all nodes alike', () => {
    const cluster = clusterAfterSnapshot([1, 2, 3], [4])
    cluster.propose(1, 'x')

    proposeChange(cluster, 1, change('l4'))
    cluster.tick(2, 1)
    expect(members(cluster.node(4))).toBe('1 2 3 learners 4')
    expect(cluster.node(4).applied).toEqual(['x'])
    proposeChange(cluster, 1, change('v4'))
    proposeChange(cluster, 1, change('r3'))

    for (const id of [1, 2, 4]) expect(members(cluster.node(id))).toBe('1 2 4')
  })

  test('removes a learner, which gets nothing more', () => {
    const cluster = new TestCluster(4, { learners: [4] })
    cluster.elect(1)

    proposeChange(cluster, 1, change('r4'))
    cluster.propose(1, 'x')

    expect(members(cluster.node(1))).toBe('1 2 3')
    expect(cluster.node(1).raw.status().progress.has(4)).toBe(false)
    expect(cluster.node(4).applied).toEqual([])
  })

  test('is in force when applied, not when it is in the log', () => {
    const node = new TestNode({ voters: [1, 2] })
    node.lead()
    node.step({ type: 'append-response', from: 2, term: 1, index: 1 })
    node.raw.proposeConfChange(change('v3'))
    node.work()
    expect(members(node)).toBe('1 2')

    node.step({ type: 'append-response', from: 2, term: 1, index: 2 })

    expect(members(node)).toBe('1 2 3')
  })

  test('the second before the first is applied becomes an empty entry', () => {
    const node = new TestNode({ voters: [1, 2] })
    node.lead()
    node.step({ type: 'append-response', from: 2, term: 1, index: 1 })
    node.raw.proposeConfChange(change('v3'))
    node.raw.proposeConfChange(change('v4'))
    node.work()

    node.step({ type: 'append-response', from: 2, term: 1, index: 3 })

    expect(members(node)).toBe('1 2 3')
    expect(node.traced('conf-change-ignored')).toMatchObject([
      { refusal: { kind: 'pending', pendingIndex: 2, applied: 1 } },
    ])
  })

  test('a new leader takes none before its first entry is applied', () => {
    const node = new TestNode({ voters: [1, 2], terms: [1], hardState: { term: 1 } })
    node.lead()
    node.raw.proposeConfChange(change('v3'))
    expect(node.traced('conf-change-ignored')).toHaveLength(1)
  })

  test('may be in the older form', () => {
    const cluster = new TestCluster(1)
    cluster.elect(1)
    cluster.node(1).raw.proposeConfChange(change('v2'), { v1: true })
    cluster.settle()
    expect(members(cluster.node(1))).toBe('1 2')
    expect(() => cluster.node(1).raw.proposeConfChange(change('v3 v4'), { v1: true })).toThrow()
  })

  test('a smaller quorum commits what waited for the larger one', () => {
    const node = new TestNode({ voters: [1, 2] })
    node.lead()
    node.step({ type: 'append-response', from: 2, term: 1, index: 1 })
    node.raw.proposeConfChange(change('r2'))
    node.raw.propose(encode('x'))
    node.work()
    expect(node.applied).toEqual([])

    node.step({ type: 'append-response', from: 2, term: 1, index: 2 })

    expect(node.applied).toEqual(['x'])
  })

  test('an impossible one that is in the log stops the node', () => {
    const node = new TestNode({ voters: [1] })
    expect(() => node.raw.applyConfChange(change('r1'))).toThrow(/all-voters-removed/)
  })
})

describe('several changes', () => {
  test('go through a joint configuration that is left automatically', () => {
    const cluster = clusterAfterSnapshot([1, 2, 3], [4, 5])

    proposeChange(cluster, 1, change('v4 v5 r2 r3'))
    cluster.tick(3, 1)

    for (const id of [1, 4, 5]) expect(members(cluster.node(id))).toBe('1 4 5')
    expect(cluster.node(1).traced('joint-leave-started')).toHaveLength(1)
  })

  test('need a majority of both halves while it is joint', () => {
    const cluster = clusterAfterSnapshot([1, 2, 3], [4, 5])
    proposeChange(cluster, 1, change('v4 v5 r2 r3', 'joint-explicit'))
    cluster.tick(2, 1)
    expect(members(cluster.node(1))).toBe('1 4 5 && 1 2 3')

    cluster.isolate(4, 5)
    cluster.propose(1, 'x')
    expect(cluster.node(1).applied).toEqual([])
    cluster.isolate(2, 3)
    cluster.propose(1, 'y')
    // 2 and 3 have acknowledged the first, and now 4 and 5 do as well; not so the second.
    expect(cluster.node(1).applied).toEqual(['x'])
    cluster.isolate(3, 5)
    cluster.tick(2, 1)

    expect(cluster.node(1).applied).toEqual(['x', 'y'])
  })

  test('explicit: are left only by an empty change, and others are refused before', () => {
    const cluster = new TestCluster(3)
    cluster.elect(1)
    proposeChange(cluster, 1, change('r3 l2', 'joint-explicit'))
    expect(members(cluster.node(1))).toBe('1 && 1 2 3 next 2')

    proposeChange(cluster, 1, change('v3'))
    expect(members(cluster.node(1))).toBe('1 && 1 2 3 next 2')
    proposeChange(cluster, 1, leaveJointChange)

    expect(members(cluster.node(1))).toBe('1 learners 2')
    proposeChange(cluster, 1, leaveJointChange)
    expect(
      cluster
        .node(1)
        .traced('conf-change-ignored')
        .map(({ refusal }) => refusal.kind),
    ).toEqual(['joint', 'not-joint'])
  })

  test('without the check go into the log as they are', () => {
    const node = new TestNode({ voters: [1], disableConfChangeValidation: true })
    node.raw.campaign()
    node.work()

    node.raw.proposeConfChange(change('v2 v3', 'joint-explicit'))
    node.raw.proposeConfChange(leaveJointChange)

    expect(node.traced('conf-change-ignored')).toEqual([])
  })

  test('a joint configuration is left by the next leader if the first fails', () => {
    const cluster = new TestCluster(5)
    cluster.elect(1)
    // All apply the change, but nobody hears that its leader proposes to leave it.
    cluster.lose(({ entries }) =>
      entries.some(({ type, confChange }) => {
        return type !== 'normal' && confChange === undefined
      }),
    )
    proposeChange(cluster, 1, change('l5 u2', 'joint-implicit'))
    expect(members(cluster.node(2))).toBe('1 2 3 4 && 1 2 3 4 5 next 5')
    cluster.heal()
    cluster.isolate(1)

    cluster.elect(2)

    for (const id of [2, 3, 4, 5]) expect(members(cluster.node(id))).toBe('1 2 3 4 learners 5')
  })
})

test('a joint configuration is left once, however many entries are applied meanwhile', () => {
  const cluster = new TestCluster(3, { committedBytesMax: 1 })
  cluster.elect(1)
  cluster.node(1).raw.proposeConfChange(change('l3 u2', 'joint-implicit'))
  for (const text of ['a', 'b', 'c']) cluster.node(1).raw.propose(encode(text))

  cluster.settle()

  expect(cluster.node(1).applied).toEqual(['a', 'b', 'c'])
  expect(cluster.node(1).traced('joint-leave-started')).toHaveLength(1)
  expect(members(cluster.node(1))).toBe('1 2 learners 3')
})

test('a joint configuration is left after a transfer that was given up', () => {
  const cluster = new TestCluster(3)
  cluster.elect(1)
  cluster.node(1).raw.proposeConfChange(change('l3 u2', 'joint-implicit'))
  cluster.isolate(3)
  cluster.node(1).raw.transferLeader(3)
  cluster.settle()
  expect(cluster.node(1).traced('joint-leave-dropped')).toHaveLength(1)
  expect(members(cluster.node(1))).toBe('1 2 && 1 2 3 next 3')

  cluster.tick(10, 1)

  expect(members(cluster.node(1))).toBe('1 2 learners 3')
})

describe('a leader that is removed', () => {
  test.each([true, false])('steps down: %s', (stepDownOnRemoval) => {
    const cluster = new TestCluster(3, { stepDownOnRemoval })
    cluster.elect(1)

    proposeChange(cluster, 1, change('r1'))

    const { role } = cluster.node(1).raw.basicStatus()
    expect(role).toBe(stepDownOnRemoval ? 'follower' : 'leader')
    expect(cluster.node(1).raw.propose(encode('x'))).toBe('proposal-dropped')
    expect(cluster.node(2).raw.status().confState.voters).toEqual([2, 3])
  })

  test('and removed followers do not disturb the others', () => {
    const cluster = new TestCluster(3, { checkQuorum: true, preVote: true })
    cluster.elect(1)
    proposeChange(cluster, 1, change('r3'))

    cluster.tick(100, 3)

    expect(cluster.node(1).raw.basicStatus()).toMatchObject({ role: 'leader', term: 1 })
  })
})
