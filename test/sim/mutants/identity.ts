/** Mutants of certificates: how long they live by clocks that are wrong. */
import type { Mutant } from './mutant.ts'

export const identityMutants: readonly Mutant[] = [
  {
    name: 'certificate-from-the-future',
    file: 'manager/ca/certificate-life.ts',
    search: 'export const BACKDATE_MS: number = 3_650 * DAY_MS\n',
    replacement: 'export const BACKDATE_MS: number = 3_600_000\n',
    caughtBy: 'L6',
    why: 'a manager whose clock is days ahead signs what nobody lets in until then',
  },
]
