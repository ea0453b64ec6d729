/**
 * How long a slot waits before its task is started again: the delay of the restart policy (swarm-mode.md
 * 2.10), or, where the policy says up to what, one that doubles with each restart in a row (beyond Swarm).
 * How many they were stands in the task, so that the answer needs no other one and outlives the history.
 */
import { SECOND_MS } from '../../lib/clock.ts'
import type { Task } from '../../proto/gen/objects.ts'

export const RESTART_DELAY_MS: number = 5 * SECOND_MS

/** How long after the task's end a successor may start, ms. */
export function getRestartDelayMs(task: Task): number {
  const delayMs = task.spec?.restart?.delayMs ?? RESTART_DELAY_MS
  const maxMs = task.spec?.restart?.maxDelayMs ?? 0
  return maxMs === 0 ? delayMs : Math.min(maxMs, delayMs * 2 ** countInRow(task))
}

/** What the successor of a task that ended counts: this restart, and those in a row before it. */
export function countRestarts(task: Task): number {
  return (task.spec?.restart?.maxDelayMs ?? 0) === 0 ? 0 : countInRow(task) + 1
}

/** Whether waiting longer is no longer what helps: the delay is as long as it may get. */
export function hasGrownFully(task: Task): boolean {
  const maxMs = task.spec?.restart?.maxDelayMs ?? 0
  return maxMs > 0 && getRestartDelayMs(task) === maxMs
}

/** A task that ran as long as the longest delay was well: what comes next is the first of its row. */
function countInRow(task: Task): number {
  const maxMs = task.spec?.restart?.maxDelayMs ?? 0
  const ranMs = task.runningClusterMs === 0 ? 0 : task.endedClusterMs - task.runningClusterMs
  return ranMs >= maxMs ? 0 : task.restartsInRow
}
