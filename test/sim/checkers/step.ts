/**
 * Step: what one committed entry did to the replicated state, as the checkers of tasks look at it:
 * the views before and after, and the tasks that changed. A view costs nothing to keep, so whoever
 * checks compares what the entry names and never walks over everything.
 */
import { changedId, fromStoreChange } from '../../../manager/store/change.ts'
import type { TableName, View } from '../../../manager/store/view.ts'
import type { Task } from '../../../proto/gen/objects.ts'
import type { StoreEntry } from '../../../proto/gen/store.ts'

export type Step = {
  readonly before: View
  readonly after: View
  /** Tasks of the entry, in its order. */
  readonly tasks: readonly TaskStep[]
  /** Ids of the nodes and services of the entry. */
  readonly nodes: readonly string[]
  readonly services: readonly string[]
  /** Everything of the entry. */
  readonly changed: readonly { readonly table: TableName; readonly id: string }[]
}

/** Undefined before its creation, and after its removal. */
export type TaskStep = {
  readonly id: string
  readonly before: Task | undefined
  readonly after: Task | undefined
}

/** A checker of steps: what is wrong with the next one, each problem beginning with its rule. */
export interface StepChecker {
  check(step: Step): Iterable<string>
  /** No step leads to what is now: the state is that of a survivor, who did not have all. */
  restored?(view: View): void
}

/** The step from one view to the next by this entry. */
export function newStep(before: View, after: View, entry: StoreEntry): Step {
  const tasks: TaskStep[] = []
  const nodes: string[] = []
  const services: string[] = []
  const changed: { readonly table: TableName; readonly id: string }[] = []
  for (const change of entry.changes) {
    const { object } = change
    const named = fromStoreChange(change)
    changed.push({ table: named.table, id: changedId(named) })
    if (object?.kind === 'node') nodes.push(object.node.id)
    if (object?.kind === 'service') services.push(object.service.id)
    if (object?.kind !== 'task') continue
    const { id } = object.task
    tasks.push({ id, before: before.tasks.get(id), after: after.tasks.get(id) })
  }
  return { before, after, tasks, nodes, services, changed }
}
