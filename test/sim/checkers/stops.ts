/**
 * What an agent ends (peers.md 3.4, T9): a container is stopped or removed only because a committed
 * state said so. A task that is wanted on the node, and observed to run there, was never given up by
 * any state, so an agent that ends it listened to one that was no longer true. Tasks that were not
 * seen to run may be ended for what the agent itself saw of them: so may those of which only a clone
 * of this host said that they run, for its container is another one, and so may those whose health
 * checks failed as often in a row as their spec allows. So are those that were assigned by an entry
 * which was lost with its quorum: they are wanted on the node, but not by its sets. H1: what has such a check is said to run only
 * when a check has succeeded.
 */
import type { OperationKind } from '../../../agent/task.ts'
import type { View } from '../../../manager/store/view.ts'
import { TaskStateNumber } from '../../../proto/gen/types.ts'

/**
 * What is wrong with this operation of a node's agent; `view` is the committed state. `hasRun`: the
 * agent of this very host has reported that the task runs; `isUnhealthy`: that agent was told often
 * enough that the container does not work; `isLost`: it was not told of the assignment that counts.
 */
export function checkEnding(
  view: View,
  nodeId: string,
  operation: {
    readonly kind: OperationKind
    readonly taskId: string
    readonly hasRun: boolean
    readonly isUnhealthy: boolean
    readonly isLost: boolean
  },
): string | undefined {
  const task = view.tasks.get(operation.taskId)
  if (task === undefined || task.nodeId !== nodeId || operation.isLost) return undefined
  const isWanted = TaskStateNumber[task.desiredState] <= TaskStateNumber.running
  const state = task.status?.state ?? 'new'
  const isGone = TaskStateNumber[state] > TaskStateNumber.running
  if (!isWanted || isGone) return undefined
  const isStopped =
    operation.kind === 'stop' && state === 'running' && operation.hasRun && !operation.isUnhealthy
  return isStopped || operation.kind === 'remove'
    ? `T9: ${nodeId} is about to ${operation.kind} task ${task.id}, which is wanted there and ${state}`
    : undefined
}
