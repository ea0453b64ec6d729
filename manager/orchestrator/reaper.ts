/**
 * The reaper (swarm-mode.md 2.11): old tasks are forgotten. Each slot keeps as many dead tasks as the
 * cluster's history limit says, and enough to count restart attempts by; tasks to be removed go as
 * soon as no node can run them, and those of removed services are told to. It also declares tasks
 * orphaned whose node is gone, or has been down for a day since they were told to end: nobody will
 * ever report them.
 */
import { DAY_MS } from '../../lib/clock.ts'
import type { Node, Service, Task } from '../../proto/gen/objects.ts'
import { compareTaskState, isTerminal, isWanted } from '../../proto/task-state.ts'
import { getState, isDead, withDesired, withManagerState } from '../model/task.ts'
import { isUnderWay } from '../model/update-status.ts'
import type { Change } from '../store/change.ts'
import type { Reconcile, Round } from '../store/round.ts'
import { slotKey } from '../store/schema.ts'
import type { View } from '../store/view.ts'
import { getFencedUntilMs } from './lost.ts'
import { isSlotKey, type Look, NOTHING, newReconciler, serviceOfKey } from './reconciler.ts'
import { findDone, getMaxAttempts } from './restart-policy.ts'
import { listSlotTasks, listWanted, updateTask } from './slots.ts'

/** How long after it was told to end a task on a node that is down is waited for. */
export const ORPHAN_MS: number = DAY_MS
/** Swarm's default, for a cluster whose spec is not there yet. */
const HISTORY_LIMIT = 5

/** The reconciler; its keys are tasks, and slots whose dead tasks may be too many. */
export function newReaper(): Reconcile {
  return newReconciler({
    listTouched,
    lookAt: (round, key) => (isSlotKey(key) ? trimSlot(round, key) : lookAtTask(round, key)),
    subjectOf: (key) => (isSlotKey(key) ? serviceOfKey(key) : { table: 'tasks', id: key }),
    keysPerRound: 500,
  })
}

/**
 * Tasks that changed, or whose service, node or history limit did. An update holds on to the tasks it
 * made and lets go of them when it is over, which a new spec may say by taking its status away.
 */
function listTouched({ view, changed }: Round): Iterable<string> {
  if (changed.all || changed.ids.clusters.size > 0) return listIds(view.tasks.list())
  const ids = new Set(changed.ids.tasks)
  for (const nodeId of changed.ids.nodes)
    for (const id of listIds(view.tasks.by('node', nodeId))) ids.add(id)
  for (const serviceId of changed.ids.services)
    for (const id of listIds(view.tasks.by('service', serviceId))) ids.add(id)
  return ids
}

function listIds(tasks: Iterable<Task>): readonly string[] {
  return [...tasks].map((task) => task.id)
}

function lookAtTask(round: Round, taskId: string): Look {
  const task = round.view.tasks.get(taskId)
  if (task === undefined) return NOTHING
  const changes = decideFate(round, task)
  const key = changes.length === 0 && isDead(task) ? slotKey(task) : undefined
  const inWayMs = getInWayMs(round.view, task)
  return {
    changes,
    nextMs: inWayMs > round.now ? inWayMs : getOrphanMs(round.view, task),
    more: key === undefined ? [] : [key],
  }
}

function decideFate(round: Round, task: Task): readonly Change[] {
  const state = getState(task)
  const isOnNode = compareTaskState(state, 'assigned') >= 0 && !isTerminal(state)
  if (task.desiredState === 'remove' && !isOnNode)
    return getInWayMs(round.view, task) > round.now ? [] : [removeTask(task)]
  if (isOnNode && isOverdue(round, task)) return [orphan(round, task)]
  if (task.desiredState !== 'remove' && round.view.services.get(task.serviceId) === undefined)
    return [updateTask(withDesired(task, 'remove', round.now))]
  return []
}

function isOverdue({ view, now }: Round, task: Task): boolean {
  if (task.nodeId === '') return false
  if (view.nodes.get(task.nodeId) === undefined) return true
  const orphanMs = getOrphanMs(view, task)
  return orphanMs !== undefined && orphanMs <= now
}

/** Until when an orphaned task may run unheard of, being fenced: who takes its slot must know. */
function getInWayMs(view: View, task: Task): number {
  return getState(task) === 'orphaned' ? (getFencedUntilMs(view, task) ?? 0) : 0
}

/** When the task is given up, unless its node comes back; undefined while it may still report. */
function getOrphanMs(view: View, task: Task): number | undefined {
  if (isWanted(task.desiredState) || isDead(task)) return undefined
  const node: Node | undefined = view.nodes.get(task.nodeId)
  if (node?.status?.state !== 'down') return undefined
  return Math.max(task.desiredClusterMs + ORPHAN_MS, getFencedUntilMs(view, task) ?? 0)
}

function orphan(round: Round, task: Task): Change {
  const isGone = round.view.nodes.get(task.nodeId) === undefined
  const error = isGone ? 'the node was removed' : 'the node has been down for 24 hours'
  const { now, wallMs } = round
  return updateTask(
    withManagerState(task, 'orphaned', { now, wallMs, message: 'task orphaned', error }),
  )
}

/** Removes the oldest dead tasks of a slot beyond the limit. */
function trimSlot({ view, now }: Round, key: string): Look {
  const tasks = listSlotTasks(view, key).filter((task) => task.desiredState !== 'remove')
  const dead = tasks.filter((task) => isDead(task) && !isWanted(task.desiredState))
  const limit = getHistoryLimit(view, dead)
  if (limit < 0 || dead.length <= limit) return NOTHING
  const service = view.services.get(tasks[0]?.serviceId ?? '')
  const isFree = listWanted(tasks).length === 0
  const removed = dead
    .slice(0, dead.length - limit)
    .filter((task) => !isMadeByUpdateUnderWay(task, service))
    .filter((task) => task !== findDone(tasks, service?.jobStatus?.iteration ?? 0))
    .filter((task) => !(isFree && task === tasks.at(-1)))
    .filter((task) => getInWayMs(view, task) <= now)
  // The limit may have been raised by one of these, so it is asked for again without them.
  return { changes: removed.map(removeTask), more: removed.length === 0 ? [] : [key] }
}

/** By these the update knows which slots it has been to, and when. */
function isMadeByUpdateUnderWay(task: Task, service: Service | undefined): boolean {
  return task.madeByUpdate && isUnderWay(service?.updateStatus)
}

/** Dead tasks kept in a slot: negative is all. */
function getHistoryLimit(view: View, dead: readonly Task[]): number {
  const [cluster] = view.clusters.list()
  const limit = cluster?.spec?.taskHistoryLimit ?? HISTORY_LIMIT
  const attempts = Math.max(0, ...dead.map(getMaxAttempts))
  return limit < 0 || attempts === 0 ? limit : Math.max(limit, attempts + 1)
}

function removeTask(task: Task): Change {
  return { kind: 'remove', table: 'tasks', id: task.id }
}
