/**
 * The restart policy of a task (swarm-mode.md 2.10): whether a task that ended, or was lost with its
 * node, gets a successor, and after how long. How often a slot was restarted is counted from its
 * tasks, which the reaper keeps for that; so the answer about one task stays the same however much
 * later, and by whichever leader, it is asked for.
 */
import { SECOND_MS } from '../../lib/clock.ts'
import type { Task } from '../../proto/gen/objects.ts'
import { emptyRestartPolicy, type RestartPolicy } from '../../proto/gen/specs.ts'
import { isWanted } from '../../proto/task-state.ts'
import { getState, isJobTask } from '../model/task.ts'

export const RESTART_DELAY_MS: number = 5 * SECOND_MS

/** How long after its end a successor may start, ms. */
export function getRestartDelayMs(task: Task): number {
  return task.spec?.restart?.delayMs ?? RESTART_DELAY_MS
}

/** How many attempts the policy allows; 0 is no limit. */
export function getMaxAttempts(task: Task): number {
  return task.spec?.restart?.maxAttempts ?? 0
}

/** Whether the task gets a successor, given all tasks of its slot, at cluster time `now`. */
export function shouldRestart(task: Task, slot: readonly Task[], now: number): boolean {
  const policy = task.spec?.restart ?? emptyRestartPolicy
  if (!meetsCondition(task, policy)) return false
  if (policy.maxAttempts === 0) return true
  return countAttempts(task, slot, now) < policy.maxAttempts
}

function meetsCondition(task: Task, policy: RestartPolicy): boolean {
  switch (policy.condition) {
    case 'any':
      // A job's task that did its work is done, whatever the condition.
      return !isJobTask(task) || getState(task) !== 'complete'
    case 'on-failure':
      return getState(task) !== 'complete'
    case 'none':
      return false
    default:
      return policy.condition satisfies never
  }
}

/** The restarts of this slot and spec version in the window that ends with the task. */
function countAttempts(task: Task, slot: readonly Task[], now: number): number {
  const windowMs = task.spec?.restart?.windowMs ?? 0
  const sinceMs = windowMs === 0 ? 0 : getEndMs(task, now) - windowMs
  return slot.filter(
    (other) =>
      isRestart(other) &&
      other.specVersion === task.specVersion &&
      other.createdClusterMs <= task.createdClusterMs &&
      other.createdClusterMs >= sinceMs,
  ).length
}

/** Whether the task was made by the restart reconciler. */
function isRestart(task: Task): boolean {
  return task.replaces !== '' && !task.madeByUpdate
}

/** When the task ended or was given up, whichever was first; now, if neither. */
function getEndMs(task: Task, now: number): number {
  const endedMs = task.endedClusterMs === 0 ? now : task.endedClusterMs
  return isWanted(task.desiredState) ? endedMs : Math.min(endedMs, task.desiredClusterMs)
}
