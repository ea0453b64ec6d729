/**
 * What follows from one task alone, as the checkers read it: put down here anew, so that a mistake of
 * the production code's predicates is not made twice.
 */
import type { Task } from '../../../proto/gen/objects.ts'
import { type TaskState, TaskStateNumber } from '../../../proto/gen/types.ts'

/** The observed state. */
export function stateOf(task: Task): TaskState {
  return task.status?.state ?? 'new'
}

/** Meant to run, now or later. */
export function isWanted({ desiredState }: Task): boolean {
  return desiredState === 'ready' || desiredState === 'running'
}

/** Holds its reservations and ports: a global task has its node before it is placed there. */
export function isPlaced(task: Task): boolean {
  const number = TaskStateNumber[stateOf(task)]
  return number >= TaskStateNumber.assigned && number < TaskStateNumber.complete
}

/** It ended, or no agent will ever know it. */
export function hasEnded(task: Task): boolean {
  const number = TaskStateNumber[stateOf(task)]
  return (
    number >= TaskStateNumber.complete || (!isWanted(task) && number < TaskStateNumber.assigned)
  )
}
