/**
 * The commit rule (paper 5.3 and 5.4.2): what a leader may count, against a dumb second
 * implementation, and figure 8 of the paper, which shows why it may not count older entries.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encode, TestCluster, TestNode } from './test-cluster.ts'

describe('a leader commits', () => {
  test('the highest index of its own term that a majority has, whatever is acknowledged', () => {
    const scenario = fc.record({
      older: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 6 }),
      proposals: fc.integer({ min: 0, max: 4 }),
      size: fc.integer({ min: 2, max: 5 }),
      answers: fc.array(
        fc.record({ from: fc.integer({ min: 2, max: 5 }), index: fc.integer({ min: 1, max: 11 }) }),
        { maxLength: 20 },
      ),
    })
    fc.assert(
      fc.property(scenario, ({ older, proposals, size, answers }) => {
        const terms = [...older].sort((a, b) => a - b)
        const voters = Array.from({ length: size }, (_, at) => at + 1)
        const node = new TestNode({ voters, terms, hardState: { term: 4 } })
        node.lead()
        for (let at = 0; at < proposals; at++) node.raw.propose(encode('x'))
        node.work()
        const last = terms.length + 1 + proposals
        const has = new Map(voters.map((id) => [id, id === 1 ? last : 0]))

        for (const { from, index } of answers) {
          if (from > size || index > last) continue
          node.step({ type: 'append-response', from, term: 5, index })
          has.set(from, Math.max(has.get(from) ?? 0, index))
          let expected = 0
          for (let at = terms.length + 1; at <= last; at++)
            if ([...has.values()].filter((match) => match >= at).length * 2 > size) expected = at
          expect(node.raw.basicStatus().commit).toBe(expected)
        }
      }),
      { numRuns: 500 },
    )
  })
})

/**
 * Figure 8 with the numbers of the paper. Each message holds one entry here, so that an old entry
 * can reach a server without the new leader’s own: a log longer than one message, on a real network.
 *
 *           (a)   (b)   (c)     (d)      (e)
 *     S1    1 2   1 2   1 2 4   1 3 5    1 2 4    S1 leads terms 2 and 4, S5 leads terms 3 and 5
 *     S2    1 2   1 2   1 2     1 3 5    1 2 4    (c) entry 2 is on a majority and not committed
 *     S3    1     1     1 2     1 3 5    1 2 4    (d) S1 fails there: entry 2 is overwritten
 *     S4    1     1     1 2     1 3 5    1 2 4    (e) its own entry is on a majority first: S5
 *     S5    1     1 3   1 3     1 3 5    1 2 4        cannot win, and entry 2 is committed with it
 */
describe('figure 8', () => {
  const voters = [1, 2, 3, 4, 5]
  const options = { voters, messageBytesMax: 0, committedBytesMax: 1_000 }

  /** S1 leads term 4, and what it sends of its own term is lost. */
  function clusterAtC(): TestCluster {
    const cluster = new TestCluster(0)
    const hardState = { term: 1, commit: 1 }
    for (const id of voters) cluster.add({ ...options, id, terms: [1], hardState })
    cluster.lose(({ type, to }) => type === 'append' && to !== 2)
    cluster.elect(1)
    // S1 fails; S5 leads by the votes of S3 and S4, and what it writes reaches nobody.
    cluster.lose(({ type, from, to }) => type === 'append' || [from, to].some((id) => id < 3))
    cluster.elect(5)
    // S5 fails; S1 is back and reaches those who have voted in term 3 with its second try.
    cluster.restart(1, options)
    cluster.lose(({ type, from, to }) => {
      const isNew = cluster.nodes.get(to)?.storage.lastIndex() !== 1
      return [from, to].includes(5) || (type === 'append' && isNew)
    })
    cluster.elect(1)
    cluster.elect(1)
    return cluster
  }

  function logs(cluster: TestCluster): readonly string[] {
    return voters.map((id) => cluster.node(id).log().join(' '))
  }

  test('(c) an entry of an older term on a majority is not committed', () => {
    const cluster = clusterAtC()

    expect(logs(cluster)).toEqual(['1 2 4', '1 2', '1 2', '1 2', '1 3'])
    const { progress, ...status } = cluster.node(1).raw.status()
    expect([3, 4].map((id) => progress.get(id)?.match)).toEqual([2, 2])
    expect(status).toMatchObject({ role: 'leader', term: 4, commit: 1, applied: 1 })
  })

  test('(d) for it can still be overwritten, and then nobody has applied it', () => {
    const cluster = clusterAtC()
    cluster.restart(5, options)
    cluster.isolate(1)

    cluster.elect(5)
    cluster.elect(5)
    cluster.heal()
    cluster.tick(2, 5)

    expect(logs(cluster)).toEqual(voters.map(() => '1 3 5'))
    for (const id of voters) expect(cluster.node(id).raw.basicStatus().commit).toBe(3)
  })

  test('(e) an entry of its own term on a majority commits those before it', () => {
    const cluster = clusterAtC()
    cluster.isolate(5)
    cluster.tick(2, 1)
    const { commit } = cluster.node(1).raw.basicStatus()

    cluster.restart(5, options)
    cluster.isolate(1)
    for (let tries = 0; tries < 3; tries++) cluster.elect(5)

    expect(commit).toBe(3)
    expect(cluster.node(5).raw.basicStatus().role).not.toBe('leader')
  })
})
