/** A few seeds of a leader alone, and that each is a function of its number. */
import { expect, test } from 'vitest'
import { runSolo } from './solo.ts'

const SEEDS = Array.from({ length: 30 }, (_, at) => at + 1)

test('a leader alone keeps the rules of services at every entry, and comes to rest', () => {
  const outcomes = SEEDS.map((seed) => ({ seed, ...runSolo(seed) }))

  expect(outcomes.filter(({ violations }) => violations.length > 0)).toEqual([])
  // None of them was over before anything happened.
  expect(outcomes.filter(({ entries }) => entries < 100)).toEqual([])
}, 120_000)

test('the same seed is the same story', () => {
  const play = (): readonly string[] => {
    const lines: string[] = []
    runSolo(7, (line) => lines.push(line))
    return lines
  }

  expect(play()).toEqual(play())
})
