/**
 * Object ids in Swarm's shape: 17 random bytes with the top bit forced, in base 36, the last 25
 * digits (swarm-mode.md 1.0). Raft ids are drawn elsewhere: they are numbers below 2^53.
 */
import type { Random } from './random.ts'

export const ID_LENGTH = 25

/** A new id of 25 lower-case letters and digits. */
export function newId(random: Random): string {
  const bytes = random.bytes(17)
  // Six bytes are a safe integer: three large numbers are made, not seventeen.
  const [high, middle, low] = [
    numberOf(bytes, 0, 5),
    numberOf(bytes, 5, 11),
    numberOf(bytes, 11, 17),
  ]
  const value = (1n << 135n) | (BigInt(high) << 96n) | (BigInt(middle) << 48n) | BigInt(low)
  return value.toString(36).slice(-ID_LENGTH)
}

function numberOf(bytes: Uint8Array, from: number, to: number): number {
  let value = 0
  for (let at = from; at < to; at++) value = value * 256 + (bytes[at] ?? 0)
  return value
}
