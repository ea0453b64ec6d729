/**
 * Votes, terms and answers in every role: who votes from where, what ends a role, and which
 * transitions there are. Scenarios of etcd-io/raft; docs/raft.md lists them.
 */
import { describe, expect, test } from 'vitest'
import type { Role } from './state.ts'
import { entry, type NodeOptions, TestCluster, TestNode } from './test-cluster.ts'

const ELECTION_TICKS = 10
const ROLES = ['follower', 'pre-candidate', 'candidate', 'leader'] as const

/** A node of three in this role, in term 1 unless it is only about to begin it. */
function nodeAs(role: Role, options: NodeOptions = {}): TestNode {
  const node = new TestNode({ ...options, preVote: role === 'pre-candidate' })
  if (role === 'follower') node.step({ type: 'heartbeat', from: 2, term: 1 })
  else if (role === 'leader') node.lead()
  else node.raw.campaign()
  node.work()
  expect(node.raw.basicStatus().role).toBe(role)
  return node
}

describe.each(ROLES)('a %s', (role) => {
  test('votes in a higher term, and follows it', () => {
    const node = nodeAs(role)

    const [answer] = node.step({ type: 'vote', from: 3, term: 5, logTerm: 5, index: 9 })

    expect(answer).toMatchObject({ type: 'vote-response', to: 3, term: 5, reject: false })
    expect(node.raw.basicStatus()).toMatchObject({ role: 'follower', term: 5, vote: 3 })
  })

  test('grants a pre-vote for a higher term, and stays what it is', () => {
    const node = nodeAs(role)
    const before = node.raw.basicStatus()

    const [answer] = node.step({ type: 'pre-vote', from: 3, term: 5, logTerm: 5, index: 9 })

    expect(answer).toMatchObject({ type: 'pre-vote-response', to: 3, term: 5, reject: false })
    expect(node.raw.basicStatus()).toEqual(before)
  })

  test.each(['append', 'heartbeat', 'vote', 'append-response', 'vote-response'] as const)(
    'of a term that is over follows when a message of type %s has a higher one',
    (type) => {
      const node = nodeAs(role)

      node.step({ type, from: 2, term: 3, logTerm: 3 })

      const isLeaders = type === 'append' || type === 'heartbeat'
      expect(node.raw.basicStatus()).toMatchObject({
        ...{ role: 'follower', term: 3, leader: isLeaders ? 2 : 0 },
      })
    },
  )

  test('takes no message of an older term', () => {
    const node = nodeAs(role, { terms: [1], hardState: { term: 6 } })
    const before = { status: node.raw.basicStatus(), log: node.log() }

    for (const type of ['append', 'heartbeat', 'snapshot', 'vote', 'vote-response'] as const)
      node.step({ type, from: 2, term: 5, entries: [entry(5, 1)], commit: 1 })

    expect({ status: node.raw.basicStatus(), log: node.log() }).toEqual(before)
  })
})

test.each([
  { from: 'follower', event: 'timeout', to: 'candidate' },
  { from: 'candidate', event: 'timeout', to: 'candidate' },
  { from: 'pre-candidate', event: 'timeout', to: 'pre-candidate' },
  { from: 'leader', event: 'timeout', to: 'leader' },
  { from: 'candidate', event: 'quorum', to: 'leader' },
  { from: 'pre-candidate', event: 'quorum', to: 'candidate' },
  { from: 'candidate', event: 'refused', to: 'follower' },
  { from: 'pre-candidate', event: 'refused', to: 'follower' },
] as const)('$event makes a $from a $to', ({ from, event, to }) => {
  const node = nodeAs(from)
  const isPre = from === 'pre-candidate'
  const response = { type: isPre ? 'pre-vote-response' : 'vote-response', term: 1 } as const

  if (event === 'timeout') node.tick(2 * ELECTION_TICKS)
  else
    for (const voter of [2, 3])
      if (node.raw.basicStatus().role === from)
        node.step({ ...response, from: voter, reject: event === 'refused' })

  expect(node.raw.basicStatus().role).toBe(to)
})

test.each([
  { own: [], vote: 0, index: 0, logTerm: 0, reject: false },
  { own: [1], vote: 0, index: 1, logTerm: 1, reject: false },
  // The other’s log is shorter, or its last entry of an older term.
  { own: [1, 1], vote: 0, index: 1, logTerm: 1, reject: true },
  { own: [2], vote: 0, index: 9, logTerm: 1, reject: true },
  { own: [2], vote: 0, index: 1, logTerm: 3, reject: false },
  // A vote that was cast binds in its term, and no pre-vote for a later one.
  { own: [1], vote: 3, index: 1, logTerm: 1, reject: false },
])('a pre-vote is answered by the log alone: $own against $logTerm at $index', (row) => {
  const node = new TestNode({ terms: row.own, hardState: { term: 2, vote: row.vote } })
  const { index, logTerm, reject } = row

  const [answer] = node.step({ type: 'pre-vote', from: 2, term: 3, index, logTerm })

  expect(answer).toMatchObject({ type: 'pre-vote-response', reject, term: reject ? 2 : 3 })
  expect(node.raw.basicStatus()).toMatchObject({ term: 2, vote: row.vote })
})

describe.each(['follower', 'candidate'] as const)('the election timeout of a %s', (role) => {
  /** Ticks until it campaigns for another term. */
  function timeoutOf(node: TestNode): number {
    const { term } = node.raw.basicStatus()
    for (let ticks = 1; ; ticks++) {
      node.tick()
      if (node.raw.basicStatus().term > term) return ticks
    }
  }

  /** Begins its timer anew in a later term. */
  function beginAs(node: TestNode): void {
    const { term } = node.raw.basicStatus()
    node.step({ type: 'append', from: 2, term: term + 1 })
    if (role === 'candidate') node.raw.campaign()
    node.work()
  }

  test('covers all of [T, 2T)', () => {
    const node = new TestNode()
    const timeouts = new Set<number>()

    for (let round = 0; round < 1_000; round++) {
      beginAs(node)
      timeouts.add(timeoutOf(node))
    }

    expect([...timeouts].sort((a, b) => a - b)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
  })

  test('is the first alone in most elections', () => {
    const nodes = [1, 2, 3, 4, 5].map((id) => new TestNode({ id, voters: [1, 2, 3, 4, 5] }))
    let conflicts = 0

    for (let round = 0; round < 500; round++) {
      const timeouts = nodes.map((node) => {
        const { term } = node.raw.basicStatus()
        const from = node.id === 1 ? 2 : 1
        node.step({ type: 'append', from, term: term + 1 })
        if (role === 'candidate') node.raw.campaign()
        node.work()
        return timeoutOf(node)
      })
      const first = Math.min(...timeouts)
      if (timeouts.filter((ticks) => ticks === first).length > 1) conflicts++
    }

    expect(conflicts / 500).toBeLessThan(0.5)
  })
})

describe('a candidate that was cut off', () => {
  test.each(['heartbeat', 'append'] as const)('is brought back by the leader’s %s', (type) => {
    const cluster = new TestCluster(3)
    cluster.elect(1)
    cluster.isolate(3)
    cluster.tick(2 * ELECTION_TICKS, 3)
    const { term } = cluster.node(3).raw.basicStatus()
    expect(cluster.node(3).raw.basicStatus().role).toBe('candidate')

    cluster.heal()
    cluster.node(3).step({ type, from: 1, term })

    expect(cluster.node(3).raw.basicStatus()).toMatchObject({ role: 'follower', term, leader: 1 })
  })
})

describe('rivals', () => {
  test('without pre-votes: the longer log wins, however high the other’s term', () => {
    const cluster = new TestCluster(3)
    // 1 and 3 do not hear each other: 1 wins with 2, 3 is left a candidate.
    cluster.lose(({ from, to }) => (from === 1 && to === 3) || (from === 3 && to === 1))
    cluster.elect(1)
    cluster.elect(3)
    expect(cluster.roles()).toBe('leader@1 follower@1 candidate@1')

    cluster.heal()
    // Its term is higher now, but 1 and 2 have an entry that it lacks.
    cluster.elect(3)

    expect(cluster.roles()).toBe('follower@2 follower@2 follower@2')
    expect(cluster.node(3).log()).toEqual([])
  })

  test('with pre-votes and the lease: neither has any effect while the leader is heard', () => {
    const cluster = new TestCluster(3, { preVote: true, checkQuorum: true })
    cluster.elect(1)
    cluster.tick(1, 1)

    cluster.elect(2)
    cluster.tick(1, 1)
    cluster.elect(3)
    cluster.tick(1, 1)

    expect(cluster.roles()).toBe('leader@1 follower@1 follower@1')
  })
})

describe('CheckQuorum', () => {
  test('a candidate wins once the lease of the others is over, and not before', () => {
    const cluster = new TestCluster(3, { checkQuorum: true })
    cluster.elect(1)
    cluster.tick(1, 1)

    cluster.elect(3)
    const early = cluster.leader()?.id
    // 2 hears nobody for an election timeout, but does not campaign itself yet.
    cluster.node(2).raw.setElectionTimeout(10 * ELECTION_TICKS)
    cluster.isolate(1)
    cluster.tick(ELECTION_TICKS, 2)
    cluster.elect(3)

    expect([early, cluster.leader()?.id]).toEqual([1, 3])
  })

  test('a node that does not know that it is a voter follows, and never campaigns', () => {
    const cluster = new TestCluster(0)
    cluster.add({ id: 1, voters: [1, 2], checkQuorum: true })
    cluster.add({ id: 2, voters: [1], checkQuorum: true })

    cluster.tick(3 * ELECTION_TICKS, 2)
    const alone = cluster.roles()
    cluster.elect(1)

    expect(alone).toBe('follower@0 follower@0')
    expect(cluster.roles()).toBe('leader@1 follower@1')
    expect(cluster.node(2).raw.basicStatus().leader).toBe(1)
  })
})

test('a stuck pre-candidate of a higher term is freed by answering the leader', () => {
  const cluster = new TestCluster(0)
  const options = { voters: [1, 2, 3], checkQuorum: true, preVote: true }
  for (const id of [1, 2, 3]) cluster.add({ ...options, id })
  cluster.elect(1)
  // It campaigned without pre-votes once, alone, before it was upgraded.
  cluster.isolate(3)
  cluster.node(3).storage.setHardState({ term: 7, vote: 3, commit: 1 })
  cluster.restart(3, options)
  cluster.elect(3)
  expect(cluster.node(3).raw.basicStatus()).toMatchObject({ role: 'pre-candidate', term: 7 })

  cluster.heal()
  cluster.tick(1, 1)
  const deposed = cluster.node(1).raw.basicStatus()
  cluster.elect(1)

  expect(deposed).toMatchObject({ role: 'follower', term: 7 })
  expect(cluster.roles()).toBe('leader@8 follower@8 follower@8')
})

describe('beats', () => {
  test('only a leader sends heartbeats, and it sends no entries with them', () => {
    const sent = ROLES.map((role) =>
      nodeAs(role)
        .tick()
        .filter(({ type }) => type === 'heartbeat' || type === 'append')
        .map(({ type, to, entries }) => `${type} to ${to}: ${entries.length}`),
    )

    expect(sent).toEqual([[], [], [], ['heartbeat to 2: 0', 'heartbeat to 3: 0']])
  })
})
