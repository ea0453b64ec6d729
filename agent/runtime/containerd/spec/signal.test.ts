/**
 * Stop signals in every spelling.
 */
import { expect, test } from 'vitest'
import { parseSignal } from './signal.ts'

test.each([
  ['', 15],
  ['SIGTERM', 15],
  ['term', 15],
  ['SIGINT', 2],
  ['9', 9],
  ['SIGRTMIN', 34],
  ['SIGRTMIN+3', 37],
  ['rtmax-1', 63],
  ['SIGWINCH', 28],
])('parseSignal of "%s"', (text, expected) => {
  expect(parseSignal(text)).toBe(expected)
})

test.each(['SIGNOPE', '0', '65', '-1', 'SIGRTMIN+31', 'SIGRTMIN-1', '1.5'])(
  'parseSignal refuses "%s"',
  (text) => {
    expect(() => parseSignal(text)).toThrow(`invalid signal: ${text}`)
  },
)
