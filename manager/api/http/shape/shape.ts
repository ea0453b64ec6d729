/**
 * Shape: how a value is written as Docker's JSON and read back, both from one description, so that
 * the two directions cannot drift apart. `object` describes a message by its members in Docker's
 * spelling. What a client sends and a shape does not know is refused by its path
 * (`TaskTemplate.ContainerSpec.Sysctls is not supported yet`), unless it says nothing: Go's
 * clients send many empty members. JSON's null counts as absent, as in Go.
 */
import { SwarmError } from '../../../../lib/errors.ts'

export type Shape<T> = {
  /** SwarmError `invalid-argument` or `unimplemented` that names `path`. */
  readonly read: (json: unknown, path: string) => T
  readonly write: (value: T) => unknown
  /** Whether a member with this value may be left out. */
  readonly isEmpty: (value: T) => boolean
}

/** One member of an object: what it changes in the value, and what the value makes of it. */
export type Field<T> = {
  readonly read: (value: T, json: unknown, path: string) => T
  /** Undefined leaves the member out. */
  readonly write: (value: T) => unknown
}

export type Fields<T> = Readonly<Record<string, Field<T>>>

/** Nested deeper than this, a value is taken to say something. */
const DEPTH_MAX = 16

/** An object; `absent` is the value that `{}` means. */
export function object<T>(
  absent: T,
  fields: Fields<T>,
  options: { readonly required?: readonly string[] } = {},
): Shape<T> {
  return {
    read: (json, path) => {
      const members = readMembers(json, path)
      for (const name of options.required ?? [])
        if (!members.has(name)) throw refusal(`${join(path, name)}: must be given`)
      return readFields({ from: absent, fields, members, path })
    },
    write: (value) => writeFields(value, fields),
    isEmpty: () => false,
  }
}

/** A member whose value is an object, the members of which belong to this same value. */
export function group<T>(
  fields: Fields<T>,
  options: { readonly isAlways?: boolean } = {},
): Field<T> {
  return {
    read: (value, json, path) =>
      readFields({ from: value, fields, members: readMembers(json, path), path }),
    write: (value) => {
      const written = writeFields(value, fields)
      return options.isAlways || Object.keys(written).length > 0 ? written : undefined
    },
  }
}

/** Members of values of type T: `some` are left out when empty, `always` are not. */
export function fieldsOf<T>(): {
  readonly some: <K extends keyof T>(key: K, shape: Shape<T[K]>) => Field<T>
  readonly always: <K extends keyof T>(key: K, shape: Shape<T[K]>) => Field<T>
} {
  const always = <K extends keyof T>(key: K, shape: Shape<T[K]>): Field<T> => ({
    read: (value, json, path) => ({ ...value, [key]: shape.read(json, path) }),
    write: (value) => shape.write(value[key]),
  })
  const some = <K extends keyof T>(key: K, shape: Shape<T[K]>): Field<T> => ({
    read: always(key, shape).read,
    write: (value) => (shape.isEmpty(value[key]) ? undefined : shape.write(value[key])),
  })
  return { some, always }
}

/**
 * A member that Docker knows and this version does not: refused, unless it is empty or one of the
 * values that mean what happens anyway. Never written.
 */
export function unsupported<T>(...harmless: readonly unknown[]): Field<T> {
  return {
    read: (value, json, path) => {
      const isHarmless = isBlank(json) || harmless.some((other) => isSameJson(json, other))
      if (!isHarmless) throw new SwarmError('unimplemented', `${path} is not supported yet`)
      return value
    },
    write: () => undefined,
  }
}

/** A member that says something by being there at all, even when it is empty. */
export function refused<T>(): Field<T> {
  return {
    read: (_value, _json, path) => {
      throw new SwarmError('unimplemented', `${path} is not supported yet`)
    },
    write: () => undefined,
  }
}

/** A member that is always written as `value`, and read only as that or empty. */
export function fixed<T>(value: unknown): Field<T> {
  return { read: unsupported<T>(value).read, write: () => value }
}

/** A field that leaves the value as it was where the member is zero or empty. */
export function unlessBlank<T>(field: Field<T>): Field<T> {
  return {
    read: (value, json, path) => (isBlank(json) ? value : field.read(value, json, path)),
    write: field.write,
  }
}

export const text: Shape<string> = {
  read: (json, path) => {
    if (typeof json !== 'string') throw refusal(`${path}: must be a string`)
    return json
  },
  write: (value) => value,
  isEmpty: (value) => value === '',
}

export const flag: Shape<boolean> = {
  read: (json, path) => {
    if (typeof json !== 'boolean') throw refusal(`${path}: must be true or false`)
    return json
  },
  write: (value) => value,
  isEmpty: (value) => !value,
}

/** A whole number that JSON and JavaScript hold exactly. */
export const integer: Shape<number> = {
  read: (json, path) => {
    if (typeof json !== 'number' || !Number.isSafeInteger(json))
      throw refusal(`${path}: must be a whole number below 2^53`)
    return json
  },
  write: (value) => value,
  isEmpty: (value) => value === 0,
}

/** A whole number that is not negative. */
export const count: Shape<number> = {
  ...integer,
  read: (json, path) => {
    const value = integer.read(json, path)
    if (value < 0) throw refusal(`${path}: ${value} must not be negative`)
    return value
  },
}

/** A whole number of 32 bits that is not negative. */
export const count32: Shape<number> = {
  ...integer,
  read: (json, path) => {
    const value = count.read(json, path)
    if (value >= 2 ** 32) throw refusal(`${path}: ${value} is too large`)
    return value
  },
}

export const decimal: Shape<number> = {
  ...integer,
  read: (json, path) => {
    if (typeof json !== 'number') throw refusal(`${path}: must be a number`)
    return json
  },
}

/** Nanoseconds in JSON, milliseconds here; a part of a millisecond is refused. */
export const durationMs: Shape<number> = {
  read: (json, path) => {
    const nanoseconds = integer.read(json, path)
    if (nanoseconds < 0) throw refusal(`${path}: a duration must not be negative`)
    if (nanoseconds % 1e6 !== 0)
      throw refusal(`${path}: ${nanoseconds} ns is not a whole number of milliseconds`)
    return nanoseconds / 1e6
  },
  write: (value) => value * 1e6,
  isEmpty: (value) => value === 0,
}

/** Base64 in JSON. */
export const bytes: Shape<Uint8Array> = {
  read: (json, path) => {
    const encoded = text.read(json, path)
    const decoded = Buffer.from(encoded, 'base64')
    if (decoded.toString('base64') !== encoded) throw refusal(`${path}: must be base64`)
    return new Uint8Array(decoded)
  },
  write: (value) => Buffer.from(value).toString('base64'),
  isEmpty: (value) => value.length === 0,
}

export const labels: Shape<ReadonlyMap<string, string>> = {
  read: (json, path) => {
    const members = readMembers(json, path)
    return new Map([...members].map(([key, value]) => [key, text.read(value, join(path, key))]))
  },
  write: (value) => Object.fromEntries(value),
  isEmpty: (value) => value.size === 0,
}

/** One of the words, which are Docker's and ours. */
export function choice<const V extends string>(
  words: readonly V[],
  options: {
    /** What an empty word means; without it an empty word is refused. */
    readonly fallback?: NoInfer<V>
    /** Words that Docker knows and this version does not. */
    readonly unsupported?: readonly string[]
  } = {},
): Shape<V> {
  return {
    read: (json, path) => {
      const word = text.read(json, path)
      const value = word === '' ? options.fallback : words.find((candidate) => candidate === word)
      if (value !== undefined) return value
      if (options.unsupported?.includes(word))
        throw new SwarmError('unimplemented', `${path} "${word}" is not supported yet`)
      const name = path.slice(path.lastIndexOf('.') + 1)
      throw refusal(`${path}: invalid ${name}: "${word}", use one of ${words.join(', ')}`)
    },
    write: (value) => value,
    isEmpty: (value) => value === options.fallback,
  }
}

export function list<T>(shape: Shape<T>): Shape<readonly T[]> {
  return {
    read: (json, path) => {
      if (!Array.isArray(json)) throw refusal(`${path}: must be a list`)
      return json.map((item, at) => shape.read(item, `${path}[${at}]`))
    },
    write: (value) => value.map((item) => shape.write(item)),
    isEmpty: (value) => value.length === 0,
  }
}

/** A value that may be absent. */
export function maybe<T>(shape: Shape<T>): Shape<T | undefined> {
  return {
    read: shape.read,
    write: (value) => (value === undefined ? undefined : shape.write(value)),
    isEmpty: (value) => value === undefined,
  }
}

/** Whether the value says nothing: null, zero, empty, or made of such alone. */
export function isBlank(json: unknown, depth = 0): boolean {
  if (json === undefined || json === null || json === '' || json === 0 || json === false)
    return true
  if (typeof json !== 'object' || depth > DEPTH_MAX) return false
  return Object.values(json).every((inner) => isBlank(inner, depth + 1))
}

/** The members that are there; `invalid-argument` for what is no object. */
function readMembers(json: unknown, path: string): ReadonlyMap<string, unknown> {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw refusal(path === '' ? 'the body must be a JSON object' : `${path}: must be an object`)
  return new Map(Object.entries(json).filter(([, value]) => value !== null))
}

function readFields<T>(source: {
  readonly from: T
  readonly fields: Fields<T>
  readonly members: ReadonlyMap<string, unknown>
  readonly path: string
}): T {
  const { fields, members, path } = source
  let value = source.from
  for (const [name, json] of members) {
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined
    if (field !== undefined) value = field.read(value, json, join(path, name))
    else if (!isBlank(json)) throw refusal(`${join(path, name)}: unknown field`)
  }
  return value
}

function writeFields<T>(value: T, fields: Fields<T>): Record<string, unknown> {
  const written: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(fields)) {
    const json = field.write(value)
    if (json !== undefined) written[name] = json
  }
  return written
}

function isSameJson(left: unknown, right: unknown): boolean {
  if (left === right) return true
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null)
    return isBlank(left) && isBlank(right)
  const a = new Map(Object.entries(left))
  const b = new Map(Object.entries(right))
  return [...new Set([...a.keys(), ...b.keys()])].every((key) => isSameJson(a.get(key), b.get(key)))
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}

function refusal(message: string): SwarmError {
  return new SwarmError('invalid-argument', message)
}
