/**
 * ServiceStatus: how many tasks of a service run and how many should (swarm-mode.md 2.3). Counted at
 * each read from the view, over the service's tasks alone.
 */
import type { Service } from '../../../proto/gen/objects.ts'
import type { View } from '../../store/view.ts'
import type { JsonObject } from './shape/objects.ts'

export function serviceStatusToJson(view: View, service: Service): JsonObject {
  let running = 0
  let wanted = 0
  for (const task of view.tasks.by('service', service.id)) {
    if (task.status?.state === 'running') running++
    if (task.desiredState === 'running') wanted++
  }
  const mode = service.spec?.mode
  return {
    RunningTasks: running,
    DesiredTasks: mode?.kind === 'replicated' ? mode.replicated.replicas : wanted,
    CompletedTasks: 0,
  }
}
