/** Pieces stand one behind the other, in memory of their own. */
import { expect, test } from 'vitest'
import { joinBytes } from './bytes.ts'

test.each<[readonly (readonly number[])[], readonly number[]]>([
  [[], []],
  [[[1, 2]], [1, 2]],
  [
    [[1], [], [2, 3]],
    [1, 2, 3],
  ],
])('%j is %j', (pieces, joined) => {
  expect(joinBytes(pieces.map((piece) => Uint8Array.from(piece)))).toEqual(Uint8Array.from(joined))
})

test('what is done to a piece afterwards does not show', () => {
  const piece = Uint8Array.of(1)
  const joined = joinBytes([piece])

  piece[0] = 2

  expect(joined).toEqual(Uint8Array.of(1))
})
