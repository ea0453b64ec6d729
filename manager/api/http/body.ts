/**
 * Request bodies: JSON or nothing, refused in Docker's words (swarm-mode.md 6.1). Duplicate members
 * take the last value, as in Go.
 */
import { SwarmError } from '../../../lib/errors.ts'

/** Of a whole body, as swarm objects stay below 1 MiB and base64 adds a third. */
export const BODY_BYTES_MAX = 4_194_304

/** The parsed JSON; undefined for an empty body, whatever it is called. */
export function parseBody(body: Buffer, contentType: string): unknown {
  if (body.length === 0) return undefined
  const mediaType = (contentType.split(';')[0] ?? '').trim().toLowerCase()
  if (mediaType !== 'application/json')
    throw new SwarmError(
      'invalid-argument',
      `unsupported Content-Type header (${contentType}): must be 'application/json'`,
    )
  const text = body.toString('utf8')
  if (text.trim() === '') return undefined
  try {
    return JSON.parse(text)
  } catch (error) {
    const reason = error instanceof Error ? error.message : ''
    throw new SwarmError(
      'invalid-argument',
      reason.includes('after JSON')
        ? 'unexpected content after JSON'
        : `invalid JSON: ${withoutContent(reason)}`,
      { cause: error },
    )
  }
}

/** The parser's reason without what it quotes of the body, which may be a secret. */
function withoutContent(reason: string): string {
  return reason.replace(/, .*is not valid JSON$/s, '').replace(/\s+/g, ' ')
}
