/**
 * The drain reconciler (beyond Swarm, docs/task-model.md): tasks that leave a drained node gently. What
 * does not run yet is replaced at once. What runs is replaced, start-first, by a task beside it, and
 * ends when that one runs; stop-first, as many at a time as the disruption budget allows. When the
 * node's drain waits no longer, what is left ends as it does for every other service (`restart.ts`).
 * A successor that is one too many, since the node came back, ends here too.
 */
import type { Service, Task } from '../../proto/gen/objects.ts'
import { isTaskDirty } from '../model/dirty.ts'
import { isFenced } from '../model/disconnect.ts'
import { getState, newTask } from '../model/task.ts'
import type { Change } from '../store/change.ts'
import type { Reconcile, Round } from '../store/round.ts'
import type { View } from '../store/view.ts'
import { countReplaceable } from './disruption.ts'
import { isDrainedGently, isDrainOver, isLeaving, startsFirst } from './leaving.ts'
import { type Look, NOTHING, newReconciler, serviceOfKey } from './reconciler.ts'
import { replaceTask } from './restart.ts'
import { createTask, endTasks, listByMerit, listSlots, listWanted, type Slot } from './slots.ts'
import { earlier } from './timers.ts'

/** The reconciler; its keys are services. */
export function newDrainReconciler(): Reconcile {
  /** Services with something to wait for: of these every task that changes matters. */
  const unsettled = new Set<string>()
  return newReconciler({
    listTouched: (round) => {
      if (round.changed.all) unsettled.clear()
      return listTouched(round, unsettled)
    },
    lookAt: (round, serviceId) => {
      const look = lookAt(round, serviceId)
      if (look === NOTHING) unsettled.delete(serviceId)
      else unsettled.add(serviceId)
      return look
    },
    subjectOf: serviceOfKey,
    keysPerRound: 10,
  })
}

function listTouched({ view, changed }: Round, unsettled: ReadonlySet<string>): Iterable<string> {
  if (changed.all) return [...view.services.list()].map((service) => service.id)
  const ids = new Set(changed.ids.services)
  for (const id of changed.ids.nodes)
    for (const task of view.tasks.by('node', id)) ids.add(task.serviceId)
  for (const id of changed.ids.tasks) {
    const task = view.tasks.get(id)
    if (task === undefined) continue
    const isDrained = view.nodes.get(task.nodeId)?.spec?.availability === 'drain'
    if (isDrained || unsettled.has(task.serviceId)) ids.add(task.serviceId)
  }
  return ids
}

type Drain = {
  readonly round: Round
  readonly service: Service
  /** How many slots may still lose what runs there. */
  left: number
}

function lookAt(round: Round, serviceId: string): Look {
  const service = round.view.services.get(serviceId)
  if (service === undefined || !isDrainedGently(service)) return NOTHING
  const slots = listSlots(round.view, service).map((slot) => ({
    slot,
    ...divide(round.view, service, slot),
  }))
  if (slots.every(({ leaving, staying }) => leaving.length === 0 && staying.length < 2))
    return NOTHING
  const drain = { round, service, left: countReplaceable(round, service, startsFirst(service)) }
  const changes: Change[] = []
  let nextMs: number | undefined
  for (const { slot, leaving, staying } of slots) {
    changes.push(...endSurplus(drain, staying))
    changes.push(...moveOn(drain, { slot, leaving, staying }))
    for (const task of leaving) nextMs = earlier(nextMs, getUntilMs(round.view, task))
  }
  return { changes, nextMs: nextMs !== undefined && nextMs > round.now ? nextMs : undefined }
}

type Parts = {
  /** Wanted, on a drained node. */
  readonly leaving: readonly Task[]
  /** Wanted, elsewhere or waiting for a place. */
  readonly staying: readonly Task[]
}

function divide(view: View, service: Service, slot: Slot): Parts {
  const wanted = listWanted(slot.tasks)
  const leaving = wanted.filter((task) => isLeaving(view, service, task))
  return { leaving, staying: wanted.filter((task) => !leaving.includes(task)) }
}

/** Cluster time, ms, from which the task's node is waited for no more. */
function getUntilMs(view: View, task: Task): number {
  return view.nodes.get(task.nodeId)?.drainUntilMs ?? 0
}

/** Several are up to date and nothing leaves: the best one stays. What is out of date is the update's. */
function endSurplus({ round, service }: Drain, staying: readonly Task[]): readonly Change[] {
  const current = staying.filter(
    (task) => !isTaskDirty(task, service, round.view.nodes.get(task.nodeId)),
  )
  return endTasks(listByMerit(current).slice(1), 'shutdown', round.now)
}

/** What leaves ends when something else runs in its slot, when its time is over, or as it may. */
function moveOn(
  drain: Drain,
  { slot, leaving, staying }: Parts & { readonly slot: Slot },
): readonly Change[] {
  const { round, service } = drain
  const [best, ...others] = listByMerit(leaving)
  if (best === undefined) return []
  const changes = [...endTasks(others, 'shutdown', round.now)]
  const isUp = staying.some((task) => getState(task) === 'running')
  if (isUp) return [...changes, ...endTasks([best], 'shutdown', round.now)]
  const runs = best.desiredState === 'running' && getState(best) === 'running'
  const isOver = isDrainOver(round.view, best, round.now)
  if (runs && !isOver) {
    if (startsFirst(service) && !isFenced(best))
      return staying.length > 0 ? changes : [...changes, startBeside(drain, slot, best)]
    if (drain.left <= 0) return changes
    drain.left--
  }
  const ended =
    staying.length > 0
      ? endTasks([best], 'shutdown', round.now)
      : replaceTask(round, { service, tasks: slot.tasks }, { task: best, loss: 'drained' })
  return [...changes, ...ended]
}

function startBeside({ round, service }: Drain, slot: Slot, task: Task): Change {
  const made = newTask(
    service,
    {
      slot: slot.number,
      nodeId: '',
      desired: 'running',
      after: slot.tasks.at(-1),
      replaces: task,
    },
    round,
  )
  return createTask(made)
}
