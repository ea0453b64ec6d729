/**
 * Task: how one is made, and the only two ways in which it changes (docs/task-model.md): its desired
 * state by a manager, its status by whoever observed it. Both only go up, and the times that rules
 * use are stamped here, so that every writer stamps them alike. What should change and when is
 * decided by orchestrators, scheduler and handlers.
 */
import { assert } from '../../lib/assert.ts'
import { newId } from '../../lib/id.ts'
import type { Random } from '../../lib/random.ts'
import type { TaskStatus } from '../../proto/gen/objects.ts'
import { emptyTask, emptyTaskStatus, type Service, type Task } from '../../proto/gen/objects.ts'
import type { GenericResource, TaskState } from '../../proto/gen/types.ts'
import { compareTaskState, isTerminal, isWanted } from '../../proto/task-state.ts'

/** When something is written: cluster time for rules, wall time for display, ms. */
export type Stamp = { readonly now: number; readonly wallMs: number }

export type TaskOrigin = {
  /** From 1 on in a replicated service, 0 in a global one. */
  readonly slot: number
  /** Of a global service; empty in a replicated one, whose tasks get theirs by the scheduler. */
  readonly nodeId: string
  /** `ready` holds the task back until its slot is free. */
  readonly desired: 'ready' | 'running'
  /** The newest task of the slot, if there is one. */
  readonly after?: Task | undefined
  /** The task that this one stands in for. */
  readonly replaces?: Task
  /** Cluster time, ms, before which it stays held back. */
  readonly startAfterMs?: number
  /** How many restarts in a row led to it. */
  readonly restartsInRow?: number
  readonly madeByUpdate?: boolean
}

/**
 * A task of the service's current spec, in state `new`. Invariant: the creation times of a slot's
 * tasks differ, and give the order in which they followed each other.
 */
export function newTask(
  service: Service,
  origin: TaskOrigin,
  stamp: Stamp & { readonly random: Random },
): Task {
  assert((origin.slot === 0) === (origin.nodeId !== ''), 'a task has a slot or a node', {
    service: service.id,
    slot: origin.slot,
  })
  const before = origin.after?.createdClusterMs ?? -1
  return {
    ...emptyTask,
    id: newTaskId(service.id, stamp.random),
    serviceId: service.id,
    slot: origin.slot,
    nodeId: origin.nodeId,
    spec: service.spec?.task,
    specVersion: service.specVersion,
    desiredState: origin.desired,
    status: { ...emptyTaskStatus, state: 'new', timestampMs: stamp.wallMs, message: 'created' },
    serviceAnnotations: service.spec?.annotations,
    endpoint: service.spec?.endpoint,
    startAfterMs: origin.startAfterMs ?? 0,
    createdClusterMs: Math.max(stamp.now, before + 1),
    desiredClusterMs: stamp.now,
    replaces: origin.replaces?.id ?? '',
    restartsInRow: origin.restartsInRow ?? 0,
    madeByUpdate: origin.madeByUpdate ?? false,
    jobIteration: service.jobStatus?.iteration ?? 0,
  }
}

/**
 * A new id whose first characters are the last ones of the service's: the tasks of a service lie side
 * by side in the store, so that what is done to many of them touches few of its nodes (docs/store.md).
 */
export function newTaskId(serviceId: string, random: Random): string {
  const shared = serviceId.slice(-SHARED_LENGTH)
  return shared + newId(random).slice(shared.length)
}

/** Of the twelve that clients show of an id seven are left to tell a service's tasks apart. */
const SHARED_LENGTH = 5

/** Whether the task is of a job that was asked for anew since. */
export function isOfOldIteration(task: Task, service: Service): boolean {
  return task.jobIteration !== (service.jobStatus?.iteration ?? 0)
}

/** Whether the task is to run to its end, once. */
export function isJobTask(task: Task): boolean {
  return task.jobIteration > 0
}

/**
 * The task with a desired state that is not below its present one. `desiredClusterMs` says from then
 * on since when; a task that is told to end and then to be removed was told to end the first time.
 */
export function withDesired(task: Task, desired: TaskState, now: number): Task {
  assert(compareTaskState(desired, task.desiredState) >= 0, 'a desired state never goes down', {
    task: task.id,
    from: task.desiredState,
    to: desired,
  })
  if (desired === task.desiredState) return task
  const wasTold = !isWanted(task.desiredState)
  return {
    ...task,
    desiredState: desired,
    desiredClusterMs: wasTold ? task.desiredClusterMs : now,
  }
}

/** Whether the status may be written: an observed state never goes down. */
export function canAdvance(task: Task, state: TaskState): boolean {
  return compareTaskState(state, getState(task)) >= 0
}

/** The task with a status whose state is not below its present one, at cluster time `now`. */
export function withStatus(task: Task, status: TaskStatus, now: number): Task {
  assert(canAdvance(task, status.state), 'an observed state never goes down', {
    task: task.id,
    from: getState(task),
    to: status.state,
  })
  const isFirst = (reached: boolean, stamped: number) => reached && stamped === 0
  return {
    ...task,
    status,
    runningClusterMs: isFirst(status.state === 'running', task.runningClusterMs)
      ? now
      : task.runningClusterMs,
    endedClusterMs: isFirst(isTerminal(status.state), task.endedClusterMs)
      ? now
      : task.endedClusterMs,
  }
}

/** The task with a state that a manager decided; container and ports stay as observed. */
export function withManagerState(
  task: Task,
  state: TaskState,
  said: Stamp & { readonly message: string; readonly error?: string },
): Task {
  const status = {
    ...(task.status ?? emptyTaskStatus),
    state,
    timestampMs: said.wallMs,
    message: said.message,
    error: said.error ?? '',
  }
  return withStatus(task, status, said.now)
}

/** Where a task goes: its node, and what it is given there of the node's generic resources. */
export type Place = {
  readonly nodeId: string
  readonly generic: readonly GenericResource[]
}

/** The task, which waits, as assigned to its place. Written out, for it is done for every task. */
export function withPlace(
  task: Task,
  place: Place,
  said: Stamp & { readonly message: string },
): Task {
  assert(canAdvance(task, 'assigned'), 'only a task that waits is placed', { task: task.id })
  const status = task.status ?? emptyTaskStatus
  return {
    ...task,
    nodeId: place.nodeId,
    assignedGeneric: place.generic,
    status: {
      ...status,
      state: 'assigned',
      timestampMs: said.wallMs,
      message: said.message,
      error: '',
    },
  }
}

/** The observed state. */
export function getState(task: Task): TaskState {
  return task.status?.state ?? 'new'
}

/**
 * Whether the task went with its daemon or its host and nobody saw it end, which says nothing of the
 * task, `before` being the tasks of its slot. One that follows such a one is not believed again: it
 * may be what ends the daemon.
 */
export function wasUnseen(task: Task, before: readonly Task[]): boolean {
  if (getState(task) !== 'failed' || task.status?.unseen !== true) return false
  const replaced = before.find(({ id }) => id === task.replaces)
  return replaced?.specVersion !== task.specVersion || replaced.status?.unseen !== true
}

/** SwarmKit's words. */
export const ENFORCED_MESSAGE = 'task rejected by constraint enforcer'

/** Whether the enforcer took the task from its node; agents reject tasks as well. */
export function wasEnforced(task: Task): boolean {
  return getState(task) === 'rejected' && task.status?.message === ENFORCED_MESSAGE
}

/** Whether the task will never run again: it ended, or never got to a node and is not wanted. */
export function isDead(task: Task): boolean {
  const state = getState(task)
  return (
    isTerminal(state) || (!isWanted(task.desiredState) && compareTaskState(state, 'assigned') < 0)
  )
}

/** For sorting the tasks of one slot, the oldest first. */
export function compareAge(left: Task, right: Task): number {
  return left.createdClusterMs - right.createdClusterMs || (left.id < right.id ? -1 : 1)
}
