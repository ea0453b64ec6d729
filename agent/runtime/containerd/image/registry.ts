/**
 * A client of registries (OCI distribution): manifests and blobs by tag or digest, with the token
 * protocol, mirrors, and downloads that go on where they broke off. It decides which address is asked
 * and when again; storing and checking blobs is left to `content.ts` and containerd.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { SwarmError } from '../../../../lib/errors.ts'
import {
  formatReference,
  type ImageReference,
  referenceTarget,
} from '../../../../lib/image-reference.ts'
import {
  basicAuthorization,
  type Challenge,
  type Credentials,
  parseChallenge,
} from './credentials.ts'
import { type Endpoint, listEndpoints, type RegistryOptions } from './endpoint.ts'
import { bodyChunks, fetchHttp, type HttpResponse, readBody } from './http.ts'
import { numberAt, parseJsonObject, stringAt } from './json.ts'
import { digestOf, MANIFEST_TYPES, matchesDigest, mediaTypeOf } from './manifest.ts'

export type Fetch = {
  readonly reference: ImageReference
  readonly credentials: Credentials | undefined
  readonly signal: AbortSignal
}

export type FetchedManifest = {
  readonly digest: string
  readonly mediaType: string
  readonly bytes: Uint8Array
}

export type BlobStream = {
  /** Where the bytes begin: the offset asked for, or 0 where the registry cannot continue. */
  readonly offset: number
  readonly chunks: AsyncGenerator<Uint8Array, void>
}

type Token = { readonly value: string; readonly untilMs: number }

/** Of the registry itself; a mirror that fails is passed over at once. */
const ATTEMPTS_MAX = 4
const BACKOFF_MS = 500
const RETRY_AFTER_MAX_MS = 20_000
/** Tokens without a stated life live this long (distribution's token specification). */
const TOKEN_LIFE_S = 60
const TOKENS_MAX = 1_000

export class Registry {
  readonly #options: RegistryOptions
  /** By endpoint, repository and credentials. Tokens are reused until shortly before their end. */
  readonly #tokens = new Map<string, Token>()
  /** The way in that last worked for a registry, asked first. */
  readonly #lastEndpoints = new Map<string, string>()

  constructor(options: RegistryOptions) {
    this.#options = options
  }

  /** What the reference means now; `target` asks for another manifest of the same repository. */
  async fetchManifest(
    fetch: Fetch,
    target: string = referenceTarget(fetch.reference),
  ): Promise<FetchedManifest> {
    const name = formatReference(fetch.reference)
    return this.#ask(
      fetch,
      `manifests/${target}`,
      { accept: MANIFEST_TYPES.join(', ') },
      async (response) => {
        const bytes = await readBody(response)
        const isDigest = target.includes(':')
        if (isDigest && !matchesDigest(bytes, target)) {
          throw new SwarmError('data-loss', `the manifest of ${name} is not what its digest says`)
        }
        const stated = response.headers['content-type']?.split(';', 1)[0]?.trim()
        const isKnown = stated !== undefined && MANIFEST_TYPES.includes(stated)
        const mediaType = isKnown ? stated : mediaTypeOf(bytes, `the manifest of ${name}`)
        return { bytes, mediaType, digest: isDigest ? target : digestOf(bytes) }
      },
    )
  }

  /** The blob's bytes from `offset` on. Breaking off in the middle throws 'unavailable', retriable. */
  async openBlob(fetch: Fetch, digest: string, offset: number): Promise<BlobStream> {
    const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {}
    return this.#ask(fetch, `blobs/${digest}`, headers, async (response) => ({
      offset: response.status === 206 ? rangeStart(response) : 0,
      chunks: bodyChunks(response),
    }))
  }

  async #ask<T>(
    fetch: Fetch,
    path: string,
    headers: Readonly<Record<string, string>>,
    read: (response: HttpResponse) => Promise<T>,
  ): Promise<T> {
    const { registry } = fetch.reference
    let last: unknown
    for (const endpoint of this.#endpointsOf(registry)) {
      try {
        const result = await this.#askEndpoint(endpoint, fetch, { path, headers, read })
        this.#lastEndpoints.set(registry, endpoint.base.href)
        return result
      } catch (error) {
        // What the registry itself said is final; plain text is not tried after it answered.
        if (fetch.signal.aborted || (endpoint.isOrigin && !isUnreachable(error))) throw error
        last ??= error
      }
    }
    throw last
  }

  /** Of one registry, the way in that worked before comes first; mirrors keep their place. */
  #endpointsOf(registry: string): readonly Endpoint[] {
    const all = listEndpoints(registry, this.#options)
    const last = this.#lastEndpoints.get(registry)
    const mirrors = all.filter((endpoint) => !endpoint.isOrigin)
    const origins = all.filter((endpoint) => endpoint.isOrigin)
    return [...mirrors, ...origins.toSorted((a, b) => rank(a, last) - rank(b, last))]
  }

  async #askEndpoint<T>(
    endpoint: Endpoint,
    fetch: Fetch,
    question: {
      readonly path: string
      readonly headers: Readonly<Record<string, string>>
      readonly read: (response: HttpResponse) => Promise<T>
    },
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const response = await this.#send(endpoint, fetch, question)
      if (response.status === 200 || response.status === 206) return question.read(response)
      const mayPass = response.status === 429 || response.status >= 500
      const isLast = !endpoint.isOrigin || attempt === ATTEMPTS_MAX
      if (!mayPass || isLast) throw await refusal(response, fetch.reference)
      response.body.destroy()
      await delay(pauseMs(response, attempt), undefined, { signal: fetch.signal })
    }
  }

  /** With the token of an earlier call where there is one; a challenge is met once. */
  async #send(
    endpoint: Endpoint,
    fetch: Fetch,
    question: { readonly path: string; readonly headers: Readonly<Record<string, string>> },
  ): Promise<HttpResponse> {
    const { repository } = fetch.reference
    const credentials = endpoint.isOrigin ? fetch.credentials : undefined
    const key = [endpoint.base.href, repository, JSON.stringify(credentials)].join('\n')
    const send = (authorization: string): Promise<HttpResponse> =>
      fetchHttp({
        ...{
          url: new URL(`${repository}/${question.path}`, endpoint.base),
          method: 'GET',
          body: '',
        },
        ...{ headers: question.headers, insecure: endpoint.insecure, signal: fetch.signal },
        authorization,
      })
    const first = await send(this.#knownAuthorization(key))
    const challenge =
      first.status === 401 ? parseChallenge(first.headers['www-authenticate'] ?? '') : undefined
    if (challenge === undefined) return first
    first.body.destroy()
    this.#tokens.delete(key)
    const token = await this.#meet(challenge, endpoint, { ...fetch, credentials })
    if (this.#tokens.size >= TOKENS_MAX) this.#tokens.clear()
    this.#tokens.set(key, token)
    return send(token.value)
  }

  #knownAuthorization(key: string): string {
    const token = this.#tokens.get(key)
    return token !== undefined && token.untilMs > performance.now() ? token.value : ''
  }

  /** The Authorization header that a challenge asks for. */
  async #meet(challenge: Challenge, endpoint: Endpoint, fetch: Fetch): Promise<Token> {
    const { credentials, reference } = fetch
    if (challenge.scheme === 'basic') {
      if (credentials === undefined) throw denied(reference)
      return { value: basicAuthorization(credentials), untilMs: Infinity }
    }
    if (credentials !== undefined && credentials.registryToken !== '') {
      return { value: `Bearer ${credentials.registryToken}`, untilMs: Infinity }
    }
    const response = await fetchHttp(tokenRequest(challenge, endpoint, fetch))
    if (response.status !== 200) {
      response.body.destroy()
      if (response.status < 500 && response.status !== 429) throw denied(reference)
      const message = `cannot get a token for ${formatReference(reference)}: status ${response.status}`
      throw new SwarmError('unavailable', message, { retriable: true })
    }
    const answer = parseJsonObject(await readBody(response), 'the token server’s answer')
    const token = stringAt(answer, 'token') || stringAt(answer, 'access_token')
    if (token === '') throw denied(reference)
    const lifeS = numberAt(answer, 'expires_in') || TOKEN_LIFE_S
    return { value: `Bearer ${token}`, untilMs: performance.now() + lifeS * 900 }
  }
}

function tokenRequest(
  challenge: Challenge,
  endpoint: Endpoint,
  fetch: Fetch,
): Parameters<typeof fetchHttp>[0] {
  const { credentials, reference } = fetch
  const url = URL.canParse(challenge.realm) ? new URL(challenge.realm) : undefined
  const isSafe = url?.protocol === 'https:' || endpoint.base.protocol === 'http:'
  if (url === undefined || !isSafe) {
    const message = `${reference.registry} wants its token asked for at "${challenge.realm}"`
    throw new SwarmError('permission-denied', `${message}, which is no https address`)
  }
  const scope = challenge.scope || `repository:${reference.repository}:pull`
  const common = { headers: {}, insecure: endpoint.insecure, signal: fetch.signal }
  if (credentials !== undefined && credentials.identityToken !== '') {
    const body = new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: credentials.identityToken,
      client_id: 'tsswarm',
      service: challenge.service,
      scope,
    }).toString()
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    return { ...common, url, method: 'POST', headers, body, authorization: '' }
  }
  url.searchParams.set('service', challenge.service)
  url.searchParams.set('scope', scope)
  const authorization = credentials === undefined ? '' : basicAuthorization(credentials)
  return { ...common, url, method: 'GET', body: '', authorization }
}

async function refusal(response: HttpResponse, reference: ImageReference): Promise<SwarmError> {
  const name = formatReference(reference)
  const { status } = response
  response.body.destroy()
  if (status === 401 || status === 403) return denied(reference)
  if (status === 404) {
    return new SwarmError('not-found', `no such image: ${name}: manifest unknown`, {
      facts: { image: name },
    })
  }
  const message = `registry ${reference.registry} answered ${status} for ${name}`
  return new SwarmError('unavailable', message, { retriable: true, facts: { image: name, status } })
}

/** In Docker's words. */
function denied(reference: ImageReference): SwarmError {
  const name = `${reference.registry}/${reference.repository}`
  return new SwarmError(
    'permission-denied',
    `pull access denied for ${name}, repository does not exist or may require 'docker login'`,
    { facts: { image: name } },
  )
}

function isUnreachable(error: unknown): boolean {
  return error instanceof SwarmError && error.code === 'unavailable'
}

function rank(endpoint: Endpoint, last: string | undefined): number {
  return endpoint.base.href === last ? 0 : 1
}

function pauseMs(response: HttpResponse, attempt: number): number {
  const asked = Number(response.headers['retry-after'] ?? Number.NaN) * 1_000
  const pause = Number.isFinite(asked) ? asked : BACKOFF_MS * 2 ** attempt
  return Math.min(pause, RETRY_AFTER_MAX_MS)
}

function rangeStart(response: HttpResponse): number {
  const match = /^bytes (\d+)-/.exec(response.headers['content-range'] ?? '')
  return match === null ? 0 : Number(match[1])
}
