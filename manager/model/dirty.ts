/**
 * Dirty: whether a task is out of date, so that an update must replace it. A task is judged by what
 * it was made with, not by the version of the spec alone: scaling or relabelling a service gives
 * every task an old version and leaves all of them clean. The exceptions are SwarmKit's
 * (orchestrator/task.go): a changed placement leaves a task clean whose node still satisfies the
 * constraints, changed registry credentials one that has its image already.
 */
import type { Node, Service, Task } from '../../proto/gen/objects.ts'
import { emptyContainerSpec, emptyTaskSpec, type TaskSpec } from '../../proto/gen/specs.ts'
import { compareTaskState } from '../../proto/task-state.ts'
import { matchesConstraints, parseConstraints } from './constraint.ts'
import { isEqual } from './equal.ts'
import { getState } from './task.ts'

/** How a service's spec differs from the one a task was made with, in what concerns tasks. */
export type SpecDifference = 'none' | 'placement' | 'registry-auth' | 'more'

export function compareSpecs(task: Task, service: Service): SpecDifference {
  if (task.specVersion === service.specVersion) return 'none'
  if (!isEqual(task.endpoint, service.spec?.endpoint)) return 'more'
  const old = task.spec ?? emptyTaskSpec
  const wanted = service.spec?.task ?? emptyTaskSpec
  if (isEqual(old, wanted)) return 'none'
  if (isEqual({ ...old, placement: wanted.placement }, wanted)) return 'placement'
  return isEqual(withAuthOf(old, wanted), wanted) ? 'registry-auth' : 'more'
}

/** Whether the task, on `node` (undefined: on none, or on one that is gone), is out of date. */
export function isTaskDirty(task: Task, service: Service, node: Node | undefined): boolean {
  return isDirtyBy(compareSpecs(task, service), task, { service, node })
}

/**
 * The same for many tasks of one service. Tasks of one spec version were made of one spec, so that
 * the specs are compared once a version.
 */
export function newDirtyTest(
  service: Service,
  findNode: (id: string) => Node | undefined,
): (task: Task) => boolean {
  const differences = new Map<number, SpecDifference>()
  return (task) => {
    let difference = differences.get(task.specVersion)
    if (difference === undefined) {
      difference = compareSpecs(task, service)
      differences.set(task.specVersion, difference)
    }
    return isDirtyBy(difference, task, { service, node: findNode(task.nodeId) })
  }
}

function isDirtyBy(
  difference: SpecDifference,
  task: Task,
  at: { readonly service: Service; readonly node: Node | undefined },
): boolean {
  switch (difference) {
    case 'none':
      return false
    case 'placement':
      return at.node === undefined || !matchesPlacement(at.service, at.node)
    case 'registry-auth':
      return !hasImage(task)
    case 'more':
      return true
    default:
      return difference satisfies never
  }
}

/** Whether the node satisfies the constraints of the service's current spec. */
export function matchesPlacement(service: Service, node: Node): boolean {
  return matchesConstraints(parseConstraints(service.spec?.task?.placement), node)
}

function hasImage(task: Task): boolean {
  const state = getState(task)
  return compareTaskState(state, 'ready') >= 0 && compareTaskState(state, 'running') <= 0
}

function withAuthOf(spec: TaskSpec, other: TaskSpec): TaskSpec {
  const registryAuth = other.container?.registryAuth ?? ''
  return { ...spec, container: { ...(spec.container ?? emptyContainerSpec), registryAuth } }
}
