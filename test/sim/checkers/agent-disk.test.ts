/** When an agent went back, and when it acts by what is not on its disk. */
import { expect, test } from 'vitest'
import {
  decodeAgentState,
  emptyAgentState,
  emptyKnownTask,
  encodeAgentState,
} from '../../../proto/gen/agent.ts'
import { emptyHealth, emptyTask, emptyTaskStatus, type Task } from '../../../proto/gen/objects.ts'
import type { TaskState } from '../../../proto/gen/types.ts'
import { AgentDiskChecker } from './agent-disk.ts'

const T1: Task = { ...emptyTask, id: 't1', nodeId: 'n1', desiredState: 'running' }

function file(index: number, state: TaskState = 'starting', forgotten = false): Uint8Array {
  return encodeAgentState({
    ...emptyAgentState,
    mark: { epoch: 1, index },
    tasks: [{ ...emptyKnownTask, task: T1, status: { ...emptyTaskStatus, state }, forgotten }],
  })
}

/** The same with a start that is taken back. */
function failingFile(index: number, state: TaskState): Uint8Array {
  const { tasks, ...rest } = decodeAgentState(file(index, state))
  const failing = 'task: its start was interrupted'
  return encodeAgentState({ ...rest, tasks: tasks.map((known) => ({ ...known, failing })) })
}

/** The same with a container that is to be stopped for its health. */
function unhealthyFile(index: number): Uint8Array {
  const state = decodeAgentState(file(index, 'running'))
  const health = { ...emptyHealth, state: 'unhealthy' as const }
  const tasks = state.tasks.map((known) => ({
    ...known,
    status: { ...(known.status ?? emptyTaskStatus), health },
  }))
  return encodeAgentState({ ...state, tasks })
}

test('a mark that was saved is there at the next start, unless the disk was replaced', () => {
  const checker = new AgentDiskChecker()

  const first = [checker.holds('n1', undefined), checker.holds('n1', file(5))]
  const again = [checker.holds('n1', file(5)), checker.holds('n1', file(7))]
  const back = checker.holds('n1', file(6))
  const lost = checker.holds('n1', undefined)
  checker.holds('n1', file(9))
  checker.replaced('n1', file(3))
  const replaced = checker.holds('n1', file(4))

  expect([...first, ...again, replaced]).toEqual(Array(5).fill(undefined))
  expect(back).toBe('T9: the agent of n1 went back from 7 to 6')
  expect(lost).toBe('T9: the agent of n1 went back from 6 to 0')
})

test.for([
  ['start', file(5), T1, undefined],
  ['start', file(5, 'ready'), T1, 'its disk has it as ready'],
  ['stop', file(5, 'starting'), T1, 'its disk has it as starting and does not say why'],
  ['stop', file(5, 'running'), T1, 'its disk has it as running and does not say why'],
  ['stop', file(5, 'orphaned'), T1, undefined],
  ['stop', file(5, 'running', true), T1, undefined],
  ['stop', failingFile(5, 'starting'), T1, undefined],
  ['stop', failingFile(5, 'running'), T1, undefined],
  ['stop', unhealthyFile(5), T1, undefined],
  [
    'stop',
    file(5, 'running'),
    { ...T1, desiredState: 'shutdown' },
    'its disk has another assignment of it',
  ],
  ['remove', file(5, 'failed', true), T1, undefined],
  ['remove', file(5, 'failed'), T1, 'by its disk the task is assigned'],
  ['prepare', undefined, T1, 'its disk has no such task'],
] as const)('%s rests on what is on the disk', ([kind, held, task, reason]) => {
  const checker = new AgentDiskChecker()
  checker.holds('n1', held)

  const problem = checker.operation('n1', kind, task)

  expect(problem).toBe(
    reason === undefined ? undefined : `T9: n1 is about to ${kind} task t1, but ${reason}`,
  )
})
