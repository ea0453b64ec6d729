/**
 * What an agent has on its disk, and that it acts by nothing else (peers.md 3.4, T9). The mark of the
 * last set on the disk never goes back, and is found again at the next start. What is done to a
 * container rests on the task as it stands there: a set that was accepted and not saved yet has no
 * effect, so a crash may forget it, and with it a mark that only the memory held.
 */
import type { OperationKind } from '../../../agent/task.ts'
import { compareMarks, ZERO_MARK } from '../../../proto/assignment-mark.ts'
import {
  type AgentState,
  decodeAgentState,
  emptyAgentState,
  type KnownTask,
} from '../../../proto/gen/agent.ts'
import { encodeTask, type Task } from '../../../proto/gen/objects.ts'
import { TaskStateNumber } from '../../../proto/gen/types.ts'

export class AgentDiskChecker {
  /** Node → what its agent's file holds. */
  #files = new Map<string, Uint8Array>()

  /** The agent's state is on its disk, or is what its next process starts with. */
  holds(nodeId: string, file: Uint8Array | undefined): string | undefined {
    const before = markOf(stateOf(this.#files.get(nodeId)))
    const now = markOf(stateOf(file))
    this.replaced(nodeId, file)
    return compareMarks(now, before) < 0
      ? `T9: the agent of ${nodeId} went back from ${before.index} to ${now.index}`
      : undefined
  }

  /** Its disk was put back to an older one, or lost: what the newer one promised is void. */
  replaced(nodeId: string, file: Uint8Array | undefined): void {
    if (file === undefined) this.#files.delete(nodeId)
    else this.#files.set(nodeId, file)
  }

  /** The agent is about to do this to a container. */
  operation(nodeId: string, kind: OperationKind, task: Task): string | undefined {
    const known = stateOf(this.#files.get(nodeId)).tasks.find((each) => each.task?.id === task.id)
    const reason =
      known === undefined ? 'its disk has no such task' : findDifference(known, kind, task)
    return reason === undefined
      ? undefined
      : `T9: ${nodeId} is about to ${kind} task ${task.id}, but ${reason}`
  }
}

function findDifference(known: KnownTask, kind: OperationKind, task: Task): string | undefined {
  const onDisk = known.task === undefined ? new Uint8Array() : encodeTask(known.task)
  if (Buffer.compare(onDisk, encodeTask(task)) !== 0) return 'its disk has another assignment of it'
  if (kind === 'start' && known.status?.state !== 'starting')
    return `its disk has it as ${known.status?.state}`
  const isWanted = !known.forgotten && TaskStateNumber[task.desiredState] <= TaskStateNumber.running
  // A crash after this must not leave a container that ended well and nobody knows why. One whose
  // task has ended already stays as it ended.
  const state = known.status?.state ?? 'new'
  const isOver = TaskStateNumber[state] > TaskStateNumber.running
  if (kind === 'stop' && isWanted && !isOver) {
    const hasReason = known.failing !== '' || known.status?.health?.state === 'unhealthy'
    return hasReason ? undefined : `its disk has it as ${state} and does not say why`
  }
  if (kind === 'remove' && !known.forgotten) return 'by its disk the task is assigned'
  return undefined
}

function stateOf(file: Uint8Array | undefined): AgentState {
  return file === undefined ? emptyAgentState : decodeAgentState(file)
}

function markOf({ mark }: AgentState): { readonly epoch: number; readonly index: number } {
  return mark ?? ZERO_MARK
}
