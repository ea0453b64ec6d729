/**
 * Mutants between manager and agent: sessions, liveness, assignments and what an agent does with
 * them.
 */
import type { Mutant } from './mutant.ts'

export const agentMutants: readonly Mutant[] = [
  {
    name: 'older-assignment-accepted',
    file: 'agent/worker.ts',
    search: "if (message.full) return order < 0 ? 'stale' : 'accepted'",
    replacement: "if (message.full) return 'accepted'",
    caughtBy: 'T9',
    why: 'an agent follows a manager back in time',
  },
  {
    name: 'stale-absence-stops-task',
    file: 'agent/worker.ts',
    search: "    if (verdict !== 'accepted') return verdict\n",
    replacement:
      "    if (verdict === 'stale' && message.full) this.#keepOnly(message, wallMs)\n    if (verdict !== 'accepted') return verdict\n",
    caughtBy: 'T9',
    why: 'tasks that are newer than a stale set are killed because it does not know them',
  },
  {
    name: 'set-from-stale-store',
    file: 'manager/dispatcher/dispatcher.ts',
    search: "    session.phase = 'confirming'\n    this.#reads.add(session)\n",
    replacement:
      "    session.phase = 'catching-up'\n    session.phaseMs = this.#nowMs\n    this.#catchingUp.add(session)\n    this.#catchUp(session)\n",
    caughtBy: 'T9',
    why: 'a manager that lags behind tells an agent without a memory to kill what is newer',
  },
  {
    name: 'stale-session-accepted',
    file: 'manager/leadership.ts',
    search: "    if (refusal !== undefined) throw new SwarmError('failed-precondition', refusal)\n",
    replacement: '',
    caughtBy: 'T9',
    why: 'the statuses of a clone, or of a process that was replaced, count for the node',
  },
  {
    name: 'paced-registration-marked-down',
    file: 'manager/dispatcher/dispatcher.ts',
    search: '    this.#relay.note(session, sequence)\n',
    replacement: "    if (session.phase === 'running') this.#relay.note(session, sequence)\n",
    caughtBy: 'L6 at every step',
    why: 'a node that waits for its turn to register is taken for dead, and all its tasks are replaced',
  },
  {
    name: 'task-adopted-twice',
    file: 'agent/worker.ts',
    search: 'newRecord(task, this.#leftovers.get(task.id), wallMs)',
    replacement: 'newRecord(task, undefined, wallMs)',
    caughtBy: 'A',
    why: 'an agent that lost its memory starts what runs already a second time',
  },
  {
    name: 'told-start-not-believed',
    file: 'agent/task.ts',
    search: '  return isStartForgotten ? failUnseen(assigned, wallMs) : assigned\n',
    replacement: '  return isStartForgotten ? assigned : assigned\n',
    caughtBy: 'A',
    why: 'a host that was put back to an older copy starts again what it had started since',
  },
  {
    name: 'started-before-it-is-noted',
    file: 'agent/worker.ts',
    search: '    if (!this.#memory.isDurable(entry.version)) return false\n',
    replacement: '',
    caughtBy: 'T9, A',
    why: 'after a crash nobody knows that the task was started, and it is started again',
  },
  {
    name: 'running-before-healthy',
    file: 'agent/task.ts',
    search: "  return become(watched, { state: 'starting', wallMs: since })\n",
    replacement:
      '  return asRunning({ ...watched, status: { ...watched.status, timestampMs: since } }, wallMs)\n',
    caughtBy: 'H1',
    why: 'an update goes on, and traffic comes, before a task has shown that it works',
  },
  {
    name: 'unhealthy-goes-on',
    file: 'agent/health.ts',
    search: "streak >= check.retries ? 'unhealthy' : state",
    replacement: "streak > 1e6 ? 'unhealthy' : state",
    caughtBy: 'H2, L2',
    why: 'a container that does not work is never replaced',
  },
  {
    name: 'failures-never-forgiven',
    file: 'agent/health.ts',
    search: 'const judged = exitCode === 0 ? HEALTHY :',
    replacement:
      'const judged = exitCode === 0 ? { ...HEALTHY, failingStreak: health.failingStreak } :',
    caughtBy: 'T9',
    why: 'a container that fails a check now and then is stopped for failures that were long ago',
  },
  {
    name: 'verdict-not-on-disk',
    file: 'agent/task.ts',
    search: '    (!isFailing(before) && isFailing(after)) ||\n',
    replacement: '',
    caughtBy: 'T9',
    why: 'after a crash a container that was stopped as unhealthy, and ended well, counts as done',
  },
]
