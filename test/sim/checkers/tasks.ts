/**
 * Invariants T1 to T5 of tasks, checked on each committed entry against the state before: a task's
 * observed and desired states never go back, its node never changes, it belongs to a service, and
 * nothing is placed beyond what a node has.
 */

import type { View } from '../../../manager/store/view.ts'
import type { Task } from '../../../proto/gen/objects.ts'
import { decodeStoreEntry } from '../../../proto/gen/store.ts'
import { TaskStateNumber } from '../../../proto/gen/types.ts'
import { isTerminal } from '../../../proto/task-state.ts'

/** What is wrong with the step from `before` to `after` by this entry. */
export function checkTasks(before: View, after: View, data: Uint8Array): readonly string[] {
  if (data.length === 0) return []
  const problems: string[] = []
  const nodes = new Set<string>()
  for (const change of decodeStoreEntry(data).changes) {
    if (change.object?.kind !== 'task' || change.kind === 'remove') continue
    const task = after.tasks.get(change.object.task.id)
    if (task === undefined) continue
    problems.push(...checkTask(before.tasks.get(task.id), task, after))
    if (task.nodeId !== '' && !isTerminal(task.status?.state ?? 'new')) nodes.add(task.nodeId)
  }
  for (const nodeId of nodes) problems.push(...checkNode(before, after, nodeId))
  return problems
}

function checkTask(before: Task | undefined, task: Task, after: View): readonly string[] {
  const problems: string[] = []
  const state = task.status?.state ?? 'new'
  if (before !== undefined) {
    const was = before.status?.state ?? 'new'
    if (TaskStateNumber[state] < TaskStateNumber[was])
      problems.push(`T1: task ${task.id} went back from ${was} to ${state}`)
    if (TaskStateNumber[task.desiredState] < TaskStateNumber[before.desiredState])
      problems.push(
        `T1: desired state of ${task.id} went back from ${before.desiredState} to ${task.desiredState}`,
      )
    if (before.nodeId !== '' && before.nodeId !== task.nodeId)
      problems.push(`T3: task ${task.id} moved from ${before.nodeId} to ${task.nodeId}`)
  } else if (after.services.get(task.serviceId) === undefined) {
    problems.push(
      `T2: task ${task.id} was made for service ${task.serviceId}, which does not exist`,
    )
  }
  if (isPlaced(task) && task.nodeId === '')
    problems.push(`T3: task ${task.id} is ${state} without a node`)
  return problems
}

/** Holds its reservations: a global task has its node before it is placed there. */
function isPlaced(task: Task): boolean {
  const state = task.status?.state ?? 'new'
  return TaskStateNumber[state] >= TaskStateNumber.assigned && !isTerminal(state)
}

/** Only what this entry placed is judged: a node may shrink below what runs on it. */
function checkNode(before: View, after: View, nodeId: string): readonly string[] {
  const total = after.nodes.get(nodeId)?.description?.resources?.nanoCpus
  if (total === undefined) return []
  const used = (view: View): number => {
    let sum = 0
    for (const task of view.tasks.by('node', nodeId))
      if (isPlaced(task)) sum += task.spec?.resources?.reservations?.nanoCpus ?? 0
    return sum
  }
  const now = used(after)
  return now > total && now > used(before)
    ? [`T4: node ${nodeId} has ${now} nano CPUs reserved of ${total}`]
    : []
}
