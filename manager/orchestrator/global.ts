/**
 * The global orchestrator (swarm-mode.md 2.7): every global service has one task on each node that
 * may run it. A node may that is active, not down, and satisfies the service's constraints; whether
 * platform and resources fit is decided by the scheduler, which leaves the task pending where not.
 * A paused node keeps what runs and gets nothing new. Tasks on nodes that are drained, down, gone or
 * no longer match are shut down, and made anew when the node may again.
 */
import type { Node, Service } from '../../proto/gen/objects.ts'
import { isTerminal, isWanted } from '../../proto/task-state.ts'
import { matchesPlacement } from '../model/dirty.ts'
import { getState, newTask } from '../model/task.ts'
import type { Change } from '../store/change.ts'
import type { Outcome, Round } from '../store/round.ts'
import { isolated } from './isolate.ts'
import {
  createTask,
  desiredInSlot,
  endTasks,
  isFilled,
  listSlotTasks,
  listWanted,
} from './slots.ts'

type Pair = { readonly service: Service; readonly nodeId: string }

/** Pairs of a global service and a node of which either, or a task of theirs, changed. */
export function reconcileGlobal(round: Round): Outcome {
  const outcome = isolated(
    listTouched(round),
    ({ service }) => ({ table: 'services', id: service.id }),
    (pair) => changesOf(round, pair),
  )
  return { ...outcome, nextMs: undefined }
}

function listTouched({ view, changed }: Round): readonly Pair[] {
  const touched = new Map<string, Pair>()
  const touch = (service: Service, nodeId: string): void => {
    touched.set(`${service.id}/${nodeId}`, { service, nodeId })
  }
  const services = changed.all ? view.services.list() : listChangedServices()
  for (const service of services) {
    if (!isGlobal(service)) continue
    for (const node of view.nodes.list()) touch(service, node.id)
    for (const task of view.tasks.by('service', service.id)) touch(service, task.nodeId)
  }
  if (changed.all) return [...touched.values()]
  if (changed.ids.nodes.size > 0)
    for (const service of view.services.list())
      if (isGlobal(service)) for (const nodeId of changed.ids.nodes) touch(service, nodeId)
  for (const id of changed.ids.tasks) {
    const task = view.tasks.get(id)
    if (task === undefined || task.slot !== 0) continue
    if (isWanted(task.desiredState) && !isTerminal(getState(task))) continue
    const service = view.services.get(task.serviceId)
    if (service !== undefined && isGlobal(service)) touch(service, task.nodeId)
  }
  return [...touched.values()]

  function listChangedServices(): readonly Service[] {
    return [...changed.ids.services]
      .map((id) => view.services.get(id))
      .filter((service) => service !== undefined)
  }
}

function isGlobal(service: Service): boolean {
  return service.spec?.mode?.kind === 'global'
}

function changesOf(round: Round, { service, nodeId }: Pair): readonly Change[] {
  const node = round.view.nodes.get(nodeId)
  const tasks = listSlotTasks(round.view, `${service.id}/${nodeId}`)
  const wanted = listWanted(tasks)
  if (node === undefined || !mayKeep(service, node)) return endTasks(wanted, 'shutdown', round.now)
  if (node.spec?.availability === 'pause') {
    const ended = wanted.filter((task) => isTerminal(getState(task)))
    return endTasks(ended, 'shutdown', round.now)
  }
  if (isFilled(tasks, round.now)) return []
  const desired = desiredInSlot(round.view, tasks, round.now)
  return [createTask(newTask(service, { slot: 0, nodeId, desired, after: tasks.at(-1) }, round))]
}

/** Whether tasks of the service may go on running on the node. */
export function mayKeep(service: Service, node: Node): boolean {
  return (
    node.spec?.availability !== 'drain' &&
    node.status?.state !== 'down' &&
    matchesPlacement(service, node)
  )
}
