/** Effects under way: which answers become true with what, and in which order. */
import { expect, test } from 'vitest'
import { emptyConfState, emptyMessage, type Message, NO_BYTES } from './raft/message.ts'
import { StorageQueue } from './storage-queue.ts'

const SNAPSHOT = { index: 9, term: 2, confState: emptyConfState, data: NO_BYTES }

function appendOf(part: Partial<Message>): Message {
  return { ...emptyMessage, type: 'storage-append', ...part }
}

test('what the disk has done is taken in order, and nothing after it', () => {
  const queue = new StorageQueue()
  const [first, second, third] = [1, 2, 3].map((term) => queue.addPersist(appendOf({ term }), true))

  const taken = [2, 2, 2].map((sequence) => queue.takePersisted(sequence)?.persist)

  expect([first, second, third].map((persist) => persist?.sequence)).toEqual([1, 2, 3])
  expect(taken).toEqual([first, second, undefined])
})

test('an append that changes no term, vote or commit has no hard state', () => {
  const queue = new StorageQueue()

  expect(queue.addPersist(appendOf({}), false).hardState).toBeUndefined()
  expect(queue.addPersist(appendOf({ term: 2 }), false).hardState).toEqual({
    ...{ term: 2, vote: 0, commit: 0 },
  })
})

test('a leader’s snapshot replaces the log until it is durable; this member’s own never does', () => {
  const queue = new StorageQueue()
  queue.addCompaction({ snapshot: SNAPSHOT, compactIndex: 3, oldSnapshots: 0 })
  const own = queue.isReplacing
  queue.addPersist(appendOf({ snapshot: SNAPSHOT }), true)
  const given = queue.isReplacing

  while (queue.takePersisted(2) !== undefined);

  expect([own, given, queue.isReplacing]).toEqual([false, true, false])
})

test('answers to applied entries wait for main, and those a snapshot covers are dropped', () => {
  const queue = new StorageQueue()
  const response = { ...emptyMessage, type: 'storage-apply-response' } as const
  for (const index of [4, 6, 8]) queue.addApply(index, [{ ...response, index }])

  const early = queue.takeApplied(3)
  const first = queue.takeApplied(7)
  queue.dropApplying(7)

  expect([early, first?.[0]?.index, queue.takeApplied(8)?.[0]?.index]).toEqual([undefined, 4, 8])
  expect(queue.takeApplied(99)).toBeUndefined()
})
