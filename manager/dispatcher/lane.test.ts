/** Tables for the pacing of writes. */
import { expect, test } from 'vitest'
import { Lane } from './lane.ts'

const keys = ['a', 'b', 'c'].map((name) => ({ name }))
const [a, b, c] = keys as [object, object, object]

function newLane(inFlightMax: number): Lane<object> {
  const lane = new Lane<object>(inFlightMax)
  for (const key of keys) lane.add(key)
  return lane
}

test('take() gives the keys in order, so many at once', () => {
  const lane = newLane(2)

  expect([lane.take(0), lane.take(0), lane.take(0)]).toEqual([a, b, undefined])
  lane.done(a)
  expect([lane.take(0), lane.take(0)]).toEqual([c, undefined])
  expect(lane.waiting).toBe(0)
})

test('a key that is added twice has one turn, and one more when it was in flight', () => {
  const lane = newLane(3)
  lane.add(a)

  const first = [lane.take(0), lane.take(0), lane.take(0), lane.take(0)]
  lane.add(a)
  const whileInFlight = lane.take(0)
  lane.done(a)

  expect(first).toEqual([a, b, c, undefined])
  expect(whileInFlight).toBeUndefined()
  expect(lane.take(0)).toBe(a)
})

test('remove() takes a turn away, also the one after the present', () => {
  const lane = newLane(1)
  lane.take(0)
  lane.add(a)

  lane.remove(a)
  lane.remove(b)
  lane.done(a)

  expect(lane.take(0)).toBe(c)
})

test('rest() holds everything back until its time', () => {
  const lane = newLane(1)

  lane.rest(100)

  expect(lane.take(99)).toBeUndefined()
  expect(lane.take(100)).toBe(a)
})
