/**
 * What the user typed cannot be carried out: nothing was asked of a daemon, and the exit code is 125
 * as with Docker. Everything else that fails exits with 1.
 */
import { SwarmError } from '../lib/errors.ts'

export const USAGE_EXIT_CODE = 125

/** Refusal of a command line; `run.ts` adds where help is to be had. */
export function usageError(message: string): SwarmError {
  return new SwarmError('invalid-argument', message, { facts: { exitCode: USAGE_EXIT_CODE } })
}

/** The exit code that a failure of any kind ends the process with. */
export function exitCodeOf(error: unknown): number {
  const code = error instanceof SwarmError ? error.facts['exitCode'] : undefined
  return typeof code === 'number' ? code : 1
}
