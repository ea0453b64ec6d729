/**
 * Port Clock and the time constants. Only a loop reads a Clock, once a round, and passes `now` on
 * (STYLE section 4); what rules use is cluster time (DESIGN section 5).
 */

export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back. */
  monotonicMs(): number
  /** Milliseconds since 1970-01-01 UTC; may jump. Certificates, cron and display only. */
  wallMs(): number
}

export const SECOND_MS: number = 1_000
export const MINUTE_MS: number = 60 * SECOND_MS
export const HOUR_MS: number = 60 * MINUTE_MS
export const DAY_MS: number = 24 * HOUR_MS
