/**
 * Committed entries in pieces: none is lost, and none larger than it must be.
 */
import { expect, test } from 'vitest'
import type { MainEvent } from './consensus-interface.ts'
import { inPieces, PIECE_BYTES } from './event-pieces.ts'

test('inPieces() cuts committed entries by their size, in their order', () => {
  const sizes = [PIECE_BYTES / 2, PIECE_BYTES / 2, 1, 3 * PIECE_BYTES, 0, 5]

  const pieces = inPieces(committed(sizes))

  const cut = pieces.map((piece) =>
    piece.kind === 'committed' ? piece.entries.map(({ index }) => index) : [],
  )
  expect(cut).toEqual([[0, 1], [2], [3], [4, 5]])
})

test('inPieces() leaves every other event as it is', () => {
  const event: MainEvent = { kind: 'read-ready', id: 1, index: 2 }

  expect(inPieces(event)).toEqual([event])
  expect(inPieces(committed([]))).toEqual([])
})

function committed(sizes: readonly number[]): MainEvent {
  const entries = sizes.map((size, index) => ({ index, term: 1, data: new Uint8Array(size) }))
  return { kind: 'committed', entries }
}
