/**
 * The contract of RawNode: what a Ready holds and when, restarts, limits on what is applied at
 * once, and asynchronous storage writes with their races.
 */
import { describe, expect, test } from 'vitest'
import {
  emptyHardState,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type Message,
  type MessageType,
} from './message.ts'
import { encode, entry, message, storageAt, TestCluster, TestNode } from './test-cluster.ts'

describe('step', () => {
  test.each([
    'campaign',
    'beat',
    'check-quorum',
    'unreachable',
    'snapshot-status',
    'storage-append',
    'storage-append-response',
    'storage-apply',
    'storage-apply-response',
  ] satisfies readonly MessageType[])('refuses %s from another node', (type) => {
    const node = new TestNode()
    expect(node.raw.step(message({ type, from: 2 }))).toBe('local-message')
    expect(node.raw.hasReady()).toBe(false)
  })

  test.each([
    'append-response',
    'vote-response',
    'pre-vote-response',
    'heartbeat-response',
    'read-index-response',
  ] satisfies readonly MessageType[])('refuses %s from a stranger', (type) => {
    expect(new TestNode().raw.step(message({ type, from: 9 }))).toBe('peer-unknown')
  })

  test.each([
    { id: 0 },
    { heartbeatTicks: 0 },
    { electionTicks: 1, heartbeatTicks: 1 },
    { inflightMessagesMax: 0 },
    { inflightBytesMax: 5, messageBytesMax: 10 },
    { id: LOCAL_APPEND_THREAD },
  ])('a node does not start with %o', (options) => {
    expect(() => new TestNode(options)).toThrow(/assertion failed/)
  })
})

describe('Ready', () => {
  test('is undefined when there is nothing to do, also after a restart', () => {
    const node = new TestNode({ terms: [1], hardState: { term: 1, commit: 1 }, appliedIndex: 1 })
    expect(node.raw.hasReady()).toBe(false)
    expect(node.raw.ready()).toBeUndefined()
  })

  test('after a restart gives what was committed and not applied', () => {
    const node = new TestNode({ terms: [1, 1], hardState: { term: 1, commit: 2 }, appliedIndex: 1 })
    const ready = node.raw.ready()
    expect(ready).toMatchObject({ entries: [], hardState: undefined, mustSync: false })
    expect(ready?.committedEntries.map(({ index }) => index)).toEqual([2])
  })

  test('after a restart from a snapshot gives what follows it', () => {
    const storage = storageAt(5, 2, { voters: [1, 2] })
    storage.append([entry(2, 6, 'x')])
    storage.setHardState({ ...emptyHardState, term: 2, commit: 6 })
    const node = new TestNode({ storage })
    node.work()
    expect(node.applied).toEqual(['x'])
    expect(node.raw.status().confState.voters).toEqual([1, 2])
  })

  test('must be synced for entries, a term or a vote, not for a commit index', () => {
    const node = new TestNode({ terms: [1], hardState: { term: 1 } })
    node.step({ type: 'heartbeat', from: 2, term: 1, commit: 1 })
    node.step({ type: 'vote', from: 2, term: 2, logTerm: 1, index: 1 })
    node.step({ type: 'append', from: 2, term: 2, logTerm: 1, index: 1, entries: [entry(2, 2)] })
    const syncs = node.readies.map(({ mustSync, hardState }) => [mustSync, hardState?.term])
    expect(syncs).toEqual([
      [false, 1],
      [true, 2],
      [true, undefined],
    ])
  })

  test('must be synced for a vote alone', () => {
    const node = new TestNode({ hardState: { term: 1 } })
    node.step({ type: 'vote', from: 2, term: 1 })
    expect(node.readies).toMatchObject([{ mustSync: true, hardState: { term: 1, vote: 2 } }])
  })

  test('must be advanced before the next, and only itself', () => {
    const node = new TestNode()
    node.raw.campaign()
    const ready = node.raw.ready()
    expect(() => node.raw.ready()).toThrow(/advanced/)
    if (ready !== undefined) node.raw.advance(ready)
    expect(() => ready && node.raw.advance(ready)).toThrow(/last one/)
  })

  test('gives committed entries in pages, none twice, none lost', () => {
    const storage = storageAt(1, 1, { voters: [1, 2, 3] })
    storage.append(Array.from({ length: 50 }, (_, i) => entry(1, i + 2, `${i}`.padStart(10, '0'))))
    storage.setHardState({ ...emptyHardState, term: 1, commit: 51 })
    const node = new TestNode({ storage, committedBytesMax: 64 })

    node.work()

    const pages = node.readies.map(({ committedEntries }) => committedEntries)
    expect(Math.max(...pages.map(({ length }) => length))).toBeLessThan(5)
    expect(pages.flat().map(({ index }) => index)).toEqual(
      Array.from({ length: 50 }, (_, i) => i + 2),
    )
  })

  test('several proposals at once are taken together or not at all', () => {
    const node = new TestNode({ voters: [1], uncommittedBytesMax: 4 })
    node.raw.campaign()
    node.work()
    expect(node.raw.proposeAll([encode('a'), encode('b')])).toBe('ok')
    expect(node.raw.proposeAll([encode('cc'), encode('dd')])).toBe('proposal-dropped')
    node.work()
    expect(node.applied).toEqual(['a', 'b'])
  })
})

describe('status', () => {
  test('of a leader lists its members, of others none', () => {
    const cluster = new TestCluster(3)
    cluster.elect(2)
    expect([...cluster.node(2).raw.status().progress.keys()]).toEqual([1, 2, 3])
    expect(cluster.node(1).raw.status()).toMatchObject({ leader: 2, role: 'follower' })
    expect(cluster.node(1).raw.status().progress.size).toBe(0)
  })
})

describe('asynchronous storage writes', () => {
  function newNode(options = {}): TestNode {
    return new TestNode({ asyncStorageWrites: true, ...options })
  }

  /** The storage messages of the next Ready; all are carried out, but none is answered. */
  function write(node: TestNode): readonly Message[] {
    const messages = node.raw.ready()?.messages ?? []
    for (const { to, entries, snapshot } of messages) {
      if (to === LOCAL_APPEND_THREAD) node.persist({ hardState: undefined, entries, snapshot })
      if (to === LOCAL_APPLY_THREAD) node.apply(entries)
    }
    return messages.filter(({ to }) => to === LOCAL_APPEND_THREAD || to === LOCAL_APPLY_THREAD)
  }

  function answer(node: TestNode, messages: readonly Message[]): void {
    for (const { responses } of messages) {
      for (const response of responses) if (response.to === 1) node.raw.step(response)
    }
  }

  test('may be under way many at a time; appends are sent meanwhile', () => {
    const node = newNode({ voters: [1, 2] })
    node.raw.campaign()
    answer(node, write(node))
    node.raw.step(message({ type: 'vote-response', from: 2, term: 1 }))
    const first = write(node)
    node.raw.step(message({ type: 'append-response', from: 2, term: 1, index: 1 }))
    node.raw.propose(encode('x'))
    const second = node.raw.ready()

    expect(second?.messages.map(({ type, to }) => `${type} ${to === 2 ? 2 : 'local'}`)).toEqual([
      'append 2',
      'storage-append local',
    ])
    expect(node.raw.basicStatus().commit).toBe(0)
    answer(node, first)
    node.raw.step(message({ type: 'append-response', from: 2, term: 1, index: 2 }))
    expect(node.raw.basicStatus().commit).toBe(1)
    answer(node, second?.messages ?? [])
    expect(node.raw.basicStatus().commit).toBe(2)
  })

  test('entries are applied only once they are on this disk', () => {
    const node = newNode()
    const entries = [entry(1, 1, 'x')]
    node.raw.step(message({ type: 'append', from: 2, term: 1, entries, commit: 1 }))
    const appends = write(node)
    expect(appends.map(({ type }) => type)).toEqual(['storage-append'])

    answer(node, appends)
    const applies = write(node)

    expect(applies.map(({ type }) => type)).toEqual(['storage-apply'])
    expect(node.raw.basicStatus().applied).toBe(0)
    answer(node, applies)
    expect(node.raw.basicStatus().applied).toBe(1)
  })

  test('a message without answers need not be synced: it only raises the commit index', () => {
    const node = newNode()
    node.raw.step(message({ type: 'append', from: 2, term: 1, entries: [entry(1, 1)] }))
    answer(node, write(node))
    node.raw.step(message({ type: 'heartbeat', from: 2, term: 1, commit: 1 }))

    const [append] = write(node)

    expect(append).toMatchObject({ type: 'storage-append', term: 1, commit: 1, responses: [] })
  })

  test('the ABA race: entries that come back do not count as stable by their first write', () => {
    const node = newNode({ voters: [1, 2, 3, 4, 5] })
    const fromA = [entry(1, 1, 'a')]
    node.raw.step(message({ type: 'append', from: 2, term: 1, entries: fromA }))
    const first = node.raw.ready()?.messages ?? []
    node.raw.step(message({ type: 'append', from: 3, term: 2, entries: [entry(2, 1, 'c')] }))
    const second = node.raw.ready()?.messages ?? []
    node.raw.step(message({ type: 'append', from: 2, term: 3, entries: fromA }))
    const third = node.raw.ready()?.messages ?? []

    // The disk has done the first only; the second is still to come over it.
    node.storage.append(fromA)
    answer(node, first)
    expect(node.traced('stale-append-ignored')).toHaveLength(1)
    node.storage.append([entry(2, 1, 'c')])
    answer(node, second)
    node.raw.step(
      message({ type: 'append', from: 2, term: 3, index: 1, logTerm: 1, entries: [entry(3, 2)] }),
    )
    const fourth = node.raw.ready()?.messages ?? []

    expect(node.traced('append-rejected')).toEqual([])
    node.storage.append(fromA)
    answer(node, third)
    node.storage.append([entry(3, 2)])
    answer(node, fourth)
    expect(node.log()).toEqual(['1:a', '3'])
    expect(node.raw.hasReady()).toBe(false)
  })

  test('what is being applied at once is limited until it is answered', () => {
    const storage = storageAt(1, 1, { voters: [1, 2, 3] })
    storage.append([entry(1, 2, 'a'.repeat(20)), entry(1, 3, 'b'.repeat(20)), entry(1, 4, 'c')])
    storage.setHardState({ ...emptyHardState, term: 1, commit: 4 })
    const node = newNode({ storage, committedBytesMax: 40 })

    const first = write(node)
    expect(first.flatMap(({ entries }) => entries.map(({ index }) => index))).toEqual([2])
    expect(node.raw.hasReady()).toBe(false)
    answer(node, first)
    const second = write(node)

    expect(second.flatMap(({ entries }) => entries.map(({ index }) => index))).toEqual([3, 4])
  })

  test('are answered, not advanced', () => {
    const node = newNode()
    node.raw.campaign()
    const ready = node.raw.ready()
    expect(() => ready && node.raw.advance(ready)).toThrow(/not advanced/)
  })
})
