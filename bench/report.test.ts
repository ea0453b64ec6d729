/**
 * The table of figures: medians, ratios, columns.
 */
import { expect, test } from 'vitest'
import { formatFigures, medianOf } from './report.ts'

test('medianOf() takes the middle, or the mean of two', () => {
  expect(medianOf([3, 1, 2])).toBe(2)
  expect(medianOf([4, 1, 2, 3])).toBe(2.5)
})

test('formatFigures() aligns its columns and compares with the reference', () => {
  const text = formatFigures('store', [
    { name: 'get', unit: 'µs', samples: [0.25, 0.5, 0.75], reference: 1.7 },
    { name: 'list of all', unit: 'ms', samples: [12] },
  ])

  expect(text.split('\n')).toEqual([
    'store',
    '              min  median   max  unit  reference  ratio',
    'get          0.25    0.50  0.75  µs         1.70  3.40×',
    'list of all  12.0    12.0  12.0  ms',
    '',
  ])
})
