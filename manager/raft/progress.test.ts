/**
 * A peer as the leader sees it: transitions, stale answers, and the window in flight.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  acknowledge,
  becomeProbe,
  becomeReplicate,
  becomeSnapshot,
  canRaiseCommit,
  decrease,
  Inflights,
  isPaused,
  newProgress,
  type Progress,
  sentEntries,
} from './progress.ts'

const WINDOW = { messagesMax: 3, bytesMax: 100 }

function progress(fields: Partial<Progress>): Progress {
  return { ...newProgress(5, false, WINDOW), ...fields }
}

describe('progress', () => {
  test.each([
    { state: 'probe', match: 1, next: 5, pendingSnapshot: 0, expected: 2 },
    { state: 'replicate', match: 1, next: 5, pendingSnapshot: 0, expected: 2 },
    { state: 'snapshot', match: 1, next: 5, pendingSnapshot: 10, expected: 11 },
    { state: 'snapshot', match: 12, next: 13, pendingSnapshot: 10, expected: 13 },
    { state: 'snapshot', match: 1, next: 5, pendingSnapshot: 0, expected: 2 },
  ] as const)('becomeProbe() from $state starts at $expected', ({ expected, ...fields }) => {
    const peer = progress(fields)
    becomeProbe(peer)
    expect(peer).toMatchObject({ state: 'probe', next: expected, pendingSnapshot: 0 })
  })

  test('becomeReplicate() and becomeSnapshot() start their own window', () => {
    const peer = progress({ match: 1 })
    becomeReplicate(peer)
    sentEntries(peer, 2, 10)
    expect([peer.next, peer.inflights.count()]).toEqual([4, 1])
    becomeSnapshot(peer, 9)
    expect([peer.next, peer.inflights.count(), isPaused(peer)]).toEqual([10, 0, true])
    expect(() => sentEntries(peer, 1, 1)).toThrow(/waits for a snapshot/)
  })

  test.each([
    { index: 2, isNews: false, match: 3, next: 5 },
    { index: 3, isNews: false, match: 3, next: 5 },
    { index: 4, isNews: true, match: 4, next: 5 },
    { index: 6, isNews: true, match: 6, next: 7 },
  ])('acknowledge($index) after 3', ({ index, isNews, match, next }) => {
    const peer = progress({ match: 3 })
    expect(acknowledge(peer, index)).toBe(isNews)
    expect([peer.match, peer.next]).toEqual([match, next])
  })

  test.each([
    // replicate: stale if it was acknowledged since, else back to the match.
    { state: 'replicate', match: 5, next: 10, rejected: 5, hint: 5, isTaken: false, to: 10 },
    { state: 'replicate', match: 5, next: 10, rejected: 9, hint: 9, isTaken: true, to: 6 },
    // probe: stale if another probe is under way, else to the hint, but not before the match.
    { state: 'probe', match: 0, next: 10, rejected: 5, hint: 0, isTaken: false, to: 10 },
    { state: 'probe', match: 0, next: 10, rejected: 9, hint: 9, isTaken: true, to: 9 },
    { state: 'probe', match: 0, next: 10, rejected: 9, hint: 2, isTaken: true, to: 3 },
    { state: 'probe', match: 0, next: 2, rejected: 1, hint: 0, isTaken: true, to: 1 },
    { state: 'probe', match: 4, next: 10, rejected: 9, hint: 1, isTaken: true, to: 5 },
  ] as const)('decrease($rejected, $hint) in $state from $next to $to', (row) => {
    const peer = progress({ state: row.state, match: row.match, next: row.next })
    expect(decrease(peer, row.rejected, row.hint)).toBe(row.isTaken)
    expect(peer.next).toBe(row.to)
  })

  test('a commit index is worth a message until it was sent as far as it can be adopted', () => {
    const peer = progress({ state: 'replicate', match: 4, next: 8 })
    expect(canRaiseCommit(peer, 0)).toBe(false)
    expect(canRaiseCommit(peer, 6)).toBe(true)
    peer.sentCommit = 6
    expect(canRaiseCommit(peer, 6)).toBe(false)
    peer.sentCommit = 7
    expect(canRaiseCommit(peer, 9)).toBe(false)
    decrease(peer, 7, 5)
    expect(canRaiseCommit(peer, 9)).toBe(false)
    peer.next = 8
    expect(canRaiseCommit(peer, 9)).toBe(true)
  })

  test('a commit index that may be lost with its append is worth sending again', () => {
    const peer = progress({ state: 'replicate', match: 4, next: 8, sentCommit: 7 })
    becomeProbe(peer)
    becomeReplicate(peer)
    sentEntries(peer, 3, 1)
    expect(canRaiseCommit(peer, 7)).toBe(true)
  })
})

describe('inflights', () => {
  test('are full by number or by bytes, and free up to an index', () => {
    const inflights = new Inflights(WINDOW)
    for (const index of [1, 5]) inflights.add(index, 10)
    expect(inflights.isFull()).toBe(false)
    inflights.add(6, 80)
    expect(inflights.isFull()).toBe(true)
    expect(() => inflights.add(7, 1)).toThrow(/full window/)

    inflights.freeTo(5)

    expect([inflights.count(), inflights.isFull()]).toEqual([1, false])
    inflights.add(7, 20)
    expect(inflights.isFull()).toBe(true)
    inflights.freeTo(7)
    expect(inflights.count()).toBe(0)
  })

  test('behave as a list that is cut at its head', () => {
    const inflights = new Inflights({ messagesMax: 1_000, bytesMax: Number.POSITIVE_INFINITY })
    let list: number[] = []
    for (let i = 1; i <= 5_000; i++) {
      if (!inflights.isFull()) {
        inflights.add(i, 1)
        list.push(i)
      }
      if (i % 7 === 0) {
        inflights.freeTo(i - 20)
        list = list.filter((index) => index > i - 20)
      }
      expect(inflights.count()).toBe(list.length)
    }
  })
})

/** What may happen to a peer, in any order. */
const event = fc.oneof(
  fc.record({ kind: fc.constant('probe') }),
  fc.record({ kind: fc.constant('replicate') }),
  fc.record({ kind: fc.constant('snapshot'), index: fc.integer({ min: 0, max: 30 }) }),
  fc.record({ kind: fc.constant('send'), count: fc.integer({ min: 0, max: 4 }) }),
  fc.record({ kind: fc.constant('acknowledge'), back: fc.integer({ min: 0, max: 8 }) }),
  fc.record({
    kind: fc.constant('refuse'),
    rejected: fc.integer({ min: 0, max: 30 }),
    hint: fc.integer({ min: 0, max: 30 }),
  }),
)

test('whatever happens, what is known of a peer hangs together', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const peer = progress({})
      for (const happened of events) {
        const before = { ...peer }
        happen(peer, happened)
        const { match, next, state, pendingSnapshot, inflights } = peer

        // A match is never taken back, and what comes next is always after it.
        expect(match).toBeGreaterThanOrEqual(before.match)
        expect(next).toBeGreaterThan(match)
        expect(peer.sentCommit).toBeLessThanOrEqual(Math.max(next - 1, before.sentCommit))
        // A window belongs to state replicate, a pending snapshot to state snapshot.
        expect(inflights.count() === 0 || state === 'replicate').toBe(true)
        expect(inflights.count()).toBeLessThanOrEqual(WINDOW.messagesMax)
        expect(pendingSnapshot === 0 || state === 'snapshot').toBe(true)
        expect(state === 'snapshot' && !isPaused(peer)).toBe(false)
      }
    }),
    { numRuns: 1_000 },
  )
})

function happen(peer: Progress, happened: typeof event extends fc.Arbitrary<infer E> ? E : never) {
  switch (happened.kind) {
    case 'probe':
      return becomeProbe(peer)
    case 'replicate':
      return becomeReplicate(peer)
    case 'snapshot':
      // The leader sends one only of what the peer lacks.
      return becomeSnapshot(peer, Math.max(peer.match, happened.index))
    case 'send':
      // As the leader does: nothing while it is paused.
      if (!isPaused(peer)) sentEntries(peer, happened.count, happened.count)
      return undefined
    case 'acknowledge': {
      // A peer acknowledges what was sent to it, or part of it.
      const index = Math.max(0, peer.next - 1 - happened.back)
      acknowledge(peer, index)
      if (peer.state === 'replicate') peer.inflights.freeTo(index)
      return undefined
    }
    case 'refuse':
      if (decrease(peer, happened.rejected, happened.hint) && peer.state === 'replicate')
        becomeProbe(peer)
      return undefined
    default:
      return happened satisfies never
  }
}
