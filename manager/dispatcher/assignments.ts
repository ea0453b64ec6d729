/**
 * AssignmentSet: the tasks of one node as one session was told them, and the next message to it:
 * first the full set, then differences. A node's tasks are those with its id from state `assigned`
 * on, until they are deleted from the store. What the agent itself wrote (status) and what only
 * managers use is no difference. Messages carry the mark that the agent's rule needs (DESIGN
 * section 7); registry credentials stay in the task, for only its own node is sent it.
 */
import { assert } from '../../lib/assert.ts'
import { compareMarks } from '../../proto/assignment-mark.ts'
import type { AssignmentMark, Assignments } from '../../proto/gen/dispatcher.ts'
import type { Task } from '../../proto/gen/objects.ts'
import { compareTaskState } from '../../proto/task-state.ts'
import { isEqual } from '../model/equal.ts'
import { getState } from '../model/task.ts'
import type { View } from '../store/view.ts'

export class AssignmentSet {
  readonly #nodeId: string
  /** Each task as it was when the last message was made. */
  #sent = new Map<string, Task>()
  /** Of the last message; undefined before the full set. */
  #mark: AssignmentMark | undefined
  /** Tasks that may differ from what was sent. Bounded by the tasks of the node. */
  #touched: Set<string> = new Set()

  constructor(nodeId: string) {
    this.#nodeId = nodeId
  }

  /** Of the last message; undefined before the first. */
  get mark(): AssignmentMark | undefined {
    return this.#mark
  }

  /** How many tasks may differ from what was sent. */
  get touched(): number {
    return this.#touched.size
  }

  /** The next message will look at this task. */
  touch(taskId: string): void {
    this.#touched.add(taskId)
  }

  /** The next message will look at everything that is in `view` or was sent. */
  touchAll(view: View): void {
    for (const taskId of this.#sent.keys()) this.#touched.add(taskId)
    for (const task of view.tasks.by('node', this.#nodeId)) this.#touched.add(task.id)
  }

  /** Whether `view` is older than what was sent: nothing may be told from it. */
  isBehind(view: View): boolean {
    return this.#mark !== undefined && compareMarks(markOf(view), this.#mark) < 0
  }

  /** The next message, which counts as sent; undefined when nothing differs. */
  next(view: View): Assignments | undefined {
    assert(!this.isBehind(view), 'assignments never go back', { index: view.index })
    const mark = markOf(view)
    if (this.#mark === undefined) return this.#full(view, mark)
    const updates: Task[] = []
    const removedIds: string[] = []
    for (const taskId of this.#touched) {
      const task = view.tasks.get(taskId)
      const sent = this.#sent.get(taskId)
      if (task !== undefined && this.#isOurs(task)) {
        if (sent === undefined || !isSameAssignment(sent, task)) updates.push(task)
        this.#sent.set(taskId, task)
      } else if (sent !== undefined) {
        removedIds.push(taskId)
        this.#sent.delete(taskId)
      }
    }
    this.#touched.clear()
    if (updates.length === 0 && removedIds.length === 0) return undefined
    const base = this.#mark
    this.#mark = mark
    return { mark, full: false, base, updates, removedIds }
  }

  #full(view: View, mark: AssignmentMark): Assignments {
    const updates = [...view.tasks.by('node', this.#nodeId)].filter((task) => this.#isOurs(task))
    this.#sent = new Map(updates.map((task) => [task.id, task]))
    this.#touched.clear()
    this.#mark = mark
    return { mark, full: true, base: undefined, updates, removedIds: [] }
  }

  #isOurs(task: Task): boolean {
    return task.nodeId === this.#nodeId && compareTaskState(getState(task), 'assigned') >= 0
  }
}

/** The mark of what is computed from `view`. */
export function markOf(view: View): AssignmentMark {
  return { epoch: findEpoch(view) ?? 0, index: view.index }
}

/** The cluster's epoch; undefined in a store that has no cluster yet. */
export function findEpoch(view: View): number | undefined {
  for (const cluster of view.clusters.list()) return cluster.epoch
  return undefined
}

/** Whether an agent would do the same for both. Followers decode each version of an object anew. */
function isSameAssignment(a: Task, b: Task): boolean {
  return (
    a === b ||
    (a.desiredState === b.desiredState &&
      a.specVersion === b.specVersion &&
      isEqual(a.spec, b.spec) &&
      isEqual(a.endpoint, b.endpoint) &&
      isEqual(a.serviceAnnotations, b.serviceAnnotations))
  )
}
