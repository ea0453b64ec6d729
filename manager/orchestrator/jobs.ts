/**
 * The orchestrator of replicated jobs (swarm-mode.md 2.8): as many slots as the job wants completions,
 * filled from the lowest on, so that at most `max_concurrent` of them hold a task that is not done.
 * A task that fails is restarted in its slot by the restart reconciler, as its policy allows; a
 * slot whose attempts are used up is left as it is. In a slot that is done nothing else goes on: a task
 * on a node that was given up may have done its work. What is left of an iteration before is removed.
 * Global jobs are the global orchestrator's.
 */
import type { Service, Task } from '../../proto/gen/objects.ts'
import { isTerminal, isWanted } from '../../proto/task-state.ts'
import { getState, isJobTask, isOfOldIteration, newTask, withDesired } from '../model/task.ts'
import type { Change } from '../store/change.ts'
import type { Reconcile, Round } from '../store/round.ts'
import { type Look, NOTHING, newReconciler, serviceOfKey } from './reconciler.ts'
import { findDone, listNeedless } from './restart-policy.ts'
import {
  createTask,
  desiredInSlot,
  endTasks,
  isFilled,
  listSlots,
  listSlotTasks,
  listWanted,
} from './slots.ts'

/** Tasks that one look at a job makes; for a larger one there is a next look. */
const CREATED_MAX = 500

/** The reconciler; its keys are services. */
export function newJobReconciler(): Reconcile {
  return newReconciler({
    listTouched,
    lookAt,
    subjectOf: serviceOfKey,
    keysPerRound: 20,
  })
}

/** Services that changed, and jobs of which a task is done, failed or was given up. */
function listTouched({ view, changed }: Round): Iterable<string> {
  if (changed.all) return [...view.services.list()].map((service) => service.id)
  const ids = new Set(changed.ids.services)
  for (const taskId of changed.ids.tasks) {
    const task = view.tasks.get(taskId)
    if (task !== undefined && isJobTask(task) && isOver(task)) ids.add(task.serviceId)
  }
  return ids
}

function isOver(task: Task): boolean {
  return !isWanted(task.desiredState) || isTerminal(getState(task))
}

function lookAt(round: Round, serviceId: string): Look {
  const service = round.view.services.get(serviceId)
  const mode = service?.spec?.mode
  if (service === undefined || mode?.kind !== 'replicatedJob') return NOTHING
  const { maxConcurrent, totalCompletions } = mode.replicatedJob
  const iteration = service.jobStatus?.iteration ?? 0
  const slots = listSlots(round.view, service)
  const old = slots.flatMap(({ tasks }) => tasks.filter((task) => isOfOldIteration(task, service)))
  const filled = new Set<number>()
  const needless: Task[] = []
  let active = 0
  for (const { number, tasks } of slots) {
    const present = tasks.filter((task) => !isOfOldIteration(task, service))
    if (!isFilled(present, round.now)) continue
    filled.add(number)
    if (findDone(present, iteration) !== undefined)
      needless.push(...listNeedless(present, iteration))
    else if (listWanted(present).length > 0) active++
  }
  const created: Change[] = []
  for (let number = 1; number <= totalCompletions && active < maxConcurrent; number++) {
    if (filled.has(number)) continue
    if (created.length === CREATED_MAX) break
    active++
    created.push(createInSlot(round, service, number))
  }
  return {
    changes: [
      ...endTasks(old, 'remove', round.now),
      ...endTasks(needless, 'shutdown', round.now),
      ...created,
    ],
    more: created.length === CREATED_MAX ? [service.id] : [],
  }
}

/** A task of an iteration before may still be ending there: the new one waits for it. */
function createInSlot(round: Round, service: Service, number: number): Change {
  const others = listSlotTasks(round.view, `${service.id}/${number}`)
  const ending = others.map((task) => withDesired(task, 'remove', round.now))
  const desired = desiredInSlot(round.view, ending, round.now)
  return createTask(
    newTask(service, { slot: number, nodeId: '', desired, after: others.at(-1) }, round),
  )
}
