/**
 * Disruption: how much of a service may be taken down on purpose now (`DisruptionBudget`, beyond
 * Swarm). Update, drain and enforcer ask before they end a task that runs; what fails by itself is
 * nobody's choice, but counts. It is a function of the service and its tasks, so that whoever asks
 * in the same view gets the same answer, and one who ends a task counts it at once.
 */
import type { Service, Task } from '../../proto/gen/objects.ts'
import { isTaskDirty } from '../model/dirty.ts'
import { isKept } from '../model/disconnect.ts'
import { getState } from '../model/task.ts'
import { findCurrentStatus, isPaused } from '../model/update-status.ts'
import type { Round } from '../store/round.ts'
import { slotKey } from '../store/schema.ts'
import type { View } from '../store/view.ts'
import { mayStart } from './global.ts'
import { isDrainOver } from './leaving.ts'
import { findFinished, isMissing, listSlots, listWanted } from './slots.ts'

/**
 * How many slots may lose their last running task on purpose now; Infinity without a budget. A slot
 * is available while a wanted task of it runs. One that ought to run and does not is not; one whose
 * task ended for good is missed by nobody, unless an update is to begin it again, or one that is kept
 * for its node may be back.
 */
export function countDisruptionsLeft(
  { view, now }: Pick<Round, 'view' | 'now'>,
  service: Service,
): number {
  const max = service.spec?.disruptionBudget?.maxUnavailable
  if (max === undefined) return Number.POSITIVE_INFINITY
  let wanted = 0
  let available = 0
  let finished = 0
  for (const { tasks } of listSlots(view, service)) {
    const last = findFinished(tasks, now)
    const isWanted = listWanted(tasks).some((task) => !isKeptAway(view, task))
    if (last === undefined ? isWanted : isDue(view, service, last)) wanted++
    else if (last !== undefined && !tasks.some(isMissing)) finished++
    if (tasks.some((task) => isAvailable(view, task) && !endsNow(view, task, now))) available++
  }
  const { mode } = service.spec ?? {}
  const slots = mode?.kind === 'replicated' ? mode.replicated.replicas - finished : wanted
  return Math.max(0, max - Math.max(0, slots - available))
}

/**
 * A global service has nowhere else to run it, and its node may never be back: as where such a task is
 * lost, nobody misses it.
 */
function isKeptAway(view: View, task: Task): boolean {
  return task.slot === 0 && isKept(task) && view.nodes.get(task.nodeId)?.status?.state === 'down'
}

/** Whatever the budget; a global service misses nobody where it is not to run. */
function endsNow(view: View, task: Task, now: number): boolean {
  return task.slot > 0 && isDrainOver(view, task, now)
}

/** Its slot is done by a spec that is out of date, and no paused update leaves it so. */
function isDue(view: View, service: Service, last: Task): boolean {
  if (isPaused(findCurrentStatus(service))) return false
  const node = view.nodes.get(last.nodeId)
  return (last.slot > 0 || mayStart(service, node)) && isTaskDirty(last, service, node)
}

/** How many slots may lose what runs there while it is replaced; none does where tasks start first. */
export function countReplaceable(
  round: Pick<Round, 'view' | 'now'>,
  service: Service,
  isStartFirst: boolean,
): number {
  return isStartFirst ? Number.POSITIVE_INFINITY : countDisruptionsLeft(round, service)
}

/**
 * Whether ending this task takes its slot down: it runs and is wanted, and no other wanted task of
 * the slot, which are among `tasks`, runs. Ending any other costs nothing of a budget.
 */
export function isLastAvailable(view: View, task: Task, tasks: Iterable<Task>): boolean {
  if (!isAvailable(view, task)) return false
  const key = slotKey(task)
  for (const other of tasks)
    if (other.id !== task.id && slotKey(other) === key && isAvailable(view, other)) return false
  return true
}

/**
 * Of one whose node is down nobody knows that it serves, and one that is missing may be given up for
 * reasons of its own.
 */
function isAvailable(view: View, task: Task): boolean {
  return isServing(view, task) && task.desiredState === 'running' && !isMissing(task)
}

/** Whether it runs, and its node is not down. */
export function isServing(view: View, task: Task): boolean {
  return getState(task) === 'running' && view.nodes.get(task.nodeId)?.status?.state !== 'down'
}
