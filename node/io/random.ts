/**
 * The real side of port Random: the kernel's CSPRNG through node:crypto. Ids, tokens, keys and
 * jitter come from it; only the simulator's randomness is seeded (DESIGN section 10).
 */
import { randomBytes, randomInt } from 'node:crypto'
import type { Random } from '../../lib/random.ts'

export const systemRandom: Random = {
  bytes: (length) => Uint8Array.from(randomBytes(length)),
  integer: (below) => randomInt(below),
}
