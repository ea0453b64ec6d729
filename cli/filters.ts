/**
 * `--filter KEY=VALUE`, gathered into the form of the API: the values of one key are alternatives,
 * keys narrow each other. Which keys a list knows is the server's to say.
 */
import type { FlagSpec, Flags } from './command.ts'
import { usageError } from './usage-error.ts'

export type Filters = Readonly<Record<string, readonly string[]>>

export function filterFlag(keys: string): FlagSpec {
  return { flags: '-f, --filter <KEY=VALUE>', help: `Only those that match: ${keys}`, isList: true }
}

/** A usage error quotes what is no filter. */
export function readFilters(flags: Flags): Filters {
  const filters: Record<string, readonly string[]> = {}
  for (const text of flags.list('filter')) {
    const at = text.indexOf('=')
    if (at <= 0) throw usageError(`invalid filter "${text}": use KEY=VALUE`)
    const key = text.slice(0, at).trim().toLowerCase()
    filters[key] = [...(filters[key] ?? []), text.slice(at + 1).trim()]
  }
  return filters
}
