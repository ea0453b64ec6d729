/**
 * `GET /events`: swarm events, one JSON object a line, from `since` on as far as they are remembered,
 * until `until` or until the client goes (swarm-mode.md 6.6). Filters for kinds of objects that are
 * no swarm objects are understood and match nothing. A client that reads too slowly is cut off.
 */
import { SwarmError } from '../../../lib/errors.ts'
import type { SwarmEvent } from './event-log.ts'
import { type Filters, getFilters, passes, passesLabels } from './query.ts'
import type { Answer, Api, Ask, Route } from './route.ts'
import type { JsonObject } from './shape/objects.ts'
import { parseTime } from './time.ts'

const OBJECT_FILTERS = ['service', 'node', 'secret', 'config'] as const
const OTHER_FILTERS = ['container', 'daemon', 'image', 'network', 'plugin', 'volume']
const FILTERS = ['type', 'event', 'scope', 'label', ...OBJECT_FILTERS, ...OTHER_FILTERS]
/** Events that wait for a client to read. */
const WAITING_MAX = 10_000

export const eventRoutes: readonly Route[] = [
  { method: 'GET', path: '/events', answer: listEvents },
]

async function listEvents(api: Api, ask: Ask): Promise<Answer> {
  const filters = getFilters(ask.query, FILTERS)
  const sinceMs = parseTime(ask.query.get('since') ?? '', 'since')
  const untilMs = parseTime(ask.query.get('until') ?? '', 'until')
  if (sinceMs !== undefined && untilMs !== undefined && sinceMs > untilMs)
    throw new SwarmError('invalid-argument', 'since time cannot be after until time')
  return {
    kind: 'stream',
    contentType: 'application/json',
    open: (signal) => streamEvents(api, { filters, sinceMs, untilMs, signal }),
  }
}

async function* streamEvents(
  api: Api,
  wanted: {
    readonly filters: Filters
    readonly sinceMs: number | undefined
    readonly untilMs: number | undefined
    readonly signal: AbortSignal
  },
): AsyncGenerator<Uint8Array> {
  const { filters, sinceMs, untilMs, signal } = wanted
  const isWanted = (event: SwarmEvent): boolean =>
    (untilMs === undefined || event.wallMs <= untilMs) && matches(filters, event)
  const waiting: SwarmEvent[] =
    sinceMs === undefined
      ? []
      : api.events.remembered().filter((event) => event.wallMs >= sinceMs && isWanted(event))
  let wake = (): void => undefined
  let isOver = false
  const end = (): void => {
    isOver = true
    wake()
  }
  const unlisten = api.events.listen((event) => {
    if (!isWanted(event)) return
    waiting.push(event)
    if (waiting.length > WAITING_MAX) end()
    wake()
  })
  const timer = untilMs === undefined ? undefined : setTimer(end, untilMs - api.wallMs())
  signal.addEventListener('abort', end)
  try {
    while (!signal.aborted) {
      for (const event of waiting.splice(0)) yield Buffer.from(`${formatEvent(event)}\n`)
      if (waiting.length > 0) continue
      if (isOver) return
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  } finally {
    unlisten()
    clearTimeout(timer)
    signal.removeEventListener('abort', end)
  }
}

/** Timers hold no more than 2^31 ms: what is later never comes. */
function setTimer(onTime: () => void, delayMs: number): NodeJS.Timeout | undefined {
  return delayMs < 2 ** 31 ? setTimeout(onTime, Math.max(0, delayMs)) : undefined
}

function matches(filters: Filters, event: SwarmEvent): boolean {
  const name = event.attributes.get('name') ?? ''
  return (
    passes(filters, 'type', (value) => value === event.type) &&
    passes(filters, 'event', (value) => value === event.action) &&
    passes(filters, 'scope', (value) => value === 'swarm') &&
    passesLabels(filters, 'label', event.labels) &&
    OBJECT_FILTERS.every((kind) =>
      passes(
        filters,
        kind,
        (value) => kind === event.type && (event.id.startsWith(value) || name === value),
      ),
    ) &&
    OTHER_FILTERS.every((kind) => passes(filters, kind, () => false))
  )
}

function formatEvent(event: SwarmEvent): string {
  const message: JsonObject = {
    Type: event.type,
    Action: event.action,
    Actor: { ID: event.id, Attributes: Object.fromEntries(event.attributes) },
    scope: 'swarm',
    time: Math.floor(event.wallMs / 1_000),
    timeNano: event.wallMs * 1e6,
  }
  return JSON.stringify(message)
}
