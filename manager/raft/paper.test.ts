/**
 * The claims of the Raft paper and thesis, one test each, with the section it comes from.
 */
import { describe, expect, test } from 'vitest'
import type { Message } from './message.ts'
import { decode, entry, message, type NodeOptions, TestCluster, TestNode } from './test-cluster.ts'

const ELECTION_TICKS = 10

/** A node in this role and term, its messages so far taken. */
function nodeAs(role: 'follower' | 'candidate' | 'leader', options: NodeOptions = {}): TestNode {
  const node = new TestNode(options)
  if (role === 'candidate') node.raw.campaign()
  if (role === 'leader') node.lead()
  node.work()
  return node
}

function summary(messages: readonly Message[]): readonly string[] {
  return messages.map(({ type, to, term }) => `${type} to ${to} at ${term}`)
}

describe('terms (section 5.1)', () => {
  test.each(['follower', 'candidate', 'leader'] as const)(
    'a %s that sees a higher term adopts it and follows',
    (role) => {
      const node = nodeAs(role)

      node.step({ type: 'append', from: 2, term: 7 })

      const { role: now, term, leader } = node.raw.basicStatus()
      expect({ now, term, leader }).toEqual({ now: 'follower', term: 7, leader: 2 })
    },
  )

  test('a message of an old term is not processed', () => {
    const node = nodeAs('follower', { hardState: { term: 2 } })

    const answers = node.step({ type: 'append', from: 2, term: 1, entries: [entry(1, 1)] })

    expect(answers).toEqual([])
    expect(node.log()).toEqual([])
    expect(node.raw.basicStatus()).toMatchObject({ term: 2, leader: 0 })
  })
})

describe('leader election (section 5.2)', () => {
  test('a node starts as follower', () => {
    expect(new TestNode().raw.basicStatus()).toMatchObject({ role: 'follower', term: 0 })
  })

  test('a leader sends empty heartbeats to all each interval', () => {
    const node = nodeAs('leader', { heartbeatTicks: 3, checkQuorum: false })

    expect(node.tick(2)).toEqual([])
    const messages = node.tick()

    expect(summary(messages)).toEqual(['heartbeat to 2 at 1', 'heartbeat to 3 at 1'])
    expect(messages.every(({ entries }) => entries.length === 0)).toBe(true)
  })

  test.each(['follower', 'candidate'] as const)(
    'a %s whose timeout passes raises the term, votes for itself and asks the others',
    (role) => {
      const node = nodeAs(role)
      const { term } = node.raw.basicStatus()

      const messages = node.tick(2 * ELECTION_TICKS - 1)

      expect(node.raw.basicStatus()).toMatchObject({ role: 'candidate', term: term + 1, vote: 1 })
      expect(summary(messages)).toEqual([`vote to 2 at ${term + 1}`, `vote to 3 at ${term + 1}`])
    },
  )

  test.each([
    { size: 1, granted: [], denied: [], role: 'leader' },
    { size: 3, granted: [2, 3], denied: [], role: 'leader' },
    { size: 3, granted: [2], denied: [], role: 'leader' },
    { size: 3, granted: [], denied: [2, 3], role: 'follower' },
    { size: 3, granted: [], denied: [], role: 'candidate' },
    { size: 5, granted: [2, 3, 4, 5], denied: [], role: 'leader' },
    { size: 5, granted: [2, 3], denied: [], role: 'leader' },
    { size: 5, granted: [], denied: [2, 3, 4], role: 'follower' },
    { size: 5, granted: [2], denied: [3, 4], role: 'candidate' },
  ])('with $size voters, yes of $granted and no of $denied make a $role', (row) => {
    const voters = Array.from({ length: row.size }, (_, i) => i + 1)
    const node = nodeAs('candidate', { voters })

    for (const from of row.granted) node.step({ type: 'vote-response', from, term: 1 })
    for (const from of row.denied) {
      node.step({ type: 'vote-response', from, term: 1, reject: true })
    }

    expect(node.raw.basicStatus().role).toBe(row.role)
  })

  test.each([
    { vote: 0, from: 2, reject: false },
    { vote: 0, from: 3, reject: false },
    { vote: 2, from: 2, reject: false },
    { vote: 3, from: 3, reject: false },
    { vote: 2, from: 3, reject: true },
    { vote: 3, from: 2, reject: true },
  ])('a follower that voted for $vote answers $from with reject $reject', (row) => {
    const node = nodeAs('follower', { hardState: { term: 1, vote: row.vote } })

    const [answer] = node.step({ type: 'vote', from: row.from, term: 1 })

    expect(answer).toMatchObject({ type: 'vote-response', to: row.from, reject: row.reject })
  })

  test.each([1, 2])('a candidate that hears a leader of term %i follows it', (term) => {
    const node = nodeAs('candidate')

    node.step({ type: 'append', from: 2, term })

    expect(node.raw.basicStatus()).toMatchObject({ role: 'follower', term, leader: 2 })
  })

  test('election timeouts cover all of [T, 2T) (also 5.2: few nodes time out together)', () => {
    const node = nodeAs('follower')
    const timeouts = new Set<number>()

    for (let round = 0; round < 1_000; round++) {
      node.step({ type: 'append', from: 2, term: node.raw.basicStatus().term + 1 })
      let ticks = 0
      while (node.raw.basicStatus().role === 'follower') {
        node.tick()
        ticks++
      }
      timeouts.add(ticks)
    }

    expect([...timeouts].sort((a, b) => a - b)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
  })

  test('most elections have a single node whose timeout passes first', () => {
    let conflicts = 0
    for (let round = 0; round < 500; round++) {
      const nodes = [1, 2, 3, 4, 5].map(
        (id) => new TestNode({ id: id * 1_000 + round, voters: [id * 1_000 + round, 1, 2] }),
      )
      let first = 0
      while (first === 0) {
        first = nodes.filter((node) => node.tick().length > 0).length
      }
      if (first > 1) conflicts++
    }

    expect(conflicts / 500).toBeLessThan(0.5)
  })
})

describe('log replication (section 5.3)', () => {
  /** Leads, with its first entry on the others. */
  function establishedLeader(options: NodeOptions = {}): TestNode {
    const node = nodeAs('leader', options)
    const { term } = node.raw.basicStatus()
    const index = node.storage.lastIndex()
    for (const from of node.raw.status().confState.voters) {
      if (from !== 1) node.step({ type: 'append-response', from, term, index })
    }
    return node
  }

  test('a proposal goes to the log and to all, with the place before it', () => {
    const node = establishedLeader()

    node.raw.propose(new TextEncoder().encode('x'))
    const messages = node.work()

    expect(node.log()).toEqual(['1', '1:x'])
    expect(messages).toMatchObject([
      { type: 'append', to: 2, index: 1, logTerm: 1, commit: 1, entries: [{ term: 1, index: 2 }] },
      { type: 'append', to: 3, index: 1, logTerm: 1, commit: 1, entries: [{ term: 1, index: 2 }] },
    ])
  })

  test('an entry on a majority is committed and applied, and the others are told', () => {
    const node = establishedLeader()
    node.raw.propose(new TextEncoder().encode('x'))
    node.work()

    const messages = node.step({ type: 'append-response', from: 2, term: 1, index: 2 })

    expect(node.raw.basicStatus().commit).toBe(2)
    expect(node.applied).toEqual(['x'])
    expect(messages.filter(({ commit }) => commit === 2).map(({ to }) => to)).toEqual([2, 3])
  })

  test.each([
    { size: 1, acknowledged: [], isCommitted: true },
    { size: 3, acknowledged: [], isCommitted: false },
    { size: 3, acknowledged: [2], isCommitted: true },
    { size: 3, acknowledged: [2, 3], isCommitted: true },
    { size: 5, acknowledged: [2], isCommitted: false },
    { size: 5, acknowledged: [2, 3], isCommitted: true },
    { size: 5, acknowledged: [2, 3, 4, 5], isCommitted: true },
  ])('of $size voters, acknowledgements of $acknowledged commit: $isCommitted', (row) => {
    const voters = Array.from({ length: row.size }, (_, i) => i + 1)
    const node = establishedLeader({ voters })
    node.raw.propose(new TextEncoder().encode('x'))
    node.work()

    for (const from of row.acknowledged) {
      node.step({ type: 'append-response', from, term: 1, index: 2 })
    }

    expect(node.raw.basicStatus().commit).toBe(row.isCommitted ? 2 : 1)
  })

  test.each([[[]], [[2]], [[1, 2]], [[1]]])(
    'committing one entry commits all before it, here of terms %j',
    (terms) => {
      const node = nodeAs('leader', { terms, hardState: { term: 2 } })
      node.raw.propose(new TextEncoder().encode('x'))
      node.work()
      const index = terms.length + 2

      node.step({ type: 'append-response', from: 2, term: 3, index })

      expect(node.raw.basicStatus()).toMatchObject({ term: 3, commit: index, applied: index })
    },
  )

  test('a follower applies up to the commit index of the leader, in order', () => {
    const node = nodeAs('follower')
    const entries = [entry(1, 1, 'a'), entry(1, 2, 'b'), entry(1, 3, 'c')]

    node.step({ type: 'append', from: 2, term: 1, entries, commit: 2 })

    expect(node.applied).toEqual(['a', 'b'])
    expect(node.log()).toEqual(['1:a', '1:b', '1:c'])
  })

  test.each([
    { logTerm: 0, index: 0, expected: { index: 1, reject: false } },
    { logTerm: 1, index: 1, expected: { index: 1, reject: false } },
    { logTerm: 2, index: 2, expected: { index: 2, reject: false } },
    // The place is taken by another term: the hint is the last that may match.
    { logTerm: 1, index: 2, expected: { index: 2, reject: true, rejectHint: 1, logTerm: 1 } },
    // The log ends before.
    { logTerm: 3, index: 3, expected: { index: 3, reject: true, rejectHint: 2, logTerm: 2 } },
  ])('a follower checks that it has term $logTerm at $index', ({ logTerm, index, expected }) => {
    const node = nodeAs('follower', { terms: [1, 2], hardState: { term: 2, commit: 1 } })

    const [answer] = node.step({ type: 'append', from: 2, term: 2, logTerm, index })

    expect(answer).toMatchObject({ type: 'append-response', to: 2, ...expected })
  })

  test.each([
    { index: 2, logTerm: 2, entries: [entry(3, 3)], log: ['1', '2', '3'] },
    { index: 1, logTerm: 1, entries: [entry(3, 2), entry(4, 3)], log: ['1', '3', '4'] },
    { index: 0, logTerm: 0, entries: [entry(1, 1)], log: ['1', '2'] },
    { index: 0, logTerm: 0, entries: [entry(3, 1)], log: ['3'] },
  ])('a follower with terms 1, 2 that gets $entries.length after $index', (row) => {
    const node = nodeAs('follower', { terms: [1, 2], hardState: { term: 4 } })

    node.step({ type: 'append', from: 2, term: 4, ...row })

    expect(node.log()).toEqual(row.log)
  })

  test.each([
    [[1, 1, 1, 4, 4, 5, 5, 6, 6]],
    [[1, 1, 1, 4]],
    [[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]],
    [[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]],
    [[1, 1, 1, 4, 4, 4, 4]],
    [[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
  ])('the leader of figure 7 brings the follower with terms %j to its own log', (terms) => {
    const cluster = new TestCluster(0)
    const voters = [1, 2, 3]
    const leaderTerms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]
    const leader = cluster.add({ id: 1, voters, terms: leaderTerms, hardState: { term: 7 } })
    const term = terms.at(-1) ?? 0
    const follower = cluster.add({ id: 2, voters, terms, hardState: { term } })
    cluster.add({ id: 3, voters, hardState: { term: 7 } })

    cluster.elect(1)

    expect(leader.raw.basicStatus().role).toBe('leader')
    expect(follower.log()).toEqual([...leaderTerms.map(String), '8'])
    expect(follower.raw.basicStatus().commit).toBe(11)
  })
})

describe('safety (section 5.4)', () => {
  test.each([
    { terms: [1], last: { index: 1, logTerm: 1 } },
    { terms: [1, 2], last: { index: 2, logTerm: 2 } },
  ])('a request for votes names the end of the log, here $terms (5.4.1)', ({ terms, last }) => {
    const node = nodeAs('follower', { terms, hardState: { term: 2 } })

    node.raw.campaign()
    const messages = node.work()

    expect(messages).toMatchObject([
      { type: 'vote', to: 2, ...last },
      { type: 'vote', to: 3, ...last },
    ])
  })

  test.each([
    { terms: [1], logTerm: 1, index: 1, reject: false },
    { terms: [1], logTerm: 1, index: 2, reject: false },
    { terms: [1, 1], logTerm: 1, index: 1, reject: true },
    { terms: [1], logTerm: 2, index: 1, reject: false },
    { terms: [1, 1], logTerm: 2, index: 1, reject: false },
    { terms: [2], logTerm: 1, index: 1, reject: true },
    { terms: [2], logTerm: 1, index: 2, reject: true },
    { terms: [2, 1], logTerm: 1, index: 1, reject: true },
  ])('a voter with $terms and a candidate with $logTerm at $index (5.4.1)', (row) => {
    const { terms, logTerm, index, reject } = row
    const node = nodeAs('follower', { terms, hardState: { term: 2 } })

    const [answer] = node.step({ type: 'vote', from: 2, term: 3, logTerm, index })

    expect(answer).toMatchObject({ type: 'vote-response', reject })
  })

  test.each([
    { index: 1, commit: 0 },
    { index: 2, commit: 0 },
    { index: 3, commit: 3 },
  ])('an acknowledgement up to $index commits $commit: own term only (5.4.2)', (row) => {
    const node = nodeAs('leader', { terms: [1, 2], hardState: { term: 2 } })

    node.step({ type: 'append-response', from: 2, term: 3, index: row.index })

    expect(node.raw.basicStatus().commit).toBe(row.commit)
  })

  test('votes and acknowledgements wait for the disk (thesis 3.8)', () => {
    const node = new TestNode({ asyncStorageWrites: true })

    node.raw.step(message({ type: 'append', from: 2, term: 1, entries: [entry(1, 1, 'x')] }))
    const ready = node.raw.ready()

    expect(ready?.messages.map(({ type }) => type)).toEqual(['storage-append'])
    expect(ready?.messages[0]?.responses).toMatchObject([
      { type: 'append-response', to: 2, index: 1 },
      { type: 'storage-append-response', to: 1, index: 1, term: 1 },
    ])
    expect(ready?.messages[0]?.entries.map(({ data }) => decode(data))).toEqual(['x'])
  })
})
