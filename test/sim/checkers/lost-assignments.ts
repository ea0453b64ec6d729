/**
 * Tasks that still wait for a node by the log of a survivor (M10): the entry that assigned them may
 * have been lost with its quorum, while an agent runs them. Its sets do not name such a task, so it
 * ends and forgets what it has of it, although the task is wanted; what is assigned anew is a task of
 * which nobody remembers a start. That holds until the agent has a set with the new assignment, and
 * not for longer, which is why the index of each is kept.
 */

import type { View } from '../../../manager/store/view.ts'
import type { AssignmentMark } from '../../../proto/gen/dispatcher.ts'
import type { Task } from '../../../proto/gen/objects.ts'
import { TaskStateNumber } from '../../../proto/gen/types.ts'
import type { Step, StepChecker } from './step.ts'
import { stateOf } from './task-facts.ts'

export class LostAssignments implements StepChecker {
  /** Task → the index of the entry that assigned it anew; undefined while it waits. */
  #assignedAt = new Map<string, number | undefined>()

  check({ tasks, after }: Step): Iterable<string> {
    for (const task of tasks) {
      if (!this.#isWaiting(task.id)) continue
      if (task.after === undefined) this.#assignedAt.delete(task.id)
      else if (!isWaiting(task.after)) this.#assignedAt.set(task.id, after.index)
    }
    return []
  }

  restored(view: View): void {
    this.#assignedAt = new Map(
      [...view.tasks.list()].filter(isWaiting).map(({ id }) => [id, undefined]),
    )
  }

  /** Whether an agent with this mark, of the present epoch, has not been told of the task (again). */
  isLost(taskId: string, { index }: Pick<AssignmentMark, 'index'>): boolean {
    const assignedAt = this.#assignedAt.get(taskId)
    return this.#isWaiting(taskId) || (assignedAt !== undefined && index < assignedAt)
  }

  #isWaiting(taskId: string): boolean {
    return this.#assignedAt.has(taskId) && this.#assignedAt.get(taskId) === undefined
  }
}

function isWaiting(task: Task): boolean {
  return TaskStateNumber[stateOf(task)] < TaskStateNumber.assigned
}
