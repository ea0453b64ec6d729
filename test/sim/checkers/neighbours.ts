/**
 * Affinities (docs/scheduler.md; peers.md 3.4, T7): a task is placed only where a task of each service is
 * that it wants to be near, a service that wants to be near itself beginning anywhere; and never
 * beside one of a service that either of the two wants to be far from. Services are meant by their
 * names, whoever has them now; only tasks that are wanted and have their place count. What is there
 * already stays, whoever comes or goes.
 */
import type { View } from '../../../manager/store/view.ts'
import type { Task } from '../../../proto/gen/objects.ts'
import type { Step, StepChecker } from './step.ts'
import { isPlaced, isWanted } from './task-facts.ts'

export class NeighbourChecker implements StepChecker {
  *check(step: Step): Iterable<string> {
    const came = new Set<string>()
    for (const { before, after } of step.tasks)
      if (after !== undefined && isThere(after) && (before === undefined || !isPlaced(before)))
        came.add(after.id)
    for (const id of came) {
      const task = step.after.tasks.get(id)
      if (task === undefined) continue
      yield* checkFar(step.after, task)
      yield* checkNear(step, task)
    }
  }
}

/** Whichever of the two came first in an entry, the other one must not have come. */
function* checkFar(view: View, task: Task): Iterable<string> {
  const shunned = findShunned(view, task, task.nodeId)
  if (shunned !== undefined)
    yield `T7: task ${task.id} was placed on ${task.nodeId} beside ${shunned.id}, and their services are to be apart`
}

/** Of what an entry changed on the node, the service may have been there in between. */
function* checkNear({ before, after, tasks }: Step, task: Task): Iterable<string> {
  for (const { service, isAnti } of task.spec?.placement?.affinities ?? []) {
    if (isAnti || isNear(before, task, { service, nodeId: task.nodeId })) continue
    if (isNear(after, task, { service, nodeId: task.nodeId })) continue
    const ids = [before, after].map((view) => idOf(view, service))
    const isChanged = tasks.some(
      ({ after: other }) =>
        other !== undefined && other.id !== task.id && ids.includes(other.serviceId),
    )
    if (!isChanged)
      yield `T7: task ${task.id} was placed on ${task.nodeId}, where no task of service ${service} is`
  }
}

/** Whether the other tasks let this one be placed on the node. */
export function mayBeBeside(view: View, task: Task, nodeId: string): boolean {
  const { affinities = [] } = task.spec?.placement ?? {}
  return (
    findShunned(view, task, nodeId) === undefined &&
    affinities.every(({ service, isAnti }) => isAnti || isNear(view, task, { service, nodeId }))
  )
}

/** A task on the node that must not be beside this one. */
function findShunned(view: View, task: Task, nodeId: string): Task | undefined {
  const own = nameOf(task)
  const far = listFar(task)
  const ids = far.map((service) => idOf(view, service))
  for (const other of view.tasks.by('node', nodeId)) {
    if (other.id === task.id || !isThere(other)) continue
    if (ids.includes(other.serviceId) || listFar(other).includes(own)) return other
  }
  return undefined
}

function isNear(
  view: View,
  task: Task,
  { service, nodeId }: { readonly service: string; readonly nodeId: string },
): boolean {
  const id = idOf(view, service)
  const tasks = id === undefined ? [] : [...view.tasks.by('service', id)]
  const there = tasks.filter((other) => other.id !== task.id && isThere(other))
  if (service === nameOf(task) && there.length === 0) return true
  return there.some((other) => other.nodeId === nodeId)
}

function isThere(task: Task): boolean {
  return isWanted(task) && isPlaced(task)
}

function listFar(task: Task): readonly string[] {
  const { affinities = [] } = task.spec?.placement ?? {}
  return affinities.filter(({ isAnti }) => isAnti).map(({ service }) => service)
}

function nameOf(task: Task): string {
  return task.serviceAnnotations?.name ?? ''
}

function idOf(view: View, name: string): string | undefined {
  const [service] = view.services.by('name', name)
  return service?.id
}
