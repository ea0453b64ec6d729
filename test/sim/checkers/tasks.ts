/**
 * Invariants of single tasks (peers.md 3.4: T1 to T3, and what of T6 exists): states only go up, each
 * transition is made by its owner, the node never changes, what is written once stays, a task is made
 * for a service that exists, and no id comes back. The table of owners is that of
 * docs/task-model.md, put down here anew. What agents have reported is told by `reported`.
 */
import { isEqual } from '../../../manager/model/equal.ts'
import type { Task } from '../../../proto/gen/objects.ts'
import { type TaskState, TaskStateNumber } from '../../../proto/gen/types.ts'
import { satisfiesAll } from './places.ts'
import type { Step, StepChecker, TaskStep } from './step.ts'
import { hasEnded, isPlaced, stateOf } from './task-facts.ts'

/** Who may write an observed state. */
const OWNER: Readonly<Record<TaskState, 'manager' | 'agent' | 'either' | 'nobody'>> = {
  new: 'manager',
  pending: 'manager',
  assigned: 'manager',
  accepted: 'agent',
  preparing: 'agent',
  ready: 'agent',
  starting: 'agent',
  running: 'agent',
  complete: 'agent',
  shutdown: 'agent',
  failed: 'agent',
  // By the agent where it could not be started, by the enforcer where it may not be there any more.
  rejected: 'either',
  remove: 'nobody',
  orphaned: 'manager',
}

/** The ends that an agent tells of. */
const ENDS: readonly TaskState[] = ['complete', 'shutdown', 'failed', 'rejected']

/** What a task is to do; an orchestrator makes it with one of the first two. */
const DESIRED: readonly TaskState[] = ['ready', 'running', 'shutdown', 'remove']

/** How long a task on a node that is down is waited for after it was told to end, ms. */
const ORPHAN_MS = 24 * 3_600_000

/** Fields of a task that are written once, by who makes it. */
const WRITTEN_ONCE = [
  'serviceId',
  'slot',
  'spec',
  'specVersion',
  'serviceAnnotations',
  'endpoint',
  'replaces',
  'createdClusterMs',
  'startAfterMs',
  'jobIteration',
] as const satisfies readonly (keyof Task)[]

export class TaskChecker implements StepChecker {
  readonly #wasCloned: (nodeId: string) => boolean
  /** Every id that any object ever had. */
  readonly #taskIds = new Set<string>()
  readonly #serviceIds = new Set<string>()
  /** Task → `node state` for what was reported of it. */
  readonly #reported = new Map<string, Set<string>>()

  /**
   * A clone's container of a task is another one than its node's, with other ports. They stand until
   * the host's own agent gets a full set and says otherwise; what it says is held against its container.
   */
  constructor(wasCloned: (nodeId: string) => boolean = () => false) {
    this.#wasCloned = wasCloned
  }

  /** The agent of a node sends this state of a task. */
  reported(nodeId: string, taskId: string, state: TaskState): void {
    const states = this.#reported.get(taskId)
    if (states === undefined) this.#reported.set(taskId, new Set([`${nodeId} ${state}`]))
    else states.add(`${nodeId} ${state}`)
  }

  *check(step: Step): Iterable<string> {
    for (const id of step.services) yield* this.#checkService(step, id)
    for (const task of step.tasks) yield* this.#checkTask(step, task)
  }

  *#checkService({ before, after }: Step, id: string): Iterable<string> {
    if (before.services.get(id) !== undefined || after.services.get(id) === undefined) return
    if (this.#serviceIds.has(id)) yield `T2: the id of service ${id} was used before`
    this.#serviceIds.add(id)
  }

  *#checkTask(step: Step, { id, before, after }: TaskStep): Iterable<string> {
    if (after === undefined) {
      if (before !== undefined) yield* this.#checkRemoved(step, before)
      return
    }
    if (before === undefined) {
      if (this.#taskIds.has(id)) yield `T2: the id of task ${id} was used before`
      this.#taskIds.add(id)
      yield* checkMade(step, after)
    } else {
      yield* checkDirections(before, after)
      yield* checkWrittenOnce(before, after)
      if (!this.#wasCloned(after.nodeId)) yield* checkPorts(before, after)
    }
    yield* this.#checkOwner(step, before, after)
    if (isPlaced(after) && after.nodeId === '')
      yield `T3: task ${id} is ${stateOf(after)} without a node`
  }

  /** A task goes when no node can run it any more: that it ended may be told by the same entry. */
  *#checkRemoved(step: Step, task: Task): Iterable<string> {
    if (!isPlaced(task) || mayBeOrphaned(step, task)) return
    const reported = this.#reported.get(task.id)
    if (ENDS.some((state) => reported?.has(`${task.nodeId} ${state}`))) return
    if (mayBeRejected(step, task)) return
    yield `T1: task ${task.id} was removed while it is ${stateOf(task)} on ${task.nodeId}`
  }

  /** T1: the observed state was written by whom it belongs to. */
  *#checkOwner(step: Step, before: Task | undefined, after: Task): Iterable<string> {
    const state = stateOf(after)
    const was = before === undefined ? undefined : stateOf(before)
    if (state === was) return
    const owner = OWNER[state]
    const wasReported = this.#reported.get(after.id)?.has(`${after.nodeId} ${state}`) === true
    if (owner === 'nobody') yield `T1: task ${after.id} is observed as ${state}`
    if (owner === 'agent' && !wasReported)
      yield `T1: task ${after.id} became ${state}, which ${after.nodeId || 'no node'} never reported`
    // An agent knows only what an earlier entry assigned, or one that was lost with its quorum.
    if (owner === 'agent' && (was === 'new' || was === 'pending'))
      yield `T1: task ${after.id} became ${state} before it was assigned`
    if (state === 'orphaned' && !mayBeOrphaned(step, after))
      yield `T1: task ${after.id} was orphaned while its node ${after.nodeId} is not lost`
    if (state === 'rejected' && !wasReported && (was === undefined || was === 'new'))
      yield `T1: task ${after.id} was rejected before it had a node`
  }
}

/** T1: made by an orchestrator, which decides on nothing that comes later. */
function* checkMade({ before, after }: Step, task: Task): Iterable<string> {
  if (!after.services.get(task.serviceId) && !before.services.get(task.serviceId))
    yield `T2: task ${task.id} was made for service ${task.serviceId}, which does not exist`
  if (!DESIRED.includes(task.desiredState))
    yield `T1: task ${task.id} was made with the desired state ${task.desiredState}`
  if (TaskStateNumber[stateOf(task)] > TaskStateNumber.assigned && !isManagersEnd(task))
    yield `T1: task ${task.id} was made as ${stateOf(task)}`
}

function isManagersEnd(task: Task): boolean {
  return stateOf(task) === 'rejected' || stateOf(task) === 'orphaned'
}

function* checkDirections(before: Task, after: Task): Iterable<string> {
  const was = stateOf(before)
  const state = stateOf(after)
  const { id, desiredState } = after
  if (TaskStateNumber[state] < TaskStateNumber[was])
    yield `T1: task ${id} went back from ${was} to ${state}`
  if (TaskStateNumber[was] >= TaskStateNumber.complete && state !== was)
    yield `T1: task ${id} had ended as ${was} and became ${state}`
  if (TaskStateNumber[desiredState] < TaskStateNumber[before.desiredState])
    yield `T1: desired state of ${id} went back from ${before.desiredState} to ${desiredState}`
  if (!DESIRED.includes(desiredState)) yield `T1: task ${id} is desired ${desiredState}`
  if (before.nodeId !== '' && before.nodeId !== after.nodeId)
    yield `T3: task ${id} moved from ${before.nodeId} to ${after.nodeId}`
}

function* checkWrittenOnce(before: Task, after: Task): Iterable<string> {
  for (const field of WRITTEN_ONCE)
    if (before[field] !== after[field] && !isEqual(before[field], after[field]))
      yield `T1: ${field} of task ${after.id} changed`
}

/** What has ended has none, and may have been ended by an agent whose disk knows nothing of them. */
function* checkPorts(before: Task, after: Task): Iterable<string> {
  if (hasEnded(after)) return
  const had = before.status?.hostPorts ?? []
  if (had.length > 0 && !isEqual(had, after.status?.hostPorts ?? []))
    yield `T6: the ports of task ${after.id} changed while it had them`
}

/** The node is gone, or has been down for long since the task was told to end. */
function mayBeOrphaned({ before, after }: Step, task: Task): boolean {
  const isLost = (view: Step['after']): boolean => {
    const node = view.nodes.get(task.nodeId)
    if (node === undefined) return true
    return node.status?.state === 'down' && task.desiredClusterMs + ORPHAN_MS <= after.timeMs
  }
  return isLost(before) || isLost(after)
}

/** The node is not one any more that the task, or its service's present spec, may be on. */
function mayBeRejected({ before, after }: Step, task: Task): boolean {
  return [before, after].some((view) => {
    const node = view.nodes.get(task.nodeId)
    const placement = view.services.get(task.serviceId)?.spec?.task?.placement
    const constraints = [
      ...(task.spec?.placement?.constraints ?? []),
      ...(placement?.constraints ?? []),
    ]
    return node !== undefined && !satisfiesAll(node, constraints)
  })
}
