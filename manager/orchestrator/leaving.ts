/**
 * Leaving: a task on a drained node that is not simply stopped, since its service wants to be asked
 * (beyond Swarm): one whose updates start first has its successor run before it ends, one with a
 * disruption budget loses no more at once than that. Both only for replicated services, whose tasks
 * can run elsewhere, and only until the node's drain waits no longer.
 */
import type { Service, Task } from '../../proto/gen/objects.ts'
import { isTerminal, isWanted } from '../../proto/task-state.ts'
import { getState } from '../model/task.ts'
import { findUpdateConfig } from '../model/update-status.ts'
import type { View } from '../store/view.ts'

/** Whether a drain asks this service before it ends what runs. */
export function isDrainedGently(service: Service): boolean {
  if (service.spec?.mode?.kind !== 'replicated') return false
  return startsFirst(service) || service.spec.disruptionBudget !== undefined
}

/** Whether a successor runs beside the task that it replaces until it is up. */
export function startsFirst(service: Service): boolean {
  return findUpdateConfig(service)?.order === 'start-first'
}

/** Whether the task, of a service that is drained gently, is wanted on a node that is drained. */
export function isLeaving(view: View, service: Service, task: Task): boolean {
  const node = view.nodes.get(task.nodeId)
  return (
    node?.spec?.availability === 'drain' &&
    node.status?.state !== 'down' &&
    isWanted(task.desiredState) &&
    !isTerminal(getState(task)) &&
    isDrainedGently(service)
  )
}

/** Whether the task's node is drained and waits no longer: it ends now, however gently others leave. */
export function isDrainOver(view: View, task: Task, now: number): boolean {
  const node = view.nodes.get(task.nodeId)
  return node?.spec?.availability === 'drain' && now >= node.drainUntilMs
}
