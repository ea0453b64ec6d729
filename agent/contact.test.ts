/** Contact: what counts as one, from when it counts, and what a later process knows of it. */
import { expect, test } from 'vitest'
import { Contact } from './contact.ts'

test('a heartbeat that was answered counts from when it was sent', () => {
  const contact = new Contact('boot', undefined)
  contact.sent(1, 1_000)

  contact.answered(1, true)

  expect(contact.ageMs(4_000)).toBe(3_000)
})

test('there is none before the first', () => {
  expect(new Contact('boot', undefined).ageMs(4_000)).toBe(Number.POSITIVE_INFINITY)
})

test('an answer before the set counts once what is wanted is known', () => {
  const contact = new Contact('boot', undefined)
  contact.sent(1, 1_000)
  contact.answered(1, false)
  const before = contact.ageMs(4_000)

  contact.told()

  expect([before, contact.ageMs(4_000)]).toEqual([Number.POSITIVE_INFINITY, 3_000])
})

test('answers out of order, twice, or of an earlier session take nothing back and add nothing', () => {
  const contact = new Contact('boot', undefined)
  for (const sequence of [1, 2, 3]) contact.sent(sequence, sequence * 1_000)
  contact.answered(2, true)
  contact.answered(1, true)
  contact.answered(2, true)
  contact.restart(4_000)
  contact.answered(3, true)

  expect(contact.ageMs(10_000)).toBe(8_000)
})

test('what waited for a set is forgotten with its session, whose set counts from its hello', () => {
  const contact = new Contact('boot', undefined)
  contact.sent(1, 2_500)
  contact.answered(1, false)
  contact.restart(2_000)
  const before = contact.ageMs(4_000)

  contact.told()

  expect([before, contact.ageMs(4_000)]).toEqual([Number.POSITIVE_INFINITY, 2_000])
})

test.each([
  ['of this boot', 'boot', 5_000],
  ['of another boot', 'other', Number.POSITIVE_INFINITY],
  ['of a kernel that does not name its boots', '', Number.POSITIVE_INFINITY],
])('a later process %s', (_name, bootId, expected) => {
  const contact = new Contact(bootId, { bootId: bootId === '' ? '' : 'boot', bootMs: 1_000 })

  expect(contact.ageMs(6_000)).toBe(expected)
})

test('one that is yet to come is none: the host was put back to an older state', () => {
  const contact = new Contact('boot', { bootId: 'boot', bootMs: 5_000 })

  expect(contact.ageMs(4_999)).toBe(Number.POSITIVE_INFINITY)
})

test('is written again when what is on disk is a sixth of the time older', () => {
  const contact = new Contact('boot', { bootId: 'boot', bootMs: 1_000 })
  const stale = [3_000, 10_900, 11_000].map((sentMs, at) => {
    contact.sent(at, sentMs)
    contact.answered(at, true)
    return contact.isStale(60_000)
  })

  expect(stale).toEqual([false, false, true])
  expect(contact.save()).toEqual({ bootId: 'boot', bootMs: 11_000 })
  expect(contact.isStale(60_000)).toBe(false)
})
