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

  expect(outbox.add([append(2, 10, 10)], 0)).toEqual([])
  expect(outbox.waitMs(0)).toBe(5)
  expect(outbox.add([next], 1)).toEqual([next])
  expect(outbox.waitMs(1)).toBeUndefined()
  expect(outbox.flush()).toEqual([])
})

test('of several commit indexes for one member the last one goes out, 5 ms after the first', () => {
  const outbox = new Outbox()
  outbox.add([append(2, 10, 10)], 0)
  outbox.add([append(2, 11, 11)], 3)
  outbox.add([append(3, 11, 11)], 4)

  expect(outbox.takeDue(4.9)).toEqual([])
  expect(outbox.takeDue(5)).toEqual([append(2, 11, 11)])
  expect(outbox.waitMs(5)).toBe(4)
})

test('a commit index that an append bore is no reason to tell the next one early', () => {
  const outbox = new Outbox()
  outbox.add([append(2, 10, 10)], 0)
  outbox.add([append(2, 10, 10, 1)], 3)

  outbox.add([append(2, 11, 11)], 4)

  expect([outbox.takeDue(5), outbox.takeDue(9)]).toEqual([[], [append(2, 11, 11)]])
})

test('what does not say the same goes after what was held', () => {
  const outbox = new Outbox()
  const heartbeat: Message = { ...emptyMessage, type: 'heartbeat', from: 1, to: 2, term: 5 }
  const older = append(2, 9, 8, 1)
  const newer = { ...append(2, 10, 8, 1), term: 6 }

  expect(outbox.add([append(2, 10, 10), heartbeat], 0)).toEqual([append(2, 10, 10), heartbeat])
  expect(outbox.add([append(2, 10, 10), older], 0)).toEqual([append(2, 10, 10), older])
  expect(outbox.add([append(2, 10, 10), newer], 0)).toEqual([append(2, 10, 10), newer])
})

test('other messages and other members do not wait', () => {
  const outbox = new Outbox()
  const vote: Message = { ...emptyMessage, type: 'vote', from: 1, to: 3, term: 5 }

  expect(outbox.add([append(2, 10, 10), vote], 0)).toEqual([vote])
  expect(outbox.flush()).toEqual([append(2, 10, 10)])
})
