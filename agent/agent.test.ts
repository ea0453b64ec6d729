/** Stories of an agent: which sets it accepts, what it adopts, what it keeps, how it ends. */
import { expect, test } from 'vitest'
import { SwarmError } from '../lib/errors.ts'
import { silentLog } from '../lib/log.ts'
import { newSeededRandom } from '../lib/random.ts'
import { decodeAgentState } from '../proto/gen/agent.ts'
import type { Assignments } from '../proto/gen/dispatcher.ts'
import {
  emptyNodeDescription,
  emptyTaskStatus,
  type Task,
  type TaskStatus,
} from '../proto/gen/objects.ts'
import { emptyHealthcheck } from '../proto/gen/specs.ts'
import { emptyPortConfig } from '../proto/gen/types.ts'
import { assigned, change, container, full, Host, stateOf } from '../test/agent-host.ts'
import { task } from '../test/build.ts'
import { Agent } from './agent.ts'
import type { Container } from './runtime/runtime.ts'

test('a task is prepared, started and reported, each step in its turn', () => {
  const host = new Host()
  host.run()

  host.assign(full(5, [assigned('t1')]))
  const first = host.underway()
  host.done('prepare t1')
  const second = host.underway()
  host.done('start t1')

  expect([first, second, host.underway()]).toEqual([['prepare t1'], ['start t1'], []])
  expect(host.reported()).toEqual({ t1: 'running' })
})

test('a held-back task starts when it is wanted', () => {
  const host = new Host()
  host.run()
  host.assign(full(5, [assigned('t1', 'ready')]))
  host.done('prepare t1')

  const held = host.underway()
  host.assign(change(5, 6, { updates: [assigned('t1', 'running')] }))

  expect([held, host.underway()]).toEqual([[], ['start t1']])
})

test('hello names the boot, the instance, the tasks and the highest mark', () => {
  const host = new Host({ state: stateOf(9, { t1: 'running' }) })
  host.run()

  expect(host.sent[0]).toMatchObject({
    kind: 'hello',
    hello: { bootId: 'b', instance: 'i', taskIds: ['t1'], seen: { epoch: 0, index: 9 } },
  })
})

test('no session is opened before the node is described and its containers are known', () => {
  const agent = new Agent({
    nodeId: 'n1',
    bootId: 'b',
    instance: 'i',
    random: newSeededRandom(5),
    log: silentLog,
    state: stateOf(9, {}),
    now: { nowMs: 0, wallMs: 0, bootMs: 0 },
  })
  const dials = (nowMs: number): boolean => {
    agent.tick({ nowMs, wallMs: 0, bootMs: nowMs })
    const outputs = agent.ready()
    if (outputs !== undefined) agent.advance(outputs)
    return outputs?.some((output) => output.kind === 'dial') ?? false
  }

  const before = dials(1_000)
  agent.step({ kind: 'described', description: emptyNodeDescription })
  const between = dials(2_000)
  agent.step({ kind: 'containers', list: [] })

  expect([before, between, dials(3_000)]).toEqual([false, false, true])
})

test('a set older than one accepted before is refused, and its manager left', () => {
  const host = new Host({ state: stateOf(9, { t1: 'running' }), containers: [live('t1')] })
  host.run()

  host.assign(full(8, []))
  host.wait(5_000)

  expect(host.underway()).toEqual([])
  expect(host.agent.status()).toMatchObject({ setsRefused: 1, mark: { epoch: 0, index: 9 } })
  expect(host.log.slice(0, 2)).toEqual(['dial', 'hangup'])
})

test('a set of a later epoch counts whatever its index, and none of an earlier one', () => {
  const host = new Host({ state: stateOf(9, { t1: 'running' }), containers: [live('t1')] })
  host.run()

  host.assign(full(2, [], 1))
  const stopping = host.underway()
  host.assign(full(99, [assigned('t2')], 0))

  expect(stopping).toEqual(['stop t1'])
  expect(host.agent.status()).toMatchObject({ setsRefused: 1, mark: { epoch: 1, index: 2 } })
})

test('a set of the same mark is accepted again', () => {
  const host = new Host()
  host.run()
  host.assign(full(5, [assigned('t1')]))
  host.step({ kind: 'disconnected', session: host.session, error: undefined })
  host.run()

  host.assign(full(5, [assigned('t1')]))

  expect([host.agent.status().session, host.underway()]).toEqual(['running', ['prepare t1']])
})

test.each<[string, Assignments]>([
  ['does not follow on the one before', change(4, 7, {})],
  ['comes before any full set of its session', change(5, 7, {})],
])('a difference that %s opens a new session', (what, assignments) => {
  const host = new Host({ state: stateOf(5, {}) })
  host.run()
  if (what.startsWith('does')) host.assign(full(5, []))

  host.assign(assignments)

  expect(host.log.at(-1)).toBe('hangup')
  expect(host.agent.status().mark.index).toBe(5)
})

test('a difference that comes twice is taken once', () => {
  const host = new Host()
  host.run()
  host.assign(full(5, []))
  const twice = change(5, 6, { updates: [assigned('t1')] })

  host.assign(twice)
  host.assign(change(6, 7, { updates: [assigned('t1', 'shutdown')] }))
  host.assign(twice)

  expect(host.agent.status()).toMatchObject({ session: 'running', mark: { index: 7 } })
  expect(host.reported()).toEqual({ t1: 'preparing' })
})

test('an acknowledged mark that is not held opens a new session', () => {
  const host = new Host()
  host.run()
  host.assign(full(5, []))

  const ack = (index: number): void =>
    host.receive({
      kind: 'heartbeatAck',
      heartbeatAck: { sequence: 1, mark: { epoch: 0, index }, ready: true },
    })
  ack(5)
  const before = host.agent.status().session
  ack(6)

  expect([before, host.agent.status().session]).toEqual(['running', 'idle'])
})

test('absence from a full set, or being named, removes a task and its container', () => {
  const host = new Host({
    state: stateOf(5, { t1: 'running', t2: 'running' }),
    containers: [live('t1'), live('t2')],
  })
  host.run()

  host.assign(full(6, [assigned('t2')]))
  const first = host.underway()
  host.done('stop t1')
  host.done('remove t1')
  host.assign(change(6, 7, { removedIds: ['t2'] }))

  expect([first, host.underway()]).toEqual([['stop t1'], ['stop t2']])
  expect(host.agent.status().tasks).toBe(1)
})

test('after a restart live containers are adopted and dead ones reported, and nothing is touched', () => {
  const host = new Host({
    state: stateOf(9, { t1: 'running', t2: 'running', t3: 'ready', t4: 'running' }),
    containers: [live('t1'), container('t2', 'exited'), container('t3', 'created'), live('t9')],
  })

  host.run()
  host.wait(3_000)

  expect(host.underway()).toEqual([])
  expect(host.reported()).toEqual({ t1: 'running', t2: 'failed', t3: 'ready', t4: 'failed' })
})

test('containers without a task are removed after a full set, not before', () => {
  const host = new Host({ containers: [live('t8'), container('t9', 'exited')] })
  host.run()

  const before = host.underway()
  host.assign(full(1, [{ ...assigned('t8'), status: { ...emptyTaskStatus, state: 'running' } }]))

  expect([before, host.underway()]).toEqual([[], ['remove t9']])
  expect(host.reported()).toEqual({ t8: 'running' })
})

test('nothing that a crash must not forget is done or told before it is on disk', () => {
  const host = new Host()
  host.isQuick = false
  host.run()
  host.assign(full(5, [assigned('t1')]))

  const beforeSet = host.underway()
  host.persisted()
  host.done('prepare t1')
  const beforeStart = host.underway()
  const intent = decodeAgentState(host.persists[0]?.state ?? new Uint8Array(0))
  host.persisted()
  host.done('start t1')
  const exit = { taskId: 't1', exitCode: 1, oomKilled: false, error: '', atMs: 0 }
  host.step({ kind: 'exited', exit })
  // The write under way holds that it runs; the next one, that it ended.
  host.persisted()
  const beforeEnd = host.reported()['t1']
  host.persisted()

  expect([beforeSet, beforeStart, beforeEnd]).toEqual([[], [], 'running'])
  expect(intent.mark).toEqual({ epoch: 0, index: 5 })
  expect(intent.tasks[0]?.status?.state).toBe('starting')
  expect(host.reported()).toEqual({ t1: 'failed' })
})

test('a set that the disk has not taken is not acted by, and what waits is an older one', () => {
  const host = new Host({ state: stateOf(5, { t1: 'running' }), containers: [live('t1')] })
  host.run()
  host.assign(full(6, [assigned('t1')]))

  host.isQuick = false
  host.assign(change(6, 9, { removedIds: ['t1'] }))
  host.assign(change(9, 12, { updates: [assigned('t2')] }))
  host.wait(3_000)
  const [waiting] = host.persists
  const before = host.underway()
  host.persisted()

  expect(host.agent.status().mark.index).toBe(12)
  expect(decodeAgentState(waiting?.state ?? new Uint8Array()).mark?.index).toBe(9)
  expect([before, host.underway()]).toEqual([[], ['stop t1']])
})

test('since when a task runs is kept on disk, and nothing waits for it', () => {
  const host = new Host()
  host.isQuick = false
  host.run()
  host.assign(full(5, [assigned('t1')]))
  host.persisted()
  host.done('prepare t1')
  host.persisted()
  host.done('start t1')
  const told = host.reported()['t1']

  const kept = decodeAgentState(host.persists[0]?.state ?? new Uint8Array(0))

  expect(told).toBe('running')
  expect(kept.tasks[0]?.status?.state).toBe('running')
})

test('one write is under way at a time', () => {
  const host = new Host()
  host.isQuick = false
  host.run()

  host.assign(full(5, [assigned('t1')]))
  host.assign(change(5, 6, { updates: [assigned('t2')] }))

  expect(host.persists).toHaveLength(1)
  host.persisted()
  expect(host.persists).toHaveLength(1)
})

test('a crash between the intent to start and the start ends as failed, never as started again', () => {
  const host = new Host({
    state: stateOf(5, { t1: 'starting' }),
    containers: [container('t1', 'created')],
  })
  host.run()

  host.assign(full(5, [assigned('t1')]))
  const first = host.underway()
  host.done('stop t1')

  expect([first, host.underway()]).toEqual([['stop t1'], []])
  expect(host.reported()).toEqual({ t1: 'failed' })
})

test('an agent whose state was put back to an older one starts nothing a second time', () => {
  const told = task({ ...assigned('t1'), status: { state: 'running' } })
  const host = new Host({ state: stateOf(5, { t1: 'preparing', t2: 'ready' }) })
  host.run()

  host.assign(full(9, [told, assigned('t2')]))

  expect(host.underway()).toEqual(['prepare t2'])
  expect(host.reported()).toEqual({ t1: 'failed', t2: 'preparing' })
})

test('a retriable failure is tried again after a second, a final one never', () => {
  const host = new Host()
  host.run()
  host.assign(full(5, [assigned('t1'), assigned('t2')]))

  host.fails('prepare t1', true)
  host.fails('prepare t2', false)
  host.wait(450)
  const early = host.underway()
  host.wait(600)

  expect([early, host.underway()]).toEqual([[], ['prepare t1']])
  expect(host.reported()).toEqual({ t1: 'preparing', t2: 'rejected' })
})

test('a prepare that is no longer wanted is cancelled', () => {
  const host = new Host()
  host.run()
  host.assign(full(5, [assigned('t1')]))

  host.assign(change(5, 6, { updates: [assigned('t1', 'shutdown')] }))
  const { length } = host.cancelled
  host.fails('prepare t1', false)

  expect(length).toBe(1)
  expect(host.reported()).toEqual({ t1: 'shutdown' })
})

test('sixteen images are fetched at once, and stops do not wait for them', () => {
  const ids = Array.from({ length: 20 }, (_, at) => `p${at}`)
  const host = new Host({ state: stateOf(4, { t1: 'running' }), containers: [live('t1')] })
  host.run()

  host.assign(full(5, [...ids.map((id) => assigned(id)), assigned('t1', 'shutdown')]))

  expect(host.underway().filter((operation) => operation.startsWith('prepare'))).toHaveLength(16)
  expect(host.underway()).toContain('stop t1')
})

test('what managers do not know is reported again with the next full set', () => {
  const host = new Host({ state: stateOf(4, { t1: 'running' }), containers: [live('t1')] })
  host.run()
  host.assign(full(5, [{ ...assigned('t1'), status: { ...emptyTaskStatus, state: 'running' } }]))
  host.sent.length = 0

  host.step({ kind: 'disconnected', session: host.session, error: undefined })
  host.run()
  host.assign(full(2, [assigned('t1')], 1))

  expect(host.reported()).toEqual({ t1: 'running' })
})

test('what a clone said of a container is set right with the next full set (seed 80694)', () => {
  const host = new Host({ state: stateOf(4, { t1: 'running' }), containers: [live('t1')] })
  host.run()
  host.assign(full(5, [assigned('t1')]))
  const own = host.sent.flatMap((body) => (body?.kind === 'statuses' ? body.statuses.updates : []))
  const status = own[0]?.status ?? emptyTaskStatus
  const hostPorts = [{ ...emptyPortConfig, publishedPort: 47197 }]
  const returns = (told: TaskStatus): Readonly<Record<string, string>> => {
    host.receive({ kind: 'statusAck', statusAck: { sequence: 1 } })
    host.step({ kind: 'disconnected', session: host.session, error: undefined })
    host.run()
    host.sent.length = 0
    host.assign(full(5, [{ ...assigned('t1'), status: told }]))
    return host.reported()
  }

  expect(returns(status)).toEqual({})
  expect(returns({ ...status, hostPorts })).toEqual({ t1: 'running' })
})

test('managers, node changes and commands are passed on, and managers are kept', () => {
  const host = new Host()
  host.run()
  host.log = []
  const managers = [{ nodeId: 'm2', addr: 'm2' }]

  host.isQuick = false
  host.receive({ kind: 'managers', managers: { managers } })
  host.receive({ kind: 'command', command: { body: undefined } })

  expect(host.log).toEqual(['managers-changed', 'command'])
  expect(decodeAgentState(host.persists[0]?.state ?? new Uint8Array(0)).managers).toEqual(managers)
})

test('managers named by who has no session to give are dialed too, and kept with those of before', () => {
  const host = new Host({ state: stateOf(4, {}) })
  while (host.session === 0) host.wait(50)
  host.step({ kind: 'connected', session: host.session })
  host.log = []
  host.persists = []
  host.isQuick = false

  host.receive({ kind: 'managers', managers: { managers: [{ nodeId: 'm2', addr: 'm2' }] } })

  // They are whom that manager knows: no news of who the managers are.
  expect(host.log).toEqual([])
  const heard = decodeAgentState(host.persists[0]?.state ?? new Uint8Array(0))
  expect(heard.managers.map(({ addr }) => addr)).toEqual(['m2', 'm1'])
  host.persisted()
  host.receive({ kind: 'start', start: { heartbeatPeriodMs: 2_000 } })
  host.receive({
    kind: 'managers',
    managers: { managers: [{ nodeId: 'm2', addr: 'm2' }] },
  })
  const told = decodeAgentState(host.persists[0]?.state ?? new Uint8Array(0))
  expect(told.managers.map(({ addr }) => addr)).toEqual(['m2'])
  expect(told.formerManagers.map(({ addr }) => addr)).toEqual(['m1'])
})

test('an agent that stops says when it is back, and leaves its tasks alone', () => {
  const host = new Host({ state: stateOf(4, { t1: 'running' }), containers: [live('t1')] })
  host.run()
  host.assign(full(5, [assigned('t1', 'shutdown'), assigned('t2')]))
  const before = host.underway()
  const running = host.agent.listRunning().map((task) => task.id)

  host.step({ kind: 'stop', returnMs: 60_000 })
  host.assign(full(6, []))
  host.done('prepare t2')
  const after = host.underway()
  host.step({ kind: 'disconnected', session: host.session, error: undefined })
  host.wait(10_000)

  expect(host.sent.at(-1)).toEqual({ kind: 'goodbye', goodbye: { returnMs: 60_000 } })
  expect([before, after]).toEqual([['prepare t2', 'stop t1'], ['stop t1']])
  expect(running).toEqual(['t1'])
  expect(host.log.at(-1)).toBe('done')
})

test('an agent that leaves says so, then stops and removes everything it has', () => {
  const host = new Host({
    state: stateOf(4, { t1: 'running' }),
    containers: [live('t1'), live('t9')],
  })
  host.run()

  host.step({ kind: 'leave' })
  const before = host.underway()
  host.step({ kind: 'disconnected', session: host.session, error: undefined })
  const stopping = host.underway()
  for (const id of ['t1', 't9']) host.done(`stop ${id}`)
  for (const id of ['t1', 't9']) host.done(`remove ${id}`)

  expect(host.sent.at(-1)).toEqual({ kind: 'goodbye', goodbye: { returnMs: 0 } })
  expect([before, stopping]).toEqual([[], ['stop t1', 'stop t9']])
  expect(host.log.at(-1)).toBe('done')
})

test('state that no agent wrote is refused', () => {
  expect(() => new Host({ state: new Uint8Array([255, 255, 255]) })).toThrow(SwarmError)
})

function live(taskId: string): Container {
  return container(taskId, 'running')
}

/** A task with a health check each second. */
function checked(id: string, retries = 2): Task {
  const healthcheck = { ...emptyHealthcheck, test: ['CMD', 'x'], intervalMs: 1_000, retries }
  return { ...assigned(id), spec: task({ spec: { container: { healthcheck } } }).spec }
}

/** An agent whose task has been started. */
function withStarted(): Host {
  const host = new Host()
  host.run()
  host.assign(full(5, [checked('t1')]))
  host.done('prepare t1')
  host.done('start t1')
  return host
}

test('a task with a health check is reported as running when a check has succeeded', () => {
  const host = withStarted()
  host.wait(900)
  expect(host.probes).toEqual([])
  host.wait(200)
  expect(host.probes).toHaveLength(1)
  expect(host.reported()).toEqual({ t1: 'starting' })

  host.probed(0)

  expect(host.reported()).toEqual({ t1: 'running' })
  host.wait(900)
  expect(host.probes).toHaveLength(1)
  host.wait(200)
  expect(host.probes).toHaveLength(2)
})

test('a task whose checks fail in a row is stopped and reported as failed', () => {
  const host = withStarted()
  for (const exitCode of [0, 1, 1]) {
    host.wait(1_100)
    host.probed(exitCode)
  }

  expect(host.underway()).toEqual(['stop t1'])
  expect(host.reported()).toEqual({ t1: 'running' })
  host.done('stop t1')
  expect(host.reported()).toEqual({ t1: 'failed' })
  host.wait(5_000)
  expect(host.probes).toHaveLength(3)
})

test('what is unhealthy is stopped when that is on disk, not before', () => {
  const host = withStarted()
  host.isQuick = false
  for (const exitCode of [1, 1]) {
    host.wait(1_100)
    host.probed(exitCode)
  }

  expect(host.underway()).toEqual([])
  while (host.persists.length > 0) host.persisted()
  expect(host.underway()).toEqual(['stop t1'])
})

test('a start that failed is stopped when that is on disk, not before, and has failed after a crash', () => {
  const host = new Host()
  host.run()
  host.assign(full(5, [assigned('t1')]))
  host.done('prepare t1')
  host.isQuick = false
  host.fails('start t1', false)

  const before = host.underway()
  host.persisted()
  const after = host.underway()
  // It was stopped and ended well, and its agent died before it knew.
  const exit = { taskId: 't1', exitCode: 0, oomKilled: false, error: '', atMs: 5 }
  const ended = { ...container('t1', 'exited'), exit }
  const state = host.saved ?? new Uint8Array()
  const next = new Host({ state, containers: [ended] })
  next.run()

  expect([before, after]).toEqual([[], ['stop t1']])
  expect(next.reported()).toEqual({ t1: 'failed' })
})

test('a check under way is given up when its task is to end', () => {
  const host = withStarted()
  host.wait(1_100)
  const [probe = -1] = host.probes

  host.assign(change(5, 6, { updates: [{ ...checked('t1'), desiredState: 'shutdown' }] }))

  expect(host.cancelled).toEqual([probe])
  expect(host.underway()).toEqual(['stop t1'])
  host.probed(1)
  host.done('stop t1')
  expect(host.reported()).toEqual({ t1: 'shutdown' })
})

test('an agent that is started again goes on checking where it was', () => {
  const first = withStarted()
  for (const exitCode of [0, 1]) {
    first.wait(1_100)
    first.probed(exitCode)
  }
  const second = new Host({
    state: first.saved ?? new Uint8Array(),
    containers: [{ ...container('t1', 'running'), containerId: 'c' }],
  })
  second.wait(3_000)
  expect(second.probes).toEqual([])

  second.run()
  second.assign(full(5, [checked('t1')]))
  second.wait(1_100)
  expect(second.probes).toHaveLength(1)
  expect(second.underway()).toEqual([])
  second.probed(1)

  expect(second.underway()).toEqual(['stop t1'])
})
