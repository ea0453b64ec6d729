/**
 * The daemon as the command line sees it: its HTTP API over a unix socket or TCP with TLS. It
 * decides where the daemon is (`--host`, then TSSWARM_HOST, then DOCKER_HOST, then the default
 * socket) and turns refusals and failures into SwarmErrors in Docker's words. What the calls mean
 * is the commands'.
 */
import { readFileSync } from 'node:fs'
import {
  Agent,
  type ClientRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request,
} from 'node:http'
import { type Code, SwarmError } from '../lib/errors.ts'
import { type Json, parseJson, textAt } from './json.ts'
import { usageError } from './usage-error.ts'

export const DEFAULT_HOST = 'unix:///run/tsswarm/docker.sock'

const CODES: ReadonlyMap<number, Code> = new Map([
  [400, 'invalid-argument'],
  [401, 'unauthenticated'],
  [403, 'permission-denied'],
  [404, 'not-found'],
  [409, 'already-exists'],
  [501, 'unimplemented'],
  [503, 'unavailable'],
])

export type Endpoint = {
  /** As the user gave it. */
  readonly host: string
  readonly socketPath: string | undefined
  readonly hostname: string
  readonly port: number
  /** PEM texts; undefined for plain connections. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string } | undefined
}

export type Query = Readonly<Record<string, string | undefined>>
export type Call = {
  readonly query?: Query
  readonly headers?: OutgoingHttpHeaders
  readonly body?: Json
  readonly signal?: AbortSignal
}

export class Client {
  readonly #endpoint: Endpoint
  readonly #agent: Agent

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint
    this.#agent = new Agent({ keepAlive: true })
  }

  /** Where the daemon is, as the user gave it. */
  get host(): string {
    return this.#endpoint.host
  }

  get(path: string, query: Query = {}): Promise<Json> {
    return this.#call('GET', path, { query })
  }

  post(path: string, call: Call): Promise<Json> {
    return this.#call('POST', path, call)
  }

  delete(path: string, query: Query = {}): Promise<Json> {
    return this.#call('DELETE', path, { query })
  }

  /** The reply as it comes; its refusals are thrown. */
  async stream(path: string, call: Call): Promise<AsyncIterable<Buffer>> {
    const reply = await this.#send('GET', path, call)
    if (reply.statusCode === 200) return reply
    throw refusalOf(reply.statusCode ?? 0, await readAll(reply))
  }

  /** Connections that are kept for a next call are closed. */
  close(): void {
    this.#agent.destroy()
  }

  async #call(method: string, path: string, call: Call): Promise<Json> {
    const reply = await this.#send(method, path, call)
    const text = await readAll(reply)
    const status = reply.statusCode ?? 0
    if (status < 200 || status > 299) throw refusalOf(status, text)
    if (text === '') return undefined
    const json = parseJson(text)
    if (json === undefined)
      throw new SwarmError('internal', `${method} ${path}: the answer of ${this.host} is not JSON`)
    return json
  }

  async #send(method: string, path: string, call: Call): Promise<IncomingMessage> {
    const { hostname, port, socketPath, tls } = this.#endpoint
    const body = call.body === undefined ? undefined : JSON.stringify(call.body)
    const options = {
      method,
      path: `${path}${encodeQuery(call.query ?? {})}`,
      headers: {
        ...call.headers,
        host: socketPath === undefined ? `${hostname}:${port}` : 'tsswarm',
        ...(method === 'POST' ? { 'content-type': 'application/json' } : {}),
        ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
      },
      ...(socketPath === undefined ? { hostname, port } : { socketPath }),
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    }
    // Loaded where it is needed: TLS takes longer to load than all the rest.
    const sent =
      tls === undefined
        ? request({ ...options, agent: this.#agent })
        : (await import('node:https')).request({ ...options, ...tls })
    return await this.#replyTo(sent, body)
  }

  #replyTo(sent: ClientRequest, body: string | undefined): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      sent.on('response', resolve)
      sent.on('error', (cause) => reject(this.#failureOf(cause)))
      sent.end(body)
    })
  }

  #failureOf(cause: Error): Error {
    if (cause.name === 'AbortError') return cause
    const code = 'code' in cause ? String(cause.code) : ''
    if (code === 'EACCES' || code === 'EPERM')
      return new SwarmError(
        'permission-denied',
        `permission denied at ${this.host}: use sudo, or become a member of the group tsswarm`,
        { cause },
      )
    if (code === 'ENOENT' || code === 'ECONNREFUSED')
      return new SwarmError(
        'unavailable',
        `cannot connect to the tsswarm daemon at ${this.host}. Is it running? Start it with ` +
          `'systemctl start tsswarm' or 'tsswarm daemon'`,
        { cause },
      )
    return new SwarmError('unavailable', `connection to ${this.host} failed: ${cause.message}`, {
      cause,
    })
  }
}

export type HostFlags = {
  readonly host: string | undefined
  readonly tlscacert: string | undefined
  readonly tlscert: string | undefined
  readonly tlskey: string | undefined
}

/** Where the daemon is, by flags over environment over the default; a usage error names what is wrong. */
export function findEndpoint(
  flags: HostFlags,
  env: Readonly<Record<string, string | undefined>>,
): Endpoint {
  const host = [flags.host, env['TSSWARM_HOST'], env['DOCKER_HOST']].find(Boolean) ?? DEFAULT_HOST
  const socketPath = /^unix:\/\/(\/.+)$/.exec(host)?.[1]
  if (socketPath !== undefined) return { host, socketPath, hostname: '', port: 0, tls: undefined }
  const match = /^(?:tcp|https):\/\/(\[[^\]]+\]|[^:/]+):(\d+)\/?$/.exec(host)
  const [, hostname, port] = match ?? []
  if (hostname === undefined || port === undefined)
    throw usageError(`--host "${host}" is neither unix:///PATH nor tcp://HOST:PORT`)
  const tls = readTls(flags, env)
  return { host, socketPath, hostname: hostname.replace(/^\[|\]$/g, ''), port: Number(port), tls }
}

/** Files of the flags, else ca.pem, cert.pem and key.pem of TSSWARM_CERT_PATH or DOCKER_CERT_PATH. */
function readTls(
  flags: HostFlags,
  env: Readonly<Record<string, string | undefined>>,
): Endpoint['tls'] {
  const folder = env['TSSWARM_CERT_PATH'] ?? env['DOCKER_CERT_PATH']
  const ca = flags.tlscacert ?? (folder && `${folder}/ca.pem`)
  const cert = flags.tlscert ?? (folder && `${folder}/cert.pem`)
  const key = flags.tlskey ?? (folder && `${folder}/key.pem`)
  if (!ca && !cert && !key) return undefined
  if (!ca || !cert || !key) throw usageError('--tlscacert, --tlscert and --tlskey go together')
  return { ca: readPem(ca), cert: readPem(cert), key: readPem(key) }
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw usageError(
      `TLS file ${path} cannot be read: ${cause instanceof Error ? cause.message : cause}`,
    )
  }
}

/** Docker's form of filters, undefined where there are none. */
export function encodeFilters(
  filters: Readonly<Record<string, readonly string[]>>,
): string | undefined {
  const given = Object.entries(filters).filter(([, values]) => values.length > 0)
  return given.length === 0 ? undefined : JSON.stringify(Object.fromEntries(given))
}

function encodeQuery(query: Query): string {
  const given = Object.entries(query).flatMap(([key, value]) =>
    value === undefined ? [] : [`${encodeURIComponent(key)}=${encodeURIComponent(value)}`],
  )
  return given.length === 0 ? '' : `?${given.join('&')}`
}

async function readAll(reply: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of reply) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

function refusalOf(status: number, text: string): SwarmError {
  const message = textAt(parseJson(text), 'message') || text.trim() || `HTTP status ${status}`
  return new SwarmError(CODES.get(status) ?? 'unknown', `Error response from daemon: ${message}`, {
    facts: { status },
  })
}
