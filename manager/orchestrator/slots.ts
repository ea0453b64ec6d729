/**
 * Slots: the places of a service's tasks, a number in a replicated service and a node in a global
 * one. A slot holds the task that runs there, those that ran before, and sometimes one that waits
 * for its turn. Here is what the orchestrators ask about a slot: whether it is filled, and from when
 * on another task may run in it. Invariant: no two tasks of a slot have the desired state running,
 * but for those of a start-first update.
 */
import { MINUTE_MS, SECOND_MS } from '../../lib/clock.ts'
import type { Service, Task } from '../../proto/gen/objects.ts'
import { isWanted } from '../../proto/task-state.ts'
import { getStopGraceMs, isFenced } from '../model/disconnect.ts'
import { compareAge, getState, isDead, withDesired } from '../model/task.ts'
import type { Change } from '../store/change.ts'
import { slotKey } from '../store/schema.ts'
import type { View } from '../store/view.ts'
import { getFencedUntilMs } from './lost.ts'
import { shouldRestart } from './restart-policy.ts'

/** How long a successor waits for a task that was told to end; SwarmKit's limit. */
export const STOP_WAIT_MS: number = MINUTE_MS
/** And how much longer than its stop grace, where that is longer. */
const STOP_MARGIN_MS = 10 * SECOND_MS

export type Slot = {
  readonly key: string
  /** 0 in a global service. */
  readonly number: number
  /** Empty in a replicated service. */
  readonly nodeId: string
  /** All tasks, the oldest first. */
  readonly tasks: readonly Task[]
}

/** The slots of a service that hold a task of any kind, in ascending order of number or node. */
export function listSlots(view: View, service: Service): readonly Slot[] {
  const slots = new Map<string, Task[]>()
  for (const task of view.tasks.by('service', service.id)) {
    const key = slotKey(task)
    if (key === undefined) continue
    const tasks = slots.get(key)
    if (tasks === undefined) slots.set(key, [task])
    else tasks.push(task)
  }
  return [...slots].map(([key, tasks]) => newSlot(key, tasks)).sort(compareSlots)
}

/** The tasks of one slot, the oldest first. */
export function listSlotTasks(view: View, key: string): readonly Task[] {
  return [...view.tasks.by('slot', key)].sort(compareAge)
}

/** The tasks that are meant to run now or later, without those that another one stands in for. */
export function listWanted(tasks: readonly Task[]): readonly Task[] {
  return tasks.filter((task) => isWanted(task.desiredState) && !isMissing(task))
}

/** Whether it was lost with its node and replaced, and yet may have its slot back (`kept.ts`). */
export function isMissing(task: Task): boolean {
  return task.lostClusterMs > 0 && isWanted(task.desiredState)
}

/**
 * Whether the slot needs no new task: one is wanted there, or its newest one ended for good. Tasks
 * to be removed do not count.
 */
export function isFilled(tasks: readonly Task[], now: number): boolean {
  return listWanted(tasks).length > 0 || findFinished(tasks, now) !== undefined
}

/** The newest task where none is wanted, and the restart policy allows no successor. */
export function findFinished(tasks: readonly Task[], now: number): Task | undefined {
  const kept = tasks.filter((task) => task.desiredState !== 'remove')
  const newest = kept.at(-1)
  if (newest === undefined || listWanted(kept).length > 0) return undefined
  return shouldRestart(newest, kept, now) ? undefined : newest
}

/**
 * The cluster time from which none of these tasks is in the way of another one of their slot: 0 when
 * that is so already, undefined when only a change can make it so. A task is in the way until it
 * ended. One whose node is down, or gone, never reports its end and is not waited for; one whose
 * node announced its return is waited for until the node is back or down. A fenced one is in the way
 * until it has surely ended (`lost.ts`), one that is missing is not.
 */
export function getFreeMs(view: View, tasks: readonly Task[]): number | undefined {
  let freeMs = 0
  for (const task of tasks) {
    if (isMissing(task)) continue
    if (isFenced(task)) {
      const untilMs = isInWay(task) ? undefined : getFencedUntilMs(view, task)
      if (untilMs === undefined) return undefined
      freeMs = Math.max(freeMs, untilMs)
      continue
    }
    if (isDead(task)) continue
    if (isWanted(task.desiredState)) return undefined
    const state = view.nodes.get(task.nodeId)?.status?.state
    if (!view.nodes.get(task.nodeId) || state === 'down') continue
    if (state === 'disconnected') return undefined
    freeMs = Math.max(freeMs, task.desiredClusterMs + getStopWaitMs(task))
  }
  return freeMs
}

/** It may go on, or be let run: nobody knows for how long. */
function isInWay(task: Task): boolean {
  return isWanted(task.desiredState) && !isDead(task)
}

/** Those that run first, then those that are meant to, then the newest. */
export function listByMerit(tasks: readonly Task[]): readonly Task[] {
  const merit = (task: Task): number =>
    (getState(task) === 'running' ? 2 : 0) + (task.desiredState === 'running' ? 1 : 0)
  return tasks.toReversed().sort((left, right) => merit(right) - merit(left))
}

/** Desired running in a slot that is free now, else ready: held back until the slot is free. */
export function desiredInSlot(
  view: View,
  others: readonly Task[],
  now: number,
): 'ready' | 'running' {
  const freeMs = getFreeMs(view, others)
  return freeMs !== undefined && freeMs <= now ? 'running' : 'ready'
}

/** One change for each of the tasks whose desired state is below `desired`. */
export function endTasks(
  tasks: readonly Task[],
  desired: 'shutdown' | 'remove',
  now: number,
): readonly Change[] {
  return tasks
    .filter((task) => task.desiredState !== 'remove' && task.desiredState !== desired)
    .map((task) => updateTask(withDesired(task, desired, now)))
}

export function createTask(task: Task): Change {
  return { kind: 'create', table: 'tasks', object: task }
}

export function updateTask(task: Task): Change {
  return { kind: 'update', table: 'tasks', object: task }
}

function newSlot(key: string, tasks: Task[]): Slot {
  tasks.sort(compareAge)
  const first = tasks[0]
  const number = first?.slot ?? 0
  return { key, number, nodeId: number === 0 ? (first?.nodeId ?? '') : '', tasks }
}

function compareSlots(left: Slot, right: Slot): number {
  return left.number - right.number || (left.key < right.key ? -1 : 1)
}

function getStopWaitMs(task: Task): number {
  return Math.max(STOP_WAIT_MS, getStopGraceMs(task.spec) + STOP_MARGIN_MS)
}
