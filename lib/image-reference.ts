/**
 * Image references as users write them (`nginx`, `ghcr.io/a/b:1`, `a@sha256:…`) → registry,
 * repository, tag and digest, and back to the one full form that containerd's records are named by.
 * Managers refuse what is none when a service is made, agents take it apart. The rules are those of
 * Docker's reference grammar (distribution/reference).
 */
import { SwarmError } from './errors.ts'

export type ImageReference = {
  /** `docker.io`, or a host with or without port. */
  readonly registry: string
  /** Below the registry: `library/nginx`. */
  readonly repository: string
  /** Absent only where there is a digest. */
  readonly tag: string | undefined
  readonly digest: string | undefined
}

const DEFAULT_REGISTRY = 'docker.io'
const COMPONENT = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*'
const REPOSITORY: RegExp = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`)
const HOST =
  /^(?:\[[0-9a-fA-F:]+\]|(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*)(?::[0-9]+)?$/
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/
const DIGEST = /^sha256:[0-9a-f]{64}$|^sha512:[0-9a-f]{128}$/
const NAME_LENGTH_MAX = 255

/** SwarmError 'invalid-argument' in Docker's words where `text` is no reference. */
export function parseReference(text: string): ImageReference {
  const { rest, digest } = cutDigest(text)
  const colon = rest.lastIndexOf(':')
  const hasTag = colon > rest.lastIndexOf('/')
  const tag = hasTag ? rest.slice(colon + 1) : undefined
  const name = splitName(hasTag ? rest.slice(0, colon) : rest)
  if (name.repository !== name.repository.toLowerCase()) {
    throw refusal(text, `: repository name (${name.repository}) must be lowercase`)
  }
  const isValid =
    REPOSITORY.test(name.repository) &&
    HOST.test(name.registry) &&
    name.registry.length + name.repository.length < NAME_LENGTH_MAX &&
    (tag === undefined || TAG.test(tag)) &&
    (digest === undefined || DIGEST.test(digest))
  if (!isValid) throw refusal(text, '')
  return { ...name, tag: tag ?? (digest === undefined ? 'latest' : undefined), digest }
}

/** The full form; a digest makes the tag a mere remark, so it is left out. */
export function formatReference(reference: ImageReference): string {
  const name = `${reference.registry}/${reference.repository}`
  if (reference.digest !== undefined) return `${name}@${reference.digest}`
  return `${name}:${reference.tag ?? 'latest'}`
}

/** What a registry is asked for: the digest, or else the tag. */
export function referenceTarget(reference: ImageReference): string {
  return reference.digest ?? reference.tag ?? 'latest'
}

function cutDigest(text: string): { readonly rest: string; readonly digest: string | undefined } {
  const at = text.indexOf('@')
  if (at === -1) return { rest: text, digest: undefined }
  return { rest: text.slice(0, at), digest: text.slice(at + 1) }
}

function splitName(name: string): Pick<ImageReference, 'registry' | 'repository'> {
  const slash = name.indexOf('/')
  const first = slash === -1 ? '' : name.slice(0, slash)
  const isHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase()
  const registry = isHost ? first : DEFAULT_REGISTRY
  const path = isHost ? name.slice(slash + 1) : name
  if (registry !== DEFAULT_REGISTRY && registry !== 'index.docker.io') {
    return { registry, repository: path }
  }
  return {
    registry: DEFAULT_REGISTRY,
    repository: path.includes('/') ? path : `library/${path}`,
  }
}

function refusal(text: string, reason: string): SwarmError {
  return new SwarmError('invalid-argument', `invalid reference format${reason}: image "${text}"`, {
    facts: { image: text },
  })
}
