/**
 * Object ids in Swarm's shape: 17 random bytes with the top bit forced, in base 36, the last 25
 * digits (swarm-mode.md 1.0). Raft ids are drawn elsewhere: they are numbers below 2^53.
 */
import type { Random } from './random.ts'

export const ID_LENGTH = 25

/** A new id of 25 lower-case letters and digits. */
export function newId(random: Random): string {
  const bytes = random.bytes(17)
  let value = 0n
  for (const byte of bytes) value = (value << 8n) | BigInt(byte)
  value |= 1n << 135n
  return value.toString(36).slice(-ID_LENGTH)
}
