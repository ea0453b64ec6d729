/**
 * One slot in a rolling update: what is left to do in it, whether it occupies a worker, and how its
 * task is replaced. Stop-first tells the old task to end in the same step in which the new one is
 * made, held back until the slot is free; start-first lets the old one run until the new one does.
 *
 *                      parallelism allows                new one runs
 *     due ──────────────────────────────────▶ waiting ─────────────────▶ current
 *      │                                         │  ▲
 *      │ its node announced its return           │  └── replaced by the restart reconciler
 *      ▼                                         ▼
 *     postponed                               given-up   (start-first, and no restart allowed)
 *
 * Stop-first passes `waiting` by: its slot is current at once, and busy until the new task ran.
 */
import type { Service, Task } from '../../proto/gen/objects.ts'
import type { UpdateConfig } from '../../proto/gen/specs.ts'
import { isTerminal, isWanted } from '../../proto/task-state.ts'
import { isFenced, wasFenced } from '../model/disconnect.ts'
import { getState, isDead, newTask, wasUnseen } from '../model/task.ts'
import type { Change } from '../store/change.ts'
import type { Round } from '../store/round.ts'
import { isServing } from './disruption.ts'
import { isLeaving } from './leaving.ts'
import { isLost } from './lost.ts'
import {
  createTask,
  endTasks,
  findFinished,
  getFreeMs,
  listByMerit,
  listWanted,
  type Slot,
  updateTask,
} from './slots.ts'

/**
 * - `current`: no wanted task is out of date
 * - `surplus`: a new task runs, or several are new: the others end, which needs no worker
 * - `waiting`: an old task runs until the new one does
 * - `due`: begins when a worker is free
 * - `postponed`: due, but the old task's node is away and nothing there can be stopped
 * - `given-up`: the new task failed for good and the old one goes on
 */
export type SlotWork = {
  readonly kind: 'current' | 'surplus' | 'waiting' | 'due' | 'postponed' | 'given-up'
  readonly slot: Slot
  /** The task of the present spec that stays, if there is one. */
  readonly keep: Task | undefined
  /** Wanted tasks that end now, whatever the parallelism. */
  readonly surplus: readonly Task[]
  /** Wanted tasks that end when the slot is begun. */
  readonly old: readonly Task[]
  /** Tasks of the present spec that this or an earlier update made. */
  readonly made: readonly Task[]
  /** Cluster time, ms, until which the slot occupies a worker; infinite until its task came up. */
  readonly busyUntilMs: number
  /** Whether something runs in the slot. */
  readonly isServing: boolean
  /** Whether a wanted task is out of date. */
  readonly isBehind: boolean
}

export type SlotContext = {
  readonly round: Round
  readonly service: Service
  readonly config: UpdateConfig
  readonly isDirty: (task: Task) => boolean
}

/** What is left to do in the slot. */
export function assessSlot(slot: Slot, context: SlotContext): SlotWork {
  // What leaves a drained node is replaced there (`drain.ts`), by a task of the present spec.
  const { service, round } = context
  const wanted = listWanted(slot.tasks).filter((task) => !isLeaving(round.view, service, task))
  const old = wanted.filter(context.isDirty)
  const [keep, ...extra] = listByMerit(wanted.filter((task) => !context.isDirty(task)))
  const made = slot.tasks.filter((task) => task.madeByUpdate && !context.isDirty(task))
  const isStartFirst = context.config.order === 'start-first' && !old.some(isFenced)
  const base = {
    slot,
    keep,
    old,
    made,
    busyUntilMs: getBusyMs({ slot, made, old, keep }, context),
    isServing: wanted.some((task) => isServing(round.view, task)),
    isBehind: old.length > 0,
  }
  // For one that is lost nothing ends that serves.
  const isGone = keep !== undefined && isLost(round.view, keep, round.now)
  const isMissed = isGone && old.some((task) => isServing(round.view, task))
  if (keep !== undefined && getState(keep) === 'running' && !isMissed)
    return surplusOr('current', { ...base, surplus: [...old, ...extra] })
  // One old task is enough until the slot has its turn, or, start-first, until the new one runs: a
  // second one, left by a start-first update, may hold the very room that another slot waits for.
  const [best, ...worse] = isAnyAway(old, context.round) ? [] : listByMerit(old)
  const isIdle = isStartFirst && best?.desiredState === 'ready' && keep !== undefined
  const surplus = [...extra, ...worse, ...(isIdle ? [best] : [])]
  const work = { ...base, surplus, old: old.filter((task) => !surplus.includes(task)) }
  if (keep !== undefined && work.old.length === 0) return surplusOr('current', work)
  if (keep !== undefined && isStartFirst) return { ...work, kind: 'waiting' }
  return { ...work, kind: kindOfOld(work, context) }
}

/** One or more old tasks are wanted, or none at all is. */
function kindOfOld(
  { slot, old, keep }: Pick<SlotWork, 'slot' | 'old' | 'keep'>,
  { round, service, isDirty }: SlotContext,
): SlotWork['kind'] {
  if (old.length === 0) {
    const finished = findFinished(slot.tasks, round.now)
    return finished !== undefined && isDirty(finished) ? 'due' : 'current'
  }
  const isTried = slot.tasks.some(
    (task) => task.madeByUpdate && task.specVersion === service.specVersion && isDead(task),
  )
  if (isTried && keep === undefined) return 'given-up'
  return isAnyAway(old, round) ? 'postponed' : 'due'
}

/** Whether one of the tasks is on a node that announced its return: nothing there can be stopped. */
function isAnyAway(tasks: readonly Task[], { view }: Round): boolean {
  return tasks.some((task) => view.nodes.get(task.nodeId)?.status?.state === 'disconnected')
}

function surplusOr(kind: 'current', work: Omit<SlotWork, 'kind'>): SlotWork {
  return { ...work, kind: work.surplus.length > 0 ? 'surplus' : kind }
}

/**
 * A task came up when it first ran, or ended without; one whose end was no fault is replaced first.
 * Start-first, the slot is busy besides until the task before, which ends then, is out of the way: or
 * more slots than the parallelism would have two.
 */
function getBusyMs(
  { slot, made, old, keep }: Pick<SlotWork, 'slot' | 'made' | 'old' | 'keep'>,
  { round, config }: SlotContext,
): number {
  const isUp = keep !== undefined && getState(keep) === 'running'
  const before = slot.tasks.filter(
    (task) =>
      !made.includes(task) && (!isWanted(task.desiredState) || (isUp && old.includes(task))),
  )
  const isBeside = config.order === 'start-first' && made.length > 0
  const freeMs = isBeside ? (getFreeMs(round.view, before) ?? Number.POSITIVE_INFINITY) : 0
  return made.reduce((busyMs, task) => {
    const isNoFault = wasUnseen(task, slot.tasks) || wasFenced(task)
    const isUnlucky = isNoFault && isWanted(task.desiredState)
    const upMs = task.runningClusterMs || (isUnlucky ? 0 : task.endedClusterMs)
    if (upMs > 0) return Math.max(busyMs, upMs + config.delayMs)
    return isWanted(task.desiredState) ? Number.POSITIVE_INFINITY : busyMs
  }, freeMs)
}

/** The surplus tasks of a slot are told to end. */
export function endSurplus(work: SlotWork, round: Round): readonly Change[] {
  return endTasks(work.surplus, 'shutdown', round.now)
}

/** The slot is begun: it gets a task of the present spec, or the one it has; old ones may end. */
export function replaceInSlot(
  { slot, keep, old }: SlotWork,
  { round, service, config }: Omit<SlotContext, 'isDirty'>,
): readonly Change[] {
  const isStartFirst = config.order === 'start-first' && !old.some(isFenced)
  const isBeside = isStartFirst && old.some((task) => isRunningWanted(task))
  const endings = isBeside ? [] : endTasks(old, 'shutdown', round.now)
  if (keep !== undefined) return [...endings, updateTask({ ...keep, madeByUpdate: true })]
  const after = slot.tasks.at(-1)
  const replaces = old.at(-1) ?? after
  const made = newTask(
    service,
    {
      slot: slot.number,
      nodeId: slot.nodeId,
      desired: isBeside ? 'running' : 'ready',
      after,
      ...(replaces === undefined ? {} : { replaces }),
      madeByUpdate: true,
    },
    round,
  )
  return [...endings, createTask(made)]
}

/** Whether the task runs, or will without being let. */
function isRunningWanted(task: Task): boolean {
  return task.desiredState === 'running' && !isTerminal(getState(task))
}
