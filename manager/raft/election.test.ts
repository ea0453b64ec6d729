/**
 * Elections beyond the paper: pre-votes, the lease of CheckQuorum, learners, membership changes
 * under way, answers that come late, forgetting a leader, and handing leadership over.
 */
import { describe, expect, test } from 'vitest'
import type { Message } from './message.ts'
import { encode, entry, message, TestCluster, TestNode } from './test-cluster.ts'

const ELECTION_TICKS = 10

describe.each([{ preVote: false }, { preVote: true }])('election with %o', (options) => {
  test('a node wins with a majority, and not without', () => {
    const cluster = new TestCluster(5, options)
    cluster.isolate(4, 5)
    cluster.elect(1)
    expect(cluster.node(1).raw.basicStatus().role).toBe('leader')

    const minority = new TestCluster(5, options)
    minority.isolate(3, 4, 5)
    minority.elect(1)
    const role = options.preVote ? 'pre-candidate' : 'candidate'
    expect(minority.node(1).raw.basicStatus().role).toBe(role)
  })

  test('each node can lead in turn', () => {
    const cluster = new TestCluster(3, options)

    for (const id of [1, 2, 3, 1]) {
      cluster.elect(id)
      expect(cluster.leader()?.id).toBe(id)
    }
  })

  test('a node with less log does not win', () => {
    const cluster = new TestCluster(0)
    const voters = [1, 2, 3]
    cluster.add({ ...options, id: 1, voters })
    for (const id of [2, 3]) {
      cluster.add({ ...options, id, voters, terms: [1], hardState: { term: 1 } })
    }

    cluster.elect(1)

    expect(cluster.leader()).toBeUndefined()
  })

  test('a winner overwrites entries of higher terms that were never committed', () => {
    const cluster = new TestCluster(0)
    const voters = [1, 2, 3, 4, 5]
    const make = (id: number, terms: readonly number[], term: number, vote = 0) =>
      cluster.add({ ...options, id, voters, terms, hardState: { term, vote } })
    make(1, [1], 1)
    make(2, [1], 1)
    // 3 led term 2 and wrote an entry; 4 and 5 have only voted.
    make(3, [2], 2, 3)
    make(4, [], 2, 3)
    make(5, [], 2, 3)

    cluster.elect(1)
    cluster.tick(2 * ELECTION_TICKS, 1)

    const leader = cluster.leader()
    expect(leader?.id).toBe(1)
    for (const node of cluster.nodes.values()) expect(node.log()).toEqual(leader?.log())
  })

  test('a candidate cut off from the others yields when it is back', () => {
    const cluster = new TestCluster(3, options)
    cluster.isolate(1)
    cluster.elect(1)
    cluster.elect(3)
    cluster.propose(3, 'x')

    cluster.heal()
    cluster.tick(1, 3)
    cluster.propose(3, 'y')

    for (const node of cluster.nodes.values()) expect(node.applied).toEqual(['x', 'y'])
  })

  test('a single voter leads at once', () => {
    const cluster = new TestCluster(1, options)
    cluster.elect(1)
    expect(cluster.roles()).toBe('leader@1')
  })

  test('a campaign has no effect on a leader', () => {
    const cluster = new TestCluster(3, options)
    cluster.elect(1)
    cluster.elect(1)
    expect(cluster.roles()).toBe('leader@1 follower@1 follower@1')
  })
})

describe('pre-vote', () => {
  test('leaves term and vote as they are, on both sides', () => {
    const node = new TestNode({ preVote: true, hardState: { term: 3, vote: 2 } })
    node.raw.campaign()
    node.work()
    expect(node.raw.basicStatus()).toMatchObject({ role: 'pre-candidate', term: 3, vote: 2 })

    const voter = new TestNode({ hardState: { term: 3, vote: 2 } })
    const [answer] = voter.step({ type: 'pre-vote', from: 3, term: 4 })
    expect(answer).toMatchObject({ type: 'pre-vote-response', term: 4, reject: false })
    expect(voter.raw.basicStatus()).toMatchObject({ term: 3, vote: 2 })
  })

  test('rivals that are cut off do not raise the term', () => {
    const cluster = new TestCluster(3, { preVote: true })
    cluster.lose(({ from, to }) => (from === 1 && to === 3) || (from === 3 && to === 1))
    cluster.elect(1)
    cluster.elect(3)
    expect(cluster.roles()).toBe('leader@1 follower@1 follower@1')

    cluster.heal()
    cluster.elect(3)

    expect(cluster.roles()).toBe('leader@1 follower@1 follower@1')
  })

  test('refused by a higher term, it makes the one who asked a follower of that term', () => {
    const node = new TestNode({ preVote: true, hardState: { term: 1 } })
    node.raw.campaign()
    node.work()

    node.step({ type: 'pre-vote-response', from: 2, term: 5, reject: true })

    expect(node.raw.basicStatus()).toMatchObject({ role: 'follower', term: 5 })
  })

  test('a slow node disrupts a leader without it, and does not with it', () => {
    const run = (preVote: boolean): string => {
      const cluster = new TestCluster(3, { preVote, checkQuorum: true })
      cluster.elect(1)
      cluster.isolate(3)
      cluster.tick(2 * ELECTION_TICKS, 3)
      cluster.heal()
      cluster.tick(1, 1)
      return cluster.roles()
    }

    expect(run(true)).toBe('leader@1 follower@1 follower@1')
    expect(run(false)).toMatch(/^follower@\d+ follower@1 /)
  })

  test('introduced node by node, it lets a stuck candidate of a higher term go on', () => {
    const cluster = new TestCluster(0)
    const voters = [1, 2, 3]
    cluster.add({ id: 1, voters, preVote: true })
    cluster.add({ id: 2, voters, preVote: true })
    cluster.add({ id: 3, voters })
    cluster.elect(1)
    cluster.isolate(3)
    cluster.propose(1, 'x')
    cluster.elect(3)
    cluster.elect(3)
    expect(cluster.node(3).raw.basicStatus()).toMatchObject({ role: 'candidate', term: 3 })

    cluster.heal()
    cluster.restart(3, { preVote: true })
    // 1 is gone. 2 has the log and 3 the term: they need each other.
    cluster.isolate(1)
    for (let i = 0; i < 3; i++) {
      cluster.elect(3)
      cluster.elect(2)
    }

    expect(cluster.leader()?.id).toBe(2)
  })

  test('a node whose term is behind can still win', () => {
    const cluster = new TestCluster(3, { preVote: true })
    cluster.elect(1)
    cluster.isolate(2)
    cluster.elect(3)
    cluster.elect(1)
    cluster.heal()
    expect(cluster.node(2).raw.basicStatus().term).toBe(1)

    cluster.tick(1, 1)
    cluster.isolate(1)
    cluster.elect(2)

    expect(cluster.leader()?.id).toBe(2)
  })

  test('after a split vote somebody wins', () => {
    const cluster = new TestCluster(3, { preVote: true })
    cluster.elect(1)
    cluster.isolate(1)
    cluster.node(2).raw.campaign()
    cluster.node(3).raw.campaign()
    cluster.settle()
    expect(cluster.roles()).toBe('leader@1 candidate@2 candidate@2')

    cluster.elect(2)

    expect(cluster.roles()).toBe('leader@1 leader@3 follower@3')
  })
})

describe('votes', () => {
  test('are not given to another while a leader of the term is known', () => {
    const node = new TestNode()
    node.step({ type: 'heartbeat', from: 2, term: 1 })
    const [answer] = node.step({ type: 'vote', from: 3, term: 1 })
    expect(answer).toMatchObject({ type: 'vote-response', reject: true })
  })

  test('start the timer of the voter anew', () => {
    const node = new TestNode({ hardState: { term: 1, vote: 2 } })
    node.raw.setElectionTimeout(ELECTION_TICKS)
    node.tick(ELECTION_TICKS - 1)
    node.step({ type: 'vote', from: 2, term: 1 })
    node.tick(ELECTION_TICKS - 1)
    expect(node.raw.basicStatus().role).toBe('follower')
  })

  test('count once for each voter, the first answer', () => {
    const node = new TestNode()
    node.raw.campaign()
    node.work()
    node.step({ type: 'vote-response', from: 2, term: 1, reject: true })
    node.step({ type: 'vote-response', from: 2, term: 1 })
    expect(node.raw.basicStatus().role).toBe('candidate')
  })
})

describe('answers that come late', () => {
  /** The answer of a node to itself that waits for its disk. */
  function ownResponse(node: TestNode): Message {
    const ready = node.raw.ready()
    const [append] = (ready?.messages ?? []).filter(({ type }) => type === 'storage-append')
    const own = append?.responses.find(({ to, from }) => to === from)
    if (own === undefined) throw new Error('there is an answer to itself')
    return own
  }

  test.each([false, true])(
    'its vote of a lost election counts no more (pre-vote %s)',
    (preVote) => {
      const node = new TestNode({ preVote, asyncStorageWrites: true })
      node.raw.campaign()
      const own = ownResponse(node)
      const type = preVote ? 'pre-vote-response' : 'vote-response'
      const { term } = own
      for (const from of [2, 3]) node.raw.step(message({ type, from, term, reject: true }))
      expect(node.raw.basicStatus().role).toBe('follower')

      node.raw.step(own)

      expect(node.raw.basicStatus().role).toBe('follower')
    },
  )

  test('its pre-vote does not count as a vote', () => {
    const node = new TestNode({ preVote: true, asyncStorageWrites: true })
    node.raw.campaign()
    const own = ownResponse(node)
    for (const from of [2, 3]) node.raw.step(message({ type: 'pre-vote-response', from, term: 1 }))
    expect(node.raw.basicStatus()).toMatchObject({ role: 'candidate', term: 1 })

    node.raw.step(own)
    node.raw.step(message({ type: 'vote-response', from: 2, term: 1, reject: true }))

    expect(node.traced('votes-counted').at(-1)).toMatchObject({ granted: 0, rejected: 1 })
  })

  test('its acknowledgement of another term commits nothing', () => {
    const node = new TestNode({ asyncStorageWrites: true, voters: [1, 2, 3] })
    node.raw.campaign()
    node.raw.step(ownResponse(node))
    node.raw.step(message({ type: 'vote-response', from: 2, term: 1 }))
    expect(node.raw.basicStatus().role).toBe('leader')
    const own = ownResponse(node)
    node.raw.step(message({ type: 'append', from: 2, term: 2 }))

    node.raw.step(own)

    expect(node.raw.basicStatus()).toMatchObject({ role: 'follower', term: 2, commit: 0 })
  })
})

describe('CheckQuorum', () => {
  test('a leader that hears a quorum stays, one that does not steps down', () => {
    const cluster = new TestCluster(3, { checkQuorum: true })
    cluster.elect(1)
    cluster.isolate(3)
    cluster.tick(3 * ELECTION_TICKS, 1)
    expect(cluster.node(1).raw.basicStatus().role).toBe('leader')

    cluster.isolate(2, 3)
    cluster.tick(2 * ELECTION_TICKS, 1)

    expect(cluster.node(1).raw.basicStatus()).toMatchObject({ role: 'follower', term: 1 })
    expect(cluster.node(1).traced('quorum-inactive')).toHaveLength(1)
  })

  test('a request for votes within the lease is ignored, and answered after it', () => {
    const node = new TestNode({ checkQuorum: true })
    node.step({ type: 'heartbeat', from: 2, term: 1 })

    expect(node.step({ type: 'vote', from: 3, term: 2 })).toEqual([])
    expect(node.traced('vote-ignored-in-lease')).toMatchObject([{ remainingTicks: 10, term: 1 }])
    for (let i = 0; i < ELECTION_TICKS; i++) node.raw.tick()
    const [answer] = node.step({ type: 'vote', from: 3, term: 2 })

    expect(answer).toMatchObject({ type: 'vote-response', reject: false, term: 2 })
  })

  test('a stuck candidate of a higher term is freed by answering the leader', () => {
    const cluster = new TestCluster(3, { checkQuorum: true })
    cluster.elect(1)
    cluster.isolate(3)
    cluster.elect(3)
    cluster.elect(3)
    cluster.heal()
    cluster.elect(3)
    expect(cluster.roles()).toBe('leader@1 follower@1 candidate@4')

    cluster.tick(1, 1)

    expect(cluster.node(1).raw.basicStatus()).toMatchObject({ role: 'follower', term: 4 })
    cluster.elect(1)
    expect(cluster.leader()?.id).toBe(1)
  })

  test('a new member does not depose the leader before it can answer', () => {
    const cluster = new TestCluster(1, { checkQuorum: true })
    cluster.elect(1)
    cluster.tick(ELECTION_TICKS - 1, 1)
    const changes = [{ type: 'add-voter', nodeId: 2 }] as const
    cluster.node(1).raw.applyConfChange({ transition: 'auto', changes, context: encode('') })

    cluster.tick(1, 1)

    expect(cluster.node(1).raw.basicStatus().role).toBe('leader')
  })
})

describe('who may campaign', () => {
  test('a learner does not, a node without configuration does not', () => {
    const learner = new TestNode({ voters: [2, 3], learners: [1] })
    const stranger = new TestNode({ voters: [2, 3] })

    expect(learner.tick(5 * ELECTION_TICKS)).toEqual([])
    expect(stranger.tick(5 * ELECTION_TICKS)).toEqual([])
    learner.raw.campaign()

    expect(learner.traced('campaign-ignored')).toMatchObject([{ reason: 'not-promotable' }])
  })

  test('a learner votes, for it may have been made a voter without knowing', () => {
    const node = new TestNode({ voters: [2, 3], learners: [1] })
    const [answer] = node.step({ type: 'vote', from: 2, term: 1 })
    expect(answer).toMatchObject({ type: 'vote-response', reject: false })
  })

  test('nobody does with a membership change committed and not applied', () => {
    const node = new TestNode({ asyncStorageWrites: true })
    const change = {
      ...entry(1, 1),
      type: 'conf-change-v2',
      confChange: undefined,
    } as const
    node.raw.step(message({ type: 'append', from: 2, term: 1, entries: [change], commit: 1 }))

    node.raw.campaign()

    expect(node.raw.basicStatus().role).toBe('follower')
    expect(node.traced('campaign-ignored')).toMatchObject([{ reason: 'conf-change-unapplied' }])
  })
})

describe('forgetting the leader', () => {
  test('lets a follower grant a pre-vote within the lease', () => {
    const node = new TestNode({ preVote: true, checkQuorum: true })
    node.step({ type: 'heartbeat', from: 2, term: 1 })
    expect(node.step({ type: 'pre-vote', from: 3, term: 2 })).toEqual([])

    node.raw.forgetLeader()
    const [answer] = node.step({ type: 'pre-vote', from: 3, term: 2 })

    expect(answer).toMatchObject({ type: 'pre-vote-response', reject: false })
    expect(node.raw.basicStatus().leader).toBe(0)
  })

  test('with a short timer replaces a dead leader within that time', () => {
    const cluster = new TestCluster(3, { preVote: true, checkQuorum: true })
    cluster.elect(1)
    cluster.isolate(1)

    for (const id of [2, 3]) cluster.node(id).raw.forgetLeader({ electionTicks: 3 })
    for (let i = 0; i < 3; i++) for (const id of [2, 3]) cluster.tick(1, id)

    expect(cluster.leader()?.raw.basicStatus().term).toBe(2)
  })

  test('by false alarm changes neither leader nor term, and the timer is long again', () => {
    const cluster = new TestCluster(3, { preVote: true, checkQuorum: true })
    cluster.elect(1)
    cluster.tick(1)

    cluster.node(3).raw.forgetLeader({ electionTicks: 2 })
    cluster.tick(2, 3)
    cluster.tick(1, 1)
    cluster.tick(ELECTION_TICKS - 1, 3)

    expect(cluster.roles()).toBe('leader@1 follower@1 follower@1')
  })

  test('by false alarm noticed in time makes the timer long again at once', () => {
    const node = new TestNode()
    node.step({ type: 'heartbeat', from: 2, term: 1 })
    node.raw.forgetLeader({ electionTicks: 2 })
    node.step({ type: 'heartbeat', from: 2, term: 1 })
    node.tick(ELECTION_TICKS - 1)
    expect(node.raw.basicStatus()).toMatchObject({ role: 'follower', leader: 2 })
  })

  test('counts its short timer from now', () => {
    const nodes = Array.from(
      { length: 30 },
      (_, i) => new TestNode({ id: i + 1, voters: [i + 1, 99] }),
    )
    for (const node of nodes) {
      node.step({ type: 'heartbeat', from: 99, term: 1 })
      node.tick(ELECTION_TICKS - 1)
      node.raw.forgetLeader({ electionTicks: 3 })
      node.tick()
    }
    const first = nodes.filter(({ raw }) => raw.basicStatus().role === 'candidate').length
    expect(first).toBeGreaterThan(0)
    expect(first).toBeLessThan(20)
  })

  test('does nothing on a leader, and is refused with lease-based reads', () => {
    const cluster = new TestCluster(3, { checkQuorum: true, readOnly: 'lease-based' })
    cluster.elect(1)

    for (const id of [1, 2]) cluster.node(id).raw.forgetLeader({ electionTicks: 1 })

    expect(cluster.node(1).raw.basicStatus().leader).toBe(1)
    expect(cluster.node(2).raw.basicStatus().leader).toBe(1)
    expect(cluster.node(2).traced('forget-leader-refused')).toHaveLength(1)
  })
})
