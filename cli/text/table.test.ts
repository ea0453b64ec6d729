/** Columns as Docker aligns them, and the order in which people count. */
import { expect, test } from 'vitest'
import { alignColumns, compareNatural, ellipsis } from './table.ts'

test('alignColumns() pads to the widest cell and three, at least ten, but not the last', () => {
  const lines = ['ID\tNAME\tIMAGE', 'abcdefghijkl\tw\tnginx:1.27', 'x\tç…ñ\t']

  expect(alignColumns(lines).split('\n')).toEqual([
    'ID             NAME      IMAGE',
    'abcdefghijkl   w         nginx:1.27',
    'x              ç…ñ       ',
  ])
})

test('compareNatural() counts', () => {
  const names = ['web.10', 'web.2', 'api.3', 'web', 'web.2.b', 'web.02', '10', '9']

  expect(names.toSorted(compareNatural)).toEqual([
    '9',
    '10',
    'api.3',
    'web',
    'web.02',
    'web.2',
    'web.2.b',
    'web.10',
  ])
})

test('ellipsis() cuts letters, not bytes', () => {
  expect([ellipsis('äöü', 3), ellipsis('äöüß', 3)]).toEqual(['äöü', 'äö…'])
})
