/**
 * The restart policy of a task (swarm-mode.md 2.10): whether a task that ended, or was lost with its
 * node, gets a successor; after how long is `restart-delay.ts`. How often a slot was restarted is
 * counted from its tasks, which the reaper keeps for that; so the answer about one task stays the
 * same however much later, and by whichever leader, it is asked for.
 */
import type { Task } from '../../proto/gen/objects.ts'
import { emptyRestartPolicy, type RestartPolicy } from '../../proto/gen/specs.ts'
import { isWanted } from '../../proto/task-state.ts'
import { getState, isJobTask } from '../model/task.ts'

/** How many attempts the policy allows; 0 is no limit. */
export function getMaxAttempts(task: Task): number {
  return task.spec?.restart?.maxAttempts ?? 0
}

/** Whether the task gets a successor, given all tasks of its slot, at cluster time `now`. */
export function shouldRestart(task: Task, slot: readonly Task[], now: number): boolean {
  const policy = task.spec?.restart ?? emptyRestartPolicy
  if (!meetsCondition(task, policy)) return false
  if (findDone(slot, task.jobIteration) !== undefined) return false
  if (policy.maxAttempts === 0) return true
  return countAttempts(task, slot, now) < policy.maxAttempts
}

/**
 * The task by which a job's slot is done in this iteration, whatever else was tried there: a node that
 * was given up may have done the work after all. Undefined for what is no job.
 */
export function findDone(slot: readonly Task[], iteration: number): Task | undefined {
  return slot.findLast(
    (task) => isJobTask(task) && task.jobIteration === iteration && getState(task) === 'complete',
  )
}

/** The tasks that are wanted in a job's slot although its work is done. */
export function listNeedless(slot: readonly Task[], iteration: number): readonly Task[] {
  if (findDone(slot, iteration) === undefined) return []
  return slot.filter((task) => isWanted(task.desiredState) && getState(task) !== 'complete')
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

/**
 * The restarts of this slot and spec version in the window that ends with the task. What they waited
 * for the delay does not count: else a window that is shorter than the delay would never see any.
 */
function countAttempts(task: Task, slot: readonly Task[], now: number): number {
  const windowMs = task.spec?.restart?.windowMs ?? 0
  const attempts = slot
    .filter(
      (other) =>
        isRestart(other) &&
        other.specVersion === task.specVersion &&
        other.createdClusterMs <= task.createdClusterMs,
    )
    .sort((left, right) => right.createdClusterMs - left.createdClusterMs)
  if (windowMs === 0) return attempts.length
  let sinceMs = getEndMs(task, now) - windowMs
  let count = 0
  for (const attempt of attempts) {
    const startMs = Math.max(attempt.createdClusterMs, attempt.startAfterMs)
    if (startMs < sinceMs) break
    sinceMs -= startMs - attempt.createdClusterMs
    count++
  }
  return count
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
