/**
 * Tasks of nodes that are down (docs/disconnect.md), read off the committed state. D1: none is replaced
 * before it is lost. D2: nor much later. D4: when its node is back, the one stays that is to, and the
 * other ends. How long a fence takes is put down here anew.
 */
import type { View } from '../../../manager/store/view.ts'
import type { Service, Task } from '../../../proto/gen/objects.ts'
import { satisfiesAll } from './places.ts'
import { slotOf } from './slots.ts'
import type { Step, StepChecker } from './step.ts'
import { fenceMsOf, isFenced, isMissing, isWanted, stateOf } from './task-facts.ts'

/** A leader may be late by an election and a stall of its main thread. */
const LATE_MAX_MS = 60_000
const LOOK_EVERY_MS = 5_000
const SETTLE_MS = 5_000

export class DisconnectChecker implements StepChecker {
  #lookedMs = 0;

  *check(step: Step): Iterable<string> {
    for (const { before, after } of step.tasks) {
      if (before === undefined && after !== undefined) yield* checkSuccessor(step, after)
      if (before !== undefined && after !== undefined && isMissing(before))
        yield* checkReturn(step, before, after)
    }
    if (step.after.timeMs - this.#lookedMs < LOOK_EVERY_MS) return
    this.#lookedMs = step.after.timeMs
    for (const task of step.after.tasks.list()) yield* checkLate(step.after, task)
  }

  restored(view: View): void {
    this.#lookedMs = view.timeMs
  }
}

/** Cluster time at which it is lost with its node, which is down and not drained; else undefined. */
function findLostMs(view: View, task: Task): number | undefined {
  const node = view.nodes.get(task.nodeId)
  if (node?.status?.state !== 'down' || node.spec?.availability === 'drain') return undefined
  const fenceMs = isFenced(task) ? fenceMsOf(task) : 0
  return node.stateSinceMs + (task.spec?.disconnect?.lostAfterMs || fenceMs)
}

/** D1: it stands in for one that ran on a node that has not been down for long enough. */
function* checkSuccessor({ before, after }: Step, made: Task): Iterable<string> {
  const was = before.tasks.get(made.replaces)
  const is = after.tasks.get(made.replaces)
  if (made.madeByUpdate || was === undefined || is === undefined) return
  const ran = was.desiredState === 'running' && !isMissing(was) && stateOf(was) === 'running'
  const lostMs = findLostMs(after, was)
  if (!ran || stateOf(is) !== 'running' || lostMs === undefined || isMisplaced(after, was)) return
  // In one entry a node may be turned down and its tasks replaced, or be back after it was replaced.
  const wasLost = (findLostMs(before, was) ?? Number.POSITIVE_INFINITY) <= after.timeMs
  if (!wasLost && after.timeMs < lostMs)
    yield `D1: task ${was.id} is replaced ${Math.round(lostMs - after.timeMs)} ms before it is lost`
  if (isWanted(is) && is.spec?.disconnect?.keep !== 'original')
    yield `D4: task ${is.id} is replaced, is not to be kept, and is wanted`
}

/** Its node must not run it any more, by what somebody wants of the node or of the service. */
function isMisplaced(view: View, { nodeId, serviceId, spec }: Task): boolean {
  const node = view.nodes.get(nodeId)
  const specs = [spec, view.services.get(serviceId)?.spec?.task]
  return specs.some((each) => node && !satisfiesAll(node, each?.placement?.constraints ?? []))
}

/** D4 */
function* checkReturn({ before, after }: Step, was: Task, is: Task): Iterable<string> {
  const slot = [...after.tasks.by('slot', slotOf(is))]
  if (isWanted(is) && is.lostClusterMs === 0) {
    const other = slot.find((task) => task.id !== is.id && isWanted(task))
    if (other !== undefined) yield `D4: task ${is.id} has its slot back and ${other.id} is wanted`
    const node = before.nodes.get(is.nodeId) ?? after.nodes.get(is.nodeId)
    if (stateOf(was) !== 'running' || node?.status?.state === 'down')
      yield `D4: task ${is.id}, ${stateOf(was)}, has its slot back on ${is.nodeId}, ${node?.status?.state}`
  }
  const service = after.services.get(is.serviceId)
  if (is.desiredState !== 'shutdown' || service === undefined || stateOf(is) !== 'running') return
  if (mayBeKept(before, service, was) && mayBeKept(after, service, was) && slot.some(isKeptFor))
    yield `D4: task ${is.id} ends although its node ${is.nodeId} is back with it`

  function isKeptFor(task: Task): boolean {
    return task.id !== is.id && isWanted(task) && !isMissing(task)
  }
}

function mayBeKept(view: View, service: Service, task: Task): boolean {
  const node = view.nodes.get(task.nodeId)
  return (
    node?.status?.state === 'ready' &&
    node.spec?.availability !== 'drain' &&
    service.specVersion === task.specVersion &&
    view.services.get(service.id)?.specVersion === task.specVersion &&
    satisfiesAll(node, service.spec?.task?.placement?.constraints ?? []) &&
    // Of two that were lost one after another the older is kept.
    ![...view.tasks.by('slot', slotOf(task))].some(
      (other) => isMissing(other) && other.createdClusterMs < task.createdClusterMs,
    )
  )
}

/** D2, and D4: what is lost is replaced in bounded time, what is back has its slot or ends. */
function* checkLate(view: View, task: Task): Iterable<string> {
  const service = view.services.get(task.serviceId)
  if (task.desiredState !== 'running' || stateOf(task) !== 'running') return
  if (service === undefined) return
  const node = view.nodes.get(task.nodeId)
  if (isMissing(task)) {
    const sinceMs = node?.status?.state === 'ready' ? node.stateSinceMs : undefined
    if (sinceMs !== undefined && view.timeMs > sinceMs + SETTLE_MS + LATE_MAX_MS)
      yield `D4: task ${task.id} is back on ${task.nodeId} and neither has its slot nor ends`
    return
  }
  const lostMs = findLostMs(view, task)
  if (lostMs !== undefined && view.timeMs > lostMs + LATE_MAX_MS && !isHeldOn(task))
    yield `D2: task ${task.id} was lost with ${task.nodeId} ${view.timeMs - lostMs} ms ago and is wanted`
}

/** It waits for its node, as no other one may be made, or it could run nowhere else. */
function isHeldOn({ slot, spec }: Task): boolean {
  if (spec?.disconnect?.keep !== 'original') return false
  const { condition = 'any', maxAttempts = 0 } = spec.restart ?? {}
  return slot === 0 || condition === 'none' || maxAttempts > 0
}
