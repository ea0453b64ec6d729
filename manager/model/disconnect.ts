/**
 * What a task's own spec says of a node that cannot be reached (docs/disconnect.md): how long it counts
 * as running there, whether its agent stops it by itself, which of two stays. Here is the arithmetic
 * that keeps a fenced task single: how long after its node was turned down it has surely ended, by
 * clocks that nobody compares. What follows for slots is decided by the orchestrators.
 */
import { SECOND_MS } from '../../lib/clock.ts'
import type { Task } from '../../proto/gen/objects.ts'
import type { TaskSpec } from '../../proto/gen/specs.ts'

/** Between SIGTERM and SIGKILL, where a spec does not say. */
export const STOP_GRACE_MS: number = 10 * SECOND_MS
/** An agent that is busy, and a container that takes its time to go. */
const STOP_MARGIN_MS = 10 * SECOND_MS
/** The agent's clock may be a tenth too slow, the leader's a tenth too fast. */
const RATE = { of: 11, in: 9 } as const

/**
 * How long after its node was turned down a container of this spec has surely been stopped by its own
 * agent, ms of cluster time; 0 where the agent does not stop it.
 */
export function getFenceMs(spec: TaskSpec | undefined): number {
  const stopAfterMs = spec?.disconnect?.stopAfterMs ?? 0
  if (stopAfterMs === 0) return 0
  const endedMs = stopAfterMs + getStopGraceMs(spec) + STOP_MARGIN_MS
  return Math.ceil((endedMs * RATE.of) / RATE.in)
}

/** How long after its node was turned down a task of this spec that ran is replaced, ms. */
export function getLostAfterMs(spec: TaskSpec | undefined): number {
  return spec?.disconnect?.lostAfterMs || getFenceMs(spec)
}

/** Whether its agent stops the task's container when it is cut off: no two of a slot may run. */
export function isFenced(task: Task): boolean {
  return (task.spec?.disconnect?.stopAfterMs ?? 0) > 0
}

/** Whether the task gets its slot back when its node is back. */
export function isKept(task: Task): boolean {
  return task.spec?.disconnect?.keep === 'original'
}

/** Whether its agent has stopped it, being cut off: no failure of its own. */
export function wasFenced(task: Task): boolean {
  return task.status?.fenced === true
}

export function getStopGraceMs(spec: TaskSpec | undefined): number {
  return spec?.container?.stopGraceMs ?? STOP_GRACE_MS
}
