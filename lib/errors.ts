/**
 * SwarmError: the one refusal type, with gRPC's sixteen code names. It decides nothing; the two
 * translators (`proto/grpc.ts` to gRPC status, `manager/api/http/errors.ts` to Docker's HTTP
 * status) read its code. A bug is an AssertionError (`lib/assert.ts`), never this.
 */

/** gRPC's status codes by name, in the order of their numbers (0 to 16). */
export const CODES = [
  'ok',
  'cancelled',
  'unknown',
  'invalid-argument',
  'deadline-exceeded',
  'not-found',
  'already-exists',
  'permission-denied',
  'resource-exhausted',
  'failed-precondition',
  'aborted',
  'out-of-range',
  'unimplemented',
  'internal',
  'unavailable',
  'data-loss',
  'unauthenticated',
] as const

export type Code = (typeof CODES)[number]

export type ErrorOptions = {
  readonly cause?: unknown
  /** Whether the same call may be sent again without risk of doing it twice. */
  readonly retriable?: boolean
  /** The values that matter, for logs and tests: names, ids, indexes. Never a secret. */
  readonly facts?: Readonly<Record<string, string | number | boolean | undefined>>
}

export class SwarmError extends Error {
  readonly code: Code
  readonly retriable: boolean
  readonly facts: Readonly<Record<string, string | number | boolean | undefined>>

  constructor(code: Code, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'SwarmError'
    this.code = code
    this.retriable = options.retriable ?? false
    this.facts = options.facts ?? {}
  }
}
