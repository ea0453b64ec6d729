/**
 * The core's words against `proto/raft.proto`: each is the other, both ways, at compile time and
 * through the codec; and sizes that flow control counts with.
 */
import { describe, expect, test } from 'vitest'
import {
  decodeEntry,
  decodeHardState,
  decodeMessage,
  decodeSnapshot,
  encodeEntry,
  encodeHardState,
  encodeMessage,
  encodeSnapshot,
  type Message as WireMessage,
} from '../../proto/gen/raft.ts'
import { type Entry, emptyConfState, emptyMessage, type Message, type Snapshot } from './message.ts'
import { entrySize, limitSize, payloadSize } from './size.ts'
import { encode, entry } from './test-cluster.ts'

const change: Entry = {
  ...entry(3, 8),
  type: 'conf-change-v2',
  confChange: {
    transition: 'joint-implicit',
    changes: [
      { type: 'add-learner', nodeId: 2 ** 53 - 10 },
      { type: 'remove-node', nodeId: 7 },
    ],
    context: encode('who'),
  },
}

const snapshot: Snapshot = {
  index: 7,
  term: 2,
  confState: { ...emptyConfState, voters: [1, 2], votersOutgoing: [1], autoLeave: true },
  data: encode('state'),
}

const message: Message = {
  ...emptyMessage,
  type: 'append',
  from: 2 ** 53 - 10,
  to: 2,
  term: 3,
  logTerm: 3,
  index: 7,
  entries: [change, entry(3, 9, 'x')],
  commit: 7,
  snapshot,
  reject: true,
  rejectHint: 4,
  context: encode('read'),
  responses: [{ ...emptyMessage, type: 'append-response' }],
}

describe('messages', () => {
  test('are encoded and decoded as they are', () => {
    const wire: WireMessage = message
    const back: Message = decodeMessage(encodeMessage(wire))
    expect(back).toEqual(message)
    expect(decodeEntry(encodeEntry(change))).toEqual(change)
    expect(decodeSnapshot(encodeSnapshot(snapshot))).toEqual(snapshot)
    const hardState = { term: 2 ** 52, vote: 3, commit: 4 }
    expect(decodeHardState(encodeHardState(hardState))).toEqual(hardState)
  })
})

describe('sizes', () => {
  test('are those of the encoding that etcd counts with', () => {
    expect(payloadSize(entry(1, 1))).toBe(0)
    expect(payloadSize(entry(1, 1, 'foo'))).toBe(3)
    expect(entrySize(entry(1, 1))).toBe(6)
    expect(entrySize(entry(1, 1, 'foo'))).toBe(11)
    expect(entrySize(entry(300, 2 ** 40, 'foo'))).toBe(6 + 1 + 5 + 5)
    expect(payloadSize(change)).toBeGreaterThan(10)
  })

  test.each([
    { bytesMax: 0, count: 1 },
    { bytesMax: 11, count: 1 },
    { bytesMax: 22, count: 2 },
    { bytesMax: 32, count: 2 },
    { bytesMax: Number.POSITIVE_INFINITY, count: 3 },
  ])('limitSize() to $bytesMax takes $count of three', ({ bytesMax, count }) => {
    const entries = [entry(1, 1, 'aaa'), entry(1, 2, 'bbb'), entry(1, 3, 'ccc')]
    expect(limitSize(entries, bytesMax)).toHaveLength(count)
    expect(limitSize([], bytesMax)).toEqual([])
  })
})
