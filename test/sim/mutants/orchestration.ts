/**
 * Mutants of the control loops: placement, slots, restarts and updates.
 */
import type { Mutant } from './mutant.ts'

export const orchestrationMutants: readonly Mutant[] = [
  {
    name: 'place-without-reservations',
    file: 'manager/scheduler/node-info.ts',
    search: '    info.nanoCpus += sign * reserved.nanoCpus\n',
    replacement: '',
    caughtBy: 'T4',
    why: 'nodes are given more than they have',
  },
  {
    name: 'host-port-given-twice',
    file: 'manager/scheduler/filters.ts',
    search: "  for (const port of wanted.ports) if (info.hostPorts.has(port)) return 'host-port'\n",
    replacement: '',
    caughtBy: 'T5',
    why: 'the second task on a node cannot bind its port',
  },
  {
    name: 'max-replicas-exceeded',
    file: 'manager/scheduler/candidates.ts',
    search: 'this.countOn(info) >= this.#maxReplicas',
    replacement: 'this.countOn(info) > this.#maxReplicas',
    caughtBy: 'T5',
    why: 'a node gets one task of a service more than its spec allows',
  },
  {
    name: 'constraints-ignored',
    file: 'manager/scheduler/filters.ts',
    search: "  if (!matchesConstraints(wanted.constraints, node)) return 'constraints'\n",
    replacement: '',
    caughtBy: 'T7',
    why: 'tasks run where their user said that they must not, also when they are placed again',
  },
  {
    name: 'drained-node-gets-tasks',
    file: 'manager/model/node.ts',
    search: "node.status?.state === 'ready' && (node.spec?.availability ?? 'active') === 'active'",
    replacement: "node.status?.state === 'ready'",
    caughtBy: 'T7',
    why: 'a node that is to be emptied for its maintenance is given new tasks',
  },
  {
    name: 'node-down-not-replaced',
    file: 'manager/orchestrator/lost.ts',
    search: "  if (node.status?.state !== 'down') return undefined\n",
    replacement: '  if (node !== undefined) return undefined\n',
    caughtBy: 'L1, L2: not converged',
    why: 'what ran on a node that is lost for good is never started elsewhere',
  },
  {
    name: 'budget-exceeded-by-one',
    file: 'manager/orchestrator/disruption.ts',
    search: 'return Math.max(0, max - Math.max(0, slots - available))',
    replacement: 'return Math.max(0, max + 1 - Math.max(0, slots - available))',
    caughtBy: 'T8',
    why: 'updates, drains and the enforcer take down more of a service than it can do without',
  },
  {
    name: 'drained-before-its-successor-runs',
    file: 'manager/orchestrator/drain.ts',
    search: "const isUp = staying.some((task) => getState(task) === 'running')",
    replacement: 'const isUp = staying.length > 0',
    caughtBy: 'T8',
    why: 'a start-first service is down while its node is being emptied',
  },
  {
    name: 'slot-freed-before-task-stopped',
    file: 'manager/orchestrator/slots.ts',
    search:
      '    if (isDead(task)) continue\n    if (isWanted(task.desiredState)) return undefined\n',
    replacement:
      '    if (isDead(task) || !isWanted(task.desiredState)) continue\n    return undefined\n',
    caughtBy: 'L2 at every step',
    why: 'two tasks of a slot run at once, on the same volume',
  },
  {
    name: 'restart-delay-forgotten-at-leader-change',
    file: 'manager/orchestrator/restart.ts',
    search: 'export function newRestartReconciler(): Reconcile {\n',
    replacement:
      'const remembered = new Set<string>()\nexport function newRestartReconciler(): Reconcile {\n  remembered.clear()\n',
    also: [
      {
        search: '  return [lost, createTask(successor)]\n',
        replacement: '  remembered.add(successor.id)\n  return [lost, createTask(successor)]\n',
      },
      {
        search: 'Math.max(freeMs, held.startAfterMs)',
        replacement: 'Math.max(freeMs, remembered.has(held.id) ? held.startAfterMs : 0)',
      },
    ],
    caughtBy: 'T (delays)',
    why: 'the delay lives in the memory of a loop, so that each election restarts all that crash at once',
  },
  {
    name: 'parallelism-exceeded-by-one',
    file: 'manager/orchestrator/update.ts',
    search: 'waiting.length : config.parallelism - occupied',
    replacement: 'waiting.length : config.parallelism + 1 - occupied',
    caughtBy: 'T8',
    why: 'an update takes more of a service away at once than its user allowed',
  },
  {
    name: 'surplus-of-one-kept',
    file: 'manager/orchestrator/replicated.ts',
    search: 'filled.length > replicas ? keepSlots',
    replacement: 'filled.length > replicas + 1 ? keepSlots',
    caughtBy: 'L1',
    why: 'a service runs once more than it should',
  },
  {
    name: 'task-removed-while-it-runs',
    file: 'manager/orchestrator/reaper.ts',
    search: "if (task.desiredState === 'remove' && !isOnNode)",
    replacement: "if (task.desiredState === 'remove')",
    caughtBy: 'T1',
    why: 'the next task of the slot starts beside a container that nobody waits for any more',
  },
  {
    name: 'status-backwards',
    file: 'manager/dispatcher/handlers.ts',
    search: '  if (!canAdvance(task, reported.state)) return false\n',
    replacement: '',
    caughtBy: 'T1, assertion "an observed state never goes down"',
    why: 'a report that comes late makes a task what it was',
  },
]
