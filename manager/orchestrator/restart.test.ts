/**
 * Restarts: who gets a successor, when it may run, and how often that is done.
 */
import { expect, test } from 'vitest'
import type { Node, Task } from '../../proto/gen/objects.ts'
import type { RestartPolicy, ServiceSpec } from '../../proto/gen/specs.ts'
import type { TaskState } from '../../proto/gen/types.ts'
import { node, type Part, service, storeWith, task } from '../../test/build.ts'
import { lookAtAll, Orchestration } from '../../test/orchestration.ts'
import { newRestartReconciler } from './restart.ts'

const three = [node({ id: 'n1' }), node({ id: 'n2' }), node({ id: 'n3' })]

/** A cluster in which the one task of `web` runs. */
function running(policy: Part<RestartPolicy> = {}, spec: Part<ServiceSpec> = {}): Orchestration {
  const world = new Orchestration({
    nodes: three,
    services: [service({ id: 'web', spec: { ...spec, task: { restart: policy } } })],
  })
  world.settle()
  world.report(newest(world).id, 'running')
  return world
}

function newest(world: Orchestration): Task {
  const task = world.tasksOf('web').at(-1)
  if (task === undefined) throw new Error('web has a task')
  return task
}

function changeNode(world: Orchestration, id: string, part: Part<Node>): void {
  const present = world.getNode(id)
  world.setNode(node({ ...present, ...part }))
}

test('what ended is told so at once, and its successor is held back for the delay', () => {
  const world = running()
  const first = newest(world)

  world.report(first.id, 'failed')

  const successor = newest(world)
  expect(world.getTask(first.id).desiredState).toBe('shutdown')
  expect(successor).toMatchObject({
    desiredState: 'ready',
    replaces: first.id,
    slot: 1,
    startAfterMs: world.now + 5_000,
  })
  world.advance(4_999)
  expect(newest(world).desiredState).toBe('ready')
  world.advance(1)
  expect(newest(world)).toMatchObject({ id: successor.id, desiredState: 'running' })
})

test.each(['replicated', 'global'] as const)(
  'what went with its daemon or its host does not wait for the delay, once (%s)',
  (kind) => {
    const mode = kind === 'global' ? { kind, global: {} } : undefined
    const world = running({}, mode && { mode })
    const lose = (): void => world.report(newest(world).id, 'failed', { unseen: true })

    lose()
    expect(newest(world)).toMatchObject({ desiredState: 'running', startAfterMs: 0 })
    lose()
    expect(newest(world)).toMatchObject({ desiredState: 'ready', startAfterMs: world.now + 5_000 })
  },
)

test('the delay grows with each restart in a row, and an update begins anew', () => {
  const world = running({ delayMs: 1_000, maxDelayMs: 3_000 })
  const waits: number[] = []
  for (let round = 0; round < 4; round++) {
    world.report(newest(world).id, 'failed')
    waits.push(newest(world).startAfterMs - world.now)
    world.advance(3_000)
  }
  expect(waits).toEqual([1_000, 2_000, 3_000, 3_000])

  const { spec } = world.getService('web')
  if (spec?.task === undefined) throw new Error('web has a spec')
  world.setSpec('web', { ...spec, task: { ...spec.task, forceUpdate: 1 } })
  expect(newest(world).restartsInRow).toBe(0)
})

test('a restart in a row is not one for which its node was lost', () => {
  const world = running({ delayMs: 1_000, maxDelayMs: 3_000 })
  world.report(newest(world).id, 'failed')
  world.advance(1_000)
  const { nodeId, restartsInRow } = newest(world)
  changeNode(world, nodeId, { status: { state: 'down' } })

  expect([restartsInRow, newest(world).restartsInRow]).toEqual([1, 1])
  expect(newest(world).nodeId).not.toBe(nodeId)
})

test('the delay is the policy’s, also when it is nothing', () => {
  const slow = running({ delayMs: 60_000 })
  slow.report(newest(slow).id, 'failed')
  expect(newest(slow).startAfterMs).toBe(slow.now + 60_000)

  const fast = running({ delayMs: 0 })
  fast.report(newest(fast).id, 'failed')
  expect(newest(fast)).toMatchObject({ desiredState: 'running', status: { state: 'assigned' } })
})

test.each<[RestartPolicy['condition'], TaskState, boolean]>([
  ['any', 'complete', true],
  ['any', 'failed', true],
  ['on-failure', 'complete', false],
  ['on-failure', 'failed', true],
  ['on-failure', 'rejected', true],
  ['none', 'complete', false],
  ['none', 'failed', false],
])('with condition %s a task that is %s gets a successor: %s', (condition, state, expected) => {
  const world = running({ condition })

  world.report(newest(world).id, state)

  expect(world.wantedOf('web').length).toBe(expected ? 1 : 0)
  expect(world.tasksOf('web').length).toBe(expected ? 2 : 1)
})

test('a successor that fails while it is held back waits for the delay it had', () => {
  const world = running({ delayMs: 5_000 })
  world.report(newest(world).id, 'failed')
  const second = newest(world)
  world.advance(1_000)

  world.report(second.id, 'rejected')

  expect(newest(world).id).toBe(second.id)
  world.advance(4_000)
  expect(newest(world)).toMatchObject({
    replaces: second.id,
    desiredState: 'ready',
    startAfterMs: world.now + 5_000,
  })
})

test('a task on a drained node is replaced without delay, but not before it ended', () => {
  const world = running()
  const first = newest(world)

  changeNode(world, first.nodeId, { spec: { availability: 'drain' } })

  expect(world.getTask(first.id).desiredState).toBe('shutdown')
  expect(newest(world)).toMatchObject({ desiredState: 'ready', startAfterMs: 0 })
  expect(newest(world).nodeId).not.toBe(first.nodeId)
  world.report(first.id, 'shutdown')
  expect(newest(world).desiredState).toBe('running')
})

test('a task lost with its node is replaced without delay and without waiting for it', () => {
  const world = running({ delayMs: 60_000 })
  const first = newest(world)

  changeNode(world, first.nodeId, { status: { state: 'down' } })

  expect(newest(world)).toMatchObject({ desiredState: 'running', replaces: first.id })
  expect(world.getTask(first.id).status?.state).toBe('running')
})

test('a task whose node was removed is orphaned and replaced', () => {
  const world = running()
  const first = newest(world)

  world.write([{ kind: 'remove', table: 'nodes', id: first.nodeId }])

  expect(world.getTask(first.id).status?.state).toBe('orphaned')
  expect(newest(world)).toMatchObject({ desiredState: 'running', replaces: first.id })
})

test.each(['disconnected', 'unknown'] as const)(
  'nothing is replaced on a node that is %s',
  (state) => {
    const world = running()

    changeNode(world, newest(world).nodeId, { status: { state } })
    world.advance(3_600_000)

    expect(world.tasksOf('web').map((task) => task.desiredState)).toEqual(['running'])
  },
)

test('a task that is told to end is waited for no longer than a minute', () => {
  const world = running()
  const first = newest(world)
  changeNode(world, first.nodeId, { spec: { availability: 'drain' } })

  world.advance(59_999)
  expect(newest(world).desiredState).toBe('ready')
  world.advance(1)
  expect(newest(world).desiredState).toBe('running')
})

test('a task with a long stop grace is given that time, and a little more', () => {
  const world = new Orchestration({
    nodes: three,
    services: [service({ id: 'web', spec: { task: { container: { stopGraceMs: 300_000 } } } })],
  })
  world.settle()
  world.report(newest(world).id, 'running')
  changeNode(world, newest(world).nodeId, { spec: { availability: 'drain' } })

  world.advance(309_999)
  expect(newest(world).desiredState).toBe('ready')
  world.advance(1)
  expect(newest(world).desiredState).toBe('running')
})

test('a task that ends on a node which announced its return is waited for until that is down', () => {
  const world = running()
  const first = newest(world)
  changeNode(world, first.nodeId, { spec: { availability: 'drain' } })
  changeNode(world, first.nodeId, { status: { state: 'disconnected' } })

  world.advance(600_000)
  expect(newest(world).desiredState).toBe('ready')
  changeNode(world, first.nodeId, { status: { state: 'down' } })
  expect(newest(world).desiredState).toBe('running')
})

/** Fails the newest task as soon as it may run, until none follows; the number of tasks made. */
function crash(world: Orchestration, pauseMs: number): number {
  for (let count = 1; count < 20; count++) {
    world.advance(pauseMs)
    const task = newest(world)
    if (task.desiredState !== 'running') return world.tasksOf('web').length
    world.report(task.id, 'failed')
  }
  return Number.POSITIVE_INFINITY
}

test.each([
  [{ maxAttempts: 3, delayMs: 0 }, 1_000, 4],
  [{ maxAttempts: 1, delayMs: 0 }, 1_000, 2],
  // Three in 10 s are never reached when one takes 4 s; in 15 s they are.
  [{ maxAttempts: 3, delayMs: 0, windowMs: 10_000 }, 4_000, Number.POSITIVE_INFINITY],
  [{ maxAttempts: 3, delayMs: 0, windowMs: 15_000 }, 4_000, 4],
])('with policy %j a task that fails every %i ms is made %i times', (policy, pauseMs, expected) => {
  const world = running(policy)

  expect(crash(world, pauseMs)).toBe(expected)
  const { index } = world.view
  world.changeLeader()
  world.advance(3_600_000)
  if (Number.isFinite(expected)) expect(world.view.index).toBe(index)
})

test('attempts are counted for each spec version', () => {
  const world = running({ maxAttempts: 2, delayMs: 0 })
  expect(crash(world, 1_000)).toBe(3)
  const { spec } = world.getService('web')
  if (spec?.task === undefined) throw new Error('web has a spec')

  world.setSpec('web', { ...spec, task: { ...spec.task, forceUpdate: 1 } })

  crash(world, 1_000)
  const { specVersion } = world.getService('web')
  const made = world.tasksOf('web').filter((task) => task.specVersion === specVersion)
  expect(made.map((task) => task.status?.state)).toEqual(['failed', 'failed', 'failed'])
  expect(world.wantedOf('web')).toEqual([])
})

test('a task held back beside one that is up to date ends, whichever is older', () => {
  const world = new Orchestration({
    nodes: three,
    services: [service({ id: 'web' })],
    tasks: [
      task({ id: 't1', serviceId: 'web', nodeId: 'n1', status: { state: 'running' } }),
      task({ id: 't2', serviceId: 'web', desiredState: 'ready', createdClusterMs: 5 }),
    ],
  })

  world.settle()

  expect(world.getTask('t1').desiredState).toBe('running')
  expect(world.getTask('t2').desiredState).toBe('shutdown')
})

test('a delay that runs is not cut short by the loss of a node', () => {
  const world = running({ delayMs: 30_000 })
  world.report(newest(world).id, 'failed')
  const { startAfterMs, nodeId } = newest(world)
  world.advance(10_000)

  changeNode(world, nodeId, { status: { state: 'down' } })

  expect(newest(world)).toMatchObject({ desiredState: 'ready', startAfterMs })
  world.advance(20_000)
  expect(newest(world).desiredState).toBe('running')
})

test('an old task that fails beside its start-first successor gets no other one', () => {
  const world = running({}, { update: { order: 'start-first', parallelism: 1 } })
  const old = newest(world)
  const { spec } = world.getService('web')
  if (spec?.task === undefined) throw new Error('web has a spec')
  world.setSpec('web', { ...spec, task: { ...spec.task, forceUpdate: 1 } })

  world.report(old.id, 'failed')

  expect(world.tasksOf('web').length).toBe(2)
  expect(world.wantedOf('web')).toMatchObject([{ replaces: old.id, madeByUpdate: true }])
})

test('a task of a global service on a lost node is left to the global orchestrator', () => {
  const view = storeWith({
    nodes: [node({ id: 'n1', status: { state: 'down' } })],
    services: [service({ id: 'web', spec: { mode: { kind: 'global', global: {} } } })],
    tasks: [
      task({ id: 't1', serviceId: 'web', slot: 0, nodeId: 'n1', status: { state: 'running' } }),
    ],
  }).view()

  expect(lookAtAll(newRestartReconciler(), view).changes).toEqual([])
})

test('a new leader goes on in the middle of a delay', () => {
  const world = running()
  world.report(newest(world).id, 'failed')
  world.advance(3_000)

  world.changeLeader()
  world.settle()

  world.advance(1_999)
  expect(newest(world).desiredState).toBe('ready')
  world.advance(1)
  expect(newest(world).desiredState).toBe('running')
})
