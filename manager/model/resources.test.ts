/**
 * Sums of resources.
 */
import { expect, test } from 'vitest'
import { emptyResources } from '../../proto/gen/types.ts'
import { task } from '../../test/build.ts'
import { addResources, fitsResources, getReservations, subtractResources } from './resources.ts'

const of = (nanoCpus: number, memoryBytes: number) => ({ ...emptyResources, nanoCpus, memoryBytes })

test('what is added and taken away again leaves the same', () => {
  expect(subtractResources(addResources(of(5, 7), of(2, 3)), of(2, 3))).toEqual(of(5, 7))
  expect(subtractResources(of(1, 1), of(2, 0))).toEqual(of(-1, 1))
})

test.each([
  [of(1, 1), of(1, 1), true],
  [of(2, 1), of(1, 1), false],
  [of(1, 2), of(1, 1), false],
  // What asks for nothing fits also where too much is taken already.
  [of(0, 1), of(-1, 1), true],
  [of(0, 0), of(-1, -1), true],
])('%j into %j fits: %s', (wanted, available, expected) => {
  expect(fitsResources(wanted, available)).toBe(expected)
})

test('getReservations() is nothing where the spec reserves nothing', () => {
  expect(getReservations(task())).toEqual(emptyResources)
  expect(
    getReservations(task({ spec: { resources: { reservations: { nanoCpus: 3 } } } })).nanoCpus,
  ).toBe(3)
})
