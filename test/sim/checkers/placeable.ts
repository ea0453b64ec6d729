/**
 * Whether a task that waits could be placed now: a second answer to what the scheduler decides, by
 * looking at every node and at everything on it. Start-first with a port on all nodes, too many
 * replicas for the nodes that may have them, a zone that no node is in: such tasks wait rightly.
 */
import type { View } from '../../../manager/store/view.ts'
import type { Node, Task } from '../../../proto/gen/objects.ts'
import { hasGeneric } from './generic.ts'
import { mayBeBeside } from './neighbours.ts'
import { demandOf, type Held, hold, isReady, mayRun } from './places.ts'

/** What every node holds. */
export type Occupation = ReadonlyMap<string, Held>

/** What is placed, read off all tasks. */
export function surveyNodes(view: View): Occupation {
  const held = new Map<string, Held>()
  for (const task of view.tasks.list()) hold(held, task)
  return held
}

/** A node that the task could have now; undefined where it has to wait. */
export function findPlace(view: View, occupation: Occupation, task: Task): Node | undefined {
  for (const node of view.nodes.list()) {
    if (task.nodeId !== '' && task.nodeId !== node.id) continue
    if (!isReady(node) || !mayRun(task, node)) continue
    if (!hasRoom(node, occupation.get(node.id), task) || !hasGeneric(view, node, task)) continue
    if (mayBeBeside(view, task, node.id)) return node
  }
  return undefined
}

function hasRoom(node: Node, held: Held | undefined, task: Task): boolean {
  const { nanoCpus, memoryBytes, ports } = demandOf(task)
  const total = node.description?.resources
  const max = task.spec?.placement?.maxReplicas ?? 0
  return (
    (nanoCpus === 0 || (held?.nanoCpus ?? 0) + nanoCpus <= (total?.nanoCpus ?? 0)) &&
    (memoryBytes === 0 || (held?.memoryBytes ?? 0) + memoryBytes <= (total?.memoryBytes ?? 0)) &&
    !ports.some((port) => held?.ports.has(port) === true) &&
    (max === 0 || (held?.tasks.get(task.serviceId)?.size ?? 0) < max)
  )
}
