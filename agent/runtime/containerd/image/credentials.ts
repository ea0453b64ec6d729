/**
 * What a registry wants to see and what we have to show: the credentials of an X-Registry-Auth header
 * (base64url JSON, as Docker clients send it) and the challenge of a WWW-Authenticate header
 * (RFC 7235, distribution's token protocol). Nothing of it may reach a log or an error message.
 */
import { SwarmError } from '../../../../lib/errors.ts'
import { parseJsonObject, stringAt } from './json.ts'

export type Credentials = {
  readonly username: string
  readonly password: string
  /** An OAuth2 refresh token, instead of name and password. */
  readonly identityToken: string
  /** A bearer token, shown as it is. */
  readonly registryToken: string
}

export type Challenge = {
  readonly scheme: 'basic' | 'bearer'
  /** For bearer: who gives tokens, for which service and what. */
  readonly realm: string
  readonly service: string
  readonly scope: string
}

/** Undefined where the header is empty or names nobody; SwarmError 'invalid-argument' when malformed. */
export function parseRegistryAuth(header: string): Credentials | undefined {
  if (header === '') return undefined
  const auth = parseAuthObject(header)
  const [name = '', secret = ''] = splitOnce(
    Buffer.from(stringAt(auth, 'auth'), 'base64').toString(),
    ':',
  )
  const credentials = {
    username: stringAt(auth, 'username') || name,
    password: stringAt(auth, 'password') || secret,
    identityToken: stringAt(auth, 'identitytoken'),
    registryToken: stringAt(auth, 'registrytoken'),
  }
  return Object.values(credentials).every((value) => value === '') ? undefined : credentials
}

/** The challenge that we can meet, bearer before basic; undefined where there is none. */
export function parseChallenge(header: string): Challenge | undefined {
  const found = splitChallenges(header)
  return (
    found.find((each) => each.scheme === 'bearer' && each.realm !== '') ??
    found.find((each) => each.scheme === 'basic')
  )
}

/** The value of an Authorization header. */
export function basicAuthorization(credentials: Credentials): string {
  const text = `${credentials.username}:${credentials.password}`
  return `Basic ${Buffer.from(text).toString('base64')}`
}

function parseAuthObject(header: string): ReturnType<typeof parseJsonObject> {
  try {
    return parseJsonObject(Buffer.from(header, 'base64url').toString(), 'registry auth')
  } catch {
    // Without the cause: it would quote what it could not read.
    throw new SwarmError('invalid-argument', 'malformed registry credentials: not base64url JSON')
  }
}

function splitChallenges(header: string): readonly Challenge[] {
  const challenges: Challenge[] = []
  const scheme = /(?:^|,)\s*(basic|bearer)(?=\s|,|$)/gi
  for (const match of header.matchAll(scheme)) {
    const rest = header.slice(match.index + match[0].length)
    const values = parseParameters(rest)
    challenges.push({
      scheme: match[1]?.toLowerCase() === 'basic' ? 'basic' : 'bearer',
      realm: values.get('realm') ?? '',
      service: values.get('service') ?? '',
      scope: values.get('scope') ?? '',
    })
  }
  return challenges
}

/** `key=value` and `key="value"` separated by commas, up to what is none. */
function parseParameters(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  const parameter = /\s*,?\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))/y
  for (;;) {
    const match = parameter.exec(text)
    if (match === null) return values
    const value = match[2]?.replace(/\\(.)/g, '$1') ?? match[3] ?? ''
    values.set((match[1] ?? '').toLowerCase(), value)
  }
}

function splitOnce(text: string, separator: string): readonly string[] {
  const at = text.indexOf(separator)
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)]
}
