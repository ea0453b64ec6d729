/**
 * The replicated orchestrator (swarm-mode.md 2.6): every replicated service has as many filled slots
 * as it wants replicas. It makes tasks for the lowest free numbers, and takes surplus slots away:
 * those that do not run first, then those on nodes with most tasks of the service. What fails or
 * loses its node is replaced by the restart reconciler, what is out of date by the update
 * reconciler, and tasks of removed services are the reaper's.
 */
import type { Service } from '../../proto/gen/objects.ts'
import { isWanted } from '../../proto/task-state.ts'
import { getState, newTask } from '../model/task.ts'
import type { Change } from '../store/change.ts'
import type { Reconcile, Round } from '../store/round.ts'
import { slotKey } from '../store/schema.ts'
import { type Look, NOTHING, newReconciler, serviceOfKey } from './reconciler.ts'
import {
  createTask,
  desiredInSlot,
  endTasks,
  isFilled,
  listSlots,
  listSlotTasks,
  listWanted,
  type Slot,
} from './slots.ts'

/** Tasks that one look at a service makes; for a larger one there is a next look. */
const CREATED_MAX = 500

/** The reconciler; its keys are services. */
export function newReplicatedReconciler(): Reconcile {
  return newReconciler({
    listTouched,
    lookAt,
    subjectOf: serviceOfKey,
    keysPerRound: 20,
  })
}

/** Services that changed, and those with a slot that was given up. */
function listTouched({ view, changed }: Round): Iterable<string> {
  if (changed.all) return [...view.services.list()].map((service) => service.id)
  const ids = new Set(changed.ids.services)
  for (const taskId of changed.ids.tasks) {
    const task = view.tasks.get(taskId)
    // A wanted task fills its slot, and one that is to be removed was given up on purpose.
    if (task === undefined || isWanted(task.desiredState) || task.desiredState === 'remove')
      continue
    const key = slotKey(task)
    if (ids.has(task.serviceId) || key === undefined) continue
    if (listWanted(listSlotTasks(view, key)).length === 0) ids.add(task.serviceId)
  }
  return ids
}

function lookAt(round: Round, serviceId: string): Look {
  const service = round.view.services.get(serviceId)
  const mode = service?.spec?.mode
  if (service === undefined || mode?.kind !== 'replicated') return NOTHING
  const replicas = mode.replicated.replicas
  const slots = listSlots(round.view, service)
  const filled = slots.filter((slot) => isFilled(slot.tasks, round.now))
  const kept = filled.length > replicas ? keepSlots(filled, replicas) : filled
  const used = new Set(kept.map((slot) => slot.number))
  const created: Change[] = []
  for (let number = 1; used.size < replicas && created.length < CREATED_MAX; number++) {
    if (used.has(number)) continue
    used.add(number)
    created.push(createInSlot(round, service, number))
  }
  const given = slots.filter((slot) => !used.has(slot.number))
  const ended = given.flatMap((slot) => endTasks(slot.tasks, 'remove', round.now))
  return { changes: [...ended, ...created], more: used.size < replicas ? [service.id] : [] }
}

/** A slot given up before may still hold a task that is ending: the new one waits for it. */
function createInSlot(round: Round, service: Service, number: number): Change {
  const others = listSlotTasks(round.view, `${service.id}/${number}`)
  const desired = desiredInSlot(round.view, others, round.now)
  const after = others.at(-1)
  return createTask(newTask(service, { slot: number, nodeId: '', desired, after }, round))
}

/** The slots that stay when only `count` of them may. */
function keepSlots(slots: readonly Slot[], count: number): readonly Slot[] {
  const perNode = new Map<string, number>()
  const ranked = slots.map((slot) => {
    const nodeId = findRunningNode(slot)
    if (nodeId === undefined) return { slot, rank: Number.POSITIVE_INFINITY }
    const rank = perNode.get(nodeId) ?? 0
    perNode.set(nodeId, rank + 1)
    return { slot, rank }
  })
  // The n-th slot of every node stays before the next one of any: what is left is spread evenly.
  ranked.sort((left, right) => (left.rank === right.rank ? 0 : left.rank < right.rank ? -1 : 1))
  return ranked.slice(0, count).map(({ slot }) => slot)
}

function findRunningNode(slot: Slot): string | undefined {
  return listWanted(slot.tasks).find((task) => getState(task) === 'running')?.nodeId
}
