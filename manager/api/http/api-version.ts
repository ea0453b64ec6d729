/**
 * Versions of the Engine API: which are spoken, and the texts that clients know for others
 * (swarm-mode.md 6.1, host.md 31). A version is kept in hundredths, 1.41 as 141.
 */
import { SwarmError } from '../../../lib/errors.ts'

export const API_VERSION_MIN = 124
export const API_VERSION_MAX = 150

/** `1.41` → 141; SwarmError `invalid-argument` for a version that is not spoken. */
export function parseApiVersion(text: string): number {
  const [major = '', minor = ''] = text.split('.')
  const version = Number(major) * 100 + Number(minor)
  if (Number(major) < 1 || (Number(major) === 1 && version < API_VERSION_MIN))
    throw refusal(
      `client version ${text} is too old. Minimum supported API version is ${formatApiVersion(API_VERSION_MIN)}, please upgrade your client to a newer version`,
    )
  if (Number(major) > 1 || version > API_VERSION_MAX)
    throw refusal(
      `client version ${text} is too new. Maximum supported API version is ${formatApiVersion(API_VERSION_MAX)}`,
    )
  return version
}

export function formatApiVersion(version: number): string {
  return `${Math.floor(version / 100)}.${version % 100}`
}

function refusal(message: string): SwarmError {
  return new SwarmError('invalid-argument', message)
}
