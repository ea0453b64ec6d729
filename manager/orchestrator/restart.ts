/**
 * The restart reconciler (swarm-mode.md 2.10). A wanted task that ended, or whose node is lost or
 * drained, is told to end and replaced at once by one that is held back (desired ready: its node
 * fetches the image meanwhile). A held-back task, whoever made it, becomes desired running when its
 * delay is over and its slot is free.
 *
 *     wanted task ──ended──────▶ shutdown + held back until now + delay ──┐
 *                 ──drained────▶ shutdown + held back, no delay ──────────┼─ slot free ─▶ running
 *                 ──node lost──▶ shutdown + held back, no delay ──────────┤
 *                 ──unseen─────▶ shutdown + held back, no delay ──────────┘
 *
 * From when on a task is lost whose node is down stands in `lost.ts`; one that is to be kept for its
 * node stays wanted beside the one that stands in for it (`kept.ts`).
 *
 * Tasks that leave a drained node gently belong to the drain reconciler (`drain.ts`), those of
 * global services on lost or drained nodes to the global orchestrator.
 */
import type { Service, Task } from '../../proto/gen/objects.ts'
import { isTerminal } from '../../proto/task-state.ts'
import { isTaskDirty } from '../model/dirty.ts'
import { isFenced, isKept, wasFenced } from '../model/disconnect.ts'
import { isGlobal } from '../model/mode.ts'
import { countRestarts, getRestartDelayMs } from '../model/restart-delay.ts'
import { getState, newTask, wasEnforced, wasUnseen, withDesired } from '../model/task.ts'
import type { Change } from '../store/change.ts'
import type { Reconcile, Round } from '../store/round.ts'
import { slotKey } from '../store/schema.ts'
import type { View } from '../store/view.ts'
import { lookAtMissing } from './kept.ts'
import { isDrainedGently, isLeaving, startsFirst } from './leaving.ts'
import { findLostMs, getGiveUpMs } from './lost.ts'
import { isSlotKey, type Look, NOTHING, newReconciler, serviceOfKey } from './reconciler.ts'
import { shouldRestart } from './restart-policy.ts'
import {
  createTask,
  endTasks,
  getFreeMs,
  isMissing,
  listSlotTasks,
  listWanted,
  updateTask,
} from './slots.ts'
import { earlier } from './timers.ts'

/**
 * Why a wanted task cannot go on; `unseen`: it went with its daemon or its host, which is back; `fenced`:
 * its agent stopped it, being cut off.
 */
type Loss = 'ended' | 'unseen' | 'fenced' | 'lost' | 'drained'

type Lost = { readonly task: Task; readonly loss: Loss }

export type SlotView = {
  readonly service: Service
  /** The oldest first. */
  readonly tasks: readonly Task[]
}

/** The reconciler; its keys are slots, and services for all slots of theirs. */
export function newRestartReconciler(): Reconcile {
  return newReconciler({
    listTouched,
    lookAt: (round, key) => (isSlotKey(key) ? lookAtSlot(round, key) : lookAtService(round, key)),
    subjectOf: serviceOfKey,
    keysPerRound: 100,
  })
}

/** Slots in which a task may have to be replaced or let go. */
function listTouched({ view, changed }: Round): Iterable<string> {
  if (changed.all) return [...view.services.list()].map((service) => service.id)
  const keys = new Set<string>()
  const touch = (task: Task | undefined): void => {
    const key = task && concerns(view, task) ? slotKey(task) : undefined
    if (key !== undefined) keys.add(key)
  }
  for (const id of changed.ids.tasks) touch(view.tasks.get(id))
  for (const id of changed.ids.nodes) for (const task of view.tasks.by('node', id)) touch(task)
  // What a held-back task waits for depends on its service's spec, and on where the others are.
  const { nodes, services } = changed.ids
  if (nodes.size > 0 || services.size > 0)
    for (const task of [...view.tasks.by('desired', 'ready'), ...view.tasks.by('lost', 'lost')])
      if (nodes.size > 0 || services.has(task.serviceId)) touch(task)
  return keys
}

function lookAtService({ view }: Round, serviceId: string): Look {
  const more = new Set<string>()
  for (const task of view.tasks.by('service', serviceId)) {
    const key = concerns(view, task) ? slotKey(task) : undefined
    if (key !== undefined) more.add(key)
  }
  return { changes: [], more }
}

/** Whether the slot must be looked at because of this task: not for one that is well and wanted. */
function concerns(view: View, task: Task): boolean {
  if (task.desiredState !== 'running' || isMissing(task)) return true
  return findLostMs(view, task) !== undefined || findLoss(view, task, 0) !== undefined
}

function lookAtSlot(round: Round, key: string): Look {
  const tasks = listSlotTasks(round.view, key)
  const service = round.view.services.get(tasks[0]?.serviceId ?? '')
  if (service === undefined) return NOTHING
  const slot = { service, tasks }
  let nextMs: number | undefined
  const changes: Change[] = []
  for (const task of listWanted(tasks)) {
    const loss = findOwnLoss(round, slot, task)
    if (loss === undefined) {
      const lostMs = findLostMs(round.view, task)
      if (lostMs !== undefined && lostMs > round.now) nextMs = earlier(nextMs, lostMs)
    } else if (loss === 'ended' && isHeld(task) && round.now < task.startAfterMs)
      // It failed while it was held back: the delay that was set goes on, or nothing would slow it.
      nextMs = earlier(nextMs, task.startAfterMs)
    else changes.push(...replaceTask(round, slot, { task, loss }))
  }
  // What was changed is looked at again, for its changes come back in the next round.
  if (changes.length > 0) return { changes, nextMs }
  const missing = lookAtMissing(round, service, tasks)
  nextMs = earlier(nextMs, missing.nextMs)
  if (missing.changes.length > 0) return { changes: missing.changes, nextMs }
  const promotion = lookAtHeld(round, slot)
  return { changes: promotion.changes, nextMs: earlier(nextMs, promotion.nextMs) }
}

function isHeld(task: Task): boolean {
  return task.desiredState === 'ready'
}

function findLoss(view: View, task: Task, now: number): Loss | undefined {
  const state = getState(task)
  if (state === 'orphaned') return 'lost'
  if (isTerminal(state)) return wasFenced(task) ? 'fenced' : 'ended'
  const lostMs = findLostMs(view, task)
  if (lostMs !== undefined) return lostMs <= now ? 'lost' : undefined
  return view.nodes.get(task.nodeId)?.spec?.availability === 'drain' ? 'drained' : undefined
}

function findOwnLoss(
  { view, now }: Round,
  { service, tasks }: SlotView,
  task: Task,
): Loss | undefined {
  const loss = findLoss(view, task, now)
  if (loss === 'drained' && isDrainedGently(service)) return undefined
  if (loss === 'ended') return wasUnseen(task, tasks) ? 'unseen' : loss
  return isGlobal(service) && loss !== 'fenced' ? undefined : loss
}

/** The task of the slot is told to end; it gets a successor unless it has one or its policy forbids it. */
export function replaceTask(
  round: Round,
  { service, tasks }: SlotView,
  { task, loss }: Lost,
): readonly Change[] {
  const ended = updateTask(withDesired(task, 'shutdown', round.now))
  const hasSuccessor = listWanted(tasks).some(
    (other) => other.createdClusterMs > task.createdClusterMs,
  )
  const isAllowed =
    shouldRestart(task, tasks, round.now) || isOnTheMove(round, { service, tasks }, { task, loss })
  const isToBeKept = loss === 'lost' && mayBeKept(round, service, task)
  if (!isAllowed && isToBeKept) return []
  if (hasSuccessor || !isAllowed) return [ended]
  const isDrained =
    loss === 'drained' || round.view.nodes.get(task.nodeId)?.spec?.availability === 'drain'
  const isOfUpdate =
    task.madeByUpdate && !isTaskDirty(task, service, round.view.nodes.get(task.nodeId))
  const delayedMs = loss === 'ended' && !isDrained ? round.now + getRestartDelayMs(task) : 0
  const successor = newTask(
    service,
    {
      slot: task.slot,
      nodeId: task.slot === 0 ? task.nodeId : '',
      desired: 'ready',
      after: tasks.at(-1),
      replaces: task,
      // A delay that the task still waited for is not cut short by the loss of its node.
      startAfterMs: isHeld(task) ? Math.max(delayedMs, task.startAfterMs) : delayedMs,
      restartsInRow: countInRowAfter(service, task, loss),
      // What the update made and did not see come up is still the update's elsewhere.
      madeByUpdate: isOfUpdate && loss !== 'ended' && task.runningClusterMs === 0,
    },
    round,
  )
  const lost = isToBeKept ? updateTask({ ...task, lostClusterMs: round.now }) : ended
  return [lost, createTask(successor)]
}

/** Its node is down, and may be back with it in time. */
function mayBeKept({ view, now }: Round, service: Service, task: Task): boolean {
  const node = view.nodes.get(task.nodeId)
  return (
    isKept(task) &&
    getState(task) === 'running' &&
    node !== undefined &&
    node.spec?.availability !== 'drain' &&
    now < getGiveUpMs(view, task) &&
    !isTaskDirty(task, service, node)
  )
}

/**
 * The slot leaves a drained node gently, or is taken from its node by the enforcer within a budget: it
 * is to run elsewhere, not to be done, whatever its policy.
 */
function isOnTheMove({ view }: Round, { service, tasks }: SlotView, { task, loss }: Lost): boolean {
  if (loss === 'drained' && isDrainedGently(service)) return true
  if (wasEnforced(task) && service.spec?.disruptionBudget !== undefined) return true
  return tasks.some((other) => other !== task && isLeaving(view, service, other))
}

/** Only what ended by itself is a restart of the row; another spec begins one of its own. */
function countInRowAfter(service: Service, task: Task, loss: Loss): number {
  if (task.specVersion !== service.specVersion) return 0
  return loss === 'ended' ? countRestarts(task) : task.restartsInRow
}

/**
 * The slot's newest held-back task is let go when its delay is over and the slot is free. Where a
 * task that is up to date may run already it is one too many, and ends.
 */
function lookAtHeld(round: Round, { service, tasks }: SlotView): Look {
  const held = tasks.findLast((task) => isHeld(task) && !isTerminal(getState(task)))
  if (held === undefined) return NOTHING
  const isDirty = (task: Task): boolean =>
    isTaskDirty(task, service, round.view.nodes.get(task.nodeId))
  const running = tasks.filter((task) => task.desiredState === 'running' && !isMissing(task))
  if (running.some((task) => !isDirty(task) && !isLeaving(round.view, service, task)))
    return { changes: endTasks([held], 'shutdown', round.now) }
  const isBeside = startsFirst(service) && !isDirty(held)
  // Beside a fenced task nothing runs.
  const isLetBe = (task: Task): boolean => isBeside && running.includes(task) && !isFenced(task)
  const others = tasks.filter((task) => task !== held && !isLetBe(task))
  const freeMs = getFreeMs(round.view, others)
  if (freeMs === undefined) return NOTHING
  const startMs = Math.max(freeMs, held.startAfterMs)
  if (round.now < startMs) return { changes: [], nextMs: startMs }
  return { changes: [updateTask(withDesired(held, 'running', round.now))] }
}
