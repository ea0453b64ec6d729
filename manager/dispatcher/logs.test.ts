/** Stories of log subscriptions on the manager that was asked. */
import { expect, test } from 'vitest'
import { applyTo, node, storeWith, task } from '../../test/build.ts'
import type { Store } from '../store/store.ts'
import { Logs, type LogsOutput, subscriptionOf } from './logs.ts'

const REQUEST = { follow: false, stdout: true, stderr: true, tail: -1, sinceMs: 0 }
const OF_WEB = { serviceIds: ['web'], nodeIds: [], taskIds: [] }

function world(): Store {
  return storeWith({
    nodes: [node({ id: 'n1' }), node({ id: 'n2' }), node({ id: 'n3', status: { state: 'down' } })],
    tasks: [
      task({ id: 't1', serviceId: 'web', nodeId: 'n1', status: { state: 'running' } }),
      task({ id: 't2', serviceId: 'web', nodeId: 'n2', status: { state: 'failed' } }),
      task({ id: 't3', serviceId: 'db', nodeId: 'n2', status: { state: 'running' } }),
    ],
  })
}

function logsOf(store: Store): Logs {
  return new Logs({ view: store.view(), addr: 'm1:2377', nowMs: 0 })
}

function take(logs: Logs): readonly LogsOutput[] {
  const outputs = logs.ready() ?? []
  if (outputs.length > 0) logs.advance(outputs)
  return outputs
}

/** Each node that is asked, with its tasks. */
function asked(outputs: readonly LogsOutput[]): readonly unknown[] {
  return outputs.map((output) =>
    output.kind === 'command' && output.command.body?.kind === 'logs'
      ? [output.nodeId, output.ask, output.command.body.logs.taskIds]
      : output,
  )
}

test('a subscription asks each node for its tasks, and ends when all have ended', () => {
  const logs = logsOf(world())

  logs.step({ kind: 'subscribe', id: 's', selector: OF_WEB, request: REQUEST })
  const first = take(logs)
  logs.step({ kind: 'started', ask: 's/1' })
  logs.step({ kind: 'task-ended', ask: 's/1', taskId: 't1', error: '' })
  logs.step({ kind: 'task-ended', ask: 's/2', taskId: 't2', error: '' })

  expect(asked(first)).toEqual([
    ['n1', 's/1', ['t1']],
    ['n2', 's/2', ['t2']],
  ])
  expect(take(logs)).toEqual([{ kind: 'end', id: 's', warning: '' }])
  expect(subscriptionOf('s/12')).toBe('s')
})

test('a subscription tells why lines are missing', () => {
  const store = world()
  applyTo(store, [
    { kind: 'create', table: 'tasks', object: task({ id: 't4', serviceId: 'web' }) },
    {
      kind: 'create',
      table: 'tasks',
      object: task({ id: 't5', serviceId: 'web', nodeId: 'n3', status: { state: 'running' } }),
    },
  ])
  const logs = logsOf(store)

  logs.step({ kind: 'subscribe', id: 's', selector: OF_WEB, request: REQUEST })
  take(logs)
  logs.step({ kind: 'stream-ended', ask: 's/1' })
  logs.tick(10_000)

  expect(take(logs)).toEqual([
    {
      kind: 'end',
      id: 's',
      warning:
        'warning: incomplete log stream. some logs could not be retrieved for the following reasons: ' +
        'task t4 has not been scheduled, node n3 is not available, node n1 disconnected unexpectedly, node n2 is not available',
    },
  ])
})

test('a followed subscription asks for new tasks once they have a node, and goes on', () => {
  const store = world()
  const logs = logsOf(store)
  logs.step({
    kind: 'subscribe',
    id: 's',
    selector: OF_WEB,
    request: { ...REQUEST, follow: true },
  })
  take(logs)
  logs.step({ kind: 'task-ended', ask: 's/2', taskId: 't2', error: '' })
  const waiting = task({ id: 't6', serviceId: 'web' })
  const assigned = { ...waiting, nodeId: 'n1', status: { ...status(), state: 'assigned' as const } }

  for (const object of [waiting, assigned, { ...assigned, status: status() }]) {
    const kind = object === waiting ? 'create' : 'update'
    const changes = [{ kind, table: 'tasks', object } as const]
    applyTo(store, changes)
    logs.step({ kind: 'applied', view: store.view(), changes })
  }
  const later = take(logs)
  // The first stream of the node ends; the second one still owes its task.
  logs.step({ kind: 'task-ended', ask: 's/1', taskId: 't1', error: '' })
  logs.step({ kind: 'stream-ended', ask: 's/1' })
  logs.step({ kind: 'cancel', id: 's' })

  expect(asked(later)).toEqual([['n1', 's/3', ['t6']]])
  expect(take(logs)).toEqual([
    {
      kind: 'command',
      ask: 's/3',
      nodeId: 'n1',
      command: { body: { kind: 'logCancel', logCancel: { id: 's/3' } } },
    },
  ])

  function status() {
    const [first] = store.view().tasks.list()
    if (first?.status === undefined) throw new Error('a task has a status')
    return first.status
  }
})

test('a subscription of nothing ends at once', () => {
  const logs = logsOf(world())
  const selector = { serviceIds: ['none'], nodeIds: [], taskIds: [] }

  logs.step({ kind: 'subscribe', id: 's', selector, request: REQUEST })

  expect(take(logs)).toEqual([{ kind: 'end', id: 's', warning: '' }])
})

test('readers beyond the bound are told to go elsewhere', () => {
  const logs = logsOf(world())
  const request = { ...REQUEST, follow: true }
  for (let at = 0; at < 256; at++)
    logs.step({ kind: 'subscribe', id: `s${at}`, selector: OF_WEB, request })
  take(logs)

  logs.step({ kind: 'subscribe', id: 'more', selector: OF_WEB, request })

  expect(take(logs)).toMatchObject([
    { kind: 'end', id: 'more', warning: expect.stringContaining('256') },
  ])
})
