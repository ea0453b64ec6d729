/**
 * The allocator: every wanted task gets what it needs before it can be placed, then waits for a node
 * (`new` to `pending`, swarm-mode.md 2.4). What a task needs so far is nothing: it runs in its node's
 * own network or on a routed link, and ports are opened by the agent. Addresses of overlay networks
 * are given here, before the step to `pending`.
 */
import type { Task } from '../../proto/gen/objects.ts'
import { isWanted } from '../../proto/task-state.ts'
import { getState, withManagerState } from '../model/task.ts'
import type { Change } from '../store/change.ts'
import type { Outcome, Round } from '../store/round.ts'

/** New tasks become pending. */
export function reconcileAllocator(round: Round): Outcome {
  return { changes: listNew(round).map((task) => allocateTask(round, task)), nextMs: undefined }
}

function listNew({ view, changed }: Round): readonly Task[] {
  const tasks = changed.all
    ? [...view.tasks.by('unallocated', 'new')]
    : [...changed.ids.tasks].map((id) => view.tasks.get(id)).filter((task) => task !== undefined)
  return tasks.filter((task) => getState(task) === 'new' && isWanted(task.desiredState))
}

function allocateTask({ now, wallMs }: Round, task: Task): Change {
  const object = withManagerState(task, 'pending', {
    now,
    wallMs,
    message: 'pending task scheduling',
  })
  return { kind: 'update', table: 'tasks', object }
}
