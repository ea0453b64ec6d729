/**
 * The real side of port Random: the kernel's CSPRNG through node:crypto. Ids, tokens, keys and
 * jitter come from it; only the simulator's randomness is seeded (DESIGN section 10).
 */
import { randomBytes, randomFillSync, randomInt } from 'node:crypto'
import type { Random } from '../../lib/random.ts'

/** Asking costs more than the bytes: those of many ids are drawn at once. No key lies about here. */
const POOL_BYTES = 4_096
const POOLED_MAX = 20

const pool = new Uint8Array(POOL_BYTES)
/** What is before was given out. */
let given = POOL_BYTES

export const systemRandom: Random = {
  bytes: (length) => (length > POOLED_MAX ? Uint8Array.from(randomBytes(length)) : take(length)),
  integer: (below) => randomInt(below),
}

/** Nobody is given a byte of the pool twice, and it forgets those it gave. */
function take(length: number): Uint8Array {
  if (given + length > POOL_BYTES) {
    randomFillSync(pool)
    given = 0
  }
  const bytes = pool.slice(given, given + length)
  pool.fill(0, given, given + length)
  given += length
  return bytes
}
