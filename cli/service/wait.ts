/**
 * Waits for a service to converge and shows its progress: on a terminal lines that are drawn anew,
 * elsewhere a line when it changes. Ctrl-C ends the wait, not the work. What to show and when it is
 * over is `progress.ts`'s; this looks five times a second.
 */
import { SwarmError } from '../../lib/errors.ts'
import { type Client, encodeFilters } from '../client.ts'
import type { World } from '../command.ts'
import { listAt } from '../json.ts'
import { newWatch, progressOf, type Sight } from './progress.ts'

const LOOK_MS = 200
/** Managers that elect a leader, or a daemon that starts again, are back within this time. */
const UNAVAILABLE_MAX_MS = 30_000

export type Wait = {
  readonly id: string
  /** As the user names it. */
  readonly ref: string
  readonly isQuiet: boolean
  /** A rollback is what was asked for, and no failure of it. */
  readonly isRollback?: boolean
}

/** The service has converged, or the user has had enough; `failed-precondition` when it was paused. */
export async function waitForService(world: World, client: Client, wait: Wait): Promise<void> {
  const interrupted = new AbortController()
  const release = world.onInterrupt(() => interrupted.abort())
  const show = wait.isQuiet ? () => undefined : newDisplay(world)
  try {
    const look = newLook(world, client, wait.id)
    const first = { ...newWatch, wantsRollback: wait.isRollback === true }
    for (let watch = first; !interrupted.signal.aborted; ) {
      const sight = await look()
      if (sight !== undefined) {
        const progress = progressOf(watch, sight, wait.ref)
        show(progress.lines)
        if (progress.end?.kind === 'failed')
          throw new SwarmError('failed-precondition', progress.end.message)
        if (progress.end !== undefined) return
        watch = progress.watch
      }
      await world.sleep(LOOK_MS, interrupted.signal)
    }
    world.print(
      `Operation continuing in background.\nUse \`tsswarm service ps ${wait.id}\` to check progress.`,
    )
  } finally {
    release()
  }
}

/** Looks at the service; undefined while nobody can say, which is an error only after a while. */
function newLook(world: World, client: Client, id: string): () => Promise<Sight | undefined> {
  let seenMs = world.nowMs()
  return async () => {
    try {
      const sight = await fetchSight(world, client, id)
      seenMs = sight.nowMs
      return sight
    } catch (error) {
      const isUnavailable = error instanceof SwarmError && error.code === 'unavailable'
      if (!isUnavailable || world.nowMs() - seenMs > UNAVAILABLE_MAX_MS) throw error
      return undefined
    }
  }
}

async function fetchSight(world: World, client: Client, id: string): Promise<Sight> {
  const filters = encodeFilters({ service: [id], '_up-to-date': ['true'] })
  const [service, tasks, nodes] = await Promise.all([
    client.get(`/services/${encodeURIComponent(id)}`),
    client.get('/tasks', { filters }),
    client.get('/nodes'),
  ])
  return { service, tasks: listAt(tasks), nodes: listAt(nodes), nowMs: world.nowMs() }
}

/** Shows lines by their key, in place of what stood there before where that can be. */
export function newDisplay(world: World): (lines: ReadonlyMap<string, string>) => void {
  return world.columns === undefined
    ? newPlainDisplay(world)
    : newDrawnDisplay(world, world.columns)
}

function newPlainDisplay(world: World): (lines: ReadonlyMap<string, string>) => void {
  const shown = new Map<string, string>()
  return (lines) => {
    for (const [key, line] of lines) {
      // Neither bars nor the countdown: each would be a line every time.
      const text = line.replace(/ +\[=*> *\]$/, '').replace(/Waiting \d+ seconds/, 'Waiting')
      if (text.endsWith(':') || shown.get(key) === text) continue
      shown.set(key, text)
      world.print(text)
    }
    if (!lines.has('verify')) shown.delete('verify')
  }
}

function newDrawnDisplay(
  world: World,
  columns: number,
): (lines: ReadonlyMap<string, string>) => void {
  let height = 0
  return (lines) => {
    const up = height === 0 ? '' : `\x1b[${height}A`
    const drawn = [...lines.values()]
      .map((line) => `\x1b[2K${line.slice(0, columns - 1)}\n`)
      .join('')
    // What was there in more lines than now must not stay below.
    world.write(`${up}${drawn}\x1b[J`)
    height = lines.size
  }
}
