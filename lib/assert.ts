/**
 * Assertions: a broken one is a bug, never a user's mistake. They stay on in production; in Raft,
 * log and store they stop the node, in a reconciler the object is set aside (DESIGN section 6).
 */

export class AssertionError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'AssertionError'
  }
}

/** Throws AssertionError with `message` and the numbers in `facts` unless `condition` holds. */
export function assert(
  condition: boolean,
  message: string,
  facts?: Readonly<Record<string, unknown>>,
): asserts condition {
  if (condition) return
  throw new AssertionError(
    facts === undefined
      ? `assertion failed: ${message}`
      : `assertion failed: ${message} ${factText(facts)}`,
  )
}

/** For the end of an exhaustive switch: `unreachable(x)` where `x satisfies never`. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`)
}

/** The value, or AssertionError where it is undefined. */
export function defined<T>(value: T | undefined, message: string): T {
  assert(value !== undefined, message)
  return value
}

function factText(facts: Readonly<Record<string, unknown>>): string {
  return Object.entries(facts)
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(' ')
}
