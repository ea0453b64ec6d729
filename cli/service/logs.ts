/**
 * The log of a service or a task, line by line: takes the API's frames apart, says by a prefix which
 * task on which node wrote a line (`web.1.<task id>@node1    | `), and keeps stdout and stderr apart
 * (swarm-mode.md 5.3, 6.7).
 */
import { SwarmError } from '../../lib/errors.ts'
import { type Client, encodeFilters } from '../client.ts'
import type { Invocation } from '../command.ts'
import { type Json, listAt, numberAt, textAt } from '../json.ts'
import { fetchNames, type Names, taskName } from '../task-table.ts'
import { shortId } from '../text/table.ts'

const HEADER_BYTES = 8
const STDERR = 2
const SYSTEM_ERROR = 3
const NODE_KEY = 'com.docker.swarm.node.id'
const TASK_KEY = 'com.docker.swarm.task.id'
const SERVICE_KEY = 'com.docker.swarm.service.id'

type Frame = { readonly stream: number; readonly text: string }

/** The lines stand on stdout and stderr; without `--follow` it returns at their end. */
export async function printLogs({ args, flags, world, client }: Invocation): Promise<void> {
  const ref = args[0] ?? ''
  const source = await findSource(client, ref)
  const isRaw = flags.has('raw')
  const stop = new AbortController()
  const release = world.onInterrupt(() => stop.abort())
  const format = isRaw || flags.has('json') ? undefined : await newPrefixer(client, source, flags)
  try {
    const chunks = client.stream(`${source.path}/logs`, {
      query: {
        stdout: '1',
        stderr: '1',
        details: isRaw ? undefined : '1',
        follow: flags.has('follow') ? '1' : undefined,
        timestamps: flags.has('timestamps') ? '1' : undefined,
        since: sinceOf(flags.text('since'), world.nowMs()),
        tail: flags.text('tail') ?? 'all',
      },
      signal: stop.signal,
    })
    for await (const { stream, text } of readFrames(chunks)) {
      const line = text.replace(/\r?\n$/, '')
      if (stream === SYSTEM_ERROR) world.warn(line)
      else if (flags.has('json'))
        world.print(
          JSON.stringify(partsOf(line, { stream, isRaw, hasTime: flags.has('timestamps') })),
        )
      else {
        const shown = format === undefined ? line : await format(line)
        if (stream === STDERR) world.warn(shown)
        else world.print(shown)
      }
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error
  } finally {
    release()
  }
}

type Source = { readonly path: string; readonly serviceId: string; readonly replicas: number }

/** The service of that name or id, else the task. */
async function findSource(client: Client, ref: string): Promise<Source> {
  const name = encodeURIComponent(ref)
  const service = await orNotFound(client.get(`/services/${name}`))
  if (service !== undefined) {
    const id = textAt(service, 'ID')
    const replicas = numberAt(service, 'Spec', 'Mode', 'Replicated', 'Replicas')
    return { path: `/services/${id}`, serviceId: id, replicas }
  }
  const task = await orNotFound(client.get(`/tasks/${name}`))
  if (task === undefined) throw new SwarmError('not-found', `no such task or service: ${ref}`)
  return { path: `/tasks/${textAt(task, 'ID')}`, serviceId: textAt(task, 'ServiceID'), replicas: 1 }
}

async function orNotFound(reply: Promise<Json>): Promise<Json> {
  try {
    return await reply
  } catch (error) {
    if (error instanceof SwarmError && error.code === 'not-found') return undefined
    throw error
  }
}

/** Frames of 8 bytes (stream, three zeros, length) and the text, in chunks of any size. */
export async function* readFrames(chunks: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  let buffered: Buffer = Buffer.alloc(0)
  for await (const chunk of chunks) {
    buffered = buffered.length === 0 ? chunk : Buffer.concat([buffered, chunk])
    while (buffered.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + buffered.readUInt32BE(4)
      if (buffered.length < end) break
      yield { stream: buffered[0] ?? 0, text: buffered.toString('utf8', HEADER_BYTES, end) }
      buffered = buffered.subarray(end)
    }
  }
}

/** `2026-11-21T12:00:00.000000000Z node=…,task=… text` taken apart. */
export function splitDetails(
  line: string,
  hasTime: boolean,
): { readonly time: string; readonly details: ReadonlyMap<string, string>; readonly text: string } {
  const timeEnd = hasTime ? line.indexOf(' ') : -1
  const time = hasTime ? line.slice(0, timeEnd) : ''
  const rest = line.slice(timeEnd + 1)
  const end = rest.indexOf(' ')
  const pairs = (end < 0 ? rest : rest.slice(0, end)).split(',').map((pair) => {
    const [key = '', value = ''] = pair.split('=')
    return [decodeURIComponent(key), decodeURIComponent(value)] as const
  })
  return { time, details: new Map(pairs), text: end < 0 ? '' : rest.slice(end + 1) }
}

function partsOf(
  line: string,
  frame: { readonly stream: number; readonly isRaw: boolean; readonly hasTime: boolean },
): Json {
  const stream = frame.stream === STDERR ? 'stderr' : 'stdout'
  if (frame.isRaw) return { stream, text: line }
  const { time, details, text } = splitDetails(line, frame.hasTime)
  return {
    stream,
    ...(time === '' ? {} : { time }),
    service: details.get(SERVICE_KEY),
    task: details.get(TASK_KEY),
    node: details.get(NODE_KEY),
    text,
  }
}

/** A line with its prefix; names are asked for again when a task appears that is not known yet. */
async function newPrefixer(
  client: Client,
  source: Source,
  flags: Invocation['flags'],
): Promise<(line: string) => Promise<string>> {
  const prefixes = new Map<string, string>()
  const width = String(source.replicas).length
  return async (line) => {
    const { time, details, text } = splitDetails(line, flags.has('timestamps'))
    const task = details.get(TASK_KEY) ?? ''
    const node = details.get(NODE_KEY) ?? ''
    if (!prefixes.has(task)) {
      const names = await fetchNames(client)
      for (const [id, prefix] of await listPrefixes(client, { source, flags, names, width }))
        prefixes.set(id, prefix)
    }
    const prefix = prefixes.get(task) ?? `${task}@${node}`
    const extra = flags.has('details') ? `${formatDetails(details)} ` : ''
    return `${time === '' ? '' : `${time} `}${prefix}    | ${extra}${text}`
  }
}

async function listPrefixes(
  client: Client,
  given: {
    readonly source: Source
    readonly flags: Invocation['flags']
    readonly names: Names
    readonly width: number
  },
): Promise<ReadonlyMap<string, string>> {
  const { source, flags, names, width } = given
  const filters = encodeFilters({ service: [source.serviceId] })
  const isById = flags.has('no-resolve')
  return new Map(
    listAt(await client.get('/tasks', { filters })).map((task) => {
      const id = textAt(task, 'ID')
      const nodeId = textAt(task, 'NodeID')
      const taskId = flags.has('no-trunc') ? id : shortId(id)
      const name = taskName(task, isById ? new Map() : names.services)
      const label = flags.has('no-task-ids') ? name : `${name}.${taskId}`
      const node = (isById ? undefined : names.nodes.get(nodeId)) ?? nodeId
      const slot = String(numberAt(task, 'Slot'))
      return [id, `${label}@${node}${' '.repeat(Math.max(0, width - slot.length))}`]
    }),
  )
}

function formatDetails(details: ReadonlyMap<string, string>): string {
  return [...details]
    .filter(([key]) => !key.startsWith('com.docker.swarm.'))
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
}

/** `42m`, a time, or seconds since 1970, as the API wants it: seconds. */
function sinceOf(text: string | undefined, nowMs: number): string | undefined {
  if (text === undefined || /^\d+(?:\.\d+)?$/.test(text)) return text
  const elapsed = /^(\d+)(s|m|h)$/.exec(text)
  const perUnit = { s: 1_000, m: 60_000, h: 3_600_000 }
  const unit = elapsed?.[2]
  if (unit === 's' || unit === 'm' || unit === 'h')
    return String((nowMs - Number(elapsed?.[1]) * perUnit[unit]) / 1000)
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? text : String(ms / 1000)
}
