/**
 * Counting digests: a majority decides, of the whole group and not of those that answered.
 */
import { expect, test } from 'vitest'
import { type DigestVerdict, DigestVote } from './digest-vote.ts'

const A = new Uint8Array([1])
const B = new Uint8Array([2])
const C = new Uint8Array([3])

const cases: readonly (readonly [string, readonly (Uint8Array | undefined)[], DigestVerdict])[] = [
  ['one of three that differs from the two others', [B, B], 'wrong'],
  ['one of two against one', [A, B], 'right'],
  ['three different ones', [B, C], 'undecided'],
  ['two members that differ', [B], 'undecided'],
  ['nobody answers', [undefined, undefined], 'undecided'],
  ['a majority of five in spite of a silent one', [A, A, B, undefined], 'right'],
]

test.each(cases)('digest vote: %s', (_, answers, verdict) => {
  const vote = new DigestVote(
    1_024,
    A,
    answers.map((__, at) => at + 1),
  )

  answers.forEach((digest, at) => {
    vote.answer(at + 1, digest)
  })

  expect(vote.verdict()).toBe(verdict)
})

test('digest vote waits for answers that may matter, and counts each member once', () => {
  const vote = new DigestVote(1_024, A, [1, 2])

  vote.answer(1, B)
  vote.answer(1, B)

  expect(vote.verdict()).toBeUndefined()
})
