/**
 * Waits for a service to converge and shows its progress: on a terminal lines that are drawn anew,
 * elsewhere a line when it changes. Ctrl-C ends the wait, not the work. What to show and when it is
 * over is `progress.ts`'s; this looks five times a second.
 */
import { SwarmError } from '../../lib/errors.ts'
import { type Client, encodeFilters } from '../client.ts'
import type { World } from '../command.ts'
import { listAt } from '../json.ts'
import { newWatch, progressOf } from './progress.ts'

const LOOK_MS = 200

export type Wait = {
  readonly id: string
  /** As the user names it. */
  readonly ref: string
  readonly isQuiet: boolean
}

/** The service has converged, or the user has had enough; `failed-precondition` when it was paused. */
export async function waitForService(world: World, client: Client, wait: Wait): Promise<void> {
  const interrupted = new AbortController()
  const release = world.onInterrupt(() => interrupted.abort())
  const show = wait.isQuiet ? () => undefined : newDisplay(world)
  try {
    for (let watch = newWatch; !interrupted.signal.aborted; ) {
      const progress = progressOf(watch, await look(world, client, wait.id), wait.ref)
      show(progress.lines)
      if (progress.end?.kind === 'failed')
        throw new SwarmError('failed-precondition', progress.end.message)
      if (progress.end !== undefined) return
      watch = progress.watch
      await world.sleep(LOOK_MS, interrupted.signal)
    }
    world.print(
      `Operation continuing in background.\nUse \`tsswarm service ps ${wait.id}\` to check progress.`,
    )
  } finally {
    release()
  }
}

async function look(
  world: World,
  client: Client,
  id: string,
): Promise<Parameters<typeof progressOf>[1]> {
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
