/**
 * Replication: proposals, catching up, hints after refusals, and how much may be in flight.
 */
import { describe, expect, test } from 'vitest'
import type { Message } from './message.ts'
import { encode, entry, type NodeOptions, TestCluster, TestNode } from './test-cluster.ts'

/** Leads term 1 with one entry that node 2 has acknowledged. */
function leader(options: NodeOptions = {}): TestNode {
  const node = new TestNode({ voters: [1, 2], ...options })
  node.lead()
  acknowledge(node, node.storage.lastIndex())
  return node
}

function acknowledge(node: TestNode, index: number, from = 2): readonly Message[] {
  const { term } = node.raw.basicStatus()
  return node.step({ type: 'append-response', from, term, index })
}

function propose(node: TestNode, ...texts: readonly string[]): readonly Message[] {
  for (const text of texts) node.raw.propose(encode(text))
  return node.work()
}

function ranges(messages: readonly Message[]): readonly string[] {
  return messages.map(({ index, entries }) => `${index}+${entries.length}`)
}

describe('log replication', () => {
  test('entries reach voters and learners, and are applied by all in order', () => {
    const cluster = new TestCluster(4, { learners: [4] })
    cluster.elect(1)

    for (const text of ['a', 'b', 'c']) cluster.propose(1, text)

    for (const node of cluster.nodes.values()) expect(node.applied).toEqual(['a', 'b', 'c'])
  })

  test('a proposal through a follower reaches the leader', () => {
    const cluster = new TestCluster(3)
    cluster.elect(1)
    cluster.propose(2, 'x')
    expect(cluster.node(3).applied).toEqual(['x'])
  })

  test('a proposal is dropped without leader, by candidates, and if forwarding is off', () => {
    const follower = new TestNode({ disableProposalForwarding: true })
    expect(follower.raw.propose(encode('x'))).toBe('proposal-dropped')
    follower.step({ type: 'heartbeat', from: 2, term: 1 })
    expect(follower.raw.propose(encode('x'))).toBe('proposal-dropped')
    follower.raw.campaign()
    expect(follower.raw.propose(encode('x'))).toBe('proposal-dropped')

    expect(follower.traced('proposal-dropped').map(({ refusal }) => refusal.kind)).toEqual([
      'no-leader',
      'forwarding-off',
      'no-leader',
    ])
  })

  test('without a quorum nothing is committed', () => {
    const cluster = new TestCluster(5)
    cluster.elect(1)
    cluster.isolate(3, 4, 5)
    cluster.propose(1, 'x')
    expect(cluster.node(1).applied).toEqual([])
    expect(cluster.node(2).log()).toEqual(['1', '1:x'])
  })

  test("entries of earlier terms are committed by the new leader's empty entry", () => {
    const cluster = new TestCluster(5)
    cluster.elect(1)
    cluster.isolate(3, 4, 5)
    cluster.propose(1, 'x')
    cluster.heal()
    cluster.loseType('append')
    cluster.elect(2)
    expect(cluster.node(2).raw.basicStatus()).toMatchObject({ role: 'leader', commit: 1 })

    cluster.heal()
    cluster.tick(1, 2)

    expect(cluster.node(2).raw.basicStatus().commit).toBe(3)
    expect(cluster.node(5).applied).toEqual(['x'])
  })

  test('delayed appends of an old leader change nothing', () => {
    const cluster = new TestCluster(3)
    cluster.elect(1)
    cluster.elect(2)
    cluster.elect(1)
    const before = cluster.node(2).log()

    cluster
      .node(2)
      .step({ type: 'append', from: 1, term: 1, index: 1, entries: [entry(1, 2, 'z')] })

    expect(cluster.node(2).log()).toEqual(before)
  })

  test('a repeated or shorter append does not cut the log', () => {
    const node = new TestNode({ terms: [1, 1, 1], hardState: { term: 1 } })
    const answers = node.step({ type: 'append', from: 2, term: 1, entries: [entry(1, 1)] })
    expect(answers).toMatchObject([{ index: 1, reject: false }])
    expect(node.log()).toEqual(['1', '1', '1'])
  })

  test('an append before the commit index is answered with that index', () => {
    const node = new TestNode({ terms: [1, 1], hardState: { term: 1, commit: 2 } })
    const [answer] = node.step({ type: 'append', from: 2, term: 1, entries: [entry(1, 1)] })
    expect(answer).toMatchObject({ index: 2, reject: false })
  })

  test('a commit index counts only as far as the log is known to equal what the leader has', () => {
    const node = new TestNode({ terms: [1, 1, 1], hardState: { term: 2 } })
    node.step({ type: 'append', from: 2, term: 2, entries: [entry(1, 1)], commit: 3 })
    expect(node.raw.basicStatus().commit).toBe(1)
  })

  test('a heartbeat commits, and does not take back', () => {
    const node = new TestNode({ terms: [1, 1, 1], hardState: { term: 1, commit: 1 } })
    node.step({ type: 'heartbeat', from: 2, term: 1, commit: 3 })
    expect(node.raw.basicStatus().commit).toBe(3)
    node.step({ type: 'heartbeat', from: 2, term: 1, commit: 2 })
    expect(node.raw.basicStatus().commit).toBe(3)
  })

  test('a heartbeat past the end of the log stops the node: its log was lost', () => {
    const node = new TestNode({ terms: [1], hardState: { term: 1 } })
    expect(() => node.step({ type: 'heartbeat', from: 2, term: 1, commit: 2 })).toThrow(
      /commit past/,
    )
  })

  test('heartbeats carry no more commit than the peer is known to have', () => {
    const node = leader({ voters: [1, 2, 3] })
    const commits = node.tick().map(({ to, commit }) => [to, commit])
    expect(commits).toEqual([
      [2, 1],
      [3, 0],
    ])
  })
})

describe('refusals (one round for each term)', () => {
  test.each([
    {
      name: 'the follower has a long tail of a lower term',
      leaderTerms: [1, 3, 3, 3, 5, 5, 5, 5, 5],
      followerTerms: [1, 1, 1, 1, 2, 2],
      probe: 1,
    },
    {
      name: 'the follower has a long tail of higher terms',
      leaderTerms: [1, 3, 3, 3, 3, 3, 3, 3, 7],
      followerTerms: [1, 3, 3, 4, 4, 5, 5, 5, 6],
      probe: 3,
    },
    {
      name: 'the logs have nothing in common',
      leaderTerms: [2, 2, 2],
      followerTerms: [1, 1, 1, 1],
      probe: 0,
    },
    {
      name: 'the follower is only shorter',
      leaderTerms: [1, 1, 1, 1, 1],
      followerTerms: [1, 1],
      probe: 2,
    },
  ])('$name: the probe that fits comes soon', ({ leaderTerms, followerTerms, probe }) => {
    const cluster = new TestCluster(0)
    const voters = [1, 2, 3]
    const node = cluster.add({ id: 1, voters, terms: leaderTerms, hardState: { term: 8 } })
    cluster.add({ id: 2, voters, terms: followerTerms, hardState: { term: 8 } })
    cluster.add({ id: 3, voters, hardState: { term: 8 } })

    cluster.elect(1)

    const probes = node.readies
      .flatMap(({ messages }) => messages)
      .filter(({ type, to }) => type === 'append' && to === 2)
      .map(({ index }) => index)
    expect(probes).toContain(probe)
    expect(probes.indexOf(probe)).toBeLessThanOrEqual(2)
    expect(cluster.node(2).log()).toEqual(node.log())
  })

  test('a stale refusal does not take back what is acknowledged', () => {
    const node = leader()
    propose(node, 'a', 'b')
    acknowledge(node, 3)

    node.step({ type: 'append-response', from: 2, term: 1, index: 2, reject: true, rejectHint: 1 })

    expect(node.raw.status().progress.get(2)).toMatchObject({ match: 3, next: 4 })
  })
})

describe('an answer to the first probe of a new leader', () => {
  /** Leads term 2 with its first entry at 3, and probes 2 and 3 after index 2. */
  function newLeader(): TestNode {
    const node = new TestNode({ terms: [1, 1], hardState: { term: 1 } })
    node.lead()
    return node
  }

  test.each([
    {
      name: 'a refusal of another probe changes nothing',
      answer: { index: 1, reject: true, rejectHint: 1 },
      progress: { state: 'probe', match: 0, next: 3 },
      sent: [],
      commit: 0,
    },
    {
      name: 'a refusal makes the next probe begin earlier',
      answer: { index: 2, reject: true, rejectHint: 0 },
      progress: { state: 'probe', match: 0, next: 1 },
      sent: ['0+3'],
      commit: 0,
    },
    {
      name: 'an acknowledgement commits, and the peer is told',
      answer: { index: 3 },
      progress: { state: 'replicate', match: 3, next: 4 },
      sent: ['3+0'],
      commit: 3,
    },
    {
      name: 'an acknowledgement of what was before commits nothing',
      answer: { index: 2 },
      progress: { state: 'replicate', match: 2 },
      sent: ['2+1'],
      commit: 0,
    },
  ])('$name', ({ answer, progress, sent, commit }) => {
    const node = newLeader()

    const messages = node.step({ type: 'append-response', from: 2, term: 2, ...answer })

    expect(ranges(messages)).toEqual(sent)
    expect(messages.every(({ to }) => to === 2)).toBe(true)
    expect(node.raw.status().progress.get(2)).toMatchObject(progress)
    expect(node.raw.basicStatus().commit).toBe(commit)
  })

  test('an acknowledgement ends the wait of that peer alone', () => {
    const node = newLeader()
    acknowledge(node, 3)

    const first = propose(node, 'x')
    const second = acknowledge(node, 3, 3)

    expect(first.map(({ to }) => to)).toEqual([2])
    expect(second.filter(({ entries }) => entries.length > 0).map(({ to }) => to)).toEqual([3])
  })
})

test('a leader tracks itself as a peer that takes every entry at once', () => {
  const node = leader()

  propose(node, 'a', 'b')

  const own = node.raw.status().progress.get(1)
  expect(own).toMatchObject({ state: 'replicate', match: 3, next: 4, isPaused: false })
})

describe('flow control', () => {
  test('a probe is sent once, and again after a heartbeat is answered', () => {
    const node = new TestNode({ voters: [1, 2] })
    node.lead()
    expect(propose(node, 'a', 'b')).toEqual([])
    expect(node.raw.status().progress.get(2)).toMatchObject({ state: 'probe', isPaused: true })

    const [again] = node.step({ type: 'heartbeat-response', from: 2, term: 1 })

    expect(again).toMatchObject({ type: 'append', index: 0 })
    expect(again?.entries).toHaveLength(3)
  })

  test('in state replicate each proposal is sent at once', () => {
    const node = leader()
    expect(ranges(propose(node, 'a', 'b', 'c'))).toEqual(['1+1', '2+1', '3+1'])
    expect(node.raw.status().progress.get(2)).toMatchObject({ next: 5, inflightCount: 3 })
  })

  test('a full window stops appends; an acknowledgement opens it as far as it goes', () => {
    const node = leader({ inflightMessagesMax: 3 })
    expect(propose(node, 'a', 'b', 'c', 'd', 'e')).toHaveLength(3)
    expect(node.raw.status().progress.get(2)).toMatchObject({ isPaused: true, inflightFull: true })

    const messages = acknowledge(node, 3)

    expect(messages.map(({ index, entries }) => [index, entries.length])).toContainEqual([4, 2])
    expect(node.raw.status().progress.get(2)).toMatchObject({ inflightCount: 2 })
  })

  test('an old acknowledgement opens nothing', () => {
    const node = leader({ inflightMessagesMax: 3 })
    propose(node, 'a', 'b', 'c', 'd')
    acknowledge(node, 2)
    propose(node, 'e', 'f')

    const messages = acknowledge(node, 1)

    expect(messages).toEqual([])
    expect(node.raw.status().progress.get(2)).toMatchObject({ inflightFull: true })
  })

  test('a heartbeat answered with a full window lets one empty append out', () => {
    const node = leader({ inflightMessagesMax: 2 })
    propose(node, 'a', 'b', 'c')

    const messages = node.step({ type: 'heartbeat-response', from: 2, term: 1 })

    expect(messages).toMatchObject([{ type: 'append', index: 3, entries: [] }])
    expect(propose(node, 'd')).toEqual([])
  })

  test('the window is bounded in bytes as well', () => {
    const node = leader({ inflightBytesMax: 10, messageBytesMax: 10 })
    propose(node, 'aaaaa', 'bbbbb', 'ccccc')
    expect(node.raw.status().progress.get(2)).toMatchObject({
      inflightCount: 2,
      inflightFull: true,
    })
  })

  test('a message holds as many entries as fit, and at least one', () => {
    const node = new TestNode({ voters: [1, 2], messageBytesMax: 30 })
    node.lead()
    propose(node, 'aaaaa', 'bbbbb', 'ccccc', 'd'.repeat(100), 'eeeee')

    const messages = acknowledge(node, 1)

    expect(ranges(messages.filter(({ entries }) => entries.length > 0))).toEqual([
      '1+2',
      '3+1',
      '4+1',
      '5+1',
    ])
  })

  test('a peer that is unreachable is probed again', () => {
    const node = leader()
    propose(node, 'a', 'b')
    expect(node.raw.status().progress.get(2)).toMatchObject({ state: 'replicate', next: 4 })

    node.raw.reportUnreachable(2)

    expect(node.raw.status().progress.get(2)).toMatchObject({ state: 'probe', match: 1, next: 2 })
  })

  test('a peer that lacks nothing leaves state probe by a heartbeat', () => {
    const cluster = new TestCluster(2)
    cluster.elect(1)
    cluster.node(1).raw.reportUnreachable(2)

    cluster.tick(1, 1)

    expect(cluster.node(1).raw.status().progress.get(2)).toMatchObject({ state: 'replicate' })
  })

  test('an answer of a node that is no member is refused', () => {
    const node = leader()
    const outcome = node.raw.step({
      ...(node.tick()[0] ?? expect.fail('a heartbeat')),
      type: 'append-response',
      from: 9,
      to: 1,
    })
    expect(outcome).toBe('peer-unknown')
  })
})

describe('uncommitted proposals', () => {
  test('beyond the limit are dropped, until some are applied; empty ones always pass', () => {
    const node = leader({ uncommittedBytesMax: 10 })
    expect(node.raw.propose(encode('aaaaa'))).toBe('ok')
    expect(node.raw.propose(encode('bbbbb'))).toBe('ok')
    expect(node.raw.propose(encode('c'))).toBe('proposal-dropped')
    expect(node.raw.propose(encode(''))).toBe('ok')
    node.work()

    acknowledge(node, 3)

    expect(node.applied).toEqual(['aaaaa', 'bbbbb'])
    expect(node.raw.propose(encode('c'))).toBe('ok')
  })

  test('one of any size passes when nothing waits', () => {
    const node = leader({ uncommittedBytesMax: 10 })
    expect(node.raw.propose(encode('x'.repeat(100)))).toBe('ok')
    expect(node.raw.propose(encode('y'))).toBe('proposal-dropped')
  })

  test('an empty one passes even beyond the limit', () => {
    const node = leader({ uncommittedBytesMax: 10 })
    node.raw.propose(encode('x'.repeat(100)))
    expect(node.raw.propose(encode(''))).toBe('ok')
  })

  test('the log of a leader without a quorum stays bounded', () => {
    const node = leader({ uncommittedBytesMax: 100 })
    for (let i = 0; i < 1_000; i++) node.raw.propose(encode('0123456789'))
    node.work()
    expect(node.log().length).toBeLessThanOrEqual(11)
  })
})
