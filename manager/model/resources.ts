/**
 * Sums of resources: what a task reserves, what a node has left. Pure arithmetic; who may take what
 * is decided by the scheduler and the enforcer. Results may be negative where more is taken than a
 * node has, which happens when its capacity drops.
 */
import type { Task } from '../../proto/gen/objects.ts'
import {
  emptyGenericResource,
  emptyResources,
  type GenericResource,
  type Resources,
} from '../../proto/gen/types.ts'

/** What the task's spec reserves on its node; limits are not looked at. */
export function getReservations(task: Task): Resources {
  return task.spec?.resources?.reservations ?? emptyResources
}

export function addResources(left: Resources, right: Resources): Resources {
  return {
    ...emptyResources,
    nanoCpus: left.nanoCpus + right.nanoCpus,
    memoryBytes: left.memoryBytes + right.memoryBytes,
    generic: sumGeneric(left.generic, right.generic, 1),
  }
}

export function subtractResources(left: Resources, right: Resources): Resources {
  return {
    ...emptyResources,
    nanoCpus: left.nanoCpus - right.nanoCpus,
    memoryBytes: left.memoryBytes - right.memoryBytes,
    generic: sumGeneric(left.generic, right.generic, -1),
  }
}

/** Whether `wanted` fits into `available`; an amount of 0 fits also where nothing is left. */
export function fitsResources(wanted: Resources, available: Resources): boolean {
  return (
    (wanted.nanoCpus === 0 || wanted.nanoCpus <= available.nanoCpus) &&
    (wanted.memoryBytes === 0 || wanted.memoryBytes <= available.memoryBytes) &&
    wanted.generic.every(
      ({ kind, count }) => count === 0 || count <= countGeneric(available.generic, kind),
    )
  )
}

/** How many of a kind there are, with names or without. */
export function countGeneric(resources: readonly GenericResource[], kind: string): number {
  return resources.reduce((sum, each) => (each.kind === kind ? sum + each.count : sum), 0)
}

/** By kind, without names: which ones are taken is for the scheduler to say. */
function sumGeneric(
  left: readonly GenericResource[],
  right: readonly GenericResource[],
  sign: 1 | -1,
): readonly GenericResource[] {
  if (right.length === 0) return left
  const kinds = new Set([...left, ...right].map(({ kind }) => kind))
  return [...kinds].map((kind) => ({
    ...emptyGenericResource,
    kind,
    count: countGeneric(left, kind) + sign * countGeneric(right, kind),
  }))
}
