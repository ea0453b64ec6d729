/**
 * The replicated orchestrator (swarm-mode.md 2.6): every replicated service has as many filled slots
 * as it wants replicas. It makes tasks for the lowest free numbers, and takes surplus slots away:
 * those that do not run first, then those on nodes with most tasks of the service. What fails or
 * loses its node is replaced by the restart reconciler, what is out of date by the update
 * reconciler, and tasks of removed services are the reaper's.
 */
import { assert } from '../../lib/assert.ts'
import type { Service } from '../../proto/gen/objects.ts'
import { isWanted } from '../../proto/task-state.ts'
import { getState, newTask } from '../model/task.ts'
import type { Change } from '../store/change.ts'
import type { Outcome, Round } from '../store/round.ts'
import { slotKey } from '../store/schema.ts'
import { isolated } from './isolate.ts'
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

/** Slots without a wanted task, of services that changed and of those whose task was given up. */
export function reconcileReplicated(round: Round): Outcome {
  const touched = round.changed.all ? listAll(round) : listTouched(round)
  const outcome = isolated(
    touched,
    (service) => ({ table: 'services', id: service.id }),
    (service) => changesOf(round, service),
  )
  return { ...outcome, nextMs: undefined }
}

function listAll(round: Round): readonly Service[] {
  return [...round.view.services.list()].filter(isReplicated)
}

function listTouched({ view, changed }: Round): readonly Service[] {
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
  return [...ids]
    .map((id) => view.services.get(id))
    .filter((service) => service !== undefined)
    .filter(isReplicated)
}

function isReplicated(service: Service): boolean {
  return service.spec?.mode?.kind === 'replicated'
}

function changesOf(round: Round, service: Service): readonly Change[] {
  const mode = service.spec?.mode
  assert(mode?.kind === 'replicated', 'the service is replicated', { service: service.id })
  const replicas = mode.replicated.replicas
  const slots = listSlots(round.view, service)
  const filled = slots.filter((slot) => isFilled(slot.tasks, round.now))
  const kept = filled.length > replicas ? keepSlots(filled, replicas) : filled
  const used = new Set(kept.map((slot) => slot.number))
  const created: Change[] = []
  for (let number = 1; used.size < replicas; number++) {
    if (used.has(number)) continue
    used.add(number)
    created.push(createInSlot(round, service, number))
  }
  const given = slots.filter((slot) => !used.has(slot.number))
  return [...given.flatMap((slot) => endTasks(slot.tasks, 'remove', round.now)), ...created]
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
