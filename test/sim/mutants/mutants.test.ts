/**
 * The mutants fit the tree: each one's search text matches once, and what it makes of its file is
 * still a program. That the simulator finds them is not asked here but by `npm run -s sim --
 * --mutants`; that it finds any, by the last test.
 */
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { expect, test } from 'vitest'
import { findFailure } from './hunt.ts'
import { allMutants, getMutant } from './list.ts'
import { type Mutant, plant } from './mutant.ts'
import { urlOf } from './place.ts'

function sourceOf(mutant: Mutant): string {
  return readFileSync(new URL(urlOf(mutant)), 'utf8')
}

test.for(allMutants.map((mutant) => mutant.name))('mutant %s fits its file', (name) => {
  const mutant = getMutant(name)
  const source = sourceOf(mutant)

  const planted = plant(mutant, source)

  expect(planted).not.toBe(source)
  expect(() => stripTypeScriptTypes(planted)).not.toThrow()
})

test('names of mutants differ, and each says what it breaks', () => {
  expect(new Set(allMutants.map((mutant) => mutant.name)).size).toBe(allMutants.length)
  expect(allMutants.length).toBeGreaterThanOrEqual(25)
  for (const mutant of allMutants) {
    expect(mutant.name).toMatch(/^[a-z]+(-[a-z]+)+$/)
    expect(mutant.why).not.toBe('')
    expect(mutant.caughtBy).not.toBe('')
  }
})

test('a search text that matches twice, or not at all, is refused', () => {
  const mutant = { ...getMutant('vote-twice'), search: 'b', replacement: 'c' }

  expect(() => plant(mutant, 'abab')).toThrow('vote-twice matches once')
  expect(() => plant(mutant, 'a')).toThrow('vote-twice matches once')
  expect(plant({ ...mutant, replacement: '$&' }, 'abc')).toBe('a$&c')
})

test('the simulator finds a planted bug', async () => {
  const failed = await findFailure(getMutant('applied-out-of-order'), { from: 1, count: 3 })

  expect(failed?.problems.join()).toContain('S6')
}, 60_000)
