/**
 * ServiceStatus: how many tasks of a service run, how many should, and of a job how many are done
 * (swarm-mode.md 2.3). Counted at each read from the view, over the service's tasks alone.
 */
import type { Service, Task } from '../../../proto/gen/objects.ts'
import { isWanted } from '../../../proto/task-state.ts'
import { getState, isOfOldIteration } from '../../model/task.ts'
import type { View } from '../../store/view.ts'
import type { JsonObject } from './shape/objects.ts'

export function serviceStatusToJson(view: View, service: Service): JsonObject {
  const tasks = [...view.tasks.by('service', service.id)]
  const present = tasks.filter((task) => !isOfOldIteration(task, service))
  return {
    RunningTasks: tasks.filter((task) => getState(task) === 'running').length,
    DesiredTasks: countDesired(service, present),
    CompletedTasks: service.jobStatus === undefined ? 0 : countDone(present),
  }
}

/** A slot that was done twice, since its first node was given up meanwhile, is done. */
function countDone(tasks: readonly Task[]): number {
  const done = tasks.filter((task) => getState(task) === 'complete')
  return new Set(done.map(({ slot, nodeId }) => (slot === 0 ? nodeId : slot))).size
}

function countDesired({ spec }: Service, tasks: readonly Task[]): number {
  const mode = spec?.mode
  switch (mode?.kind) {
    case 'replicated':
      return mode.replicated.replicas
    case 'replicatedJob':
      return mode.replicatedJob.maxConcurrent
    case 'globalJob':
      return tasks.filter((task) => isWanted(task.desiredState) && getState(task) !== 'complete')
        .length
    default:
      return tasks.filter((task) => task.desiredState === 'running').length
  }
}
