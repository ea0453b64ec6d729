/** The line splitter against the same text split at once, in pieces of every size. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Line, LineSplitter } from './line-splitter.ts'
import { LOG_DATA_BYTES } from './log-file.ts'

const text = (lines: readonly Line[]): readonly string[] =>
  lines.map((line) => `${new TextDecoder().decode(line.data)}${line.partial ? '…' : '$'}`)

const bytes = (value: string): Uint8Array => new TextEncoder().encode(value)

test('LineSplitter gives whole lines however the bytes are cut', () => {
  const line = fc.string({ maxLength: 5, unit: fc.constantFrom('a', '\n', 'é') })
  fc.assert(
    fc.property(fc.array(line), (pieces) => {
      const splitter = new LineSplitter()

      const lines = [...pieces.flatMap((piece) => splitter.push(bytes(piece))), ...splitter.end()]

      const expected = pieces.join('').split('\n')
      if (expected.at(-1) === '') expected.pop()
      expect(text(lines)).toEqual(expected.map((each) => `${each}$`))
    }),
  )
})

test.each([
  [LOG_DATA_BYTES, ['whole']],
  [LOG_DATA_BYTES + 1, ['partial', 'whole']],
  [LOG_DATA_BYTES * 2, ['partial', 'whole']],
  [LOG_DATA_BYTES * 2 + 5, ['partial', 'partial', 'whole']],
])('LineSplitter splits a line of %i bytes', (length, expected) => {
  for (const step of [length + 1, 4096, 1000]) {
    const all = bytes(`${'x'.repeat(length)}\n`)
    const splitter = new LineSplitter()
    const lines: Line[] = []

    for (let at = 0; at < all.length; at += step) {
      lines.push(...splitter.push(all.subarray(at, at + step)))
    }

    expect(lines.map((line) => (line.partial ? 'partial' : 'whole'))).toEqual(expected)
    expect(lines.reduce((sum, line) => sum + line.data.length, 0)).toBe(length)
    expect(splitter.end()).toEqual([])
  }
})
