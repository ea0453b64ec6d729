/** What waits for a ReadIndex on the main thread, and what each kind is told. */
import { expect, test } from 'vitest'
import { SwarmError } from '../lib/errors.ts'
import { emptyWriteReply } from '../proto/gen/control.ts'
import type { Origin } from './calls.ts'
import { ReadCalls } from './read-calls.ts'

const origin = (id: number): Origin => ({ from: 'shell', id })

test('a caller’s read waits for its index to be confirmed, and then for the store to reach it', () => {
  const reads = new ReadCalls()
  const id = reads.add({ kind: 'caller', origin: origin(9) }) ?? 0

  const before = reads.takeReached(100)
  const confirmed = reads.ready(id, 5)
  const behind = reads.takeReached(4)

  expect([before, confirmed, behind]).toEqual([[], undefined, []])
  expect(reads.takeReached(5)).toEqual([{ kind: 'read', origin: origin(9), outcome: 5 }])
  expect(reads.takeReached(5)).toEqual([])
})

test('an outcome of the leader is told once it is known to lead, or not at all', () => {
  const reads = new ReadCalls()
  const outcome = { kind: 'outcome', origin: origin(9), outcome: emptyWriteReply } as const
  const [good, bad] = [reads.add(outcome) ?? 0, reads.add(outcome) ?? 0]

  const [told, refused] = [reads.ready(good, 5), reads.refused(bad)]

  expect(told).toEqual(outcome)
  expect(refused).toMatchObject({ kind: 'outcome', outcome: { code: 'unavailable' } })
})

test('the writer learns under its own number whether it still leads', () => {
  const reads = new ReadCalls()
  const [good, bad] = [3, 4].map((id) => reads.add({ kind: 'writer', id }) ?? 0)

  expect(reads.ready(good ?? 0, 5)).toEqual({ kind: 'writer', id: 3, index: 5 })
  expect(reads.refused(bad ?? 0)).toEqual({ kind: 'writer', id: 4, index: undefined })
})

test('with the leadership go its outcomes and the writer’s reads, but no caller’s read', () => {
  const reads = new ReadCalls()
  const caller = reads.add({ kind: 'caller', origin: origin(1) }) ?? 0
  const writer = reads.add({ kind: 'writer', id: 2 }) ?? 0
  reads.add({ kind: 'outcome', origin: origin(3), outcome: emptyWriteReply })

  const refused = reads.stopLeading()
  reads.ready(caller, 5)

  expect(refused).toMatchObject([{ kind: 'outcome', origin: origin(3) }])
  expect(refused[0]?.kind === 'outcome' && refused[0].outcome instanceof SwarmError).toBe(true)
  expect(reads.ready(writer, 5)).toBeUndefined()
  expect(reads.takeReached(5)).toHaveLength(1)
})
