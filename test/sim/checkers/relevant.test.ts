/**
 * Which events are shown with a violation.
 */
import { expect, test } from 'vitest'
import { selectRelevant } from './relevant.ts'

const id = 'a'.repeat(25)
const other = 'b'.repeat(25)
const noise = Array.from({ length: 20 }, (_, at) => `${at}.000 m2 prepare ${other} x/1`)

test('selectRelevant() keeps what names the object, faults and the end', () => {
  const lines = [`1.000 m1 start ${id} web/1`, ...noise, '21.000 fault crash m3', ...noise]

  const shown = selectRelevant(lines, [`T1: task ${id} went back`], 60)

  expect(shown.slice(0, 4)).toEqual([lines[0], '…', '21.000 fault crash m3', '…'])
  expect(shown).toHaveLength(4 + 8)
})

test('selectRelevant() goes by nodes where no object is named', () => {
  const lines = ['1.000 m3 starts', ...noise, '2.000 m4 starts', ...noise]

  const shown = selectRelevant(lines, ['S6: term of m3 went back'], 60)

  expect(shown[0]).toBe('1.000 m3 starts')
  expect(shown).not.toContain('2.000 m4 starts')
})

test('selectRelevant() keeps the last ones where there are too many', () => {
  const lines = Array.from({ length: 100 }, (_, at) => `${at}.000 m1 start ${id} web/1`)

  expect(selectRelevant(lines, [id], 10)).toEqual(lines.slice(-10))
})
