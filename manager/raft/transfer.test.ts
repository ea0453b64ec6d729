/**
 * Handing leadership over (thesis 3.10): to whom it goes, what is needed before, and when it is
 * given up. Scenarios of etcd-io/raft; docs/raft.md lists them.
 */
import { describe, expect, test } from 'vitest'
import { encode, TestCluster, TestNode } from './test-cluster.ts'

const ELECTION_TICKS = 10

describe('leadership transfer (thesis 3.10)', () => {
  function clusterLedBy1(options = {}): TestCluster {
    const cluster = new TestCluster(3, options)
    cluster.elect(1)
    return cluster
  }

  test.each([1, 2])('to an up-to-date node, asked of node %i', (asked) => {
    const cluster = clusterLedBy1({ checkQuorum: true, preVote: true })

    cluster.node(asked).raw.transferLeader(2)
    cluster.settle()

    expect(cluster.roles()).toBe('follower@2 leader@2 follower@2')
  })

  test('to a node that lags: first it gets what it lacks', () => {
    const cluster = clusterLedBy1()
    cluster.isolate(3)
    cluster.propose(1, 'x')
    cluster.heal()

    cluster.node(1).raw.transferLeader(3)
    expect(cluster.node(1).raw.basicStatus().leadTransferee).toBe(3)
    cluster.tick(1, 1)

    expect(cluster.leader()?.id).toBe(3)
    expect(cluster.node(3).applied).toEqual(['x'])
  })

  test.each([1, 9])('to itself or a stranger (%i) changes nothing', (target) => {
    const cluster = clusterLedBy1()
    cluster.node(1).raw.transferLeader(target)
    cluster.settle()
    expect(cluster.roles()).toBe('leader@1 follower@1 follower@1')
    expect(cluster.node(1).raw.basicStatus().leadTransferee).toBe(0)
  })

  test('to a learner changes nothing', () => {
    const cluster = new TestCluster(2, { learners: [2] })
    cluster.elect(1)
    cluster.node(1).raw.transferLeader(2)
    cluster.settle()
    expect(cluster.roles()).toBe('leader@1 follower@1')
  })

  test('is given up after an election timeout; until then proposals are dropped', () => {
    const cluster = clusterLedBy1()
    cluster.isolate(3)
    cluster.propose(1, 'x')
    const { raw } = cluster.node(1)
    raw.transferLeader(3)

    expect(raw.propose(encode('y'))).toBe('proposal-dropped')
    cluster.tick(ELECTION_TICKS, 1)

    expect(raw.basicStatus()).toMatchObject({ role: 'leader', leadTransferee: 0 })
    expect(raw.propose(encode('y'))).toBe('ok')
  })

  test('to another replaces the first; to the same does not prolong it', () => {
    const cluster = clusterLedBy1()
    cluster.isolate(3)
    cluster.propose(1, 'x')
    cluster.node(1).raw.transferLeader(3)
    cluster.tick(ELECTION_TICKS - 1, 1)
    cluster.node(1).raw.transferLeader(3)
    cluster.tick(1, 1)
    expect(cluster.node(1).raw.basicStatus().leadTransferee).toBe(0)

    cluster.node(1).raw.transferLeader(3)
    cluster.node(1).raw.transferLeader(2)
    cluster.settle()

    expect(cluster.leader()?.id).toBe(2)
  })

  test('ends when a higher term is seen, or the target leaves', () => {
    const cluster = clusterLedBy1()
    cluster.isolate(3)
    cluster.propose(1, 'x')
    cluster.node(1).raw.transferLeader(3)
    const changes = [{ type: 'remove-node', nodeId: 3 }] as const
    cluster.node(1).raw.applyConfChange({ transition: 'auto', changes, context: encode('') })
    expect(cluster.node(1).raw.basicStatus().leadTransferee).toBe(0)

    cluster.node(1).raw.transferLeader(2)
    cluster.node(1).step({ type: 'append', from: 2, term: 9 })
    expect(cluster.node(1).raw.basicStatus()).toMatchObject({ leadTransferee: 0, role: 'follower' })
  })

  test('a node that is no member does not follow the request', () => {
    const node = new TestNode({ voters: [2, 3] })
    node.step({ type: 'timeout-now', from: 2, term: 1 })
    expect(node.raw.basicStatus().role).toBe('follower')
  })

  test('and back again', () => {
    const cluster = clusterLedBy1()

    for (const target of [3, 1]) {
      cluster.leader()?.raw.transferLeader(target)
      cluster.settle()
    }

    expect(cluster.roles()).toBe('leader@3 follower@3 follower@3')
  })

  test('to a node that lacks what was compacted: first it gets the snapshot', () => {
    const cluster = clusterLedBy1()
    cluster.isolate(3)
    for (const text of ['a', 'b']) cluster.propose(1, text)
    const { storage, raw } = cluster.node(1)
    const { confState, applied } = raw.status()
    storage.setSnapshot({ index: applied, term: 1, confState, data: encode('a,b') })
    storage.compact(applied)
    cluster.heal()

    raw.transferLeader(3)
    expect(raw.basicStatus().leadTransferee).toBe(3)
    cluster.tick(2, 1)

    expect(cluster.leader()?.id).toBe(3)
    expect(cluster.node(3).applied).toEqual(['a,b'])
  })

  test('ends when another campaigns in a higher term', () => {
    const cluster = clusterLedBy1()
    cluster.isolate(3)
    cluster.propose(1, 'x')
    cluster.node(1).raw.transferLeader(3)

    cluster.elect(2)

    expect(cluster.node(1).raw.basicStatus()).toMatchObject({
      ...{ role: 'follower', term: 2, leadTransferee: 0 },
    })
  })

  test('ends when the target becomes a learner', () => {
    const cluster = clusterLedBy1()
    cluster.isolate(3)
    cluster.propose(1, 'x')
    const { raw } = cluster.node(1)
    raw.transferLeader(3)

    const changes = [{ type: 'add-learner', nodeId: 3 }] as const
    raw.applyConfChange({ transition: 'auto', changes, context: encode('') })

    expect(raw.basicStatus()).toMatchObject({ role: 'leader', leadTransferee: 0 })
    expect(raw.propose(encode('y'))).toBe('ok')
  })

  test('a learner that is told to campaign does not', () => {
    const node = new TestNode({ voters: [2, 3], learners: [1] })
    node.step({ type: 'timeout-now', from: 2, term: 1 })
    expect(node.raw.basicStatus()).toMatchObject({ role: 'follower', term: 1 })
  })
})
