/**
 * Order and predicates of TaskState. The order is SwarmKit's (swarm-mode.md 1.4): a task's observed
 * state only goes up, and everything from `complete` on is terminal.
 */
import { type TaskState, TaskStateNumber } from './gen/types.ts'

/** Negative when `a` comes before `b` in a task's life, 0 when equal, positive when after. */
export function compareTaskState(a: TaskState, b: TaskState): number {
  return TaskStateNumber[a] - TaskStateNumber[b]
}

/** Whether a task in this observed state will never run again. */
export function isTerminal(state: TaskState): boolean {
  return TaskStateNumber[state] >= TaskStateNumber.complete
}

/** Whether a task with this desired state is meant to run now or later. */
export function isWanted(desired: TaskState): boolean {
  return TaskStateNumber[desired] <= TaskStateNumber.running
}

/** Whether the task takes room on its node: it may run, or is still running. */
export function isActive(desired: TaskState, observed: TaskState): boolean {
  return TaskStateNumber[desired] <= TaskStateNumber.complete && !isTerminal(observed)
}
