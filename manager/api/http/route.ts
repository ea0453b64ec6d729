/**
 * Route: what answers one method of one path, without a word of the HTTP library: it is asked with
 * an Ask and gives an Answer. Paths are the Engine API's without a version in front; `server.ts`
 * serves each with and without.
 */
import { SwarmError } from '../../../lib/errors.ts'
import type { Log } from '../../../lib/log.ts'
import type { View } from '../../store/view.ts'
import type { Backend } from '../backend.ts'
import type { EventLog } from './event-log.ts'
import type { JsonObject } from './shape/objects.ts'

export type Api = {
  readonly backend: Backend
  readonly log: Log
  readonly events: EventLog
  readonly wallMs: () => number
}

export type Ask = {
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** The parsed JSON; undefined where there was none. */
  readonly body: unknown
  /** The API version that the client speaks, in hundredths: 141 is 1.41. */
  readonly version: number
}

export type Answer =
  | {
      readonly kind: 'text'
      readonly status: number
      readonly contentType: string
      readonly text: string
      readonly headers?: Readonly<Record<string, string>>
    }
  | {
      readonly kind: 'stream'
      readonly contentType: string
      /** Begins when the headers are sent, and ends by itself or when the client is gone. */
      readonly open: (signal: AbortSignal) => AsyncIterable<Uint8Array>
    }

export type Route = {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'DELETE'
  readonly path: string
  readonly answer: (api: Api, ask: Ask) => Promise<Answer>
  /** Takes as long as it takes: joining, leaving. Others are given up after a while. */
  readonly isPatient?: boolean
}

/** The state that a read is answered from, as `consistency` asks: linearizable, or stale. */
export async function readView(api: Api, ask: Ask): Promise<View> {
  const consistency = ask.query.get('consistency') ?? 'linearizable'
  if (consistency !== 'linearizable' && consistency !== 'stale')
    throw new SwarmError(
      'invalid-argument',
      `invalid consistency "${consistency}", use linearizable or stale`,
    )
  return api.backend.read(consistency)
}

/** JSON that is text already. */
export function jsonText(text: string, status = 200): Answer {
  return { kind: 'text', status, contentType: 'application/json', text: `${text}\n` }
}

export function json(value: JsonObject | readonly unknown[] | string, status = 200): Answer {
  return jsonText(JSON.stringify(value), status)
}

/** Success that says nothing. */
export function done(status = 200): Answer {
  return { kind: 'text', status, contentType: 'text/plain', text: '' }
}
