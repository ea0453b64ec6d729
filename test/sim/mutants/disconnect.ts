/**
 * Mutants of nodes that cannot be reached: when their tasks are lost, what their agents stop by
 * themselves, and which of two stays.
 */
import type { Mutant } from './mutant.ts'

export const disconnectMutants: readonly Mutant[] = [
  {
    name: 'lost-after-ignored',
    file: 'manager/orchestrator/lost.ts',
    search: '  return node.stateSinceMs + getLostAfterMs(task.spec)\n',
    replacement: '  return node.stateSinceMs\n',
    caughtBy: 'D1',
    why: 'a short outage of a node restarts what its user wanted to be left alone',
  },
  {
    name: 'fence-not-waited-for',
    file: 'manager/orchestrator/lost.ts',
    search: 'node.stateSinceMs + getFenceMs(task.spec) : undefined',
    replacement: 'node.stateSinceMs : undefined',
    caughtBy: 'D3',
    why: 'an update lets a second writer run beside one that is cut off and was not stopped yet',
  },
  {
    name: 'fence-forgotten-at-agent-restart',
    file: 'agent/worker.ts',
    search: 'if (isCutOff(entry.record, contactAgeMs))',
    replacement: 'if (this.#isReleased && isCutOff(entry.record, contactAgeMs))',
    caughtBy: 'D3',
    why: 'a daemon that starts again cut off leaves its writer alone beside the one that replaced it',
  },
  {
    name: 'surplus-kept-on-return',
    file: 'manager/orchestrator/kept.ts',
    search: "...endTasks(others, 'shutdown', now)]",
    replacement: ']',
    caughtBy: 'D4',
    why: 'a node that is back with the original leaves its replacement running for good',
  },
]
