/** The words for spans of time, at every border between two of them. */
import { expect, test } from 'vitest'
import { formatAgo, formatElapsed } from './ago.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

test.each([
  [-5, 'Less than a second'],
  [999, 'Less than a second'],
  [1_000, '1 second'],
  [59_999, '59 seconds'],
  [MINUTE, 'About a minute'],
  [2 * MINUTE - 1, 'About a minute'],
  [2 * MINUTE, '2 minutes'],
  [HOUR - 1, '59 minutes'],
  [HOUR, 'About an hour'],
  [1.5 * HOUR, '2 hours'],
  [47 * HOUR, '47 hours'],
  [48 * HOUR, '2 days'],
  [13 * DAY, '13 days'],
  [14 * DAY, '2 weeks'],
  [59 * DAY, '8 weeks'],
  [60 * DAY, '2 months'],
  [729 * DAY, '24 months'],
  [730 * DAY, '2 years'],
])('formatElapsed() says of %d ms: %s', (elapsedMs, text) => {
  expect(formatElapsed(elapsedMs)).toBe(text)
})

test('formatAgo() says nothing of a time that is not known', () => {
  expect([formatAgo(1_000, 6_000), formatAgo(undefined, 6_000), formatAgo(0, 6_000)]).toEqual([
    '5 seconds ago',
    '',
    '',
  ])
})
