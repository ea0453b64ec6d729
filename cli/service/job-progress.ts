/**
 * The progress of a job, from what the API says at one moment (swarm-mode.md 5.4): how often it is done,
 * how many tasks are at it, and a line for each where there are few. The wait ends when the job is
 * done, or, unlike Docker's, when nothing is tried any more that could do the rest of it.
 */
import { at, type Json, numberAt, textAt } from '../json.ts'
import { shortId } from '../text/table.ts'
import type { Progress, Sight, Watch } from './progress.ts'
import {
  BARS_MAX,
  describeTask,
  desiredOf,
  formatBar,
  LIVE_STATES,
  stateOf,
} from './task-progress.ts'

/** With nothing at work for so long, nothing will be. */
const STUCK_MS = 5_000

const STATES = [...LIVE_STATES, 'complete']

/** The next step of the wait; `watch.convergedAtMs` is since when nothing is at work. */
export function jobProgressOf(watch: Watch, { service, tasks, nowMs }: Sight): Progress {
  const iteration = numberAt(service, 'JobStatus', 'JobIteration', 'Index')
  const present = tasks.filter((task) => numberAt(task, 'JobIteration', 'Index') === iteration)
  const holders = newestByPlace(present)
  const done = present.filter((task) => stateOf(task) === 'complete').length
  const active = present.filter(isAtWork).length
  const job = at(service, 'Spec', 'Mode', 'ReplicatedJob')
  const total = job === undefined ? holders.size : numberAt(job, 'TotalCompletions')
  const most = job === undefined ? total - done : numberAt(job, 'MaxConcurrent')
  const wanted = Math.max(active, Math.min(most, total - done))
  const lines = new Map([
    ['job', `job progress: ${done} out of ${total} complete ${formatBar(done / (total || 1))}`],
    ['active', `active tasks: ${active} out of ${wanted} tasks`],
  ])
  if (total <= BARS_MAX)
    for (const [place, task] of holders)
      lines.set(`task ${place}`, `${labelOf(task, total)}: ${describeTask(task, STATES)}`)
  // A global job has no tasks before its nodes were looked at.
  const isKnown = job !== undefined || holders.size > 0
  if (isKnown && done === total) {
    lines.set('verify', 'job complete')
    return { watch, lines, end: { kind: 'converged' } }
  }
  const idleSinceMs = active > 0 ? undefined : (watch.convergedAtMs ?? nowMs)
  const next = { ...watch, convergedAtMs: idleSinceMs }
  if (!isKnown || idleSinceMs === undefined || nowMs - idleSinceMs < STUCK_MS)
    return { watch: next, lines, end: undefined }
  const message = `job failed: ${done} out of ${total} complete, and no attempt is left`
  return { watch: next, lines, end: { kind: 'failed', message } }
}

/** It will end, or be tried again. */
function isAtWork(task: Json): boolean {
  const isOver = ['complete', 'shutdown', 'failed', 'rejected', 'orphaned', 'remove'].includes(
    stateOf(task),
  )
  return !isOver && (desiredOf(task) === 'complete' || desiredOf(task) === 'ready')
}

/** The newest task of each slot, or of each node, by slot and in order of appearance. */
function newestByPlace(tasks: readonly Json[]): ReadonlyMap<string, Json> {
  const newest = new Map<string, Json>()
  for (const task of tasks) {
    const place = placeOf(task)
    const other = newest.get(place)
    if (other === undefined || textAt(task, 'CreatedAt') > textAt(other, 'CreatedAt'))
      newest.set(place, task)
  }
  return new Map([...newest].sort(([, a], [, b]) => numberAt(a, 'Slot') - numberAt(b, 'Slot')))
}

function placeOf(task: Json): string {
  return at(task, 'Slot') === undefined ? textAt(task, 'NodeID') : String(numberAt(task, 'Slot'))
}

function labelOf(task: Json, total: number): string {
  return at(task, 'Slot') === undefined
    ? shortId(textAt(task, 'NodeID'))
    : `${numberAt(task, 'Slot') + 1}/${total}`
}
