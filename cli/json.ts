/**
 * JSON as it comes from the API: any member may be missing, whoever served it. These functions read
 * a member by its path and give an empty value where it is absent or of another kind, so that no
 * reply can make the command line stumble. Objects are kept as they came, because an update must
 * send back also what this version does not know.
 */

export type Json =
  | string
  | number
  | boolean
  | null
  | undefined
  | readonly Json[]
  | { readonly [name: string]: Json }

export type JsonObject = { readonly [name: string]: Json }

/** The value of a JSON text; undefined where it is none. */
export function parseJson(text: string): Json {
  try {
    const value: Json = JSON.parse(text)
    return value
  } catch {
    return undefined
  }
}

export function isObject(json: Json): json is JsonObject {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}

/** The member at the path, undefined where there is none. */
export function at(json: Json, ...path: readonly string[]): Json {
  let value = json
  for (const name of path) {
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined
    value = value[name]
  }
  return value ?? undefined
}

/** The text at the path, else empty. */
export function textAt(json: Json, ...path: readonly string[]): string {
  const value = at(json, ...path)
  return typeof value === 'string' ? value : ''
}

/** The number at the path, else 0. */
export function numberAt(json: Json, ...path: readonly string[]): number {
  const value = at(json, ...path)
  return typeof value === 'number' ? value : 0
}

export function flagAt(json: Json, ...path: readonly string[]): boolean {
  return at(json, ...path) === true
}

/** The list at the path, else an empty one. */
export function listAt(json: Json, ...path: readonly string[]): readonly Json[] {
  const value = at(json, ...path)
  return Array.isArray(value) ? value : []
}

export function textsAt(json: Json, ...path: readonly string[]): readonly string[] {
  return listAt(json, ...path).filter((item) => typeof item === 'string')
}

/** The object at the path, else an empty one. */
export function objectAt(json: Json, ...path: readonly string[]): JsonObject {
  const value = at(json, ...path)
  return isObject(value) ? value : {}
}

/** The texts of an object by their names, as labels are. */
export function labelsAt(json: Json, ...path: readonly string[]): ReadonlyMap<string, string> {
  const entries = Object.entries(objectAt(json, ...path))
  return new Map(
    entries.flatMap(([key, value]) => (typeof value === 'string' ? [[key, value]] : [])),
  )
}

/** Wall time in ms of the RFC 3339 text at the path, undefined where there is none. */
export function timeAt(json: Json, ...path: readonly string[]): number | undefined {
  const ms = Date.parse(textAt(json, ...path))
  return Number.isNaN(ms) ? undefined : ms
}

/** The object without the members that are undefined, which JSON does not have. */
export function compact(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))
}

/** The object with the value at the path, in objects made on the way; undefined removes it. */
export function setAt(json: Json, path: readonly string[], value: Json): Json {
  const [name, ...rest] = path
  if (name === undefined) return value
  const object = isObject(json) ? json : {}
  return compact({ ...object, [name]: setAt(object[name], rest, value) })
}
