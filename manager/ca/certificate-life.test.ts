/** The life of certificates where clocks are right, and where some are not. */
import { describe, expect, test } from 'vitest'
import { cluster, type Part } from '../../test/build.ts'
import {
  BACKDATE_MS,
  certificateLife,
  isValidAt,
  type Life,
  newClockRefusal,
  Offers,
  renewalMs,
} from './certificate-life.ts'
import type { CertificateClaims } from './signer.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const NOW_MS = 1_900_000_000_000

/** What a manager signs for 90 days whose clock is ahead of the right time by so many days. */
function signed(aheadDays: number, role: CertificateClaims['role'] = 'worker'): CertificateClaims {
  const forMonths = cluster({ spec: { nodeCertExpiryMs: 90 * DAY_MS } })
  const life = certificateLife(forMonths, NOW_MS + aheadDays * DAY_MS)
  return { nodeId: 'n', clusterId: 'c', role, ...life }
}

describe('certificateLife()', () => {
  test.each([90 * DAY_MS, HOUR_MS])(
    'ends an expiry of %i ms from now, and began long ago',
    (expiry) => {
      const part: Part<Parameters<typeof certificateLife>[0]> = {
        spec: { nodeCertExpiryMs: expiry },
      }

      expect(certificateLife(cluster(part), NOW_MS)).toEqual({
        notBeforeMs: NOW_MS - BACKDATE_MS,
        notAfterMs: NOW_MS + expiry,
      })
    },
  )

  test.each([0, 1, 5, 1_000, 3_650])(
    'is valid at once where the clock is %i days ahead',
    (days) => {
      expect(isValidAt(signed(days), NOW_MS)).toBe(true)
    },
  )
})

describe('renewalMs()', () => {
  const made = { notBeforeMs: NOW_MS - BACKDATE_MS, notAfterMs: NOW_MS + 1_000 }
  const early: Life = { notBeforeMs: NOW_MS, notAfterMs: NOW_MS + 1_000 }

  test.each([
    ['made now', made, 0, 500],
    ['made now', made, 0.5, 650],
    ['made now', made, 0.999, 799],
    ['of an earlier version', early, 0, 500],
  ])('of a certificate %s, at fraction %d', (_, life, fraction, at) => {
    expect(renewalMs(life, fraction)).toBe(NOW_MS + at)
  })
})

test.each([
  ['before it begins', -1, false],
  ['when it begins', 0, true],
  ['when it ends', 10, true],
  ['after it has ended', 11, false],
])('a certificate %s', (_, wallMs, isValid) => {
  expect(isValidAt({ notBeforeMs: 0, notAfterMs: 10 }, wallMs)).toBe(isValid)
})

describe('Offers', () => {
  /** Whether each is taken at once, and which is the best in the end. */
  function offered(
    held: CertificateClaims,
    ...claims: readonly CertificateClaims[]
  ): readonly [readonly boolean[], CertificateClaims | undefined] {
    const offers = new Offers<CertificateClaims>(held)
    return [claims.map((each) => offers.add(each, each, NOW_MS)), offers.best]
  }
  const [right, ahead, behind, over] = [signed(0), signed(5), signed(-60), signed(-91)]

  test.each([
    ['a right one is taken at once', signed(-50), [right], [true], right],
    ['one that was signed ahead of time as well', signed(-50), [ahead], [true], ahead],
    ['one that is over is not taken', signed(-50), [over], [false], undefined],
    ['another manager is asked after that', signed(-50), [over, right], [false, true], right],
    [
      'one that is to be renewed at once is the second choice',
      signed(-80),
      [behind],
      [false],
      behind,
    ],
    [
      'the longest of those is the best',
      signed(-80),
      [signed(-70), behind, over],
      [false, false, false],
      behind,
    ],
    ['one that ends before what is held is not taken', signed(-50), [behind], [false], undefined],
    [
      'but it is for another role',
      signed(-50, 'manager'),
      [behind, signed(-70)],
      [false, false],
      behind,
    ],
  ] as const)('%s', (_, held, claims, isTaken, best) => {
    expect(offered(held, ...claims)).toEqual([isTaken, best])
  })
})

test('a refusal says whose clocks to compare, and how long the certificate has', () => {
  expect(newClockRefusal(signed(-91), NOW_MS)).toMatchObject({
    code: 'failed-precondition',
    message: expect.stringMatching(/node n .*compare the clocks/),
    facts: { node: 'n', leftMs: -DAY_MS },
  })
})
