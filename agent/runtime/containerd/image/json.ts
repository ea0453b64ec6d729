/**
 * Fields of JSON that others wrote (registries, images, credentials), read without trust: a field of
 * the wrong type counts as absent. What must be there is the reader's to refuse.
 */
import { SwarmError } from '../../../../lib/errors.ts'

export type JsonObject = Readonly<Record<string, unknown>>

/** The object in `bytes`, or SwarmError 'data-loss' that says that `what` is not one. */
export function parseJsonObject(bytes: Uint8Array | string, what: string): JsonObject {
  const value = parseJson(bytes, what)
  if (isObject(value)) return value
  throw new SwarmError('data-loss', `${what} is not a JSON object`)
}

/** The objects of a JSON array; SwarmError 'data-loss' where `bytes` hold something else. */
export function parseJsonObjects(bytes: Uint8Array, what: string): readonly JsonObject[] {
  const value = parseJson(bytes, what)
  if (Array.isArray(value)) return value.filter(isObject)
  throw new SwarmError('data-loss', `${what} is not a JSON array`)
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Empty where there is none. */
export function objectAt(object: JsonObject, key: string): JsonObject {
  const value = object[key]
  return isObject(value) ? value : {}
}

export function objectsAt(object: JsonObject, key: string): readonly JsonObject[] {
  const value = object[key]
  return Array.isArray(value) ? value.filter(isObject) : []
}

/** Empty where there is none. */
export function stringAt(object: JsonObject, key: string): string {
  const value = object[key]
  return typeof value === 'string' ? value : ''
}

export function stringsAt(object: JsonObject, key: string): readonly string[] {
  const value = object[key]
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : []
}

/** 0 where there is none. */
export function numberAt(object: JsonObject, key: string): number {
  const value = object[key]
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : 0
}

/** The fields of an object that are text, e.g. annotations. */
export function stringEntriesAt(object: JsonObject, key: string): ReadonlyMap<string, string> {
  const entries = Object.entries(objectAt(object, key))
  return new Map(
    entries.flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
  )
}

function parseJson(bytes: Uint8Array | string, what: string): unknown {
  const text = typeof bytes === 'string' ? bytes : new TextDecoder().decode(bytes)
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new SwarmError('data-loss', `${what} is not JSON`, { cause })
  }
}
