/**
 * Join tokens: `SWMTKN-1-<digest of the root>-<secret>` (swarm-mode.md 2.15). The digest lets the
 * joiner know the right cluster before it says anything; the secret lets the cluster know the
 * joiner, and which role it was invited to. Only the secrets are rotated.
 */
import { SwarmError } from '../../lib/errors.ts'
import type { Random } from '../../lib/random.ts'
import type { RootCa } from '../../proto/gen/objects.ts'
import type { NodeRole } from '../../proto/gen/types.ts'

const PREFIX = 'SWMTKN-1-'
export const DIGEST_LENGTH = 50
const SECRET_LENGTH = 25

export type JoinToken = { readonly digest: string; readonly secret: string }

/** A new token for the root with this digest. */
export function newJoinToken(rootDigest: string, random: Random): string {
  let value = 0n
  for (const byte of random.bytes(16)) value = (value << 8n) | BigInt(byte)
  return `${PREFIX}${rootDigest}-${value.toString(36).padStart(SECRET_LENGTH, '0')}`
}

/** The token's parts; `invalid-argument` when the text is no join token. */
export function parseJoinToken(text: string): JoinToken {
  const match = /^SWMTKN-1-([0-9a-z]{50})-([0-9a-z]{25})$/.exec(text.trim())
  if (match?.[1] === undefined || match[2] === undefined)
    throw new SwarmError(
      'invalid-argument',
      'invalid join token: print the right one with "tsswarm join-token worker" on a manager',
    )
  return { digest: match[1], secret: match[2] }
}

/** The role that `token` invites to; `invalid-argument` when it is not a current one. */
export function roleOfToken(token: string, root: RootCa): NodeRole {
  if (isSameText(token, root.managerToken)) return 'manager'
  if (isSameText(token, root.workerToken)) return 'worker'
  throw new SwarmError(
    'invalid-argument',
    'A valid join token is necessary to join this cluster: print it with "tsswarm join-token worker" on a manager',
  )
}

/** Compares in a time that does not depend on where the texts differ. */
function isSameText(a: string, b: string): boolean {
  // An unfinished cluster has no tokens, and no token is none of them.
  if (a.length !== b.length || a === '') return false
  let difference = 0
  for (let at = 0; at < a.length; at++) difference |= a.charCodeAt(at) ^ b.charCodeAt(at)
  return difference === 0
}
