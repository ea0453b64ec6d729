/** Calls that wait for a leader: what is tried again, and when it is given up. */
import { expect, test } from 'vitest'
import { SwarmError } from '../lib/errors.ts'
import { emptyWriteReply, type WriteRequest } from '../proto/gen/control.ts'
import { Calls, type Origin } from './calls.ts'

const REQUEST: WriteRequest = {
  caller: undefined,
  body: { kind: 'serviceRemove', serviceRemove: { id: 'web' } },
}
const origin = (id: number): Origin => ({ from: 'shell', id })

function newCalls(...ids: readonly number[]): Calls {
  const calls = new Calls()
  for (const id of ids) calls.add(origin(id), REQUEST, 0)
  return calls
}

test('what a leader did not evaluate is tried again a little later, under the old deadline', () => {
  const calls = newCalls(1)
  const [first] = calls.takeDue(0)
  if (first === undefined) throw new Error('one call waits')
  const untouched = new SwarmError('unavailable', 'not the leader', { retriable: true })

  const over = calls.finish(calls.forward(first), untouched, 1_000)

  expect(over).toBeUndefined()
  expect(calls.takeDue(1_050)).toEqual([])
  expect(calls.takeDue(1_100)).toMatchObject([{ origin: origin(1), deadlineMs: 20_000 }])
})

test.each([
  ['a reply', emptyWriteReply],
  ['a refusal', new SwarmError('not-found', 'no such service')],
  ['an unknown outcome', new SwarmError('unavailable', 'outcome unknown')],
])('%s of the leader ends the call', (_, outcome) => {
  const calls = newCalls(1)
  const [first] = calls.takeDue(0)
  if (first === undefined) throw new Error('one call waits')
  const id = calls.forward(first)

  expect(calls.finish(id, outcome, 0)?.origin).toEqual(origin(1))
  expect(calls.finish(id, outcome, 0)).toBeUndefined()
  expect(calls.isEmpty).toBe(true)
})

test('a call that no leader took is given up after 20 s', () => {
  const calls = newCalls(1, 2)

  expect(calls.takeExpired(19_999)).toEqual([])
  expect(calls.takeExpired(20_000)).toHaveLength(2)
  expect(calls.isEmpty).toBe(true)
})
