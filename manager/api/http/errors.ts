/**
 * Refusals as Docker's HTTP status and `{"message"}` (swarm-mode.md 6.1). The only place of the API
 * where an error's kind is looked at. A bug says so and nothing else: its stack goes to the log.
 */
import { type Code, SwarmError } from '../../../lib/errors.ts'
import type { Log } from '../../../lib/log.ts'

const STATUS: Readonly<Record<Code, number>> = {
  ok: 500,
  cancelled: 500,
  unknown: 500,
  'invalid-argument': 400,
  'deadline-exceeded': 503,
  'not-found': 404,
  'already-exists': 409,
  'permission-denied': 403,
  'resource-exhausted': 503,
  'failed-precondition': 400,
  // A version that is not the newest: Docker's clients look for the text, Swarm answers 500.
  aborted: 500,
  'out-of-range': 400,
  unimplemented: 501,
  internal: 500,
  unavailable: 503,
  'data-loss': 500,
  unauthenticated: 401,
}

export type HttpError = { readonly status: number; readonly message: string }

/** What the client is told. Anything but a refusal is logged as an error. */
export function toHttpError(error: unknown, log: Log): HttpError {
  if (error instanceof SwarmError) return { status: STATUS[error.code], message: error.message }
  if (isHttpError(error)) return translate(error)
  const detail = error instanceof Error ? error.stack : String(error)
  log.error({ detail }, 'request tripped an assertion')
  return { status: 500, message: "the request met a bug in tsswarm, see the node's log" }
}

/** Docker answers 400 to a content type that cannot be read; other statuses are the same. */
function translate({ statusCode, message }: FrameworkError): HttpError {
  return statusCode === 415
    ? { status: 400, message: "malformed Content-Type header: must be 'application/json'" }
    : { status: statusCode, message }
}

/** The body of an error. */
export function errorBody(message: string): string {
  return `${JSON.stringify({ message })}\n`
}

/** What the HTTP library refuses before any route is asked: sizes and malformed requests. */
type FrameworkError = { readonly statusCode: number; readonly message: string }

function isHttpError(error: unknown): error is FrameworkError {
  return (
    error instanceof Error &&
    'statusCode' in error &&
    typeof error.statusCode === 'number' &&
    error.statusCode >= 400 &&
    error.statusCode < 500
  )
}
