/**
 * The update reconciler (swarm-mode.md 2.9): tasks that are out of date are replaced slot by slot, at
 * most `parallelism` slots at once, each of these workers pausing for `delay` after its slot came
 * up. Everything it goes by stands in the service's update status and in the tasks of its slots
 * (`update-slot.ts`), so a new leader carries on in the middle of anything. A task that waits for
 * its slot is promoted by the restart reconciler; whatever fails is replaced there too, and when that is
 * too much for the update is decided in `update-failures.ts`. A paused
 * update is left alone until the spec changes. A rollback is an update to the spec before, by the
 * config for rollbacks of that spec; it never rolls back itself.
 */
import { SECOND_MS } from '../../lib/clock.ts'
import {
  emptyUpdateStatus,
  type Service,
  type Task,
  type UpdateStatus,
} from '../../proto/gen/objects.ts'
import { emptyUpdateConfig, type UpdateConfig } from '../../proto/gen/specs.ts'
import { isWanted } from '../../proto/task-state.ts'
import { isTaskDirty, newDirtyTest } from '../model/dirty.ts'
import { isJob } from '../model/mode.ts'
import {
  findCurrentStatus,
  findUpdateConfig,
  isPaused,
  isRollback,
  isUnderWay,
  rollBack,
} from '../model/update-status.ts'
import type { Change } from '../store/change.ts'
import type { Reconcile, Round } from '../store/round.ts'
import { slotKey } from '../store/schema.ts'
import { countReplaceable } from './disruption.ts'
import { mayStart } from './global.ts'
import { type Look, NOTHING, newReconciler, serviceOfKey } from './reconciler.ts'
import { endTasks, isFilled, listSlots, listSlotTasks, listWanted, type Slot } from './slots.ts'
import { earlier } from './timers.ts'
import {
  assessRoom,
  countFailures,
  type EarlyEnd,
  findLasting,
  getMonitorMs,
  type Update,
} from './update-failures.ts'
import { assessSlot, endSurplus, replaceInSlot, type SlotWork } from './update-slot.ts'

/** What Swarm does where a service has no update config. */
export const DEFAULT_UPDATE: UpdateConfig = {
  ...emptyUpdateConfig,
  parallelism: 1,
  monitorMs: 5 * SECOND_MS,
}

/** The reconciler; its keys are services. */
export function newUpdateReconciler(): Reconcile {
  return newReconciler({
    listTouched,
    lookAt,
    subjectOf: serviceOfKey,
    keysPerRound: 10,
  })
}

/** Services that changed, and those of tasks that changed, or whose node did, in a way that matters. */
function listTouched({ view, changed }: Round): Iterable<string> {
  if (changed.all) return [...view.services.list()].map((service) => service.id)
  const ids = new Set(changed.ids.services)
  const touch = (task: Task | undefined): void => {
    if (task === undefined || ids.has(task.serviceId)) return
    const service = view.services.get(task.serviceId)
    if (service === undefined) return
    if (isUnderWay(service.updateStatus) || isOutOfDate(task, service)) ids.add(service.id)
  }
  for (const id of changed.ids.tasks) touch(view.tasks.get(id))
  for (const id of changed.ids.nodes) for (const task of view.tasks.by('node', id)) touch(task)
  return ids

  /** One that is wanted, or the last of a slot where nothing is. */
  function isOutOfDate(task: Task, service: Service): boolean {
    if (!isTaskDirty(task, service, view.nodes.get(task.nodeId))) return false
    const key = slotKey(task)
    return (
      isWanted(task.desiredState) ||
      (key !== undefined && listWanted(listSlotTasks(view, key)).length === 0)
    )
  }
}

function lookAt(round: Round, serviceId: string): Look {
  const service = round.view.services.get(serviceId)
  // A job that is changed runs anew as a whole.
  if (service === undefined || isJob(service)) return NOTHING
  const status = findCurrentStatus(service)
  if (isPaused(status)) return NOTHING
  // By a status that a completed rollback left nothing new is begun: what is found is an update.
  const isGoing = status !== undefined && isUnderWay(status)
  const running = isGoing ? status : beginStatus(round, service)
  const config = findUpdateConfig({ ...service, updateStatus: running }) ?? DEFAULT_UPDATE
  const works = assessSlots(round, service, config)
  if (works.every(isUpToDate)) {
    const look = isGoing
      ? lookAtEnd(round, { service, status, config, works })
      : forgetStale(service)
    const surplus = works.flatMap((work) => endSurplus(work, round))
    return { ...look, changes: [...look.changes, ...surplus] }
  }
  return lookAtWork(round, { service, status: running, config, works })
}

/** Nothing to do for an update: several tasks that are all up to date are no reason to begin one. */
function isUpToDate({ kind, isBehind }: SlotWork): boolean {
  return kind === 'current' || kind === 'given-up' || (kind === 'surplus' && !isBehind)
}

/** Nothing is out of date: the status of an update to a spec before this one says nothing more. */
function forgetStale(service: Service): Look {
  if (service.updateStatus === undefined || findCurrentStatus(service)) return NOTHING
  return { changes: [updateService(service, undefined)] }
}

function beginStatus(round: Round, service: Service): UpdateStatus {
  return {
    ...emptyUpdateStatus,
    state: 'updating',
    startedMs: round.wallMs,
    startedClusterMs: round.now,
    targetSpecVersion: service.specVersion,
    message: 'update in progress',
  }
}

function assessSlots(round: Round, service: Service, config: UpdateConfig): readonly SlotWork[] {
  const isDirty = newDirtyTest(service, (id) => round.view.nodes.get(id))
  return listSlots(round.view, service)
    .filter((slot) => isFilled(slot.tasks, round.now))
    .map((slot) => {
      const work = assessSlot(slot, { round, service, config, isDirty })
      const isLeft = work.kind === 'due' && !mayBegin(round, service, slot)
      return isLeft ? { ...work, kind: 'current' } : work
    })
}

/** A global service is updated only where it may start tasks: paused nodes are left alone too. */
function mayBegin({ view }: Round, service: Service, slot: Slot): boolean {
  return slot.number !== 0 || mayStart(service, view.nodes.get(slot.nodeId))
}

/** Some slots are not up to date: those that can be begun are, within the parallelism. */
function lookAtWork(round: Round, update: Update): Look {
  const { service, config, works } = update
  const { status, end } = countFailures({ ...update.status, convergedClusterMs: 0 }, update)
  if (end !== undefined) return endEarly(round, service, end)
  const budget = countReplaceable(round, service, config.order === 'start-first')
  const room = assessRoom(round.now, { ...update, status })
  if (room.culprit !== undefined)
    return endEarly(round, service, { status, taskId: room.culprit.id })
  const chosen = chooseSlots(works, config, round.now, Math.min(budget, room.left))
  const isStuck = chosen.length === 0 && budget <= 0 && config.failureAction !== 'continue'
  const culprit = isStuck ? findLasting(works, service) : undefined
  if (culprit !== undefined) return endEarly(round, service, { status, taskId: culprit.id })
  const surplus = works.flatMap((work) => endSurplus(work, round))
  const unused = works.flatMap((work) => (chosen.includes(work) ? [] : listUnused(work)))
  const replaced = chosen.flatMap((work) => replaceInSlot(work, { round, service, config }))
  return {
    changes: [
      ...statusChanges(service, status),
      ...surplus,
      ...endTasks(unused, 'shutdown', round.now),
      ...replaced,
    ],
    nextMs: earlier(room.nextMs, nextWorkerMs(works, round.now)),
  }
}

/**
 * The slots to begin now: what does not run first, for it is not missed; then in order, of which at
 * most `left` may run.
 */
function chooseSlots(
  works: readonly SlotWork[],
  config: UpdateConfig,
  now: number,
  left: number,
): readonly SlotWork[] {
  const due = works.filter((work) => work.kind === 'due')
  const isBusy = (work: SlotWork): boolean => work.busyUntilMs > now
  // A slot that has a worker already, from the spec before, goes on with it; where a task runs, or
  // came up by now, the worker is done with that spec, and the slot waits its turn.
  const isGoing = (work: SlotWork): boolean => work.busyUntilMs === Infinity && !work.isServing
  const going = due.filter(isGoing)
  const waiting = due.filter((work) => !isGoing(work))
  const occupied = works.filter((work) => isBusy(work) && !waiting.includes(work)).length
  const workers = config.parallelism === 0 ? waiting.length : config.parallelism - occupied
  const inOrder = [
    ...waiting.filter((work) => !work.isServing),
    ...waiting.filter((work) => work.isServing).slice(0, left),
  ]
  return [...going, ...inOrder.slice(0, Math.max(0, workers))]
}

/**
 * What was begun in a slot that waits its turn again, for its old task runs and need not leave its node
 * after all: held back as it is, it would keep a worker that another slot is to have.
 */
function listUnused({ kind, isServing, keep }: SlotWork): readonly Task[] {
  return kind === 'due' && isServing && keep?.desiredState === 'ready' ? [keep] : []
}

/** When the next worker ends its delay; tasks that come up are changes, not times. */
function nextWorkerMs(works: readonly SlotWork[], now: number): number | undefined {
  return works
    .map((work) => work.busyUntilMs)
    .filter((atMs) => atMs > now && Number.isFinite(atMs))
    .reduce<number | undefined>(earlier, undefined)
}

/** All slots are up to date: the last ones are watched for a while, then the update is complete. */
function lookAtEnd(round: Round, update: Update): Look {
  const { service, config, works } = update
  const { status, end } = countFailures(update.status, update)
  if (end !== undefined) return endEarly(round, service, end)
  if (works.some((work) => work.busyUntilMs === Infinity))
    return { changes: statusChanges(service, { ...status, convergedClusterMs: 0 }) }
  const convergedClusterMs = status.convergedClusterMs || round.now
  const doneMs = convergedClusterMs + getMonitorMs(config)
  if (round.now < doneMs)
    return {
      changes: statusChanges(service, { ...status, convergedClusterMs }),
      nextMs: doneMs,
    }
  const completed: UpdateStatus = {
    ...status,
    convergedClusterMs,
    ...(isRollback(status)
      ? { state: 'rollback-completed', message: 'rollback completed' }
      : { state: 'completed', message: 'update completed' }),
    completedMs: round.wallMs,
  }
  return { changes: statusChanges(service, completed) }
}

/** The update goes back where its config says so and there is a spec to go back to, or it pauses. */
function endEarly(round: Round, service: Service, { status, taskId }: EarlyEnd): Look {
  const cause = `due to failure or early termination of task ${taskId}`
  if (isRollback(status))
    return pause(service, { ...status, state: 'rollback-paused' }, `rollback paused ${cause}`)
  if (service.spec?.update?.failureAction !== 'rollback')
    return pause(service, { ...status, state: 'paused' }, `update paused ${cause}`)
  const { now, wallMs } = round
  const rolledBack = rollBack(service, { now, wallMs, message: `update rolled back ${cause}` })
  if (rolledBack === undefined)
    return pause(
      service,
      { ...status, state: 'paused' },
      `update paused ${cause}: there is no previous spec to roll back to`,
    )
  return { changes: [{ kind: 'update', table: 'services', object: rolledBack }] }
}

function pause(service: Service, status: UpdateStatus, message: string): Look {
  return { changes: statusChanges(service, { ...status, message }) }
}

function statusChanges(service: Service, status: UpdateStatus): readonly Change[] {
  return isSameStatus(service.updateStatus, status) ? [] : [updateService(service, status)]
}

function isSameStatus(before: UpdateStatus | undefined, after: UpdateStatus): boolean {
  return (
    before !== undefined &&
    before.state === after.state &&
    before.startedClusterMs === after.startedClusterMs &&
    before.targetSpecVersion === after.targetSpecVersion &&
    before.failedTaskIds.length === after.failedTaskIds.length &&
    before.convergedClusterMs === after.convergedClusterMs
  )
}

function updateService(service: Service, updateStatus: UpdateStatus | undefined): Change {
  return { kind: 'update', table: 'services', object: { ...service, updateStatus } }
}
