/**
 * The HTTP API of one daemon, as the quickstart, the end-to-end tests and the benchmarks ask it:
 * one request over its socket, answered by status and JSON. Whether a status is a failure is for
 * the caller to say.
 */
import { type Agent, request } from 'node:http'

export type ApiAnswer = { readonly status: number; readonly body: unknown }

export type ApiRequest = {
  readonly socket: string
  readonly method?: 'GET' | 'POST' | 'DELETE' | undefined
  readonly path: string
  /** Sent as JSON; text is sent as it is. */
  readonly body?: unknown
  readonly timeoutMs?: number | undefined
  readonly agent?: Agent | undefined
}

const TIMEOUT_MS = 30_000

/** The answer; rejects when the daemon cannot be reached or is silent for too long. */
export function callApi(options: ApiRequest): Promise<ApiAnswer> {
  const { socket, method = 'GET', path, body, timeoutMs = TIMEOUT_MS, agent } = options
  const text =
    body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const call = request(
      {
        socketPath: socket,
        method,
        path,
        agent,
        signal: AbortSignal.timeout(timeoutMs),
        headers:
          text === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            body: parseJson(Buffer.concat(chunks).toString()),
          }),
        )
      },
    )
    call.on('error', reject)
    call.end(text)
  })
}

/** JSON, or the text itself where it is none. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
