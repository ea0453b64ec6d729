/**
 * Invariants of jobs (swarm-mode.md 2.8, docs/task-model.md): J1 no more slots are at work than may be
 * at one time; J2 there are as many slots as completions are asked for, and one that is done is done:
 * nothing is let run there again; J3 what fails is tried again only as its policy says; J4 what is of
 * an iteration before is neither made nor let run, and soon told to end. Whether a job comes to its
 * end is for `rest.ts`.
 */
import type { View } from '../../../manager/store/view.ts'
import type { Service, Task } from '../../../proto/gen/objects.ts'
import { slotOf } from './slots.ts'
import type { Step, StepChecker } from './step.ts'
import { isWanted, stateOf } from './task-facts.ts'

/**
 * How long the leader may need to tell tasks of an iteration before to end, of cluster time and in
 * entries: it may stand still for long, but writes nothing then.
 */
const ENDING_MS = 5_000
const ENDING_ENTRIES = 20

/** Since when a job is at its iteration: cluster time and log index. */
type Begun = { readonly iteration: number; readonly atMs: number; readonly index: number }

export class JobChecker implements StepChecker {
  /** `slot iteration` → how many tasks took the place of another one there. */
  readonly #retries: Map<string, number> = new Map()
  /** By service. */
  readonly #begun: Map<string, Begun> = new Map();

  *check(step: Step): Iterable<string> {
    const services = new Set(step.services)
    for (const id of services) this.#noteIteration(step.after, id)
    for (const { before, after } of step.tasks) {
      if (before !== undefined) yield* this.#checkOld(step, before)
      if (after === undefined || after.jobIteration === 0) continue
      services.add(after.serviceId)
      if (before === undefined) yield* this.#checkMade(step, after)
      if (after.desiredState === 'running' && before?.desiredState !== 'running')
        yield* checkLetRun(step, after)
    }
    for (const id of services) yield* checkCounts(step.after, id)
  }

  restored(view: View): void {
    this.#retries.clear()
    this.#begun.clear()
    for (const { id } of view.services.list()) this.#noteIteration(view, id)
    for (const task of view.tasks.list()) if (isRetry(task)) this.#count(task)
  }

  #noteIteration({ timeMs, index, services }: View, id: string): void {
    const iteration = iterationOf(services.get(id))
    if (iteration === 0) this.#begun.delete(id)
    else if (this.#begun.get(id)?.iteration !== iteration)
      this.#begun.set(id, { iteration, atMs: timeMs, index })
  }

  /** J4: it is told to end soon after its job was asked for anew. */
  *#checkOld({ before }: Step, task: Task): Iterable<string> {
    const begun = this.#begun.get(task.serviceId)
    if (begun === undefined || task.jobIteration >= begun.iteration || !isWanted(task)) return
    if (before.timeMs < begun.atMs + ENDING_MS || before.index < begun.index + ENDING_ENTRIES)
      return
    yield `J4: task ${task.id} of iteration ${task.jobIteration} of job ${task.serviceId} goes on, which is at ${begun.iteration} since ${before.timeMs - begun.atMs} ms`
  }

  *#checkMade({ before, after }: Step, task: Task): Iterable<string> {
    const { id, serviceId, slot } = task
    const iteration = iterationOf(before.services.get(serviceId))
    if (task.jobIteration < iteration)
      yield `J4: task ${id} was made for iteration ${task.jobIteration} of job ${serviceId}, which is at ${iteration}`
    const total = findService([after, before], task)?.spec?.mode
    if (total?.kind === 'replicatedJob' && slot > total.replicatedJob.totalCompletions)
      yield `J2: task ${id} was made in slot ${slot} of job ${serviceId}, which is to be done ${total.replicatedJob.totalCompletions} times`
    if (!isRetry(task)) return
    const count = this.#count(task)
    const { condition = 'any', maxAttempts = 0, windowMs = 0 } = task.spec?.restart ?? {}
    if (condition === 'none' || (maxAttempts > 0 && windowMs === 0 && count > maxAttempts))
      yield `J3: slot ${slotOf(task)} is tried again by task ${id} for the ${count}. time, ${condition === 'none' ? 0 : maxAttempts} are allowed`
  }

  #count(task: Task): number {
    const key = `${slotOf(task)} ${task.jobIteration}`
    const count = (this.#retries.get(key) ?? 0) + 1
    this.#retries.set(key, count)
    return count
  }
}

/** Nothing of an older iteration, and nothing where the work is done already. */
function* checkLetRun({ before }: Step, task: Task): Iterable<string> {
  const { id, serviceId, jobIteration } = task
  const iteration = iterationOf(before.services.get(serviceId))
  if (jobIteration < iteration)
    yield `J4: task ${id} of iteration ${jobIteration} of job ${serviceId} was let run, which is at ${iteration}`
  for (const other of before.tasks.by('slot', slotOf(task)))
    if (other.jobIteration === jobIteration && stateOf(other) === 'complete')
      yield `J2: task ${id} was let run in slot ${slotOf(task)}, where ${other.id} has done the work`
}

/** J1, and J2: what is done and what is at work is no more than what is asked for. */
function* checkCounts(view: View, id: string): Iterable<string> {
  const service = view.services.get(id)
  const mode = service?.spec?.mode
  if (service === undefined || mode?.kind !== 'replicatedJob') return
  const { maxConcurrent, totalCompletions } = mode.replicatedJob
  const active = new Set<string>()
  const taken = new Set<string>()
  for (const task of view.tasks.by('service', id)) {
    if (task.jobIteration !== iterationOf(service)) continue
    const isDone = stateOf(task) === 'complete'
    if (isWanted(task) && !isDone) active.add(slotOf(task))
    if (isWanted(task) || isDone) taken.add(slotOf(task))
  }
  if (active.size > maxConcurrent)
    yield `J1: job ${id} is at work in ${active.size} slots, ${maxConcurrent} are allowed`
  if (taken.size > totalCompletions)
    yield `J2: job ${id} is done or at work in ${taken.size} slots, ${totalCompletions} are asked for`
}

/** The service as it was in the task's iteration. */
function findService(views: readonly View[], task: Task): Service | undefined {
  return views
    .map((view) => view.services.get(task.serviceId))
    .find((service) => iterationOf(service) === task.jobIteration)
}

/** 0 of what is no job. */
function iterationOf(service: Service | undefined): number {
  return service?.jobStatus?.iteration ?? 0
}

/** Whether the task stands in for one that failed or was lost. */
function isRetry({ jobIteration, replaces }: Task): boolean {
  return jobIteration > 0 && replaces !== ''
}

/** How many completions of its present iteration a job has: slots that are done, each once. */
export function countDone(view: View, service: Service): number {
  const done = new Set<string>()
  for (const task of view.tasks.by('service', service.id))
    if (task.jobIteration === iterationOf(service) && stateOf(task) === 'complete')
      done.add(slotOf(task))
  return done.size
}
