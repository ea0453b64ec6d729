/**
 * ApiClient: requests to the HTTP API on a TestBackend, without a socket, for tests. It keeps count of
 * nothing and decides nothing; `member` takes values out of replies whose type is not known.
 */
import { silentLog } from '../lib/log.ts'
import { type ApiServer, newApi } from '../manager/api/http/server.ts'
import { TestBackend, WALL_MS } from './backend.ts'

export type Reply = {
  readonly status: number
  /** The parsed JSON; undefined where the reply is none. */
  readonly body: unknown
  readonly text: string
  readonly bytes: Buffer
  readonly headers: Readonly<Record<string, unknown>>
}

export class ApiClient {
  readonly backend: TestBackend
  readonly #api: ApiServer

  constructor(backend: TestBackend = new TestBackend()) {
    this.backend = backend
    this.#api = newApi({ backend, log: silentLog, wallMs: () => WALL_MS })
  }

  /** `GET /services`; a body that is no text is sent as JSON. */
  async ask(
    operation: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Reply> {
    const [method = '', url = ''] = operation.split(/ (.*)/)
    const payload = typeof body === 'string' || body === undefined ? body : JSON.stringify(body)
    const reply = await this.#api.inject({
      method: method === 'POST' || method === 'DELETE' || method === 'HEAD' ? method : 'GET',
      url,
      headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
      ...(payload === undefined ? {} : { payload }),
    })
    const isJson = reply.headers['content-type'] === 'application/json' && reply.payload !== ''
    return {
      status: reply.statusCode,
      body: isJson && !reply.payload.trim().includes('\n') ? JSON.parse(reply.payload) : undefined,
      text: reply.payload,
      bytes: reply.rawPayload,
      headers: reply.headers,
    }
  }
}

/** `member(body, 'Version.Index')`, `member(body, '0.ID')`; undefined where there is none. */
export function member(json: unknown, path: string): unknown {
  let value = json
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null) return undefined
    value = new Map(Object.entries(value)).get(name)
  }
  return value
}

/** The URL part for these filters. */
export function filters(wanted: Readonly<Record<string, readonly string[]>>): string {
  return `filters=${encodeURIComponent(JSON.stringify(wanted))}`
}
