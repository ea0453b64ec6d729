/**
 * The daemon as the command line sees it: its HTTP API over a unix socket or TCP with TLS. It
 * decides where the daemon is (`--host`, then TSSWARM_HOST, then DOCKER_HOST, then the default
 * socket) and turns refusals and failures into SwarmErrors in Docker's words. What the calls mean
 * is the commands'.
 */
import { readFileSync } from 'node:fs'
import { connect, isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { type Code, SwarmError } from '../lib/errors.ts'
import { exchange, type HttpReply } from './http.ts'
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
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Json
  readonly signal?: AbortSignal
}

/** Whether reads wait for the leader's word, or show what the asked manager has. */
export type Consistency = 'linearizable' | 'stale'

/** Of a flag or the environment; a usage error where it is neither. */
export function parseConsistency(text: string | undefined): Consistency {
  if (text === undefined || text === '' || text === 'linearizable') return 'linearizable'
  if (text === 'stale') return 'stale'
  throw usageError(`invalid consistency "${text}", use linearizable or stale`)
}

export class Client {
  readonly #endpoint: Endpoint
  readonly #consistency: Consistency

  constructor(endpoint: Endpoint, consistency: Consistency = 'linearizable') {
    this.#endpoint = endpoint
    this.#consistency = consistency
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
  async *stream(path: string, call: Call): AsyncGenerator<Buffer> {
    try {
      const reply = await this.#send('GET', path, call)
      if (reply.status !== 200) throw refusalOf(reply.status, await readAll(reply.body))
      yield* reply.body
    } catch (error) {
      throw this.#failureOf(error)
    }
  }

  async #call(method: string, path: string, call: Call): Promise<Json> {
    let status: number
    let text: string
    try {
      const reply = await this.#send(method, path, call)
      status = reply.status
      text = await readAll(reply.body)
    } catch (error) {
      throw this.#failureOf(error)
    }
    if (status < 200 || status > 299) throw refusalOf(status, text)
    if (text === '') return undefined
    const json = parseJson(text)
    if (json === undefined)
      throw new SwarmError('internal', `${method} ${path}: the answer of ${this.host} is not JSON`)
    return json
  }

  async #send(method: string, path: string, call: Call): Promise<HttpReply> {
    const { hostname, port, socketPath } = this.#endpoint
    const socket = await this.#connect()
    const isStale = method === 'GET' && this.#consistency === 'stale'
    const query = { ...call.query, ...(isStale ? { consistency: 'stale' } : {}) }
    call.signal?.addEventListener('abort', () => socket.destroy(), { once: true })
    return exchange(socket, {
      method,
      target: `${path}${encodeQuery(query)}`,
      headers: {
        Host: socketPath === undefined ? `${hostname}:${port}` : 'tsswarm',
        ...(method === 'POST' ? { 'Content-Type': 'application/json' } : {}),
        ...call.headers,
      },
      body: method === 'POST' ? JSON.stringify(call.body ?? {}) : undefined,
    })
  }

  async #connect(): Promise<Duplex> {
    const { hostname, port, socketPath, tls } = this.#endpoint
    if (socketPath !== undefined) return connect({ path: socketPath })
    if (tls === undefined) return connect({ host: hostname, port })
    // Loaded where it is needed: it takes longer to load than all the rest.
    const { connect: connectTls } = await import('node:tls')
    return connectTls({ host: hostname, port, servername: isIP(hostname) ? '' : hostname, ...tls })
  }

  #failureOf(cause: unknown): unknown {
    if (cause instanceof SwarmError || !(cause instanceof Error)) return cause
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
    const hint = code === 'EPIPE' ? ' (the daemon hangs up on a request that is too large)' : ''
    const message = `connection to ${this.host} failed: ${cause.message}${hint}`
    return new SwarmError('unavailable', message, { cause })
  }
}

/** Objects that the system changes too, such as a service that is updated, change under one's hands. */
const UPDATE_ATTEMPTS_MAX = 5

/** The change is made on what is there now: `update` reads, edits and writes it, again if need be. */
export async function untilInSequence<T>(update: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await update()
    } catch (error) {
      const isLate = error instanceof SwarmError && error.message.includes('update out of sequence')
      if (!isLate || attempt === UPDATE_ATTEMPTS_MAX) throw error
    }
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

async function readAll(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

function refusalOf(status: number, text: string): SwarmError {
  const message = textAt(parseJson(text), 'message') || text.trim() || `HTTP status ${status}`
  return new SwarmError(CODES.get(status) ?? 'unknown', `Error response from daemon: ${message}`, {
    facts: { status },
  })
}
