/**
 * The ring buffer against a plain array under random operations.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Deque } from './deque.ts'

test('Deque does what an array with a bound would do', () => {
  const operation = fc.constantFrom('push', 'unshift', 'shift', 'pop', 'clear', 'push', 'push')

  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.array(operation, { maxLength: 200 }), run),
  )

  function run(capacity: number, operations: readonly string[]): void {
    const deque = new Deque<number>(capacity)
    let model: number[] = []
    operations.forEach((name, i) => {
      const fits = model.length < capacity
      if (name === 'push') {
        expect(deque.push(i)).toBe(fits)
        if (fits) model.push(i)
      } else if (name === 'unshift') {
        expect(deque.unshift(i)).toBe(fits)
        if (fits) model.unshift(i)
      } else if (name === 'shift') expect(deque.shift()).toBe(model.shift())
      else if (name === 'pop') expect(deque.pop()).toBe(model.pop())
      else {
        deque.clear()
        model = []
      }
      expect([...deque]).toEqual(model)
      expect([deque.size, deque.isFull]).toEqual([model.length, model.length === capacity])
      expect([deque.at(0), deque.at(-1)]).toEqual([model[0], model.at(-1)])
    })
  }
})

test('Deque refuses a capacity of zero', () => {
  expect(() => new Deque(0)).toThrow('a deque holds one or more')
})
