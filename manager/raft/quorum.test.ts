/**
 * Quorums against a dumb second implementation: try every index, count every vote.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { committedIndex, majorityIndex, type Quorum, voteResult } from './quorum.ts'

const ids = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 7 })
const quorum: fc.Arbitrary<Quorum> = fc.record({ voters: ids, votersOutgoing: ids })
const indexes = fc.dictionary(
  fc.integer({ min: 1, max: 9 }).map(String),
  fc.integer({ min: 0, max: 20 }),
)
const votes = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.boolean()))
  .map((pairs) => new Map(pairs))

/** Whether more than half of the voters are in it; no voters agree to all. */
function isMajority(voters: readonly number[], isIn: (id: number) => boolean): boolean {
  return voters.length === 0 || voters.filter(isIn).length * 2 > voters.length
}

describe('quorum', () => {
  test('commits the highest index that majorities of both halves have', () => {
    fc.assert(
      fc.property(quorum, indexes, ({ voters, votersOutgoing }, known) => {
        const of = (id: number): number => known[String(id)] ?? 0
        const isOn = (index: number): boolean =>
          [voters, votersOutgoing].every((half) => isMajority(half, (id) => of(id) >= index))
        const highest = Array.from({ length: 21 }, (_, i) => 20 - i).find(isOn)

        const result = committedIndex({ voters, votersOutgoing }, (id) => known[String(id)])

        const isEmpty = voters.length === 0 && votersOutgoing.length === 0
        expect(result).toBe(isEmpty ? Number.POSITIVE_INFINITY : highest)
      }),
    )
  })

  test('is won by majorities of both halves, lost when one of them cannot be reached', () => {
    fc.assert(
      fc.property(quorum, votes, (halves, cast) => {
        const both = [halves.voters, halves.votersOutgoing]
        const isWon = both.every((half) => isMajority(half, (id) => cast.get(id) === true))
        const canWin = both.every((half) => isMajority(half, (id) => cast.get(id) !== false))

        expect(voteResult(halves, cast)).toBe(isWon ? 'won' : canWin ? 'pending' : 'lost')
      }),
    )
  })

  test('a voter of which nothing is known counts as having nothing', () => {
    expect(majorityIndex([1, 2, 3], (id) => (id === 1 ? 7 : undefined))).toBe(0)
    expect(majorityIndex([1, 2, 3], (id) => (id === 3 ? undefined : id))).toBe(1)
  })
})
