/** What main tells the consensus thread, and when: nothing is lost, and nothing overtakes. */
import { expect, test } from 'vitest'
import { AppliedHold } from './applied-hold.ts'
import type { ConsensusInput } from './consensus-interface.ts'

const applied = (index: number): ConsensusInput => ({ kind: 'applied', index })
const read = (id: number): ConsensusInput => ({ kind: 'read-index', id })

test('what is applied waits for 40 ms, and then only the newest of it is told', () => {
  const hold = new AppliedHold()
  hold.add(read(1))
  expect(hold.take(100)).toEqual([read(1)])

  hold.add(applied(7))
  expect(hold.take(110)).toEqual([])
  hold.add(applied(9))

  expect(hold.take(139.9)).toEqual([])
  expect(hold.take(140)).toEqual([applied(9)])
  expect(hold.take(200)).toEqual([])
})

test('what is applied goes before what else there is to tell, at once', () => {
  const hold = new AppliedHold()
  hold.add(read(1))
  hold.add(applied(7))
  hold.add(read(2))

  expect(hold.take(0)).toEqual([applied(7), read(1), read(2)])
})

test('after a quiet time what is applied is told at once, and at the end whatever waits', () => {
  const hold = new AppliedHold()
  hold.add(applied(7))
  expect(hold.take(0)).toEqual([applied(7)])

  hold.add(applied(8))

  expect(hold.take(10)).toEqual([])
  expect(hold.flush(10)).toEqual([applied(8)])
  expect(hold.flush(10)).toEqual([])
})
