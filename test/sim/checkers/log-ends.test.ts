/** Stories of what a disk has held, term by term. */
import { expect, test } from 'vitest'
import type { Persist } from '../../../manager/consensus-interface.ts'
import { LogEnds } from './log-ends.ts'

type Write = Pick<Persist, 'hardState' | 'entries' | 'snapshot'>

function write(term: number, first: number, last = first): Write {
  const indexes = Array.from({ length: last - first + 1 }, (_, at) => first + at)
  return {
    hardState: { term, vote: 1, commit: 0 },
    entries: indexes.map((index) => ({
      index,
      term,
      type: 'normal' as const,
      data: new Uint8Array(),
      confChange: undefined,
    })),
    snapshot: undefined,
  }
}

test('what one sync wrote and replaced may be acknowledged in its term', () => {
  const ends = new LogEnds(41, 1_459)

  ends.persisted(write(41, 1_460, 1_463))
  ends.persisted(write(42, 1_460))

  expect(ends.reached(41, 1_463)).toBe(true)
  expect(ends.reached(42, 1_460)).toBe(true)
})

test('what was never on the disk in its term is not reached', () => {
  const ends = new LogEnds(41, 1_459)

  ends.persisted(write(41, 1_460))
  ends.persisted(write(42, 1_460))

  expect(ends.reached(41, 1_461)).toBe(false)
  expect(ends.reached(42, 1_461)).toBe(false)
  expect(ends.reached(43, 1_460)).toBe(false)
})

test('a tail that was there before its term, and that its leader replaced, is not reached', () => {
  const ends = new LogEnds(40, 100)

  ends.persisted({ ...write(41, 96), entries: [] })
  ends.persisted(write(41, 96))

  expect(ends.reached(41, 96)).toBe(true)
  expect(ends.reached(41, 98)).toBe(false)
})
