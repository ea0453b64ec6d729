/**
 * The replicated orchestrator: how many slots, which numbers, and which ones go.
 */
import { expect, test } from 'vitest'
import type { Task } from '../../proto/gen/objects.ts'
import { node, service, task } from '../../test/build.ts'
import { Orchestration } from '../../test/orchestration.ts'

const three = [node({ id: 'n1' }), node({ id: 'n2' }), node({ id: 'n3' })]
const replicated = (replicas: number) =>
  ({ mode: { kind: 'replicated', replicated: { replicas } } }) as const
const run = (world: Orchestration): void => {
  for (const wanted of world.wantedOf('web')) world.report(wanted.id, 'running')
}
const slots = (tasks: readonly Task[]): readonly number[] => tasks.map((each) => each.slot)

function scaled(world: Orchestration, replicas: number): void {
  const { spec } = world.getService('web')
  if (spec !== undefined) world.setSpec('web', { ...spec, ...replicated(replicas) })
}

test('replicated makes a task for each slot from 1 on, wanted to run', () => {
  const world = new Orchestration({
    nodes: three,
    services: [service({ id: 'web', spec: replicated(3) })],
  })

  world.settle()

  const tasks = world.tasksOf('web')
  expect(slots(tasks)).toEqual([1, 2, 3])
  expect(tasks.map((each) => each.desiredState)).toEqual(['running', 'running', 'running'])
  expect(new Set(tasks.map((each) => each.nodeId)).size).toBe(3)
})

test('replicated fills the lowest free numbers', () => {
  const world = new Orchestration({
    nodes: three,
    services: [service({ id: 'web', spec: replicated(4) })],
    tasks: [2, 5].map((slot) => task({ id: `t${slot}`, serviceId: 'web', slot })),
  })

  world.settle()

  expect(slots(world.wantedOf('web'))).toEqual([1, 2, 3, 5])
})

test('replicated takes away slots that do not run before any that does', () => {
  const world = new Orchestration({
    nodes: three,
    services: [service({ id: 'web', spec: replicated(3) })],
  })
  world.settle()
  const [, second, third] = world.tasksOf('web')
  for (const running of [second, third]) world.report(running?.id ?? '', 'running')

  scaled(world, 2)

  expect(slots(world.wantedOf('web'))).toEqual([2, 3])
})

test('replicated takes slots away from the node with most of them', () => {
  const placed = (slot: number, nodeId: string): Task =>
    task({ id: `t${slot}`, serviceId: 'web', slot, nodeId, status: { state: 'running' } })
  const world = new Orchestration({
    nodes: three,
    services: [service({ id: 'web', spec: replicated(3) })],
    tasks: [placed(1, 'n1'), placed(2, 'n1'), placed(3, 'n1'), placed(4, 'n2'), placed(5, 'n3')],
  })

  world.settle()

  expect(slots(world.wantedOf('web'))).toEqual([1, 4, 5])
  expect(world.getTask('t2').desiredState).toBe('remove')
})

test('replicated holds a task back while the slot given up before is still ending', () => {
  const world = new Orchestration({
    nodes: three,
    services: [service({ id: 'web', spec: replicated(2) })],
  })
  world.settle()
  run(world)
  scaled(world, 1)
  scaled(world, 2)
  const [, ending, successor] = world.tasksOf('web')
  expect([ending?.desiredState, successor?.desiredState]).toEqual(['remove', 'ready'])

  world.report(ending?.id ?? '', 'shutdown')

  expect(world.wantedOf('web').map((each) => each.desiredState)).toEqual(['running', 'running'])
  expect(world.tasksOf('web')).toHaveLength(2)
})

test('replicated scales to nothing and back', () => {
  const world = new Orchestration({
    nodes: three,
    services: [service({ id: 'web', spec: replicated(3) })],
  })
  world.settle()
  run(world)

  scaled(world, 0)
  for (const ending of world.tasksOf('web')) world.report(ending.id, 'shutdown')
  expect(world.tasksOf('web')).toEqual([])
  scaled(world, 2)

  expect(slots(world.wantedOf('web'))).toEqual([1, 2])
})

test('replicated leaves a slot alone whose task ended for good', () => {
  const world = new Orchestration({
    nodes: three,
    services: [service({ id: 'web', spec: { task: { restart: { condition: 'on-failure' } } } })],
  })
  world.settle()
  const [only] = world.tasksOf('web')

  world.report(only?.id ?? '', 'complete')
  world.changeLeader()
  world.settle()

  expect(world.tasksOf('web').map((each) => each.desiredState)).toEqual(['shutdown'])
})

test('replicated fills a slot whose task was told to end by somebody else', () => {
  const world = new Orchestration({ nodes: three, services: [service({ id: 'web' })] })
  world.settle()
  run(world)
  const [first] = world.tasksOf('web')
  if (first === undefined) throw new Error('web has a task')

  world.write([{ kind: 'update', table: 'tasks', object: { ...first, desiredState: 'shutdown' } }])

  expect(world.wantedOf('web').map((each) => [each.slot, each.desiredState])).toEqual([
    [1, 'ready'],
  ])
})
