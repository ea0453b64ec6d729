/**
 * What follows from a task, and its service at most, as the checkers read it: put down here anew, so
 * that a mistake of the production code's predicates is not made twice.
 */
import { isEqual } from '../../../manager/model/equal.ts'
import type { Service, Task } from '../../../proto/gen/objects.ts'
import { emptyTaskSpec } from '../../../proto/gen/specs.ts'
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

/** Its agent stops it when it is cut off. */
export function isFenced(task: Task): boolean {
  return (task.spec?.disconnect?.stopAfterMs ?? 0) > 0
}

/** How long after its node was turned down it has surely been stopped, ms. */
export function fenceMsOf({ spec }: Task): number {
  const graceMs = spec?.container?.stopGraceMs ?? 10_000
  return (((spec?.disconnect?.stopAfterMs ?? 0) + graceMs + 10_000) * 11) / 9
}

/** As the service says now; where it may run does not make another task of it. */
export function isUpToDate(task: Task, service: Service): boolean {
  if (task.specVersion === service.specVersion) return true
  const spec = service.spec?.task ?? emptyTaskSpec
  return (
    isEqual(task.endpoint, service.spec?.endpoint) &&
    isEqual({ ...(task.spec ?? emptyTaskSpec), placement: spec.placement }, spec)
  )
}

/** Lost and replaced, and yet wanted. */
export function isMissing(task: Task): boolean {
  return task.lostClusterMs > 0 && isWanted(task)
}
