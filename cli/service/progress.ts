/**
 * The progress of a service towards its spec, from what the API says at one moment: pure, so that
 * scripted task lists test it. It decides what to show (one line for the whole, one for each of at
 * most twenty tasks) and when the wait is over: every wanted task runs on a living node and stayed
 * so for the monitor time, or the update was completed or paused. The texts are those of
 * `docker service create` (swarm-mode.md 5.4). Unlike Docker's, a service whose tasks may end
 * counts an ended task as done, so that the wait for it ends.
 */
import { at, type Json, numberAt, textAt } from '../json.ts'
import { shortId } from '../text/table.ts'
import { jobProgressOf } from './job-progress.ts'
import {
  BARS_MAX,
  describeTask as describe,
  desiredOf as desired,
  LIVE_STATES,
  stateOf as state,
} from './task-progress.ts'

const DEFAULT_MONITOR_MS = 5_000

const ROLLED_BACK = 'service update failed: the service was rolled back to its former settings'

const END_STATES = ['complete', 'shutdown', 'failed', 'rejected']
/** Every state whose task may be the one that holds a slot, in their order. */
const STATES = [...LIVE_STATES, ...END_STATES]

/** What the API says at one moment. */
export type Sight = {
  readonly service: Json
  /** Tasks of the service's present spec. */
  readonly tasks: readonly Json[]
  readonly nodes: readonly Json[]
  readonly nowMs: number
}

/** What is remembered from one sight to the next. */
export type Watch = {
  /** When all was well first, and has been since. */
  readonly convergedAtMs: number | undefined
  /** The place of a slot or node among the lines, by the order of appearance. */
  readonly places: ReadonlyMap<string, number>
  /** The user asked for a rollback; else one is the failure of what was asked for. */
  readonly wantsRollback: boolean
}

export type Progress = {
  readonly watch: Watch
  /** Lines by their key, in the order of display; a line keeps its key while it changes. */
  readonly lines: ReadonlyMap<string, string>
  readonly end:
    | { readonly kind: 'converged' }
    | { readonly kind: 'failed'; readonly message: string }
    | undefined
}

export const newWatch: Watch = { convergedAtMs: undefined, places: new Map(), wantsRollback: false }

/** The next step of the wait; `ref` is how the user names the service. */
export function progressOf(watch: Watch, sight: Sight, ref: string): Progress {
  if (at(sight.service, 'JobStatus') !== undefined) return jobProgressOf(watch, sight)
  const status = textAt(sight.service, 'UpdateStatus', 'State')
  const count = countTasks(watch, sight)
  const paused = /^(?:rollback_)?paused$/.test(status)
  if (paused) {
    const what = status === 'paused' ? 'update' : 'rollback'
    const message = `service ${what} paused: ${textAt(sight.service, 'UpdateStatus', 'Message')}`
    return { watch, lines: count.lines, end: { kind: 'failed', message } }
  }
  const isUpdating = status === 'updating' || status === 'rollback_started'
  const monitorMs = monitorOf(sight.service)
  const convergedAtMs = count.isConverged ? (watch.convergedAtMs ?? sight.nowMs) : undefined
  const next: Watch = { ...watch, convergedAtMs, places: count.places }
  const lines = new Map(count.lines)
  const reason = textAt(sight.service, 'UpdateStatus', 'Message')
  if (status.startsWith('rollback_')) lines.set('rollback', `rollback: ${reason}`)
  if (status === 'rollback_completed')
    return watch.wantsRollback
      ? converged(next, lines, ref)
      : { watch: next, lines, end: { kind: 'failed', message: ROLLED_BACK } }
  // Only a completed update says so, and a later one has taken the word back.
  if (status === 'completed') return converged(next, lines, ref)
  if (convergedAtMs === undefined) {
    if (watch.convergedAtMs !== undefined) lines.set('verify', 'verify: Detected task failure')
    return { watch: next, lines, end: undefined }
  }
  const leftMs = convergedAtMs + monitorMs - sight.nowMs
  if (leftMs <= 0 && !isUpdating) return converged(next, lines, ref)
  const seconds = Math.max(1, Math.ceil(leftMs / 1000))
  lines.set('verify', `verify: Waiting ${seconds} seconds to verify that tasks are stable...`)
  return { watch: next, lines, end: undefined }
}

function converged(watch: Watch, lines: ReadonlyMap<string, string>, ref: string): Progress {
  return {
    watch,
    lines: new Map([...lines, ['verify', `verify: Service ${ref} converged`]]),
    end: { kind: 'converged' },
  }
}

function monitorOf(service: Json): number {
  const monitor = numberAt(service, 'Spec', 'UpdateConfig', 'Monitor')
  return monitor === 0 ? DEFAULT_MONITOR_MS : monitor / 1e6
}

type Count = {
  readonly isConverged: boolean
  readonly lines: ReadonlyMap<string, string>
  readonly places: ReadonlyMap<string, number>
}

function countTasks(watch: Watch, sight: Sight): Count {
  const { service, tasks } = sight
  const active = new Set(
    sight.nodes
      .filter((node) => textAt(node, 'Status', 'State') !== 'down')
      .map((node) => textAt(node, 'ID')),
  )
  const isGlobal = at(service, 'Spec', 'Mode', 'Global') !== undefined
  const holders = holdersOf(
    tasks.filter((task) => textAt(task, 'NodeID') === '' || active.has(textAt(task, 'NodeID'))),
    isGlobal,
  )
  const places = new Map(watch.places)
  for (const key of holders.keys()) if (!places.has(key)) places.set(key, places.size + 1)
  const wanted = isGlobal
    ? holders.size
    : numberAt(service, 'Spec', 'Mode', 'Replicated', 'Replicas')
  if (isGlobal && wanted === 0)
    return {
      isConverged: false,
      lines: new Map([['overall', 'overall progress: waiting for new tasks']]),
      places,
    }
  const done = [...holders.values()].filter((task) => isDone(task, service)).length
  return {
    isConverged: done === wanted,
    lines: linesOf({ holders, places, done, wanted, isGlobal, service }),
    places,
  }
}

/** The one task that counts for each slot, or for each node. */
function holdersOf(tasks: readonly Json[], isGlobal: boolean): ReadonlyMap<string, Json> {
  const holders = new Map<string, Json>()
  for (const task of tasks) {
    if (!STATES.includes(desired(task)) || !STATES.includes(state(task))) continue
    const key = isGlobal ? textAt(task, 'NodeID') : String(numberAt(task, 'Slot'))
    const holder = holders.get(key)
    if (holder === undefined || isAhead(task, holder)) holders.set(key, task)
  }
  return holders
}

/** The one wanted to do more at present; among equals the one that is not as far yet. */
function isAhead(task: Json, holder: Json): boolean {
  const order = STATES.indexOf(desired(task)) - STATES.indexOf(desired(holder))
  return order !== 0 ? order < 0 : STATES.indexOf(state(task)) < STATES.indexOf(state(holder))
}

function isDone(task: Json, service: Json): boolean {
  if (state(task) === 'running') return LIVE_STATES.includes(desired(task))
  const restart = textAt(service, 'Spec', 'TaskTemplate', 'RestartPolicy', 'Condition')
  return state(task) === 'complete' && (restart === 'none' || restart === 'on-failure')
}

function linesOf(count: {
  readonly holders: ReadonlyMap<string, Json>
  readonly places: ReadonlyMap<string, number>
  readonly done: number
  readonly wanted: number
  readonly isGlobal: boolean
  readonly service: Json
}): ReadonlyMap<string, string> {
  const { done, wanted } = count
  const isRollback = textAt(count.service, 'UpdateStatus', 'State').startsWith('rollback')
  const what = isRollback ? 'rolling back update' : 'overall progress'
  const lines = new Map([['overall', `${what}: ${done} out of ${wanted} tasks`]])
  if (wanted > BARS_MAX) return lines
  if (!count.isGlobal)
    for (let place = 1; place <= wanted; place += 1) lines.set(`${place}`, `${place}/${wanted}:`)
  for (const [key, task] of count.holders) {
    const place = count.places.get(key) ?? 0
    if (!count.isGlobal && place > wanted) continue
    const label = count.isGlobal ? shortId(key) : `${place}/${wanted}`
    lines.set(count.isGlobal ? key : `${place}`, `${label}: ${describeTask(task)}`)
  }
  return lines
}

function describeTask(task: Json): string {
  return describe(task, LIVE_STATES)
}
