/** Generic resources: the texts of flags, what is left, and what a task is given. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { GenericResource } from '../../proto/gen/types.ts'
import {
  type Claims,
  claimGeneric,
  fitsGeneric,
  NO_CLAIMS,
  parseGenericResources,
  withClaims,
} from './generic-resources.ts'

const gpu = (name: string): GenericResource => ({ kind: 'GPU', name, count: 1 })
const ssd = (count: number): GenericResource => ({ kind: 'SSD', name: '', count })

describe('parseGenericResources()', () => {
  test('a number is how many there are, anything else the name of one', () => {
    expect(parseGenericResources(['GPU=a,GPU=b', 'SSD=3', 'GPU=c'])).toEqual([
      ...['a', 'b', 'c'].map(gpu),
      ssd(3),
    ])
  })

  test.each([
    ['GPU', 'write KIND=NUMBER or KIND=NAME'],
    ['=a', 'write KIND=NUMBER or KIND=NAME'],
    ['GPU=', 'write KIND=NUMBER or KIND=NAME'],
    ['G U=1', 'write KIND=NUMBER or KIND=NAME'],
    ['GPU=1,GPU=2', 'a kind has one number or names, not both'],
    ['GPU=1,GPU=a', 'a kind has one number or names, not both'],
    ['GPU=a,GPU=a', 'a name is given once'],
    ['GPU=-1', 'a number of resources is not negative'],
  ])('refuses %s', (text, why) => {
    expect(() => parseGenericResources([text])).toThrow(why)
  })
})

describe('a node gives', () => {
  const total = [gpu('a'), gpu('b'), gpu('c'), ssd(3)]

  test('names that nobody has, in its order, and numbers', () => {
    const claims = withClaims(NO_CLAIMS, [gpu('b'), ssd(1)], 1)

    expect(claimGeneric([{ ...gpu(''), count: 2 }, ssd(2)], total, claims)).toEqual([
      ...[gpu('a'), gpu('c')],
      ssd(2),
    ])
    expect(fitsGeneric([{ ...gpu(''), count: 3 }], total, claims)).toBe(false)
    expect(fitsGeneric([ssd(3)], total, claims)).toBe(false)
    expect(fitsGeneric([{ kind: 'FPGA', name: '', count: 1 }], total, claims)).toBe(false)
  })

  test('as much of a kind whose names have changed, or that was a number before', () => {
    const renamed = withClaims(NO_CLAIMS, [gpu('old')], 1)
    const counted = withClaims(NO_CLAIMS, [{ ...gpu(''), count: 2 }], 1)

    expect(fitsGeneric([{ ...gpu(''), count: 3 }], total, renamed)).toBe(true)
    expect(fitsGeneric([{ ...gpu(''), count: 1 }], total, counted)).toBe(true)
    expect(fitsGeneric([{ ...gpu(''), count: 2 }], total, counted)).toBe(false)
  })

  test('nothing twice, and all of it back', () => {
    const wanted = fc.record({ gpus: fc.integer({ min: 0, max: 2 }), ssds: fc.nat(2) })
    fc.assert(
      fc.property(fc.array(fc.tuple(wanted, fc.boolean()), { maxLength: 20 }), (steps) => {
        let claims: Claims = NO_CLAIMS
        const given: (readonly GenericResource[])[] = []

        for (const [{ gpus, ssds }, gives] of steps) {
          const asked = [{ ...gpu(''), count: gpus }, ssd(ssds)]
          const back = gives ? given.shift() : undefined
          if (back !== undefined) claims = withClaims(claims, back, -1)
          else if (fitsGeneric(asked, total, claims)) {
            const got = claimGeneric(asked, total, claims)
            given.push(got)
            claims = withClaims(claims, got, 1)
          }

          const all = given.flat()
          const names = all.filter(({ kind }) => kind === 'GPU').map(({ name }) => name)
          expect(new Set(names).size).toBe(names.length)
          expect(
            all.reduce((sum, { kind, count }) => sum + (kind === 'SSD' ? count : 0), 0),
          ).toBeLessThanOrEqual(3)
        }
        for (const got of given) claims = withClaims(claims, got, -1)

        expect(claims).toEqual(NO_CLAIMS)
      }),
    )
  })
})
