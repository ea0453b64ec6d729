/**
 * Draw: one of a few choices, all equally likely; who wants one more often names it more often. How
 * the clients of a simulated cluster make up their minds.
 */
import type { SeededRandom } from '../../../lib/random.ts'

/** One of the choices; at least one is given. */
export type Draw = <T>(...choices: readonly T[]) => T

export function drawBy(random: SeededRandom): Draw {
  return (...choices) => choices[random.integer(choices.length)] as (typeof choices)[number]
}
