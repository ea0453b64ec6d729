/**
 * Nodes that are down: from when their tasks are replaced, who is waited for where an agent stops its
 * tasks by itself, and that another leader finds the same (docs/disconnect.md).
 */
import { expect, test } from 'vitest'
import type { Task } from '../../proto/gen/objects.ts'
import type { Disconnect, ServiceSpec } from '../../proto/gen/specs.ts'
import { node, type Part, service } from '../../test/build.ts'
import { Orchestration } from '../../test/orchestration.ts'

/** (30 s, 10 s of grace, 10 s of margin) · 11/9. */
const FENCE_MS = 61_112
const FENCED: Part<Disconnect> = { stopAfterMs: 30_000 }

/** A cluster in which the one task of `web` runs, on the first node. */
function running(disconnect: Part<Disconnect>, spec: Part<ServiceSpec> = {}): Orchestration {
  const world = new Orchestration({
    nodes: [node({ id: 'n1' }), node({ id: 'n2' })],
    services: [service({ id: 'web', spec: { ...spec, task: { ...spec.task, disconnect } } })],
  })
  world.settle()
  for (const task of world.tasksOf('web')) world.report(task.id, 'running')
  return world
}

function setSpec(world: Orchestration, part: Part<ServiceSpec>): void {
  const { spec } = world.getService('web')
  world.setSpec('web', { ...spec, ...part } as ServiceSpec)
}

const states = (world: Orchestration): readonly string[] =>
  world.tasksOf('web').map(({ nodeId, desiredState }) => `${nodeId} ${desiredState}`)

const first = (world: Orchestration): Task => {
  const [task] = world.tasksOf('web')
  if (task === undefined) throw new Error('web has a task')
  return task
}

test('without a rule a task is replaced as soon as its node is down', () => {
  const world = running({})

  world.turnNode('n1', 'down')

  expect(states(world)).toEqual(['n1 shutdown', 'n2 running'])
})

test('a task that ran counts as running until it is lost, whoever leads', () => {
  const world = running({ lostAfterMs: 60_000 })
  world.turnNode('n1', 'down')
  world.advance(59_999)
  world.changeLeader()
  world.settle()
  const before = states(world)

  world.advance(1)

  expect(before).toEqual(['n1 running'])
  expect(states(world)).toEqual(['n1 shutdown', 'n2 running'])
})

test('a node that is back in time changes nothing', () => {
  const world = running({ lostAfterMs: 60_000 })
  world.turnNode('n1', 'down')
  world.advance(59_999)
  world.turnNode('n1', 'ready')

  world.advance(600_000)

  expect(states(world)).toEqual(['n1 running'])
})

test('an announced return is waited for before it', () => {
  const world = running({ lostAfterMs: 60_000 })
  world.turnNode('n1', 'disconnected')
  world.advance(50_000)
  world.turnNode('n1', 'down')
  world.advance(59_999)
  const before = states(world)

  world.advance(1)

  expect([before, states(world)]).toEqual([['n1 running'], ['n1 shutdown', 'n2 running']])
})

test('what was not seen to run is lost at once', () => {
  const world = new Orchestration({
    nodes: [node({ id: 'n1' }), node({ id: 'n2' })],
    services: [service({ id: 'web', spec: { task: { disconnect: { lostAfterMs: 60_000 } } } })],
  })
  world.settle()
  world.report(first(world).id, 'preparing')

  world.turnNode('n1', 'down')

  expect(states(world)).toEqual(['n1 shutdown', 'n2 running'])
})

test.each<[string, (world: Orchestration) => void]>([
  ['drained', (world) => world.turnNode('n1', 'down', { spec: { availability: 'drain' } })],
  ['removed', (world) => world.write([{ kind: 'remove', table: 'nodes', id: 'n1' }])],
])('a node that is %s while it is down is waited for no longer', (_name, change) => {
  const world = running({ lostAfterMs: 60_000 })
  world.turnNode('n1', 'down')

  change(world)

  expect(states(world).at(-1)).toBe('n2 running')
  expect(first(world).desiredState).toBe('shutdown')
})

test('an update does not wait for a task of which nobody hears', () => {
  const world = running({ lostAfterMs: 60_000 })
  world.turnNode('n1', 'down')

  setSpec(world, { task: { ...world.getService('web').spec?.task, forceUpdate: 1 } } as ServiceSpec)

  expect(states(world)).toEqual(['n1 shutdown', 'n2 running'])
})

test('of a disruption budget it takes its part', () => {
  const world = running(
    { lostAfterMs: 60_000 },
    {
      mode: { kind: 'replicated', replicated: { replicas: 2 } },
      disruptionBudget: { maxUnavailable: 1 },
    },
  )
  world.turnNode('n1', 'down')

  world.turnNode('n2', 'ready', { spec: { availability: 'drain' }, drainUntilMs: 9e6 })

  expect(states(world)).toEqual(['n1 running', 'n2 running'])
})

test('a global task goes on when its node is back in time, and is made anew after that', () => {
  const world = running({ lostAfterMs: 60_000 }, { mode: { kind: 'global', global: {} } })
  world.turnNode('n1', 'down')
  world.advance(59_999)
  const before = states(world)

  world.advance(1)
  const lost = states(world)
  world.turnNode('n1', 'ready')

  expect(before).toEqual(['n1 running', 'n2 running'])
  expect(lost).toEqual(['n1 shutdown', 'n2 running'])
  expect(states(world)).toEqual(['n1 shutdown', 'n1 ready', 'n2 running'])
})

test('the successor of a fenced task waits until its agent has surely stopped it', () => {
  const world = running(FENCED)
  world.turnNode('n1', 'down')
  world.advance(FENCE_MS - 1)
  const before = states(world)

  world.advance(1)

  expect(before).toEqual(['n1 running'])
  expect(states(world)).toEqual(['n1 shutdown', 'n2 running'])
})

test.each<[string, (world: Orchestration) => void]>([
  ['an update', (world) => setSpec(world, { task: { forceUpdate: 1 } } as unknown as ServiceSpec)],
  [
    'scaling away and back',
    (world) => {
      for (const replicas of [0, 1])
        setSpec(world, { mode: { kind: 'replicated', replicated: { replicas } } })
    },
  ],
  ['a drain', (world) => world.turnNode('n1', 'down', { spec: { availability: 'drain' } })],
])('%s does not start what a fenced task on a node that is down is in the way of', (_name, act) => {
  const world = running(FENCED)
  world.turnNode('n1', 'down')
  world.advance(10_000)

  act(world)

  expect(world.tasksOf('web').at(-1)?.desiredState).toBe('ready')
  world.advance(FENCE_MS - 10_001)
  expect(world.tasksOf('web').at(-1)?.desiredState).toBe('ready')
  world.advance(1)
  expect(world.tasksOf('web').at(-1)?.desiredState).toBe('running')
})

test('of a fenced task whose node is removed the time is counted from then, and it is remembered', () => {
  const world = running(FENCED)
  setSpec(world, { mode: { kind: 'replicated', replicated: { replicas: 0 } } })
  world.advance(300_000)
  world.write([{ kind: 'remove', table: 'nodes', id: 'n1' }])
  setSpec(world, { mode: { kind: 'replicated', replicated: { replicas: 1 } } })
  world.advance(FENCE_MS - 1)
  const before = world.tasksOf('web').map(({ desiredState }) => desiredState)

  world.advance(1)

  expect(before).toEqual(['remove', 'ready'])
  expect(world.tasksOf('web').map(({ desiredState }) => desiredState)).toEqual(['running'])
})

test('a fenced task on a node that answers is waited for until it ended', () => {
  const world = running(FENCED)
  setSpec(world, { task: { forceUpdate: 1 } } as unknown as ServiceSpec)
  world.advance(3_600_000)
  const before = world.tasksOf('web').at(-1)?.desiredState

  world.report(first(world).id, 'shutdown')

  expect([before, world.tasksOf('web').at(-1)?.desiredState]).toEqual(['ready', 'running'])
})

test('nothing runs beside a fenced task, also where the next spec starts first', () => {
  const world = running(FENCED)

  setSpec(world, {
    task: { forceUpdate: 1 },
    update: { parallelism: 1, order: 'start-first' },
  } as unknown as ServiceSpec)

  expect(states(world)).toEqual(['n1 shutdown', 'n2 ready'])
})

test('the enforcer tells a fenced task to end and leaves it to its agent to say so', () => {
  const world = running(FENCED, { task: { placement: { constraints: ['node.labels.a != b'] } } })

  world.turnNode('n1', 'ready', { spec: { annotations: { labels: new Map([['a', 'b']]) } } })

  expect(first(world)).toMatchObject({ desiredState: 'shutdown', status: { state: 'running' } })
  expect(world.tasksOf('web').at(-1)?.desiredState).toBe('ready')
})

test('what its agent has stopped is replaced without delay', () => {
  const world = running(FENCED)
  const task = first(world)
  if (task.status === undefined) throw new Error('a task has a status')
  const object: Task = { ...task, status: { ...task.status, state: 'failed', fenced: true } }

  world.write([{ kind: 'update', table: 'tasks', object }])

  expect(states(world)).toEqual(['n1 shutdown', 'n1 running'])
})
