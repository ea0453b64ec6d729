/**
 * One HTTP request to a registry, with redirects: credentials go to the host they are for and to no
 * other. It decides how long to wait for a connection, an answer and the next bytes; what an answer
 * means is left to `registry.ts`.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { SwarmError } from '../../../../lib/errors.ts'

export type HttpRequest = {
  readonly url: URL
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  /** The value of the Authorization header; empty for none. */
  readonly authorization: string
  readonly body: string
  /** Take any certificate: the user called the registry insecure. */
  readonly insecure: boolean
  readonly signal: AbortSignal
}

export type HttpResponse = {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  /** To be read to its end or destroyed. */
  readonly body: IncomingMessage
}

const REDIRECTS_MAX = 10
const SILENCE_MS = 30_000
const BODY_BYTES_MAX = 4 * 1024 * 1024

/** SwarmError 'unavailable' where no answer came. */
export async function fetchHttp(request: HttpRequest): Promise<HttpResponse> {
  let current = request
  for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
    const response = await send(current)
    const location = response.headers.location
    if (!isRedirect(response.status) || location === undefined) return response
    response.body.destroy()
    current = follow(current, location)
  }
  throw new SwarmError('unavailable', `${request.url.host} redirects without end`)
}

/** The whole of a small body; SwarmError 'resource-exhausted' beyond 4 MiB. */
export async function readBody(response: HttpResponse): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of bodyChunks(response)) {
    length += chunk.length
    if (length > BODY_BYTES_MAX) {
      response.body.destroy()
      throw new SwarmError('resource-exhausted', 'a registry answered with more than 4 MiB')
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** The body as it comes; SwarmError 'unavailable' where it breaks off. */
export async function* bodyChunks(response: HttpResponse): AsyncGenerator<Uint8Array, void> {
  try {
    for await (const chunk of response.body) {
      if (chunk instanceof Uint8Array) yield chunk
    }
  } catch (cause) {
    throw new SwarmError('unavailable', 'the registry broke off', { cause, retriable: true })
  }
  if (response.body.complete) return
  throw new SwarmError('unavailable', 'the registry broke off', { retriable: true })
}

function send(request: HttpRequest): Promise<HttpResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<HttpResponse>()
  const isSecure = request.url.protocol === 'https:'
  const options = {
    method: request.method,
    headers: {
      'user-agent': 'tsswarm',
      ...request.headers,
      ...(request.authorization === '' ? {} : { authorization: request.authorization }),
    },
    signal: request.signal,
    timeout: SILENCE_MS,
    ...(isSecure && request.insecure ? { rejectUnauthorized: false } : {}),
  }
  const sent = (isSecure ? httpsRequest : httpRequest)(request.url, options, (body) => {
    resolve({ status: body.statusCode ?? 0, headers: body.headers, body })
  })
  sent.on('timeout', () => sent.destroy(new Error(`silent for ${SILENCE_MS / 1_000} s`)))
  sent.on('error', (cause) => {
    if (request.signal.aborted)
      return reject(new SwarmError('cancelled', 'no longer wanted', { cause }))
    const message = `cannot reach ${request.url.origin}: ${cause.message}`
    reject(new SwarmError('unavailable', message, { cause, retriable: true }))
  })
  sent.end(request.body)
  return promise
}

function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308
}

function follow(request: HttpRequest, location: string): HttpRequest {
  const url = new URL(location, request.url)
  if (url.protocol !== 'https:' && url.protocol !== request.url.protocol) {
    throw new SwarmError('permission-denied', `${request.url.host} redirects to ${url.protocol}`)
  }
  const isSameOrigin = url.origin === request.url.origin
  return { ...request, url, authorization: isSameOrigin ? request.authorization : '' }
}
