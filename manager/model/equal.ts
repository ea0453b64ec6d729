/**
 * Structural equality of plain data as `proto/gen` makes it: objects, arrays, maps, byte arrays and
 * scalars. A field that is undefined equals one that is absent. Maps are equal whatever the order
 * of their entries, for they are encoded sorted.
 */

/** Whether both hold the same. */
export function isEqual(left: unknown, right: unknown): boolean {
  if (Object.is(left, right)) return true
  if (!isObject(left) || !isObject(right)) return false
  if (left instanceof Uint8Array || right instanceof Uint8Array)
    return left instanceof Uint8Array && right instanceof Uint8Array && isEqualBytes(left, right)
  if (left instanceof Map || right instanceof Map)
    return left instanceof Map && right instanceof Map && isEqualMap(left, right)
  if (Array.isArray(left) || Array.isArray(right))
    return Array.isArray(left) && Array.isArray(right) && isEqualArray(left, right)
  return isEqualRecord(left, right)
}

type PlainObject = Readonly<Record<string, unknown>>

function isObject(value: unknown): value is PlainObject {
  return typeof value === 'object' && value !== null
}

function isEqualBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, at) => byte === right[at])
}

function isEqualMap(
  left: ReadonlyMap<unknown, unknown>,
  right: ReadonlyMap<unknown, unknown>,
): boolean {
  if (left.size !== right.size) return false
  for (const [key, value] of left)
    if (!right.has(key) || !isEqual(value, right.get(key))) return false
  return true
}

function isEqualArray(left: readonly unknown[], right: readonly unknown[]): boolean {
  return left.length === right.length && left.every((value, at) => isEqual(value, right[at]))
}

function isEqualRecord(left: PlainObject, right: PlainObject): boolean {
  for (const key of Object.keys(left)) if (!isEqual(left[key], right[key])) return false
  for (const key of Object.keys(right))
    if (right[key] !== undefined && left[key] === undefined) return false
  return true
}
