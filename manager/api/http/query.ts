/**
 * Query parameters in Docker's forms: booleans, object versions, filters, and references to objects
 * by id, name or the beginning of an id (swarm-mode.md 1.0, 6.1).
 */
import { SwarmError } from '../../../lib/errors.ts'

/** Go's clients write 1; everything is true but what Docker takes for false. */
export function isSet(query: URLSearchParams, name: string): boolean {
  const value = (query.get(name) ?? '').trim().toLowerCase()
  return !['', '0', 'no', 'false', 'none'].includes(value)
}

/** `version`, which every update must bring. */
export function getVersion(query: URLSearchParams): number {
  const value = query.get('version') ?? ''
  const version = Number(value)
  if (/^\d+$/.test(value) && Number.isSafeInteger(version)) return version
  throw new SwarmError('invalid-argument', `invalid version "${value}": it must be a number`)
}

/** Filter name → wanted values. A name that is there has at least one value. */
export type Filters = ReadonlyMap<string, readonly string[]>

/** `filters`: `{"label":["a","b=c"]}`, or the older `{"label":{"a":true}}`. */
export function getFilters(query: URLSearchParams, known: readonly string[]): Filters {
  const given = query.get('filters') ?? ''
  const filters = new Map<string, readonly string[]>()
  if (given === '') return filters
  for (const [name, json] of Object.entries(parseObject(given))) {
    if (!known.includes(name)) throw refusal(`invalid filter '${name}'`)
    const values = valuesOf(json)
    if (values === undefined) throw refusal(`invalid filter '${name}': its values must be a list`)
    if (values.length > 0) filters.set(name, values)
  }
  return filters
}

/** Whether the filter is absent or one of its values is accepted. */
export function passes(
  filters: Filters,
  name: string,
  accepts: (value: string) => boolean,
): boolean {
  return filters.get(name)?.some(accepts) ?? true
}

/** Whether each value of a label filter, `key` or `key=value`, is among the labels. */
export function passesLabels(
  filters: Filters,
  name: string,
  labels: ReadonlyMap<string, string> | undefined,
): boolean {
  return (filters.get(name) ?? []).every((wanted) => {
    const at = wanted.indexOf('=')
    const key = at < 0 ? wanted : wanted.slice(0, at)
    const value = labels?.get(key)
    return value !== undefined && (at < 0 || value === wanted.slice(at + 1))
  })
}

export type Lookup<T> = {
  /** For the refusal: `service`. */
  readonly kind: string
  readonly get: (id: string) => T | undefined
  readonly list: () => Iterable<T>
  readonly hasName: (object: T, name: string) => boolean
}

/** By whole id, else by name, else by the beginning of an id that only one has. */
export function findObject<T extends { readonly id: string }>(
  lookup: Lookup<T>,
  reference: string,
): T {
  const byId = lookup.get(reference)
  if (byId !== undefined) return byId
  const objects = [...lookup.list()]
  const named = objects.filter((object) => lookup.hasName(object, reference))
  const found =
    named.length > 0 ? named : objects.filter((object) => object.id.startsWith(reference))
  const [first] = found
  if (first === undefined || reference === '')
    throw new SwarmError('not-found', `${lookup.kind} ${reference} not found`)
  if (found.length > 1)
    throw refusal(`${lookup.kind} ${reference} is ambiguous (${found.length} matches found)`)
  return first
}

function parseObject(given: string): Readonly<Record<string, unknown>> {
  let parsed: unknown
  try {
    parsed = JSON.parse(given)
  } catch (error) {
    throw new SwarmError('invalid-argument', 'invalid filter: filters must be JSON', {
      cause: error,
    })
  }
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return { ...parsed }
  throw refusal('invalid filter: filters must be a JSON object')
}

function valuesOf(json: unknown): readonly string[] | undefined {
  if (Array.isArray(json))
    return json.every((value) => typeof value === 'string') ? json : undefined
  if (typeof json !== 'object' || json === null) return undefined
  return Object.entries(json)
    .filter(([, isWanted]) => isWanted === true)
    .map(([value]) => value)
}

function refusal(message: string): SwarmError {
  return new SwarmError('invalid-argument', message)
}
