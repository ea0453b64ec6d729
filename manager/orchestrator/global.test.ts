/**
 * The global orchestrator: which nodes have a task; cases of SwarmKit's global tests.
 */
import { expect, test } from 'vitest'
import type { Node } from '../../proto/gen/objects.ts'
import type { ServiceSpec } from '../../proto/gen/specs.ts'
import { node, type Part, service } from '../../test/build.ts'
import { Orchestration } from '../../test/orchestration.ts'

const zone = (value: string) => ({ annotations: { labels: new Map([['zone', value]]) } })

function running(spec: Part<ServiceSpec> = {}, nodes = ['n1', 'n2', 'n3']): Orchestration {
  const world = new Orchestration({
    nodes: nodes.map((id) => node({ id, spec: zone('a') })),
    services: [service({ id: 'agent', spec: { ...spec, mode: { kind: 'global', global: {} } } })],
  })
  world.settle()
  for (const task of world.wantedOf('agent')) world.report(task.id, 'running')
  return world
}

const nodesOf = (world: Orchestration): readonly string[] =>
  world.wantedOf('agent').map((task) => task.nodeId)

function changeNode(world: Orchestration, id: string, part: Part<Node>): void {
  world.setNode(node({ ...world.getNode(id), ...part }))
}

test('global makes one task for each node, and one for a node that joins', () => {
  const world = running()
  expect(nodesOf(world)).toEqual(['n1', 'n2', 'n3'])
  expect(world.tasksOf('agent').map((task) => task.slot)).toEqual([0, 0, 0])

  world.setNode(node({ id: 'n4' }))

  expect(nodesOf(world)).toEqual(['n1', 'n2', 'n3', 'n4'])
})

test.each<[string, Part<Node>]>([
  ['drained', { spec: { availability: 'drain' } }],
  ['down', { status: { state: 'down' } }],
])('global shuts down the task of a node that is %s and makes it anew after', (_what, part) => {
  const world = running()
  const before = world.getNode('n2')

  changeNode(world, 'n2', part)
  expect(nodesOf(world)).toEqual(['n1', 'n3'])
  expect(world.tasksOf('agent').length).toBe(3)

  const ended = world.tasksOf('agent').find((task) => task.nodeId === 'n2')
  world.report(ended?.id ?? '', 'shutdown')
  world.setNode(node({ ...before }))
  expect(nodesOf(world)).toEqual(['n1', 'n2', 'n3'])
})

test('global holds a new task back until the one before has ended', () => {
  const world = running()
  changeNode(world, 'n2', { spec: { availability: 'drain' } })

  changeNode(world, 'n2', { spec: { availability: 'active' } })

  const [ending, held] = world.tasksOf('agent').filter((task) => task.nodeId === 'n2')
  expect([ending?.desiredState, held?.desiredState]).toEqual(['shutdown', 'ready'])
  world.report(ending?.id ?? '', 'shutdown')
  expect(world.getTask(held?.id ?? '').desiredState).toBe('running')
})

test.each(['unknown', 'disconnected'] as const)(
  'global keeps the task of a node that is %s',
  (state) => {
    const world = running()

    changeNode(world, 'n2', { status: { state } })

    expect(nodesOf(world)).toEqual(['n1', 'n2', 'n3'])
  },
)

test('global leaves a paused node what runs, and gives it nothing new', () => {
  const world = running()
  changeNode(world, 'n2', { spec: { availability: 'pause' } })
  expect(nodesOf(world)).toEqual(['n1', 'n2', 'n3'])

  const paused = world.wantedOf('agent').find((task) => task.nodeId === 'n2')
  world.report(paused?.id ?? '', 'failed')
  world.advance(60_000)
  expect(nodesOf(world)).toEqual(['n1', 'n3'])

  changeNode(world, 'n2', { spec: { availability: 'active' } })
  expect(nodesOf(world)).toEqual(['n1', 'n2', 'n3'])
})

test('global makes no task on a node that joins paused', () => {
  const world = running()

  world.setNode(node({ id: 'n4', spec: { availability: 'pause' } }))

  expect(nodesOf(world)).toEqual(['n1', 'n2', 'n3'])
})

test('global follows the constraints and the labels', () => {
  const world = running({ task: { placement: { constraints: ['node.labels.zone==a'] } } })
  expect(nodesOf(world)).toEqual(['n1', 'n2', 'n3'])

  changeNode(world, 'n1', { spec: zone('b') })
  expect(nodesOf(world)).toEqual(['n2', 'n3'])
  world.setNode(node({ id: 'n4', spec: zone('b') }))
  expect(nodesOf(world)).toEqual(['n2', 'n3'])
  changeNode(world, 'n4', { spec: zone('a') })
  expect(nodesOf(world)).toEqual(['n2', 'n3', 'n4'])
})

test('global restarts a task on its own node after the delay', () => {
  const world = running()
  const [first] = world.wantedOf('agent')

  world.report(first?.id ?? '', 'failed')

  const held = world.wantedOf('agent').find((task) => task.nodeId === 'n1')
  expect(held).toMatchObject({ desiredState: 'ready', replaces: first?.id })
  world.advance(5_000)
  expect(world.getTask(held?.id ?? '').desiredState).toBe('running')
})

test('global counts attempts for each node', () => {
  const world = running({ task: { restart: { maxAttempts: 1, delayMs: 0 } } }, ['n1', 'n2'])
  const fail = (nodeId: string): void => {
    const task = world.wantedOf('agent').find((wanted) => wanted.nodeId === nodeId)
    world.report(task?.id ?? '', 'failed')
  }

  fail('n1')
  fail('n1')
  fail('n2')

  expect(nodesOf(world)).toEqual(['n2'])
})

test('global does not run a task again that ended for good', () => {
  const world = running({ task: { restart: { condition: 'none' } } }, ['n1'])

  world.report(world.wantedOf('agent')[0]?.id ?? '', 'complete')
  changeNode(world, 'n1', { spec: { availability: 'drain' } })
  changeNode(world, 'n1', { spec: { availability: 'active' } })

  expect(nodesOf(world)).toEqual([])
})

test('global orphans the task of a node that is removed', () => {
  const world = running()

  world.write([{ kind: 'remove', table: 'nodes', id: 'n3' }])

  expect(nodesOf(world)).toEqual(['n1', 'n2'])
  const [orphan] = world.tasksOf('agent').filter((task) => task.nodeId === 'n3')
  expect(orphan).toMatchObject({ desiredState: 'shutdown', status: { state: 'orphaned' } })
})
