/**
 * Linearizable reads: confirmed by a quorum, not before the first commit of the term, and none
 * forgotten or answered twice.
 */
import { describe, expect, test } from 'vitest'
import { defined } from '../../lib/assert.ts'
import { ReadQueue } from './read-queue.ts'
import { decode, emptyRead, encode, entry, message, TestCluster, TestNode } from './test-cluster.ts'

function reads(node: TestNode): readonly string[] {
  return node.reads.map(({ index, context }) => `${decode(context)}@${index}`)
}

describe('safe reads', () => {
  test.each([1, 2, 4])('asked of node %i are answered with the commit index', (asked) => {
    const cluster = new TestCluster(4, { learners: [4] })
    cluster.elect(1)
    cluster.propose(1, 'x')

    cluster.node(asked).raw.readIndex(encode('r'))
    cluster.settle()

    expect(reads(cluster.node(asked))).toEqual(['r@2'])
  })

  test('are not answered without a quorum, and learners are none', () => {
    const cluster = new TestCluster(4, { learners: [4] })
    cluster.elect(1)
    cluster.isolate(2, 3)
    cluster.node(1).raw.readIndex(encode('r'))
    cluster.settle()
    expect(reads(cluster.node(1))).toEqual([])

    cluster.heal()
    cluster.tick(1, 1)

    expect(reads(cluster.node(1))).toEqual(['r@1'])
  })

  test('are confirmed together, also with the same context, each once and in order', () => {
    const cluster = new TestCluster(3)
    cluster.elect(1)
    cluster.loseType('heartbeat-response')
    for (const context of ['a', 'b', 'a']) cluster.node(1).raw.readIndex(encode(context))
    cluster.settle()
    cluster.heal()

    cluster.tick(2, 1)

    expect(reads(cluster.node(1))).toEqual(['a@1', 'b@1', 'a@1'])
  })

  test('wait for the first commit of the term', () => {
    const node = new TestNode()
    node.lead()
    node.raw.readIndex(encode('r'))
    expect(node.work()).toEqual([])

    const messages = node.step({ type: 'append-response', from: 2, term: 1, index: 1 })

    expect(messages.filter(({ type }) => type === 'heartbeat')).toHaveLength(2)
    const context = messages.find(({ type }) => type === 'heartbeat')?.context
    node.step({ type: 'heartbeat-response', from: 2, term: 1, ...(context && { context }) })
    expect(reads(node)).toEqual(['r@1'])
  })

  test('that wait for the first commit end with the leadership', () => {
    const node = new TestNode()
    node.lead()
    node.raw.readIndex(encode('r'))
    node.step({ type: 'append', from: 2, term: 2 })
    node.lead()
    const { term } = node.raw.basicStatus()
    const messages = node.step({ type: 'append-response', from: 2, term, index: 2 })
    expect(messages.filter(({ type }) => type === 'heartbeat')).toEqual([])
  })

  test('of a single voter need nobody else', () => {
    const cluster = new TestCluster(1)
    cluster.elect(1)
    cluster.node(1).raw.readIndex(encode('r'))
    cluster.settle()
    expect(reads(cluster.node(1))).toEqual(['r@1'])
  })

  test.each([1, 2])('of node %i wait for the first commit of a single voter’s term', (asked) => {
    // The entry is committed, for it is on the disk of the only voter; its hard state is older.
    const node = new TestNode({ voters: [1], learners: [2], terms: [1], hardState: { term: 1 } })
    node.raw.campaign()
    const vote = defined(node.raw.ready(), 'the vote is to be written')
    node.persist(vote)
    node.raw.advance(vote)
    expect(node.raw.basicStatus().role).toBe('leader')
    const entries = [{ ...entry(0, 0), data: encode('r') }]
    node.raw.step(message({ type: 'read-index', from: asked, entries }))

    const answers = node.work().filter(({ type }) => type === 'read-index-response')

    const indexes = [...answers, ...node.reads].map(({ index }) => index)
    expect(indexes).toEqual([2])
  })

  test('are dropped without a leader', () => {
    const node = new TestNode()
    node.raw.readIndex(encode('r'))
    expect(node.work()).toEqual([])
    expect(node.traced('read-dropped')).toHaveLength(1)
  })

  test('end with the leadership: an old confirmation answers nothing', () => {
    const node = new TestNode()
    node.lead()
    node.step({ type: 'append-response', from: 2, term: 1, index: 1 })
    node.raw.readIndex(encode('r'))
    const context = node.work()[0]?.context ?? encode('')
    node.step({ type: 'append', from: 2, term: 2 })
    node.lead()
    const { term } = node.raw.basicStatus()
    node.step({ type: 'append-response', from: 2, term, index: 2 })

    node.step({ type: 'heartbeat-response', from: 2, term, context })

    expect(reads(node)).toEqual([])
  })
})

describe('lease-based reads', () => {
  test('are answered at once by a leader, without asking', () => {
    const cluster = new TestCluster(3, { readOnly: 'lease-based', checkQuorum: true })
    cluster.elect(1)
    cluster.isolate(2)

    cluster.node(1).raw.readIndex(encode('a'))
    cluster.node(3).raw.readIndex(encode('b'))
    cluster.settle()

    expect(reads(cluster.node(1))).toEqual(['a@1'])
    expect(reads(cluster.node(3))).toEqual(['b@1'])
  })

  test('need CheckQuorum', () => {
    expect(() => new TestNode({ readOnly: 'lease-based' })).toThrow(/checkQuorum/)
  })
})

describe('the queue', () => {
  const quorum = { voters: [1, 2, 3], votersOutgoing: [] }

  test('confirms up to what a quorum has acknowledged, and holds nothing after', () => {
    const queue = new ReadQueue()
    queue.add(emptyRead(1))
    const first = queue.context()
    queue.add(emptyRead(2))

    queue.acknowledge(1, queue.context())
    expect(queue.takeConfirmed(quorum)).toEqual([])
    queue.acknowledge(2, first)
    expect(queue.takeConfirmed(quorum)).toEqual([emptyRead(1)])
    queue.acknowledge(3, queue.context())
    expect(queue.takeConfirmed(quorum)).toEqual([emptyRead(2)])

    expect(queue.context()).toHaveLength(0)
  })

  test('ignores an acknowledgement that is older than one it has, or malformed', () => {
    const queue = new ReadQueue()
    queue.add(emptyRead(1))
    const first = queue.context()
    queue.add(emptyRead(2))
    queue.acknowledge(1, queue.context())
    queue.acknowledge(2, queue.context())
    queue.acknowledge(2, first)
    queue.acknowledge(2, encode('nonsense!'))
    expect(queue.takeConfirmed(quorum)).toHaveLength(2)
  })
})
