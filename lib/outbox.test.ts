/** Tables for the order of effects. */
import { expect, test } from 'vitest'
import { AssertionError } from './assert.ts'
import { Outbox } from './outbox.ts'

test('ready() gives what waits once, and more only after advance()', () => {
  const outbox = new Outbox<string>()
  outbox.push('a')
  outbox.push('b')

  const first = outbox.ready()
  outbox.push('c')

  expect(first).toEqual(['a', 'b'])
  expect(outbox.ready()).toBeUndefined()
  outbox.advance(first ?? [])
  expect(outbox.ready()).toEqual(['c'])
})

test('advance() refuses a batch that was not given', () => {
  const outbox = new Outbox<string>()

  expect(() => outbox.advance([])).toThrow(AssertionError)
})
