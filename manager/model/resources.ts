/**
 * Sums of resources: what a task reserves, what a node has left. Pure arithmetic; who may take what
 * is decided by the scheduler and the enforcer. Results may be negative where more is taken than a
 * node has, which happens when its capacity drops.
 */
import type { Task } from '../../proto/gen/objects.ts'
import { emptyResources, type Resources } from '../../proto/gen/types.ts'

/** What the task's spec reserves on its node; limits are not looked at. */
export function getReservations(task: Task): Resources {
  return task.spec?.resources?.reservations ?? emptyResources
}

export function addResources(left: Resources, right: Resources): Resources {
  return {
    ...emptyResources,
    nanoCpus: left.nanoCpus + right.nanoCpus,
    memoryBytes: left.memoryBytes + right.memoryBytes,
  }
}

export function subtractResources(left: Resources, right: Resources): Resources {
  return {
    ...emptyResources,
    nanoCpus: left.nanoCpus - right.nanoCpus,
    memoryBytes: left.memoryBytes - right.memoryBytes,
  }
}

/** Whether `wanted` fits into `available`; an amount of 0 fits also where nothing is left. */
export function fitsResources(wanted: Resources, available: Resources): boolean {
  return (
    (wanted.nanoCpus === 0 || wanted.nanoCpus <= available.nanoCpus) &&
    (wanted.memoryBytes === 0 || wanted.memoryBytes <= available.memoryBytes)
  )
}
