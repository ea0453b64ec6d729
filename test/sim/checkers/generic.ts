/**
 * Generic resources (swarm-mode.md 1.3; peers.md 3.4, T4): a task that is placed is given as many as it
 * asks for, none that its node does not have, no name that another task on the node still has, and no
 * more than there are. The claims are added up anew from the tasks on the node.
 */
import type { View } from '../../../manager/store/view.ts'
import type { Node, Task } from '../../../proto/gen/objects.ts'
import type { GenericResource } from '../../../proto/gen/types.ts'
import type { Step, StepChecker } from './step.ts'
import { isPlaced } from './task-facts.ts'

export class GenericChecker implements StepChecker {
  *check(step: Step): Iterable<string> {
    for (const { before, after } of step.tasks) {
      if (after === undefined || !isPlaced(after)) continue
      if (before === undefined || !isPlaced(before)) yield* checkGiven(step, after)
      else if (nameAll(before.assignedGeneric) !== nameAll(after.assignedGeneric))
        yield `T4: what task ${after.id} was given of node ${after.nodeId} changed`
    }
  }
}

function* checkGiven({ before, after }: Step, task: Task): Iterable<string> {
  const wanted = listWanted(task)
  if (wanted.length === 0 && task.assignedGeneric.length === 0) return
  const kinds = new Set([...wanted, ...task.assignedGeneric].map(({ kind }) => kind))
  for (const kind of kinds) {
    const [asked, given] = [count(wanted, kind), count(task.assignedGeneric, kind)]
    if (asked !== given)
      yield `T4: task ${task.id} asks for ${asked} ${kind} and was given ${given}`
  }
  const node = after.nodes.get(task.nodeId) ?? before.nodes.get(task.nodeId)
  if (node === undefined) return
  const total = node.description?.resources?.generic ?? []
  for (const { kind, name } of task.assignedGeneric)
    if (name !== '' && !total.some((each) => each.kind === kind && each.name === name))
      yield `T4: task ${task.id} was given ${kind} ${name}, which node ${node.id} does not have`
  for (const other of listHolding(after, task.nodeId)) {
    const twice = task.assignedGeneric.find(
      ({ kind, name }) =>
        other.id !== task.id &&
        name !== '' &&
        other.assignedGeneric.some((each) => each.kind === kind && each.name === name),
    )
    if (twice !== undefined)
      yield `T4: ${twice.kind} ${twice.name} of node ${node.id} is given to task ${task.id} and held by ${other.id}`
  }
  for (const { kind } of wanted) {
    const held = countHeld(after, task.nodeId, kind)
    if (held > count(total, kind))
      yield `T4: node ${node.id} has ${held} ${kind} given of ${count(total, kind)} with task ${task.id}`
  }
}

/** Whether so many of each kind are left on the node as the task asks for. */
export function hasGeneric(view: View, node: Node, task: Task): boolean {
  const total = node.description?.resources?.generic ?? []
  return listWanted(task).every(
    (wanted) => countHeld(view, node.id, wanted.kind) + wanted.count <= count(total, wanted.kind),
  )
}

function listWanted(task: Task): readonly GenericResource[] {
  return task.spec?.resources?.reservations?.generic ?? []
}

function countHeld(view: View, nodeId: string, kind: string): number {
  return listHolding(view, nodeId).reduce(
    (sum, { assignedGeneric }) => sum + count(assignedGeneric, kind),
    0,
  )
}

function listHolding(view: View, nodeId: string): readonly Task[] {
  return [...view.tasks.by('node', nodeId)].filter(isPlaced)
}

function count(resources: readonly GenericResource[], kind: string): number {
  return resources.reduce((sum, each) => (each.kind === kind ? sum + each.count : sum), 0)
}

function nameAll(resources: readonly GenericResource[]): string {
  return resources.map(({ kind, name, count }) => `${kind}/${name}/${count}`).join()
}
