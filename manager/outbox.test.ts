/**
 * The outbox: which messages wait, and that none is lost but those that a later one covers.
 */
import { expect, test } from 'vitest'
import { Outbox } from './outbox.ts'
import { emptyMessage, type Message } from './raft/message.ts'

function append(to: number, index: number, commit: number, entries = 0): Message {
  return {
    ...emptyMessage,
    type: 'append',
    from: 1,
    to,
    term: 5,
    index,
    commit,
    entries: Array.from({ length: entries }, (_, at) => ({
      type: 'normal' as const,
      term: 5,
      index: index + 1 + at,
      data: new Uint8Array(1),
      confChange: undefined,
    })),
  }
}

test('an append without entries waits and is covered by the next one with entries', () => {
  const outbox = new Outbox()
  const next = append(2, 10, 10, 1)

  expect(outbox.add([append(2, 10, 10)])).toEqual([])
  expect(outbox.isEmpty).toBe(false)
  expect(outbox.add([next])).toEqual([next])
  expect(outbox.isEmpty).toBe(true)
  expect(outbox.flush()).toEqual([])
})

test('of several commit indexes for one member the last one goes out', () => {
  const outbox = new Outbox()

  outbox.add([append(2, 10, 8), append(3, 10, 8), append(2, 10, 9)])

  expect(outbox.flush()).toEqual([append(3, 10, 8), append(2, 10, 9)])
  expect(outbox.isEmpty).toBe(true)
})

test('what does not say the same goes after what was held', () => {
  const outbox = new Outbox()
  const heartbeat: Message = { ...emptyMessage, type: 'heartbeat', from: 1, to: 2, term: 5 }
  const older = append(2, 9, 8, 1)
  const newer = { ...append(2, 10, 8, 1), term: 6 }

  expect(outbox.add([append(2, 10, 10), heartbeat])).toEqual([append(2, 10, 10), heartbeat])
  expect(outbox.add([append(2, 10, 10), older])).toEqual([append(2, 10, 10), older])
  expect(outbox.add([append(2, 10, 10), newer])).toEqual([append(2, 10, 10), newer])
})

test('other messages and other members do not wait', () => {
  const outbox = new Outbox()
  const vote: Message = { ...emptyMessage, type: 'vote', from: 1, to: 3, term: 5 }

  expect(outbox.add([append(2, 10, 10), vote])).toEqual([vote])
  expect(outbox.flush()).toEqual([append(2, 10, 10)])
})
