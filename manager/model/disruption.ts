/**
 * Disruption: how much of a service may be taken down on purpose now (`DisruptionBudget`, beyond
 * Swarm). Update, drain and enforcer ask before they end a task that runs; what fails by itself is
 * nobody's choice, but counts. It is a function of the service and its tasks, so that whoever asks
 * in the same view gets the same answer, and one who ends a task counts it at once.
 */
import type { Service, Task } from '../../proto/gen/objects.ts'
import { isWanted } from '../../proto/task-state.ts'
import { slotKey } from '../store/schema.ts'
import { getState } from './task.ts'

/**
 * How many slots may lose their last running task on purpose now; Infinity without a budget. A slot
 * is available while a wanted task of it runs; one that ought to be there and is not, is not.
 */
export function countDisruptionsLeft(service: Service, tasks: Iterable<Task>): number {
  const max = service.spec?.disruptionBudget?.maxUnavailable
  if (max === undefined) return Number.POSITIVE_INFINITY
  const wanted = new Set<string>()
  const available = new Set<string>()
  for (const task of tasks) {
    const key = slotKey(task)
    if (key === undefined || !isWanted(task.desiredState)) continue
    wanted.add(key)
    if (isAvailable(task)) available.add(key)
  }
  const { mode } = service.spec ?? {}
  const slots = mode?.kind === 'replicated' ? mode.replicated.replicas : wanted.size
  return Math.max(0, max - Math.max(0, slots - available.size))
}

/**
 * Whether ending this task takes its slot down: it runs and is wanted, and no other wanted task of
 * the slot, which are among `tasks`, runs. Ending any other costs nothing of a budget.
 */
export function isLastAvailable(task: Task, tasks: Iterable<Task>): boolean {
  if (!isAvailable(task)) return false
  const key = slotKey(task)
  for (const other of tasks)
    if (other.id !== task.id && slotKey(other) === key && isAvailable(other)) return false
  return true
}

function isAvailable(task: Task): boolean {
  return task.desiredState === 'running' && getState(task) === 'running'
}
