/**
 * What is taken down on purpose (docs/task-model.md, drain and disruption budget): no step takes more
 * slots of a service down than its budget leaves, and none at all where tasks start first, unless the
 * drain of their node waits no longer. Slots that are known to be down count, others are given the
 * benefit of the doubt: an entry may hold what happened one after another.
 */
import type { View } from '../../../manager/store/view.ts'
import type { Service, Task } from '../../../proto/gen/objects.ts'
import { slotOf } from './slots.ts'
import type { Step, StepChecker } from './step.ts'
import { isMissing, isWanted, stateOf } from './task-facts.ts'

export class BudgetChecker implements StepChecker {
  *check(step: Step): Iterable<string> {
    const taken = new Map<string, Set<string>>()
    for (const { before, after } of step.tasks) {
      if (before === undefined || !isTakenDown(step, before, after)) continue
      const slots = taken.get(before.serviceId) ?? new Set()
      taken.set(before.serviceId, slots.add(slotOf(before)))
    }
    for (const [id, slots] of taken) yield* checkService(step, id, slots)
  }
}

function* checkService(
  { before, after }: Step,
  id: string,
  slots: ReadonlySet<string>,
): Iterable<string> {
  const services = [before.services.get(id), after.services.get(id)]
  const budgets = services.map((service) => service?.spec?.disruptionBudget?.maxUnavailable)
  const names = [...slots].join(', ')
  if (services.every(startsFirst)) {
    const rejected = [...slots].filter((slot) => [...after.tasks.by('slot', slot)].some(isRejected))
    if (rejected.length < slots.size)
      yield `T8: start-first service ${id} loses ${names} before anything else runs there`
  }
  if (budgets.some((max) => max === undefined)) return
  const max = Math.max(...budgets.map((value) => value ?? 0))
  const down = countDown(before, after, id, slots)
  if (slots.size + down > max)
    yield `T8: service ${id} loses ${names} at once, ${down} of its slots are down, and ${max} may be`
}

/**
 * Slots that want a task and have none that runs, before and after, without those of `taken`. One that
 * was taken away and made anew was nobody's in between: two specs may have been written in one entry,
 * the first with fewer replicas (seed 330008).
 */
function countDown(before: View, after: View, id: string, taken: ReadonlySet<string>): number {
  const then = listDown(before, id)
  const wasTakenAway = (slot: string): boolean =>
    [...before.tasks.by('slot', slot)].some((task) => {
      if (!isWanted(task)) return false
      const now = after.tasks.get(task.id)
      return now === undefined || now.desiredState === 'remove'
    })
  return [...listDown(after, id)].filter(
    (slot) => then.has(slot) && !taken.has(slot) && !wasTakenAway(slot),
  ).length
}

function listDown(view: View, id: string): ReadonlySet<string> {
  const down = new Set<string>()
  for (const task of view.tasks.by('service', id)) if (isWanted(task)) down.add(slotOf(task))
  for (const task of view.tasks.by('service', id)) if (runs(task)) down.delete(slotOf(task))
  return down
}

/** It ran, is to end although it could go on, and nothing else runs in its slot. */
function isTakenDown(step: Step, was: Task, now: Task | undefined): boolean {
  if (!runs(was) || now === undefined || !isOnPurpose(step, now)) return false
  const tasks = [...step.after.tasks.by('slot', slotOf(was))]
  const isGlobal = was.slot === 0
  return !tasks.some(runs) && (!isGlobal || tasks.some(isWanted))
}

/** A manager told it to end, or rejected it, and its node could have run it on. */
function isOnPurpose({ before, after }: Step, task: Task): boolean {
  const isTold = task.desiredState === 'shutdown' && stateOf(task) === 'running'
  if (!isTold && !isRejected(task)) return false
  return [before, after].every((view) => {
    const node = view.nodes.get(task.nodeId)
    if (node === undefined || node.status?.state === 'down') return false
    const isDrained = node.spec?.availability === 'drain'
    return !isDrained || node.drainUntilMs > after.timeMs
  })
}

function runs(task: Task): boolean {
  return task.desiredState === 'running' && stateOf(task) === 'running' && !isMissing(task)
}

/** By the enforcer: agents reject tasks as well. */
function isRejected(task: Task): boolean {
  return stateOf(task) === 'rejected' && task.status?.message.includes('enforcer') === true
}

/** Whatever it is updated by, and only where its tasks can run elsewhere. */
function startsFirst(service: Service | undefined): boolean {
  const { mode, update, rollback } = service?.spec ?? {}
  const orders = [update?.order, rollback?.order]
  return mode?.kind === 'replicated' && orders.every((order) => order === 'start-first')
}
