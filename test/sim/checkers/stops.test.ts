/** Which endings of containers no committed state explains. */
import { expect, test } from 'vitest'
import { Store } from '../../../manager/store/store.ts'
import type { View } from '../../../manager/store/view.ts'
import { emptyTask, emptyTaskStatus, type Task } from '../../../proto/gen/objects.ts'
import { emptyStoreEntry } from '../../../proto/gen/store.ts'
import type { TaskState } from '../../../proto/gen/types.ts'
import { DelayChecker } from './delays.ts'
import { newStep } from './step.ts'
import { checkEnding } from './stops.ts'

function task(desiredState: TaskState, state: TaskState): Task {
  const status = { ...emptyTaskStatus, state }
  return { ...emptyTask, id: 't1', serviceId: 's1', slot: 1, nodeId: 'n1', desiredState, status }
}

function viewOf(object: Task, timeMs = 1): View {
  const store = new Store()
  store.apply(1, {
    ...emptyStoreEntry,
    timeMs,
    changes: [{ kind: 'create', object: { kind: 'task', task: object } }],
  })
  return store.view()
}

test('a running task whose health checks failed often enough may be stopped, not removed', () => {
  const view = viewOf(task('running', 'running'))
  const ill = { taskId: 't1', hasRun: true, isUnhealthy: true, isLost: false }

  expect(checkEnding(view, 'n1', { ...ill, kind: 'stop' })).toBeUndefined()
  expect(checkEnding(view, 'n1', { ...ill, kind: 'remove' })).toContain('T9')
})

test.for([
  ['running', 'running', 'stop', true],
  ['running', 'running', 'remove', true],
  ['running', 'assigned', 'remove', true],
  ['running', 'starting', 'stop', false],
  ['shutdown', 'running', 'stop', false],
  ['running', 'failed', 'remove', false],
  ['remove', 'running', 'remove', false],
] as const)('a task wanted %s and %s: %s is wrong: %s', ([desired, state, kind, isWrong]) => {
  const view = viewOf(task(desired, state))
  const hasRun = state === 'running'

  expect(
    checkEnding(view, 'n1', { kind, taskId: 't1', hasRun, isUnhealthy: false, isLost: false }) !==
      undefined,
  ).toBe(isWrong)
  expect(
    checkEnding(view, 'n2', { kind, taskId: 't1', hasRun, isUnhealthy: false, isLost: false }),
  ).toBeUndefined()
  expect(
    checkEnding(view, 'n1', { kind, taskId: 't2', hasRun, isUnhealthy: false, isLost: false }),
  ).toBeUndefined()
})

test.for([true, false])(
  'a task whose assignment was lost (%s) may be removed while it is wanted (seed 80298)',
  (isLost) => {
    const view = viewOf(task('running', 'pending'))
    const remove = { kind: 'remove', taskId: 't1', hasRun: true, isUnhealthy: false } as const

    expect(checkEnding(view, 'n1', { ...remove, isLost }) === undefined).toBe(isLost)
  },
)

test.for([
  ['stop', false],
  ['remove', true],
] as const)('a task that only a clone saw running: %s is wrong: %s', ([kind, isWrong]) => {
  const view = viewOf(task('running', 'running'))

  const problem = checkEnding(view, 'n1', {
    kind,
    taskId: 't1',
    hasRun: false,
    isUnhealthy: false,
    isLost: false,
  })

  expect(problem !== undefined).toBe(isWrong)
})

test.for([
  [999, true],
  [1_000, false],
] as const)(
  'a task that is held back until 1000 and let run at %i is wrong: %s',
  ([atMs, isWrong]) => {
    const held = { ...task('running', 'assigned'), startAfterMs: 1_000 }
    const change = { kind: 'update', object: { kind: 'task', task: held } } as const
    const step = newStep(viewOf({ ...held, desiredState: 'ready' }), viewOf(held, atMs), {
      ...emptyStoreEntry,
      changes: [change],
    })

    expect([...new DelayChecker().check(step)].length > 0).toBe(isWrong)
  },
)
