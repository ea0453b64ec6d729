/**
 * Logs of services and tasks: `GET …/logs` (swarm-mode.md 6.7). Lines come from the nodes through
 * the backend; here they are put into Docker's frames: one byte for the stream, three of zero, the
 * length in four, then the line with its time and its details where they were asked for.
 */
import { SwarmError } from '../../../lib/errors.ts'
import type { LogEvent, LogsRequest } from '../backend.ts'
import { isSet } from './query.ts'
import { type Answer, type Api, type Ask, type Route, readView } from './route.ts'
import { findService } from './services.ts'
import { findTask } from './tasks.ts'
import { parseTime } from './time.ts'

const STREAMS = { stdout: 1, stderr: 2, error: 3 } as const
/** From here on the content type says that there are frames. */
const MULTIPLEXED_VERSION = 142

export const logRoutes: readonly Route[] = [
  { method: 'GET', path: '/services/:id/logs', answer: showServiceLogs },
  { method: 'GET', path: '/tasks/:id/logs', answer: showTaskLogs },
]

type Subject = Pick<LogsRequest, 'taskIds' | 'serviceId'> & {
  /** The service that the tasks belong to, for the details of their lines. */
  readonly ownerId: string
}

async function showServiceLogs(api: Api, ask: Ask): Promise<Answer> {
  const view = await readView(api, ask)
  const { id } = findService(view, ask.params['id'] ?? '')
  const taskIds = [...view.tasks.by('service', id)].map((task) => task.id)
  return showLogs(api, ask, { taskIds, serviceId: id, ownerId: id })
}

async function showTaskLogs(api: Api, ask: Ask): Promise<Answer> {
  const { id, serviceId } = findTask(await readView(api, ask), ask.params['id'] ?? '')
  return showLogs(api, ask, { taskIds: [id], serviceId: '', ownerId: serviceId })
}

function showLogs(api: Api, ask: Ask, { ownerId, ...subject }: Subject): Answer {
  const { query, version } = ask
  const wanted = {
    ...subject,
    follow: isSet(query, 'follow'),
    stdout: isSet(query, 'stdout'),
    stderr: isSet(query, 'stderr'),
    tail: parseTail(query.get('tail') ?? ''),
    sinceMs: parseTime(query.get('since') ?? '', 'since') ?? 0,
  }
  if (!wanted.stdout && !wanted.stderr)
    throw refusal('Bad parameters: you must choose at least one stream')
  if (isSet(query, 'until')) throw refusal('until is not supported for services and tasks')
  const format = {
    ownerId,
    hasTime: isSet(query, 'timestamps'),
    hasDetails: isSet(query, 'details'),
  }
  return {
    kind: 'stream',
    contentType:
      version >= MULTIPLEXED_VERSION
        ? 'application/vnd.docker.multiplexed-stream'
        : 'application/vnd.docker.raw-stream',
    open: (signal) => streamLogs(api, { ...wanted, signal }, format),
  }
}

type Format = { readonly ownerId: string; readonly hasTime: boolean; readonly hasDetails: boolean }

async function* streamLogs(
  api: Api,
  request: LogsRequest,
  format: Format,
): AsyncGenerator<Uint8Array> {
  const gaps: string[] = []
  for await (const event of api.backend.logs(request)) {
    if (event.kind === 'gap') gaps.push(event.message)
    else yield frame(STREAMS[event.line.stream], formatLine(event, format))
  }
  // Clients stop at the first error, so that it comes when all that could be read was sent.
  if (gaps.length > 0)
    yield frame(
      STREAMS.error,
      Buffer.from(
        `Error grabbing logs: warning: incomplete log stream. some logs could not be retrieved for the following reasons: ${gaps.join(', ')}\n`,
      ),
    )
}

function frame(stream: number, payload: Uint8Array): Uint8Array {
  const framed = Buffer.alloc(8 + payload.length)
  framed.writeUInt8(stream, 0)
  framed.writeUInt32BE(payload.length, 4)
  framed.set(payload, 8)
  return framed
}

function formatLine(
  { line, nodeId, taskId }: Extract<LogEvent, { kind: 'line' }>,
  format: Format,
): Uint8Array {
  const time = format.hasTime ? `${formatNanoTime(line.timestampMs, line.timestampNs)} ` : ''
  const details = format.hasDetails
    ? `com.docker.swarm.node.id=${nodeId},com.docker.swarm.service.id=${format.ownerId},com.docker.swarm.task.id=${taskId} `
    : ''
  return Buffer.concat([
    Buffer.from(time + details),
    line.data,
    Buffer.from(line.partial ? '' : '\n'),
  ])
}

/** RFC 3339 with nine digits below the second; `ns` is what is below the millisecond. */
function formatNanoTime(ms: number, ns: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}${String(ns).padStart(6, '0')}Z`
}

function parseTail(text: string): number {
  if (text === '' || text === 'all') return -1
  const lines = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(lines)) return lines
  // Docker takes what is no number for all; a client that sends such a thing is told.
  throw refusal(`tail: "${text}" is neither a number of lines nor all`)
}

function refusal(message: string): SwarmError {
  return new SwarmError('invalid-argument', message)
}
