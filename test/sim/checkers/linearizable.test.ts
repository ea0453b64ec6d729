/**
 * The judge of histories against histories that are known, and against a second one that tries every
 * order.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { judge, type Operation } from './linearizable.ts'

/** From `invokedAt` to `answeredAt`; a register of one letter, empty at first. */
const write = (invokedAt: number, answeredAt: number | undefined, value: string) =>
  ({ invokedAt, answeredAt, next: () => [value] }) satisfies Operation<string>
const read = (invokedAt: number, answeredAt: number, value: string) =>
  ({
    invokedAt,
    answeredAt,
    next: (state: string) => (state === value ? [state] : []),
  }) satisfies Operation<string>
const swap = (invokedAt: number, answeredAt: number | undefined, from: string, to: string) =>
  ({
    invokedAt,
    answeredAt,
    next: (state: string) => (state === from ? [to] : []),
  }) satisfies Operation<string>
const append = (invokedAt: number, answeredAt: number | undefined, value: string) =>
  ({
    invokedAt,
    answeredAt,
    next: (state: string) => [`${state}${value}`],
  }) satisfies Operation<string>
/** It may also have come to nothing. */
const attempt = (invokedAt: number, answeredAt: number | undefined, from: string, to: string) =>
  ({
    invokedAt,
    answeredAt,
    next: (state: string) => (state === from ? [to, state] : [state]),
  }) satisfies Operation<string>

describe('judge()', () => {
  test.each<[string, readonly Operation<string>[]]>([
    ['nothing', []],
    ['a read of what was written', [write(1, 2, 'a'), read(3, 4, 'a')]],
    ['a read during a write, of before', [write(1, 4, 'a'), read(2, 3, '')]],
    ['a read during a write, of after', [write(1, 4, 'a'), read(2, 3, 'a')]],
    [
      'two writes at once, the first one last',
      [write(1, 3, 'a'), write(2, 4, 'b'), read(5, 6, 'a')],
    ],
    [
      'a write without an answer that happens late',
      [write(1, undefined, 'a'), read(2, 3, ''), read(4, 5, 'a')],
    ],
    ['a write without an answer that never happens', [write(1, undefined, 'a'), read(2, 3, '')]],
    [
      'swaps in the one order that is possible',
      [swap(1, 6, 'b', 'c'), swap(2, 5, 'a', 'b'), write(3, 4, 'a'), read(7, 8, 'c')],
    ],
  ])('finds %s linearizable', (_what, operations) => {
    expect(judge(operations, '')).toEqual({ kind: 'linearizable' })
  })

  test.each<[string, number, readonly Operation<string>[]]>([
    ['a stale read', 1, [write(1, 2, 'a'), read(3, 4, '')]],
    ['a lost write', 2, [write(1, 2, 'a'), write(3, 4, 'b'), read(5, 6, 'a')]],
    ['a value that nobody wrote', 0, [read(1, 2, 'x')]],
    ['reads that go back during a write', 2, [write(1, 6, 'a'), read(2, 3, 'a'), read(4, 5, '')]],
    ['two swaps from one value', 2, [write(1, 2, 'a'), swap(3, 5, 'a', 'b'), swap(4, 6, 'a', 'c')]],
    [
      'a write without an answer that is undone',
      3,
      [write(1, 2, 'a'), write(3, undefined, 'b'), read(4, 5, 'b'), read(6, 7, 'a')],
    ],
  ])('finds %s out', (_what, at, operations) => {
    expect(judge(operations, '')).toEqual({ kind: 'violated', at })
  })

  test('gives up where there are too many orders', () => {
    const appends = Array.from({ length: 12 }, (_, at) => append(at, 40 + at, `${at}`))

    expect(judge([...appends, read(20, 21, 'none')], '', 1_000)).toEqual({ kind: 'undecided' })
  })

  test('tries no order of operations without an answer that need not have happened', () => {
    const writes = Array.from({ length: 40 }, (_, at) => write(at, undefined, `v${at}`))
    const seen = read(60, 61, 'v39')

    expect(judge([...writes, seen], '', 100)).toEqual({ kind: 'linearizable' })
    expect(judge([...writes, seen, read(62, 63, 'none')], '', 100)).toEqual({
      kind: 'violated',
      at: 41,
    })
  })

  test('says what trying every order says', () => {
    const value = fc.constantFrom('', 'a', 'b')
    const operation = fc.record({
      kind: fc.constantFrom('write', 'read', 'swap', 'append', 'attempt'),
      from: value,
      to: value,
      isAnswered: fc.boolean(),
    })
    const histories = fc.array(operation, { maxLength: 7 }).chain((list) =>
      fc.record({
        list: fc.constant(list),
        // Where the events are: a shuffle of two for each operation, the earlier one its beginning.
        times: fc.shuffledSubarray(
          Array.from({ length: 2 * list.length }, (_, at) => at),
          { minLength: 2 * list.length },
        ),
      }),
    )

    fc.assert(
      fc.property(histories, ({ list, times }) => {
        const operations = list.map(({ kind, from, to, isAnswered }, at): Operation<string> => {
          const [one = 0, two = 0] = [times[2 * at], times[2 * at + 1]]
          const [invokedAt, end] = [Math.min(one, two), Math.max(one, two)]
          if (kind === 'read') return read(invokedAt, end, from)
          const answeredAt = isAnswered ? end : undefined
          switch (kind) {
            case 'write':
              return write(invokedAt, answeredAt, to)
            case 'append':
              return append(invokedAt, answeredAt, to)
            case 'swap':
              return swap(invokedAt, answeredAt, from, to)
            default:
              return attempt(invokedAt, answeredAt, from, to)
          }
        })

        expect(judge(operations, '').kind === 'linearizable').toBe(hasOrder(operations, ''))
      }),
      { numRuns: 3_000 },
    )
  })
})

/** Whether some order of all answered and any of the other operations is possible, by trying. */
function hasOrder(left: readonly Operation<string>[], state: string): boolean {
  if (left.every(({ answeredAt }) => answeredAt === undefined)) return true
  const firstAnswer = Math.min(...left.map(({ answeredAt }) => answeredAt ?? Infinity))
  return left.some(
    (operation) =>
      operation.invokedAt < firstAnswer &&
      operation.next(state).some((next) =>
        hasOrder(
          left.filter((other) => other !== operation),
          next,
        ),
      ),
  )
}
