/**
 * Kept: a task that was lost with its node and replaced, and may have its slot back when the node is
 * back (`Disconnect.keep`, docs/disconnect.md). Until then it is missing: wanted, but of no account in
 * its slot. It is given its slot back where it still runs some seconds after its node returned, by
 * when its agent has told what became of it; it is given up where it could not go on.
 *
 *            lost, another one made               its node is back, and it runs
 *   wanted ─────────────────────────▶ missing ───────────────────────────────────▶ wanted, others end
 *                                        │ ended, out of date, no place for it, a day
 *                                        └───────────────────────────────────────▶ told to end
 */
import { SECOND_MS } from '../../lib/clock.ts'
import type { Service, Task } from '../../proto/gen/objects.ts'
import { isTerminal, isWanted } from '../../proto/task-state.ts'
import { isTaskDirty, matchesPlacement } from '../model/dirty.ts'
import { isKept } from '../model/disconnect.ts'
import { getState } from '../model/task.ts'
import type { Change } from '../store/change.ts'
import type { Round } from '../store/round.ts'
import { getGiveUpMs } from './lost.ts'
import { type Look, NOTHING } from './reconciler.ts'
import { endTasks, isMissing, updateTask } from './slots.ts'

/** An agent that is in session again has told by then how its tasks are. */
const RETURN_SETTLE_MS = 5 * SECOND_MS

/** What comes of the missing tasks of a slot; the oldest that can has it back. */
export function lookAtMissing(round: Round, service: Service, tasks: readonly Task[]): Look {
  const changes: Change[] = []
  const waits: number[] = []
  for (const task of tasks.filter(isMissing)) {
    const fate = decideFate(round, service, task)
    if (fate === 'kept') return { changes: giveBack(round, task, tasks) }
    if (fate === 'given-up') changes.push(...endTasks([task], 'shutdown', round.now))
    else if (Number.isFinite(fate)) waits.push(fate)
  }
  if (changes.length === 0 && waits.length === 0) return NOTHING
  return { changes, nextMs: waits.length === 0 ? undefined : Math.min(...waits) }
}

/** Or until when, in cluster time, nothing comes of it but by a change. */
function decideFate(
  { view, now }: Round,
  service: Service,
  task: Task,
): 'kept' | 'given-up' | number {
  const node = view.nodes.get(task.nodeId)
  if (node === undefined || !isKept(task) || isTerminal(getState(task))) return 'given-up'
  if (isTaskDirty(task, service, node)) return 'given-up'
  switch (node.status?.state) {
    case 'down': {
      const giveUpMs = getGiveUpMs(view, task)
      return now >= giveUpMs ? 'given-up' : giveUpMs
    }
    case 'ready': {
      const isAllowed = node.spec?.availability !== 'drain' && matchesPlacement(service, node)
      if (!isAllowed) return 'given-up'
      const settledMs = node.stateSinceMs + RETURN_SETTLE_MS
      return now >= settledMs ? 'kept' : settledMs
    }
    default:
      return Number.POSITIVE_INFINITY
  }
}

/** Its slot is its own again: whatever stood in for it ends. */
function giveBack({ now }: Round, task: Task, tasks: readonly Task[]): readonly Change[] {
  const others = tasks.filter((other) => other !== task && isWanted(other.desiredState))
  return [updateTask({ ...task, lostClusterMs: 0 }), ...endTasks(others, 'shutdown', now)]
}
