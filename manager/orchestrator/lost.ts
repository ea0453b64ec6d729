/**
 * Lost: from when on a task is given up because its node is down (docs/disconnect.md), and how long
 * one whose agent stops it by itself is in the way of another one of its slot although nobody hears
 * of it. Both are sums of what stands in the store, so that every leader finds the same.
 */
import { DAY_MS } from '../../lib/clock.ts'
import type { Task } from '../../proto/gen/objects.ts'
import { getFenceMs, getLostAfterMs, isFenced, isKept } from '../model/disconnect.ts'
import { getState, isDead } from '../model/task.ts'
import type { View } from '../store/view.ts'

/** A node that was down for so long does not get a task back that was to be kept for it. */
export const KEEP_MAX_MS: number = DAY_MS

/**
 * The cluster time from which the task is lost with its node; undefined while that is not down. What
 * was not seen to run is lost at once, and so is all of a node that is drained: somebody decided.
 */
export function findLostMs(view: View, task: Task): number | undefined {
  if (task.nodeId === '') return undefined
  const node = view.nodes.get(task.nodeId)
  if (node === undefined) return 0
  if (node.status?.state !== 'down') return undefined
  const isAway = getState(task) === 'running' && task.desiredState === 'running'
  if (!isAway || node.spec?.availability === 'drain') return 0
  return node.stateSinceMs + getLostAfterMs(task.spec)
}

/** Whether it is given up by now, and replaced in this very step. */
export function isLost(view: View, task: Task, now: number): boolean {
  const lostMs = findLostMs(view, task)
  return lostMs !== undefined && lostMs <= now
}

/** The cluster time from which a task that is to be kept for its node, which is down, is given up. */
export function getGiveUpMs(view: View, task: Task): number {
  const sinceMs = view.nodes.get(task.nodeId)?.stateSinceMs ?? 0
  return isKept(task) ? sinceMs + Math.max(KEEP_MAX_MS, getLostAfterMs(task.spec)) : sinceMs
}

/**
 * The cluster time until which a container of the task may run that only its own agent could stop: 0
 * where there is none, undefined where only a change can say. Of a node that is gone nothing more is
 * heard: it was in contact until that was seen at the latest, which is when the task was orphaned.
 */
export function getFencedUntilMs(view: View, task: Task): number | undefined {
  if (!isFenced(task) || task.nodeId === '') return 0
  const node = view.nodes.get(task.nodeId)
  if (getState(task) === 'orphaned')
    return node === undefined ? task.endedClusterMs + getFenceMs(task.spec) : 0
  if (isDead(task)) return 0
  return node?.status?.state === 'down' ? node.stateSinceMs + getFenceMs(task.spec) : undefined
}
