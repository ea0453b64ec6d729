/**
 * Invariants of updates and rollbacks beside how many slots they take (swarm-mode.md 2.9): U1 none is
 * called complete before what it made has been watched for the monitor time; U2 what ends within it
 * counts as a failure, and too many of them end the update; U3 a worker waits for the delay before it
 * takes another slot; U4 the status goes only where it may, an update that failed goes back to the
 * very spec before, and a rollback that failed is paused, never rolled back.
 */
import { isEqual } from '../../../manager/model/equal.ts'
import type { View } from '../../../manager/store/view.ts'
import type { Service, Task, UpdateStatus } from '../../../proto/gen/objects.ts'
import { emptyUpdateConfig, type UpdateConfig } from '../../../proto/gen/specs.ts'
import { TaskStateNumber } from '../../../proto/gen/types.ts'
import { isReady, satisfiesAll } from './places.ts'
import { slotOf } from './slots.ts'
import type { Step, StepChecker, TaskStep } from './step.ts'
import { isUpToDate, isWanted, stateOf } from './task-facts.ts'

/** How long the last tasks are watched where a service has no config, ms. */
const MONITOR_MS = 5_000
/** And how much longer than the delay, where that is no shorter than the monitor time. */
const MARGIN_MS = 1_000

type State = UpdateStatus['state'] | 'none'

/** Where the status of one spec version may go from; a new version begins anew. */
const FROM: Readonly<Record<State, readonly State[]>> = {
  none: [],
  // What is out of date again later, such as on a node that was paused, begins it anew.
  updating: ['none', 'completed', 'rollback-completed'],
  paused: ['none', 'updating', 'completed', 'rollback-completed'],
  completed: ['updating'],
  'rollback-started': [],
  'rollback-paused': ['rollback-started'],
  'rollback-completed': ['rollback-started'],
}

export class UpdateChecker implements StepChecker {
  *check(step: Step): Iterable<string> {
    for (const id of step.services) {
      const [before, after] = [step.before.services.get(id), step.after.services.get(id)]
      if (before === undefined || after === undefined) continue
      yield* checkStatus(before, after)
      yield* checkEnd(step.after, before, after)
      yield* checkTooMany(step, before, after)
    }
    const begun = new Set<string>()
    for (const task of step.tasks) {
      yield* checkCounted(step, task)
      if (isBegun(step, task)) begun.add(task.after?.serviceId ?? '')
    }
    for (const id of begun) yield* checkDelay(step, id)
  }
}

/** U4 */
function* checkStatus(before: Service, after: Service): Iterable<string> {
  const { id } = after
  const [was, is] = [stateAt(before), stateAt(after)]
  if (after.specVersion === before.specVersion) {
    if (was !== is && !FROM[is].includes(was) && !isByCompletion(before, is))
      yield `U4: the update of service ${id} was ${was} and is ${is}`
    if (!isEqual(before.spec, after.spec) || !isEqual(before.previousSpec, after.previousSpec))
      yield `U4: the specs of service ${id} changed, and its version did not`
    return
  }
  const isByItself =
    after.updateStatus?.targetSpecVersion === before.specVersion + 1 &&
    after.updateStatus.message.includes('update rolled back due to')
  if (!isByItself) return
  if (was.startsWith('rollback') && was !== 'rollback-completed')
    yield `U4: a rollback of service ${id} was rolled back`
  const isAsked = before.spec?.update?.failureAction === 'rollback'
  if (!isAsked) yield `U4: the update of service ${id} was rolled back, which nobody asked for`
  if (!isEqual(after.spec, before.previousSpec) || after.previousSpec !== undefined)
    yield `U4: service ${id} was rolled back, and not to the spec before`
}

/** A rollback may have been completed in the same entry, and something been out of date again. */
function isByCompletion(before: Service, is: State): boolean {
  const hasConverged = (before.updateStatus?.convergedClusterMs ?? 0) > 0
  return (
    stateAt(before) === 'rollback-started' &&
    hasConverged &&
    FROM[is].includes('rollback-completed')
  )
}

/** Of the present spec version, for a status of an earlier one says nothing of it. */
function stateAt({ updateStatus, specVersion }: Service): State {
  return updateStatus?.targetSpecVersion === specVersion ? updateStatus.state : 'none'
}

/** U1 */
function* checkEnd(view: View, before: Service, after: Service): Iterable<string> {
  const state = stateAt(after)
  if (state !== 'completed' && state !== 'rollback-completed') return
  if (after.specVersion !== before.specVersion || stateAt(before) === state) return
  const monitorMs = monitorOf(configOf(after))
  for (const task of view.tasks.by('service', after.id)) {
    if (!isOfUpdate(task, after) || !isWanted(task)) continue
    const upMs = task.runningClusterMs || task.endedClusterMs
    if (upMs === 0) yield `U1: the update of service ${after.id} is ${state} before ${task.id} ran`
    else if (view.timeMs < upMs + monitorMs)
      yield `U1: the update of service ${after.id} is ${state} ${view.timeMs - upMs} ms after ${task.id} came up, and its monitor time is ${monitorMs} ms`
  }
}

/** U2: it ended within the monitor time, and nobody had told it to. */
function* checkCounted({ before, after }: Step, { before: was, after: task }: TaskStep) {
  if (was === undefined || task === undefined || !isWanted(was) || isWanted(task)) return
  const services = [before, after].map((view) => view.services.get(task.serviceId))
  const [earlier, service] = services
  if (earlier === undefined || service === undefined || !isOfUpdate(task, earlier)) return
  if (!isGoing(stateAt(earlier)) || !isGoing(stateAt(service))) return
  if (service.specVersion !== earlier.specVersion || isToldInTime(was, task)) return
  if (task.slot === 0 && [before, after].some((view) => !isToRun(view, task))) return
  const { status, runningClusterMs, endedClusterMs } = task
  const number = TaskStateNumber[stateOf(task)]
  const hasEnded = number >= TaskStateNumber.complete && stateOf(task) !== 'orphaned'
  // That its daemon, its host or its way to the managers went says nothing of the task.
  if (!hasEnded || status?.unseen === true || status?.fenced === true) return
  if (runningClusterMs > 0 && endedClusterMs - runningClusterMs > monitorOf(configOf(service)))
    return
  if (service.updateStatus?.failedTaskIds.includes(task.id) !== true)
    yield `U2: task ${task.id} ended ${endedClusterMs - runningClusterMs} ms after it ran, and the update of service ${service.id} did not count it`
}

/**
 * A node that takes nothing new, or is none of the service's any more, is reason enough
 * for a global service to tell its task to end.
 */
function isToRun(view: View, { nodeId, serviceId }: Task): boolean {
  const node = view.nodes.get(nodeId)
  const placement = view.services.get(serviceId)?.spec?.task?.placement
  return node !== undefined && isReady(node) && satisfiesAll(node, placement?.constraints ?? [])
}

/** It may have been told to end before it ended: an entry does not say in which order it came about. */
function isToldInTime(was: Task, task: Task): boolean {
  const wasOver = TaskStateNumber[stateOf(was)] >= TaskStateNumber.complete
  return !wasOver && task.desiredClusterMs <= task.endedClusterMs
}

/** U2: with more failures than its ratio allows it does not go on. */
function* checkTooMany(step: Step, before: Service, after: Service): Iterable<string> {
  const { failedTaskIds = [] } = after.updateStatus ?? {}
  const isCounted = failedTaskIds.length > (before.updateStatus?.failedTaskIds.length ?? 0)
  if (!isGoing(stateAt(after)) || after.specVersion !== before.specVersion || !isCounted) return
  const { failureAction, maxFailureRatio } = configOf(after)
  const slots = Math.max(countSlots(step.before, after.id), countSlots(step.after, after.id))
  if (failureAction !== 'continue' && failedTaskIds.length / slots > maxFailureRatio)
    yield `U2: the update of service ${after.id} goes on with ${failedTaskIds.length} failures in ${slots} slots`
}

function countSlots(view: View, id: string): number {
  return new Set([...view.tasks.by('service', id)].map(slotOf)).size
}

/**
 * The step lets an update take a slot: the task is no successor of one that it had made there, or that
 * an update before it had, to the same spec.
 */
function isBegun({ before: view, after: now }: Step, { before, after }: TaskStep): boolean {
  if (before !== undefined || after?.madeByUpdate !== true) return false
  const replaced = view.tasks.get(after.replaces) ?? now.tasks.get(after.replaces)
  const service = now.services.get(after.serviceId)
  if (replaced?.madeByUpdate !== true || service === undefined) return true
  return replaced.specVersion !== after.specVersion && !isUpToDate(replaced, service)
}

/** U3: slots that came up a while ago keep their workers for the delay. */
function* checkDelay({ before, after }: Step, id: string): Iterable<string> {
  const [was, service] = [before.services.get(id), after.services.get(id)]
  if (service === undefined || was?.specVersion !== service.specVersion) return
  if (!isGoing(stateAt(was)) || !isGoing(stateAt(service))) return
  const { parallelism, delayMs } = configOf(service)
  if (parallelism === 0 || delayMs === 0) return
  const known = listBusy(before, was, { timeMs: after.timeMs, delayMs })
  const now = listBusy(after, service, { timeMs: after.timeMs, delayMs })
  // An update before it may have begun the slot, to the same spec.
  const begun = listBusy(before, was, { timeMs: after.timeMs, delayMs, isAnyVersion: true })
  const isNew = [...now].some((slot) => !begun.has(slot))
  if (isNew && now.size > Math.max(parallelism, known.size))
    yield `U3: the update of service ${id} takes ${now.size} slots, of which ${known.size} came up less than ${delayMs} ms ago or not yet, and ${parallelism} are allowed`
}

type Busy = { readonly timeMs: number; readonly delayMs: number; readonly isAnyVersion?: boolean }

/**
 * Slots whose new task has not come up, or did so no longer ago than the delay; `isAnyVersion`: also
 * where it is of a version before, with the same spec.
 */
function listBusy(
  view: View,
  service: Service,
  { timeMs, delayMs, isAnyVersion = false }: Busy,
): ReadonlySet<string> {
  const busy = new Set<string>()
  for (const task of view.tasks.by('service', service.id)) {
    const isAsNow = isAnyVersion && task.madeByUpdate && isUpToDate(task, service)
    if (!isWanted(task) || !(isAsNow || isOfUpdate(task, service))) continue
    const upMs = task.runningClusterMs || task.endedClusterMs
    if (upMs === 0 || timeMs < upMs + delayMs) busy.add(slotOf(task))
  }
  return busy
}

/** What was replaced since, and may come back with its node, is no business of the update's. */
function isOfUpdate(task: Task, { specVersion }: Service): boolean {
  return task.madeByUpdate && task.specVersion === specVersion && task.lostClusterMs === 0
}

function isGoing(state: State): boolean {
  return state === 'updating' || state === 'rollback-started'
}

/** By which config the present spec is come to. */
function configOf(service: Service): UpdateConfig {
  const { update, rollback } = service.spec ?? {}
  const config = stateAt(service).startsWith('rollback') ? rollback : update
  return config ?? { ...emptyUpdateConfig, parallelism: 1, monitorMs: MONITOR_MS }
}

function monitorOf({ delayMs, monitorMs }: UpdateConfig): number {
  return delayMs >= monitorMs ? delayMs + MARGIN_MS : monitorMs
}
