/**
 * Failures of a rolling update (swarm-mode.md 2.9): which of its tasks count as failed, when they are too
 * many for its `maxFailureRatio`, and how many more slots it may take down although some failed. Swarm
 * looks at the ratio only once a failure is there, and takes the slot down that goes beyond it. Here
 * what failed and has not come up since uses up what the ratio tolerates, so that the rest serves
 * on. All is read off the update's status and its slots' tasks.
 */
import { SECOND_MS } from '../../lib/clock.ts'
import type { Service, Task, UpdateStatus } from '../../proto/gen/objects.ts'
import type { UpdateConfig } from '../../proto/gen/specs.ts'
import { isTerminal, isWanted } from '../../proto/task-state.ts'
import { wasFenced } from '../model/disconnect.ts'
import { getState, wasEnforced, wasUnseen } from '../model/task.ts'
import { listWanted } from './slots.ts'
import { earlier } from './timers.ts'
import type { SlotWork } from './update-slot.ts'

/** How much longer than the delay an update is watched, where the delay is the longer time. */
const MONITOR_MARGIN_MS = SECOND_MS

export type Update = {
  readonly service: Service
  readonly status: UpdateStatus
  readonly config: UpdateConfig
  readonly works: readonly SlotWork[]
}

/** Too many tasks failed: the status that says so, and which task was the last. */
export type EarlyEnd = { readonly status: UpdateStatus; readonly taskId: string }

/** The status with the failures not counted yet, and whether they are too many for the config. */
export function countFailures(
  status: UpdateStatus,
  { config, works }: Update,
): { readonly status: UpdateStatus; readonly end: EarlyEnd | undefined } {
  const known = new Set(status.failedTaskIds)
  const isNew = (task: Task): boolean => !known.has(task.id) && isFailure(task, config)
  const failed = works.flatMap(({ made, slot }) =>
    made.filter((task) => isNew(task) && !wasUnseen(task, slot.tasks)),
  )
  const last = failed.at(-1)
  if (last === undefined) return { status, end: undefined }
  const failedTaskIds = [...status.failedTaskIds, ...failed.map((task) => task.id)]
  const counted = { ...status, failedTaskIds }
  const isTooMany = failedTaskIds.length / works.length > config.maxFailureRatio
  if (!isTooMany || config.failureAction === 'continue') return { status: counted, end: undefined }
  return { status: counted, end: { status: counted, taskId: last.id } }
}

/** What the failures so far leave an update that takes tasks down first. */
export type Room = {
  /** How many slots may lose what runs there; Infinity where failures do not matter. */
  readonly left: number
  /** Cluster time, ms, at which there may be more without any change. */
  readonly nextMs: number | undefined
  /** The failed task because of which there will never be more. */
  readonly culprit: Task | undefined
}

const ALL_ROOM: Room = { left: Number.POSITIVE_INFINITY, nextMs: undefined, culprit: undefined }

/**
 * Once a task of the update failed, no more slots are down because of it than the ratio tolerates: those
 * that failed, until a task of the new spec ran there for the monitor time, and those under way. Where
 * the failed ones alone use that up, it is too much as soon as one of them fails again when it is
 * restarted, for failures are counted by task; or when none of them will be restarted.
 */
export function assessRoom(now: number, { service, status, config, works }: Update): Room {
  const isFree = config.order === 'start-first' || config.failureAction === 'continue'
  if (isFree || status.failedTaskIds.length === 0) return ALL_ROOM
  const counted = new Set(status.failedTaskIds)
  const monitorMs = getMonitorMs(config)
  const getUpMs = ({ keep, isServing }: SlotWork): number =>
    isServing && keep !== undefined && getState(keep) === 'running'
      ? keep.runningClusterMs + monitorMs
      : Number.POSITIVE_INFINITY
  const failed = works.filter(
    (work) => work.slot.tasks.some((task) => counted.has(task.id)) && getUpMs(work) > now,
  )
  const underWay = works.filter(
    (work) => work.busyUntilMs === Number.POSITIVE_INFINITY && !failed.includes(work),
  )
  const tolerated = countTolerated(works.length, config.maxFailureRatio)
  const nextMs = failed
    .map(getUpMs)
    .filter((atMs) => Number.isFinite(atMs))
    .reduce<number | undefined>(earlier, undefined)
  return {
    left: Math.max(0, tolerated - failed.length - underWay.length),
    nextMs,
    culprit: failed.length < tolerated ? undefined : findCulprit(failed, service),
  }
}

/** The most failures of so many slots that do not exceed the ratio. */
function countTolerated(slots: number, ratio: number): number {
  let count = Math.floor(slots * ratio) + 1
  // As failures are compared with it: a product may be off by one where the quotient is not.
  while (count > 0 && count / slots > ratio) count--
  return count
}

function findCulprit(failed: readonly SlotWork[], service: Service): Task | undefined {
  const lasting = findLasting(failed, service)
  if (lasting !== undefined) return lasting
  const isOver = failed.every(({ slot }) => listWanted(slot.tasks).length === 0)
  return isOver ? failed.at(-1)?.slot.tasks.at(-1) : undefined
}

/**
 * The last task of the present spec in a slot where it failed, and failed again when it was restarted.
 * Where such slots use up the disruption budget the update would wait for them for ever.
 */
export function findLasting(works: readonly SlotWork[], service: Service): Task | undefined {
  for (const { slot } of works) {
    const failed = slot.tasks.filter(
      (task) =>
        task.specVersion === service.specVersion &&
        (getState(task) === 'failed' || getState(task) === 'rejected') &&
        !wasEnforced(task) &&
        !wasUnseen(task, slot.tasks) &&
        !wasFenced(task),
    )
    if (failed.length > 1 && failed.some((task) => task.madeByUpdate)) return failed.at(-1)
  }
  return undefined
}

/**
 * Whether a task made by the update ended too early and unasked. The update reconciler comes before
 * the one that gives up what ended, so that it sees each such task while it is still wanted.
 */
function isFailure(task: Task, config: UpdateConfig): boolean {
  const state = getState(task)
  if (!isWanted(task.desiredState) || !isTerminal(state) || state === 'orphaned') return false
  if (wasFenced(task)) return false
  return (
    task.runningClusterMs === 0 ||
    task.endedClusterMs - task.runningClusterMs <= getMonitorMs(config)
  )
}

/** For how long a task of the update, and at its end the update itself, is watched. */
export function getMonitorMs(config: UpdateConfig): number {
  return config.delayMs >= config.monitorMs ? config.delayMs + MONITOR_MARGIN_MS : config.monitorMs
}
