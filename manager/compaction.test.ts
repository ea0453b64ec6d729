/** When main is asked for a snapshot. */
import { expect, test } from 'vitest'
import { Compaction } from './compaction.ts'
import type { Entry } from './raft/message.ts'

const INTERVAL = { entries: 100, bytes: 1_000, keepEntries: 30 }

function entryOf(sizeBytes: number): Entry {
  const data = new Uint8Array(sizeBytes)
  return { index: 1, term: 1, type: 'normal', data, confChange: undefined }
}

test('main is asked after so many entries, once', () => {
  const compaction = new Compaction(INTERVAL, 50)

  expect([149, 150, 151].map((index) => compaction.ask(index))).toEqual([false, true, false])
})

test('main is asked after so many bytes, and not before it has applied any', () => {
  const compaction = new Compaction(INTERVAL, 50)
  compaction.grew([entryOf(600), entryOf(400)])

  expect([compaction.ask(50), compaction.ask(51)]).toEqual([false, true])
})

test('counting begins anew with each snapshot, own or the leader’s', () => {
  const compaction = new Compaction(INTERVAL, 50)
  compaction.grew([entryOf(1_000)])

  compaction.ask(60)
  compaction.answered()
  compaction.saved(60)

  expect([compaction.ask(61), compaction.ask(159), compaction.ask(160)]).toEqual([
    ...[false, false, true],
  ])
})

test('an answer of no use makes main be asked again', () => {
  const compaction = new Compaction(INTERVAL, 50)
  compaction.ask(150)

  compaction.answered()

  expect(compaction.ask(151)).toBe(true)
})

test('a new member needs a snapshot that knows it, whatever the interval says', () => {
  const compaction = new Compaction({ ...INTERVAL, entries: 0 }, 50)

  compaction.need(60)

  expect([compaction.ask(59), compaction.ask(60)]).toEqual([false, true])
})

test('the log is cut behind what slow followers may need', () => {
  const compaction = new Compaction(INTERVAL, 50)

  expect([compaction.cutIndex(100), compaction.cutIndex(10)]).toEqual([70, 0])
})
