/** When main hears of what is committed, and that the order is kept. */
import { expect, test } from 'vitest'
import { CommittedHold } from './committed-hold.ts'
import type { MainEvent } from './consensus-interface.ts'

function committed(index: number): MainEvent {
  return { kind: 'committed', entries: [{ index, term: 1, data: new Uint8Array(0) }] }
}

const follower = (nowMs: number) => ({ isLeader: false, nowMs })
const leader = (nowMs: number) => ({ isLeader: true, nowMs })
const read: MainEvent = { kind: 'read-ready', id: 1, index: 2 }

test('a leader’s main hears of every commit at once', () => {
  const hold = new CommittedHold()

  expect(hold.add([committed(1)], leader(0))).toEqual([committed(1)])
  expect(hold.add([committed(2)], leader(1))).toEqual([committed(2)])
})

test('a follower’s main hears of the first at once, and then every 10 ms of all in order', () => {
  const hold = new CommittedHold()

  const told = [
    hold.add([committed(1)], follower(0)),
    hold.add([committed(2)], follower(4)),
    hold.add([committed(3)], follower(8)),
    hold.takeDue(9),
    hold.takeDue(10),
  ]

  expect(told).toEqual([[committed(1)], [], [], [], [committed(2), committed(3)]])
  expect(hold.waitMs(11)).toBeUndefined()
})

test('what is held goes before anything else, for a read may wait for it', () => {
  const hold = new CommittedHold()
  hold.add([committed(1)], follower(0))
  hold.add([committed(2)], follower(1))

  expect(hold.waitMs(2)).toBe(8)
  expect(hold.add([read], follower(2))).toEqual([committed(2), read])
})

test('a follower that becomes the leader holds nothing', () => {
  const hold = new CommittedHold()
  hold.add([committed(1)], follower(0))
  hold.add([committed(2)], follower(1))

  expect(hold.add([committed(3)], leader(2))).toEqual([committed(2), committed(3)])
})
