/**
 * Damage of the log as a user is told of it. Whoever reads the log knows paths from the state
 * directory on; the user needs one that can be opened. Errors of the consensus thread arrive as plain
 * ones, so it is the facts that say what an error is.
 */
import { join } from 'node:path'
import type { SwarmError } from '../lib/errors.ts'
import { newDamageError } from '../manager/wal/seal.ts'

/** The damage that the error tells of, with its whole path; undefined where it tells of none. */
export function findDamage(error: Error, stateDirectory: string): SwarmError | undefined {
  const fields = new Map<string, unknown>(Object.entries(error))
  const facts = new Map<string, unknown>(Object.entries(fields.get('facts') ?? {}))
  const [file, offset, reason] = ['file', 'offset', 'reason'].map((name) => facts.get(name))
  if (typeof file !== 'string' || typeof offset !== 'number' || typeof reason !== 'string')
    return undefined
  return newDamageError(join(stateDirectory, file), offset, reason)
}
