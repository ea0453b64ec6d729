/** Tables for what agents have written. */
import { expect, test } from 'vitest'
import { newSeededRandom } from '../../lib/random.ts'
import { emptyNodeDescription, emptyTaskStatus, type Task } from '../../proto/gen/objects.ts'
import type { TaskState } from '../../proto/gen/types.ts'
import { node, storeWith, task } from '../../test/build.ts'
import type { HandlerContext } from '../store/handler.ts'
import {
  handleNodeLeave,
  handleNodeRegister,
  handleStatusReport,
  RETURN_MAX_MS,
} from './handlers.ts'

const CONTEXT: HandlerContext = {
  now: 5_000,
  wallMs: 1_700_000_000_000,
  random: newSeededRandom(1),
  caller: { nodeId: 'n1', role: 'worker' },
  managers: [],
}

const REGISTER = {
  nodeId: 'n1',
  instance: 'i1',
  bootId: 'b1',
  description: { ...emptyNodeDescription, hostname: 'host1' },
  addr: '10.0.0.7',
  holder: 1,
}

function report(state: TaskState, reported: TaskState): Task | undefined {
  const view = storeWith({
    nodes: [node({ id: 'n1' })],
    tasks: [task({ id: 't1', nodeId: 'n1', status: { state } })],
  }).view()
  const status = { ...emptyTaskStatus, state: reported }
  const updates = [{ taskId: 't1', status }]
  const { changes } = handleStatusReport(view, { nodeId: 'n1', instance: 'i1', updates }, CONTEXT)
  const [change] = changes
  return change?.kind === 'update' && change.table === 'tasks' ? change.object : undefined
}

test('a registration makes the node ready and described, once', () => {
  const down = node({ id: 'n1', status: { state: 'down', message: 'x' }, returnUntilMs: 9 })
  const { changes } = handleNodeRegister(storeWith({ nodes: [down] }).view(), REGISTER, CONTEXT)

  expect(changes).toMatchObject([
    {
      kind: 'update',
      object: {
        description: { hostname: 'host1' },
        status: { state: 'ready', message: '', addr: '10.0.0.7' },
        returnUntilMs: 0,
      },
    },
  ])
  const [change] = changes
  if (change?.kind !== 'update' || change.table !== 'nodes') throw new Error('a node is updated')
  const again = storeWith({ nodes: [change.object] }).view()
  expect(handleNodeRegister(again, REGISTER, CONTEXT).changes).toEqual([])
})

test('a node speaks for itself only, and only while it is a member', () => {
  const view = storeWith({ nodes: [node({ id: 'n1' }), node({ id: 'n2' })] }).view()
  const leave = { nodeId: 'n2', announceReturn: false, returnMs: 0 }

  expect(() => handleNodeRegister(view, { ...REGISTER, nodeId: 'n2' }, CONTEXT)).toThrow(
    'node n1 may not speak for n2',
  )
  expect(() => handleNodeLeave(view, leave, CONTEXT)).toThrow('may not speak')
  expect(() => handleNodeRegister(storeWith().view(), REGISTER, CONTEXT)).toThrow(
    'node n1 is not part of the swarm',
  )
})

test.each<[TaskState, TaskState, boolean]>([
  ['assigned', 'accepted', true],
  ['accepted', 'running', true],
  ['running', 'failed', true],
  ['running', 'preparing', false],
  ['failed', 'rejected', false],
  ['complete', 'running', false],
  ['rejected', 'shutdown', false],
  ['running', 'orphaned', false],
  ['running', 'remove', false],
  ['assigned', 'pending', false],
  // A survivor of force-new-cluster may not know that it was assigned (seed 80298).
  ['pending', 'running', false],
  ['new', 'shutdown', false],
])('a task in state %s is taken to %s: %s', (state, reported, isTaken) => {
  expect(report(state, reported)?.status?.state).toBe(isTaken ? reported : undefined)
})

test('times at which a task first ran and ended are cluster time', () => {
  expect(report('starting', 'running')).toMatchObject({
    runningClusterMs: 5_000,
    endedClusterMs: 0,
  })
  expect(report('running', 'failed')).toMatchObject({ runningClusterMs: 0, endedClusterMs: 5_000 })
})

test('a report ignores unknown tasks and those of other nodes, and keeps texts short', () => {
  const view = storeWith({
    nodes: [node({ id: 'n1' })],
    tasks: [
      task({ id: 't1', nodeId: 'n2', status: { state: 'assigned' } }),
      task({ id: 't2', nodeId: 'n1', status: { state: 'assigned' } }),
    ],
  }).view()
  const preparing = { ...emptyTaskStatus, state: 'preparing' as const, error: 'x'.repeat(5_000) }
  const ready = { ...emptyTaskStatus, state: 'ready' as const }
  const updates = [
    { taskId: 't0', status: ready },
    { taskId: 't1', status: ready },
    { taskId: 't2', status: preparing },
    { taskId: 't2', status: undefined },
  ]

  const { changes } = handleStatusReport(view, { nodeId: 'n1', instance: '', updates }, CONTEXT)

  expect(changes).toMatchObject([
    { object: { id: 't2', status: { state: 'preparing', error: 'x'.repeat(1_024) } } },
  ])
})

test('the same state is news only when something else of it is', () => {
  expect(report('preparing', 'preparing')?.status?.message).toBe('')
  const view = storeWith({
    nodes: [node({ id: 'n1' })],
    tasks: [task({ id: 't1', nodeId: 'n1', status: { state: 'running' } })],
  }).view()
  const status = view.tasks.get('t1')?.status

  const updates = [{ taskId: 't1', status }]
  const { changes } = handleStatusReport(view, { nodeId: 'n1', instance: '', updates }, CONTEXT)

  expect(changes).toEqual([])
})

test('a late status of the same state does not take back what is known of the container', () => {
  // While a health check is awaited a task is starting without its container, then with it.
  const container = { containerId: 'c1', pid: 7, exitCode: 0 }
  const view = storeWith({
    nodes: [node({ id: 'n1' })],
    tasks: [task({ id: 't1', nodeId: 'n1', status: { state: 'starting', container } })],
  }).view()
  const starting = { ...emptyTaskStatus, state: 'starting' as const }

  const counts = [starting, { ...starting, container, message: 'unhealthy' }].map((status) => {
    const updates = [{ taskId: 't1', status }]
    return handleStatusReport(view, { nodeId: 'n1', instance: '', updates }, CONTEXT).changes.length
  })

  expect(counts).toEqual([0, 1])
})

test('too many statuses are refused', () => {
  const updates = Array.from({ length: 1_025 }, () => ({ taskId: 't', status: emptyTaskStatus }))
  const view = storeWith({ nodes: [node({ id: 'n1' })] }).view()

  expect(() => handleStatusReport(view, { nodeId: 'n1', instance: '', updates }, CONTEXT)).toThrow(
    'a report of 1025 statuses is more than 1024',
  )
})

test.each([
  [{ announceReturn: true, returnMs: 60_000 }, 'disconnected', 65_000],
  [{ announceReturn: true, returnMs: 1e12 }, 'disconnected', 5_000 + RETURN_MAX_MS],
  [{ announceReturn: false, returnMs: 0 }, 'down', 0],
])('a node that leaves with %o is %s', (leave, state, returnUntilMs) => {
  const view = storeWith({ nodes: [node({ id: 'n1' })] }).view()

  const { changes } = handleNodeLeave(view, { nodeId: 'n1', ...leave }, CONTEXT)

  expect(changes).toMatchObject([
    { object: { status: { state, addr: '10.0.0.1' }, returnUntilMs } },
  ])
})
