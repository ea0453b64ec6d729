/**
 * Backoff: how long to wait before the next attempt. It grows by doubling from `baseMs` to `maxMs`
 * and is drawn at random from its upper half, so that many callers that failed together do not
 * come back together, and none comes back at once.
 */
import type { Random } from './random.ts'

export type Backoff = { readonly baseMs: number; readonly maxMs: number }

/** Whole milliseconds to wait after `attempt` failures in a row (1 or more). */
export function backoffMs(attempt: number, random: Random, { baseMs, maxMs }: Backoff): number {
  const ceilingMs = Math.min(maxMs, baseMs * 2 ** Math.min(Math.max(attempt, 1) - 1, 30))
  const floorMs = Math.ceil(ceilingMs / 2)
  return floorMs + random.integer(Math.max(1, Math.floor(ceilingMs) - floorMs + 1))
}
