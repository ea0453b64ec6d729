/** Whose slot it is when a node is back whose task was replaced (docs/disconnect.md). */
import { expect, test } from 'vitest'
import { DAY_MS } from '../../lib/clock.ts'
import type { Task } from '../../proto/gen/objects.ts'
import type { ServiceSpec } from '../../proto/gen/specs.ts'
import { node, type Part, service } from '../../test/build.ts'
import { Orchestration } from '../../test/orchestration.ts'

/** A cluster in which a task of `web` was lost with n1 and runs on n2 now; n1 is down. */
function replaced(spec: Part<ServiceSpec> = {}): Orchestration {
  const world = new Orchestration({
    nodes: [node({ id: 'n1' }), node({ id: 'n2' }), node({ id: 'n3' })],
    services: [
      service({
        id: 'web',
        spec: { ...spec, task: { disconnect: { keep: 'original' }, ...spec.task } },
      }),
    ],
  })
  world.settle()
  for (const task of world.tasksOf('web')) world.report(task.id, 'running')
  world.turnNode('n1', 'down')
  for (const task of world.tasksOf('web').slice(1)) world.report(task.id, 'running')
  return world
}

const states = (world: Orchestration): readonly string[] =>
  world.tasksOf('web').map(({ nodeId, desiredState }) => `${nodeId} ${desiredState}`)

const first = (world: Orchestration): Task => {
  const [task] = world.tasksOf('web')
  if (task === undefined) throw new Error('web has a task')
  return task
}

test('the original stays wanted beside its replacement', () => {
  const world = replaced()

  expect(states(world)).toEqual(['n1 running', 'n2 running'])
  expect(first(world).lostClusterMs).toBe(world.now)
})

test('it has its slot back when its node has been back for some seconds, whoever leads', () => {
  const world = replaced()
  world.turnNode('n1', 'ready')
  world.advance(4_999)
  world.changeLeader()
  world.settle()
  const before = states(world)

  world.advance(1)

  expect(before).toEqual(['n1 running', 'n2 running'])
  expect(states(world)).toEqual(['n1 running', 'n2 shutdown'])
  expect(first(world).lostClusterMs).toBe(0)
})

test('it is given up where it turns out to have ended', () => {
  const world = replaced()
  world.turnNode('n1', 'ready')

  world.report(first(world).id, 'failed')
  world.advance(60_000)

  expect(states(world)).toEqual(['n1 shutdown', 'n2 running'])
})

test.each<[string, (world: Orchestration) => void]>([
  [
    'its node is drained',
    (world) => world.turnNode('n1', 'ready', { spec: { availability: 'drain' } }),
  ],
  ['its node is removed', (world) => world.write([{ kind: 'remove', table: 'nodes', id: 'n1' }])],
  ['its node was down for a day', (world) => world.advance(DAY_MS)],
])('it is given up where %s', (_name, act) => {
  const world = replaced()

  act(world)

  expect(first(world).desiredState).toBe('shutdown')
  expect(states(world).at(-1)).toBe('n2 running')
})

test('it is given up where its spec is not the present one, at once', () => {
  const world = replaced()
  const { spec } = world.getService('web')
  if (spec?.task === undefined) throw new Error('web has a spec')

  world.setSpec('web', { ...spec, task: { ...spec.task, forceUpdate: 1 } })

  expect(first(world).desiredState).toBe('shutdown')
})

test('a slot that is scaled away takes both', () => {
  const world = replaced()
  const { spec } = world.getService('web')
  if (spec === undefined) throw new Error('web has a spec')

  world.setSpec('web', { ...spec, mode: { kind: 'replicated', replicated: { replicas: 0 } } })

  expect(states(world)).toEqual(['n1 remove', 'n2 remove'])
})

test('of several that were lost one after another the first has its slot back', () => {
  const world = replaced()
  world.turnNode('n2', 'down')
  const lost = states(world)
  world.turnNode('n1', 'ready')

  world.advance(5_000)

  expect(lost).toEqual(['n1 running', 'n2 running', 'n3 running'])
  expect(states(world)).toEqual(['n1 running', 'n2 shutdown', 'n3 shutdown'])
})

test('where no other one may be made it stays', () => {
  const world = replaced({ task: { restart: { condition: 'none' } } })
  world.advance(600_000)

  world.turnNode('n1', 'ready')

  expect(states(world)).toEqual(['n1 running'])
})

test('a global task goes on whenever its node is back within a day', () => {
  const world = replaced({ mode: { kind: 'global', global: {} } })
  world.advance(DAY_MS - 1)
  const before = first(world).desiredState

  world.advance(1)

  expect([before, first(world).desiredState]).toEqual(['running', 'shutdown'])
})

test('a global task that is out of date by then is updated when its node is back', () => {
  const world = replaced({ mode: { kind: 'global', global: {} }, update: { parallelism: 0 } })
  const { spec } = world.getService('web')
  if (spec?.task === undefined) throw new Error('web has a spec')
  world.setSpec('web', { ...spec, task: { ...spec.task, forceUpdate: 1 } })
  const away = first(world).desiredState

  world.turnNode('n1', 'ready')

  expect([away, first(world).desiredState]).toEqual(['running', 'shutdown'])
  expect(states(world)).toContain('n1 ready')
})
