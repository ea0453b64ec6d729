/**
 * The life of a node's certificate: from when to when it is valid, when it is renewed, and whether a
 * node takes one that a manager signed for it (docs/certificates.md, clocks). Whose clock is wrong,
 * nobody can know: a manager signs by its own, and the node judges by its own. So a certificate
 * begins long before it is made, which no clock can spoil, and one that would end too early is not
 * taken while there is a better one. Who gets which role is `ca.ts`.
 */
import { DAY_MS } from '../../lib/clock.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { Cluster } from '../../proto/gen/objects.ts'
import type { CertificateClaims } from './signer.ts'

export const NODE_CERT_EXPIRY_MS: number = 90 * DAY_MS
/**
 * Certificates begin this long before they are made. What a manager signs whose clock is ahead must
 * be valid at once: its node has nothing else, and without it nobody lets it in to get another one.
 * Nothing rests on when a certificate began.
 */
export const BACKDATE_MS: number = 3_650 * DAY_MS

export type Life = Pick<CertificateClaims, 'notBeforeMs' | 'notAfterMs'>

/** From when to when a certificate made now is valid, wall ms. */
export function certificateLife(cluster: Cluster, wallMs: number): Life {
  const expiry = cluster.spec?.nodeCertExpiryMs ?? NODE_CERT_EXPIRY_MS
  return { notBeforeMs: wallMs - BACKDATE_MS, notAfterMs: wallMs + expiry }
}

/**
 * When a node renews: a random point between 50 and 80 % of the time from the making to the end of
 * its certificate, wall ms; `fraction` is drawn from [0, 1).
 */
export function renewalMs({ notBeforeMs, notAfterMs }: Life, fraction: number): number {
  const datedBackMs = notBeforeMs + BACKDATE_MS
  // Earlier versions dated back by an hour.
  const madeMs = datedBackMs < notAfterMs ? datedBackMs : notBeforeMs
  return madeMs + Math.floor((notAfterMs - madeMs) * (0.5 + 0.3 * fraction))
}

/** Whether a clock that shows this wall time, ms, finds the certificate valid. */
export function isValidAt({ notBeforeMs, notAfterMs }: Life, wallMs: number): boolean {
  return notBeforeMs <= wallMs && wallMs <= notAfterMs
}

/** The certificates that managers signed for one renewal, one after another. */
export class Offers<T> {
  #held: CertificateClaims
  #best: { readonly offer: T; readonly notAfterMs: number } | undefined

  /** `held` is what the node has, and keeps unless it is offered a better one. */
  constructor(held: CertificateClaims) {
    this.#held = held
  }

  /** One more; true when no other manager need be asked, by the node's wall time, ms. */
  add(offer: T, claims: CertificateClaims, wallMs: number): boolean {
    if (!isValidAt(claims, wallMs)) return false
    const isOtherRole = claims.role !== this.#held.role
    const leastMs = this.#best?.notAfterMs ?? (isOtherRole ? 0 : this.#held.notAfterMs)
    if (claims.notAfterMs > leastMs) this.#best = { offer, notAfterMs: claims.notAfterMs }
    return wallMs < renewalMs(claims, 0)
  }

  /** The one that lives longest of those that are better than what is held; undefined: keep that. */
  get best(): T | undefined {
    return this.#best?.offer
  }
}

/** The clocks of a node and of the manager that signed for it do not agree. */
export function newClockRefusal(claims: CertificateClaims, wallMs: number): SwarmError {
  return new SwarmError(
    'failed-precondition',
    `the certificate that the manager signed for node ${claims.nodeId} is not valid, or not for long, by this node’s clock: ` +
      'compare the clocks of both',
    { retriable: true, facts: { node: claims.nodeId, leftMs: claims.notAfterMs - wallMs } },
  )
}
