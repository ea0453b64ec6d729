/**
 * Structural equality against encoding: equal objects have equal bytes, and the other way round.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  emptyContainerSpec,
  emptyPlacement,
  emptyTaskSpec,
  encodeTaskSpec,
  type TaskSpec,
} from '../../proto/gen/specs.ts'
import { isEqual } from './equal.ts'

test.each([
  [1, 1, true],
  ['a', 'b', false],
  [undefined, undefined, true],
  [undefined, {}, false],
  [{ a: 1 }, { a: 1, b: undefined }, true],
  [{ a: 1, b: undefined }, { a: 1 }, true],
  [{ a: 1, b: undefined }, { a: 1, c: 2 }, false],
  [[1, 2], [1, 2], true],
  [[1, 2], [2, 1], false],
  [[1], { 0: 1 }, false],
  [new Uint8Array([1, 2]), new Uint8Array([1, 2]), true],
  [new Uint8Array([1, 2]), new Uint8Array([1, 3]), false],
  [new Uint8Array([1]), [1], false],
  [
    new Map([
      ['a', 1],
      ['b', 2],
    ]),
    new Map([
      ['b', 2],
      ['a', 1],
    ]),
    true,
  ],
  [new Map([['a', 1]]), new Map([['a', 2]]), false],
  [new Map([['a', undefined]]), new Map([['b', undefined]]), false],
  [new Map(), {}, false],
  [{ a: { b: [new Map([['c', 1]])] } }, { a: { b: [new Map([['c', 1]])] } }, true],
])('isEqual(%j, %j) is %s', (left, right, expected) => {
  expect(isEqual(left, right)).toBe(expected)
  expect(isEqual(right, left)).toBe(expected)
})

test('isEqual() of two task specs says what their encodings say', () => {
  const text = fc.constantFrom('', 'a', 'b')
  const spec = fc
    .record({
      env: fc.array(text, { maxLength: 2 }),
      labels: fc.array(fc.tuple(text, text), { maxLength: 2 }).map((pairs) => new Map(pairs)),
      stopGraceMs: fc.option(fc.nat(1), { nil: undefined }),
      constraints: fc.option(fc.array(text, { maxLength: 1 }), { nil: undefined }),
      forceUpdate: fc.nat(1),
    })
    .map(
      ({ env, labels, stopGraceMs, constraints, forceUpdate }): TaskSpec => ({
        ...emptyTaskSpec,
        container: { ...emptyContainerSpec, env, labels, stopGraceMs },
        placement: constraints && { ...emptyPlacement, constraints },
        forceUpdate,
      }),
    )

  fc.assert(
    fc.property(spec, spec, (left, right) => {
      const isSame = Buffer.compare(encodeTaskSpec(left), encodeTaskSpec(right)) === 0
      expect(isEqual(left, right)).toBe(isSame)
    }),
    { numRuns: 1_000 },
  )
})
