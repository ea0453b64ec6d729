/**
 * Snapshots: what a follower makes of one, and how the leader goes on after sending one.
 */
import { describe, expect, test } from 'vitest'
import { type ConfState, emptyConfState, type Snapshot } from './message.ts'
import { encode, entry, message, storageAt, TestCluster, TestNode } from './test-cluster.ts'

function snapshot(index: number, term: number, confState: Partial<ConfState>): Snapshot {
  const data = encode(`snapshot@${index}`)
  return { index, term, confState: { ...emptyConfState, ...confState }, data }
}

describe('a follower', () => {
  test('replaces its log by the snapshot, and its configuration', () => {
    const node = new TestNode({ terms: [1, 1, 2], hardState: { term: 2 } })
    const state = { voters: [1, 4], learners: [5] }

    const answers = node.step({
      type: 'snapshot',
      from: 2,
      term: 3,
      snapshot: snapshot(11, 3, state),
    })

    expect(answers).toMatchObject([{ type: 'append-response', to: 2, index: 11 }])
    expect(node.raw.basicStatus()).toMatchObject({ commit: 11, applied: 11, leader: 2 })
    expect(node.raw.status().confState).toMatchObject(state)
    expect(node.applied).toEqual(['snapshot@11'])
    expect(node.storage.firstIndex()).toBe(12)
  })

  test.each([
    { name: 'a learner', state: { voters: [2], learners: [1] }, role: 'learner' },
    {
      name: 'a voter of the outgoing half',
      state: { voters: [2], votersOutgoing: [1, 2] },
      role: 'voter',
    },
    {
      name: 'an outgoing voter that will learn',
      state: { voters: [2], votersOutgoing: [1, 2], learnersNext: [1] },
      role: 'voter',
    },
  ])('that is $name of it takes it', ({ state, role }) => {
    const node = new TestNode({ voters: [], learners: [] })

    node.step({ type: 'snapshot', from: 2, term: 1, snapshot: snapshot(5, 1, state) })

    expect(node.raw.basicStatus().commit).toBe(5)
    node.raw.campaign()
    expect(node.traced('campaign-ignored')).toHaveLength(role === 'learner' ? 1 : 0)
  })

  test.each([
    {
      name: 'made a learner',
      before: { voters: [1, 2, 3] },
      after: { voters: [2, 3], learners: [1] },
    },
    {
      name: 'made a voter',
      before: { voters: [2, 3], learners: [1] },
      after: { voters: [1, 2, 3] },
    },
  ])('that was $name meanwhile takes it, and its new part', ({ before, after }) => {
    const node = new TestNode(before)

    node.step({ type: 'snapshot', from: 2, term: 1, snapshot: snapshot(5, 1, after) })
    node.raw.campaign()

    expect(node.raw.status().confState).toMatchObject(after)
    const isVoter = after.voters.includes(1)
    expect(node.raw.basicStatus().role).toBe(isVoter ? 'candidate' : 'follower')
  })

  test('that is no member of it refuses it', () => {
    const node = new TestNode({ voters: [] })

    const answers = node.step({
      type: 'snapshot',
      from: 2,
      term: 1,
      snapshot: snapshot(5, 1, { voters: [2, 3] }),
    })

    expect(answers).toMatchObject([{ type: 'append-response', index: 0 }])
    expect(node.traced('restore-refused')).toHaveLength(1)
  })

  test('ignores one that it has, but commits up to it', () => {
    const node = new TestNode({ terms: [1, 1, 1], hardState: { term: 1, commit: 1 } })
    const state = { voters: [1, 2, 3] }

    node.step({ type: 'snapshot', from: 2, term: 1, snapshot: snapshot(2, 1, state) })
    expect(node.raw.basicStatus().commit).toBe(2)
    const [answer] = node.step({
      type: 'snapshot',
      from: 2,
      term: 1,
      snapshot: snapshot(1, 1, state),
    })

    expect(answer).toMatchObject({ index: 2 })
    expect(node.log()).toEqual(['1', '1', '1'])
  })

  test('ignores one from before its own', () => {
    const node = new TestNode({ storage: storageAt(11, 1, { voters: [1, 2, 3] }) })
    const old = snapshot(5, 1, { voters: [1, 2, 3] })
    const [answer] = node.step({ type: 'snapshot', from: 2, term: 1, snapshot: old })
    expect(answer).toMatchObject({ type: 'append-response', index: 11 })
  })

  test('leaves out a membership change that the snapshot has overtaken', () => {
    const node = new TestNode({ asyncStorageWrites: true })
    const state = { voters: [1, 2, 3, 4] }
    node.raw.step(message({ type: 'snapshot', from: 2, term: 1, snapshot: snapshot(9, 1, state) }))
    const removed = { type: 'remove-node', nodeId: 4 } as const
    const change = { transition: 'auto', changes: [removed], context: encode('') } as const

    expect(node.raw.applyConfChange(change, 9).voters).toEqual([1, 2, 3, 4])
    expect(node.raw.applyConfChange(change, 10).voters).toEqual([1, 2, 3])
  })

  test('is not promotable, and applies nothing, before the snapshot is on disk', () => {
    const node = new TestNode({ asyncStorageWrites: true })
    const state = { voters: [1, 2, 3] }
    node.raw.step(message({ type: 'snapshot', from: 2, term: 1, snapshot: snapshot(9, 1, state) }))
    const ready = node.raw.ready()
    const [append] = ready?.messages ?? []
    node.raw.step(
      message({
        type: 'append',
        from: 2,
        term: 1,
        index: 9,
        logTerm: 1,
        entries: [entry(1, 10, 'x')],
        commit: 10,
      }),
    )

    node.raw.campaign()
    expect(node.traced('campaign-ignored')).toMatchObject([{ reason: 'not-promotable' }])
    expect(node.raw.ready()?.committedEntries).toEqual([])
    expect(append).toMatchObject({ type: 'storage-append', snapshot: { index: 9 } })
    node.persist({ hardState: undefined, entries: [], snapshot: append?.snapshot })
    for (const response of append?.responses ?? []) if (response.to === 1) node.raw.step(response)

    expect(node.raw.basicStatus().applied).toBe(9)
  })
})

describe('a leader', () => {
  /** Leads term 2 after a snapshot at 11; 2 lags behind it. */
  function leaderAt11(): TestNode {
    const node = new TestNode({ storage: storageAt(11, 1, { voters: [1, 2] }) })
    node.lead()
    node.step({ type: 'append-response', from: 2, term: 2, index: 11, reject: true })
    expect(progressOf2(node)).toMatchObject({ state: 'snapshot', pendingSnapshot: 11, next: 12 })
    return node
  }

  function progressOf2(node: TestNode) {
    return node.raw.status().progress.get(2)
  }

  test('sends one to a peer that lacks what was compacted, and nothing else after', () => {
    const node = leaderAt11()
    node.raw.propose(encode('x'))
    expect(node.work()).toEqual([])
  })

  test('does not send one to a peer it has not heard of lately', () => {
    const storage = storageAt(11, 1, { voters: [1, 2, 3] })
    const node = new TestNode({ storage, checkQuorum: true })
    node.lead()
    for (const from of [2, 3]) node.step({ type: 'append-response', from, term: 2, index: 11 })
    node.step({ type: 'append-response', from: 2, term: 2, index: 12 })
    node.tick(10)
    node.raw.reportUnreachable(3)
    storage.compact(12)

    node.raw.propose(encode('x'))
    const messages = node.work()

    expect(messages.filter(({ type }) => type === 'snapshot')).toEqual([])
    expect(node.traced('snapshot-not-sent')).toMatchObject([{ reason: 'inactive', to: 3 }])
  })

  test('goes on waiting when the peer acknowledges a place that is compacted', () => {
    const node = leaderAt11()
    node.step({ type: 'append-response', from: 2, term: 2, index: 5 })
    expect(progressOf2(node)).toMatchObject({ state: 'snapshot', match: 5 })
    expect(node.traced('snapshot-sent')).toHaveLength(1)
  })

  test('waits when no snapshot is available', () => {
    const storage = storageAt(11, 1, { voters: [1, 2] })
    storage.snapshot = () => 'unavailable'
    const node = new TestNode({ storage })
    node.lead()

    node.step({ type: 'append-response', from: 2, term: 2, index: 11, reject: true })

    expect(node.traced('snapshot-not-sent')).toMatchObject([{ reason: 'unavailable', to: 2 }])
    expect(progressOf2(node)).toMatchObject({ state: 'probe' })
  })

  test('probes before the snapshot if it failed, behind it if it was delivered', () => {
    const failed = leaderAt11()
    failed.raw.reportSnapshot(2, 'failed')
    expect(progressOf2(failed)).toMatchObject({ state: 'probe', next: 1, isPaused: true })

    const finished = leaderAt11()
    finished.raw.reportSnapshot(2, 'finished')
    expect(progressOf2(finished)).toMatchObject({ state: 'probe', next: 12, isPaused: true })
  })

  test('replicates as soon as the peer acknowledges a place that its log goes on from', () => {
    const node = leaderAt11()

    const messages = node.step({ type: 'append-response', from: 2, term: 2, index: 11 })

    expect(progressOf2(node)).toMatchObject({ state: 'replicate', match: 11 })
    expect(messages).toMatchObject([{ type: 'append', index: 11, entries: [{ index: 12 }] }])
  })

  test('a report for a peer that gets none is ignored', () => {
    const cluster = new TestCluster(2)
    cluster.elect(1)
    cluster.node(1).raw.reportSnapshot(2, 'failed')
    expect(cluster.node(1).raw.status().progress.get(2)).toMatchObject({ state: 'replicate' })
  })

  test('brings a learner up that comes to a compacted log', () => {
    const storage = storageAt(11, 1, { voters: [1], learners: [2] })
    const cluster = new TestCluster(0)
    cluster.add({ id: 1, storage })
    cluster.add({ id: 2, voters: [], learners: [2] })

    cluster.elect(1)
    cluster.tick(2, 1)
    cluster.propose(1, 'x')

    expect(cluster.node(2).applied).toEqual(['snapshot@11', 'x'])
    expect(progressOf2(cluster.node(1))).toMatchObject({ isLearner: true, match: 13 })
  })

  test('brings a member back that was away while the log was compacted', () => {
    const cluster = new TestCluster(3)
    cluster.elect(1)
    cluster.isolate(3)
    for (const text of ['a', 'b', 'c']) cluster.propose(1, text)
    const { storage, raw } = cluster.node(1)
    const { confState, applied } = raw.status()
    storage.setSnapshot({ index: applied, term: 1, confState, data: encode('a,b,c') })
    storage.compact(applied)
    cluster.propose(1, 'd')

    cluster.heal()
    cluster.tick(1, 1)
    cluster.tick(1, 1)

    expect(cluster.node(3).applied).toEqual(['a,b,c', 'd'])
    expect(cluster.node(1).traced('snapshot-sent')).toHaveLength(1)
  })
})
