/**
 * Invariants of slots (peers.md 3.4, T8, and the rule of slots in docs/task-model.md): a task is let
 * run only where no other one of its slot is in the way, two run side by side only by a start-first
 * update, and an update takes no more slots at once than its parallelism. What was within an earlier
 * spec's limit may stay so: only what is begun is judged.
 */
import type { View } from '../../../manager/store/view.ts'
import type { Service, Task } from '../../../proto/gen/objects.ts'
import type { UpdateConfig } from '../../../proto/gen/specs.ts'
import type { Step, StepChecker, TaskStep } from './step.ts'
import {
  fenceMsOf,
  hasEnded,
  isFenced,
  isMissing,
  isUpToDate,
  isWanted,
  stateOf,
} from './task-facts.ts'

/** How long a task that was told to end is in the way of the next one, ms. */
const STOP_WAIT_MS = 60_000
const STOP_GRACE_MS = 10_000
const STOP_MARGIN_MS = 10_000

export class SlotChecker implements StepChecker {
  /** Service → slots that its update had taken after the step before. */
  readonly #taken: Map<string, number> = new Map()
  /** Tasks that took their slot for an update: others stand in for what was lost or ended. */
  readonly #takers: Set<string> = new Set();

  *check(step: Step): Iterable<string> {
    const services = new Set(step.services)
    for (const task of step.tasks) {
      if (isLetRun(task)) yield* checkLetRun(step, task.after)
      if (task.after === undefined) this.#takers.delete(task.id)
      else if (isTaker(step, task.before, task.after)) this.#takers.add(task.id)
      services.add((task.after ?? task.before)?.serviceId ?? '')
    }
    for (const id of services) yield* this.#checkUpdate(step.after, id)
  }

  restored(view: View): void {
    this.#taken.clear()
    for (const service of view.services.list())
      this.#taken.set(service.id, this.#countTaken(view, service))
  }

  /** T8: stop-first, so many slots are not ready; start-first, so many have a task too many. */
  *#checkUpdate(view: View, id: string): Iterable<string> {
    const service = view.services.get(id)
    if (service === undefined) {
      this.#taken.delete(id)
      return
    }
    const before = this.#taken.get(id) ?? 0
    const now = this.#countTaken(view, service)
    this.#taken.set(id, now)
    const { parallelism = 1, order = 'stop-first' } = configOf(service) ?? {}
    if (parallelism > 0 && now > Math.max(parallelism, before))
      yield `T8: the ${order} update of service ${id} replaces ${now} slots at once, ${parallelism} are allowed`
  }

  /** Slots whose new task of the present spec neither ran nor failed yet. */
  #countTaken(view: View, service: Service): number {
    const taken = new Set<string>()
    for (const task of view.tasks.by('service', service.id)) {
      const isNew = this.#takers.has(task.id) && task.specVersion === service.specVersion
      const isUp = task.runningClusterMs > 0 || task.endedClusterMs > 0
      if (isNew && isWanted(task) && !isUp) taken.add(slotOf(task))
    }
    return taken.size
  }
}

/** Whether the task takes the place of one that could have gone on, or was taken over by an update. */
function isTaker({ before, after }: Step, was: Task | undefined, task: Task): boolean {
  if (!task.madeByUpdate || was?.madeByUpdate === true) return false
  const replaced = before.tasks.get(task.replaces) ?? after.tasks.get(task.replaces)
  if (was !== undefined || replaced === undefined) return true
  if (standsIn({ before, after }, task)) return false
  const isGone = [before, after].some((view) => {
    const now = view.tasks.get(replaced.id)
    return (
      (now !== undefined && hasEnded(now)) || isLost(view, replaced) || isDrained(view, replaced)
    )
  })
  return !isGone
}

/** In its slot ends one that an update before had made, to the same spec, and that never ran. */
function standsIn({ before, after }: Pick<Step, 'before' | 'after'>, task: Task): boolean {
  const service = after.services.get(task.serviceId)
  return [...before.tasks.by('slot', slotOf(task))].some((other) => {
    const now = after.tasks.get(other.id)
    const isOver = now === undefined || !isWanted(now)
    const isWaitedFor = other.madeByUpdate && isWanted(other) && other.runningClusterMs === 0
    return isWaitedFor && isOver && service !== undefined && isUpToDate(other, service)
  })
}

function isDrained(view: View, task: Task): boolean {
  return view.nodes.get(task.nodeId)?.spec?.availability === 'drain'
}

/** Whether the step lets the task run: makes it or promotes it. */
function isLetRun(task: TaskStep): task is TaskStep & { readonly after: Task } {
  const { before, after } = task
  return after?.desiredState === 'running' && before?.desiredState !== 'running'
}

/** No other task of the slot is in the way of this one. */
function* checkLetRun({ before, after }: Step, task: Task): Iterable<string> {
  // Start-first lets one run beside another, and beside those that older updates are ending.
  const isBeside = isStartFirst(before, task) || isStartFirst(after, task)
  for (const other of after.tasks.by('slot', slotOf(task))) {
    if (isBeside && !isFenced(other)) continue
    if (other.id === task.id || isMissing(other)) continue
    if (isFenced(other)) {
      if (![before, after].some((view) => isOver(view, other, after.timeMs)))
        yield `D3: task ${task.id} is let run while ${other.id} of its slot ${slotOf(task)}, which is fenced, may run`
      continue
    }
    if (hasEnded(other)) continue
    if (isLost(before, other) || isLost(after, other)) continue
    if (other.desiredState === 'running') {
      yield `T8: slot ${slotOf(task)} has tasks ${other.id} and ${task.id} let run at once, and no start-first update`
      continue
    }
    if (other.desiredState === 'ready') continue
    if (other.desiredClusterMs + stopWaitMs(other) > after.timeMs)
      yield `T8: task ${task.id} was let run while ${other.id} of its slot ${slotOf(task)} is ${stateOf(other)} on ${other.nodeId}`
  }
}

/** It was seen to end, or its agent was silent for long enough to have stopped it. */
function isOver(view: View, task: Task, nowMs: number): boolean {
  const node = view.nodes.get(task.nodeId)
  if (stateOf(task) === 'orphaned' && node === undefined)
    return task.endedClusterMs + fenceMsOf(task) <= nowMs
  if (hasEnded(task)) return true
  return node?.status?.state === 'down' && node.stateSinceMs + fenceMsOf(task) <= nowMs
}

function isStartFirst(view: View, task: Task): boolean {
  const service = view.services.get(task.serviceId)
  const { update, rollback } = service?.spec ?? {}
  const orders = [update?.order, rollback?.order]
  return service === undefined || orders.includes('start-first')
}

/** By which config the service is updated now. */
function configOf({ spec, updateStatus }: Service): UpdateConfig | undefined {
  const isRollback = updateStatus?.state.startsWith('rollback') === true
  return isRollback ? spec?.rollback : spec?.update
}

/** The slot of a task as the store's index names it. */
export function slotOf(task: Task): string {
  return task.slot > 0 ? `${task.serviceId}/${task.slot}` : `${task.serviceId}/${task.nodeId}`
}

function isLost(view: View, task: Task): boolean {
  if (task.nodeId === '') return false
  const node = view.nodes.get(task.nodeId)
  return node === undefined || node.status?.state === 'down'
}

function stopWaitMs(task: Task): number {
  const graceMs = task.spec?.container?.stopGraceMs ?? STOP_GRACE_MS
  return Math.max(STOP_WAIT_MS, graceMs + STOP_MARGIN_MS)
}
