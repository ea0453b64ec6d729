/**
 * The global orchestrator (swarm-mode.md 2.7, 2.8): every global service has one task on each node that
 * may run it, every global job one in each iteration, also where the node came later. A node may that
 * is active, not down, and satisfies the service's constraints; whether platform and resources fit is
 * decided by the scheduler, which leaves the task pending where not. A paused node keeps what runs
 * and gets nothing new. Tasks on nodes that are drained, down, gone or
 * no longer match are shut down, and made anew when the node may again.
 */
import type { Node, Service, Task } from '../../proto/gen/objects.ts'
import { isTerminal, isWanted } from '../../proto/task-state.ts'
import { matchesPlacement } from '../model/dirty.ts'
import { isGlobal } from '../model/mode.ts'
import { getState, isOfOldIteration, newTask } from '../model/task.ts'
import type { Reconcile, Round } from '../store/round.ts'
import { slotKey } from '../store/schema.ts'
import type { View } from '../store/view.ts'
import { findLostMs, getGiveUpMs } from './lost.ts'
import { isSlotKey, type Look, NOTHING, newReconciler, serviceOfKey } from './reconciler.ts'
import { listNeedless } from './restart-policy.ts'
import {
  createTask,
  desiredInSlot,
  endTasks,
  isFilled,
  listSlotTasks,
  listWanted,
} from './slots.ts'
import { earlier } from './timers.ts'

/** The reconciler; its keys are services, and slots: pairs of a service and a node. */
export function newGlobalReconciler(): Reconcile {
  return newReconciler({
    listTouched,
    lookAt: (round, key) => (isSlotKey(key) ? lookAtSlot(round, key) : lookAtService(round, key)),
    subjectOf: serviceOfKey,
    keysPerRound: 500,
  })
}

/** Services that changed, and slots of which the node, or the task in a way that matters, did. */
function listTouched({ view, changed }: Round): Iterable<string> {
  const keys = new Set(changed.all ? listGlobalIds(view) : changed.ids.services)
  if (changed.ids.nodes.size > 0)
    for (const serviceId of listGlobalIds(view))
      for (const nodeId of changed.ids.nodes) keys.add(`${serviceId}/${nodeId}`)
  for (const id of changed.ids.tasks) {
    const task = view.tasks.get(id)
    if (task === undefined || task.slot !== 0) continue
    const key = slotKey(task)
    const isWell = isWanted(task.desiredState) && !isTerminal(getState(task))
    if (!isWell && key !== undefined) keys.add(key)
  }
  return keys
}

function listGlobalIds(view: View): readonly string[] {
  return [...view.services.list()].filter(isGlobal).map((service) => service.id)
}

/** Every node concerns it, and those that are gone while it has tasks there. */
function lookAtService({ view }: Round, serviceId: string): Look {
  const service = view.services.get(serviceId)
  if (service === undefined || !isGlobal(service)) return NOTHING
  const more = new Set<string>()
  for (const node of view.nodes.list()) more.add(`${serviceId}/${node.id}`)
  for (const task of view.tasks.by('service', serviceId)) more.add(`${serviceId}/${task.nodeId}`)
  return { changes: [], more }
}

function lookAtSlot(round: Round, key: string): Look {
  const [serviceId = '', nodeId = ''] = key.split('/')
  const service = round.view.services.get(serviceId)
  if (service === undefined || !isGlobal(service)) return NOTHING
  const node = round.view.nodes.get(nodeId)
  const all = listSlotTasks(round.view, key)
  const old = all.filter((task) => isOfOldIteration(task, service))
  if (old.some((task) => task.desiredState !== 'remove'))
    return { changes: endTasks(old, 'remove', round.now) }
  const tasks = all.filter((task) => !old.includes(task))
  const needless = listNeedless(tasks, service.jobStatus?.iteration ?? 0)
  if (needless.length > 0) return { changes: endTasks(needless, 'shutdown', round.now) }
  const wanted = listWanted(tasks)
  if (node?.status?.state === 'down' && mayKeepUp(service, node)) return lookAtAway(round, wanted)
  if (node === undefined || !mayKeep(service, node))
    return { changes: endTasks(wanted, 'shutdown', round.now) }
  if (node.spec?.availability === 'pause') {
    const ended = wanted.filter((task) => isTerminal(getState(task)))
    return { changes: endTasks(ended, 'shutdown', round.now) }
  }
  if (isFilled(tasks, round.now)) return NOTHING
  const desired = desiredInSlot(round.view, all, round.now)
  const made = newTask(service, { slot: 0, nodeId, desired, after: all.at(-1) }, round)
  return { changes: [createTask(made)] }
}

/** Tasks on a node that is down end when they are lost, unless they are kept for it. */
function lookAtAway({ view, now }: Round, wanted: readonly Task[]): Look {
  const untilMs = (task: Task): number =>
    getState(task) === 'running'
      ? Math.max(findLostMs(view, task) ?? 0, getGiveUpMs(view, task))
      : 0
  const lost = wanted.filter((task) => untilMs(task) <= now)
  const nextMs = wanted
    .filter((task) => !lost.includes(task))
    .reduce<number | undefined>((soonest, task) => earlier(soonest, untilMs(task)), undefined)
  return { changes: endTasks(lost, 'shutdown', now), nextMs }
}

/** Whether tasks of the service may go on running on the node. */
export function mayKeep(service: Service, node: Node): boolean {
  return node.status?.state !== 'down' && mayKeepUp(service, node)
}

/** Whether new ones may be started there: a paused node keeps what it has. */
export function mayStart(service: Service, node: Node | undefined): boolean {
  return node !== undefined && mayKeep(service, node) && node.spec?.availability === 'active'
}

/** Whether they may where the node is not down. */
function mayKeepUp(service: Service, node: Node): boolean {
  return node.spec?.availability !== 'drain' && matchesPlacement(service, node)
}
