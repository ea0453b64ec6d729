/** Rounds of ReadIndex: who is answered by which, and what is never answered by an old one. */
import { expect, test } from 'vitest'
import { ReadRounds } from './read-rounds.ts'

test('a round answers all reads that waited when it began, and none that came later', () => {
  const rounds = new ReadRounds(1, 7)
  rounds.add(1, 0)
  rounds.add(2, 0)
  const context = rounds.begin(0) ?? new Uint8Array(0)
  rounds.add(3, 0)

  const answered = rounds.take(context)
  const next = rounds.begin(0) ?? new Uint8Array(0)

  expect(answered).toEqual([1, 2])
  expect(rounds.take(next)).toEqual([3])
  expect(rounds.begin(0)).toBeUndefined()
})

test('a round is asked once while it is under way', () => {
  const rounds = new ReadRounds(1, 7)
  rounds.add(1, 0)
  rounds.begin(0)
  rounds.add(2, 0)

  expect(rounds.begin(0)).toBeUndefined()
})

test('an answer to a round that was asked again counts for nothing', () => {
  const rounds = new ReadRounds(1, 7)
  rounds.add(1, 0)
  const old = rounds.begin(0) ?? new Uint8Array(0)
  const late = rounds.isOverdue(4)
  const again = rounds.restart(4) ?? new Uint8Array(0)

  expect([late, rounds.isOverdue(5)]).toEqual([true, false])
  expect(rounds.take(old)).toBeUndefined()
  expect(rounds.take(again)).toEqual([1])
})

test('rounds of two members, or of two starts of one, are told apart', () => {
  const contexts = [new ReadRounds(1, 7), new ReadRounds(1, 8), new ReadRounds(2, 7)].map(
    (rounds) => {
      rounds.add(1, 0)
      return rounds.begin(0)?.join(' ')
    },
  )

  expect(new Set(contexts).size).toBe(3)
})

test('a read is given up after 5 s, and the round that it was in answers the others', () => {
  const rounds = new ReadRounds(1, 7)
  rounds.add(1, 0)
  rounds.add(2, 50)

  const expired = [rounds.takeExpired(99), rounds.takeExpired(100), rounds.takeExpired(101)]
  const context = rounds.restart(101) ?? new Uint8Array(0)

  expect(expired).toEqual([[], [1], []])
  expect(rounds.take(context)).toEqual([2])
})
