/**
 * Times in query parameters: seconds since 1970 with a fraction (`1700000000.5`), as Docker's
 * clients send them, or RFC 3339. Go durations are resolved by the clients themselves.
 */
import { SwarmError } from '../../../lib/errors.ts'

/** Wall ms; undefined for an empty text. SwarmError `invalid-argument` that names the parameter. */
export function parseTime(text: string, parameter: string): number | undefined {
  if (text === '') return undefined
  const ms = /^\d+(?:\.\d{1,9})?$/.test(text) ? Math.floor(Number(text) * 1_000) : parseRfc(text)
  if (Number.isSafeInteger(ms)) return ms
  throw new SwarmError(
    'invalid-argument',
    `${parameter}: "${text}" is neither seconds since 1970 nor an RFC 3339 time`,
  )
}

function parseRfc(text: string): number {
  return /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)?)?$/.test(text)
    ? Date.parse(text)
    : Number.NaN
}
