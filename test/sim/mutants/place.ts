/**
 * Where mutants live: the file that one is planted in, and the variable by which a worker is told
 * which one.
 */
import type { Mutant } from './mutant.ts'

export const MUTANT_VARIABLE = 'TSSWARM_SIM_MUTANT'

/** The URL under which Node loads the mutant's file. */
export function urlOf({ file }: Mutant): string {
  return new URL(`../../../${file}`, import.meta.url).href
}
