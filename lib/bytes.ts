/**
 * Bytes: comparison of byte arrays where the platform has none.
 */

/** Whether both hold the same bytes. Not for secrets: the time it takes depends on them. */
export function isSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a === b || (a.length === b.length && a.every((byte, at) => byte === b[at]))
}
