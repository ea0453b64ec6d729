/**
 * The enforcer: what a changed node must give up.
 */
import { expect, test } from 'vitest'
import {
  emptyUpdateStatus,
  type Node,
  type Task,
  type UpdateStatus,
} from '../../proto/gen/objects.ts'
import { emptyTaskSpec, type RestartPolicy, type ServiceSpec } from '../../proto/gen/specs.ts'
import { node, type Part, service, task } from '../../test/build.ts'
import { Orchestration } from '../../test/orchestration.ts'

const GIB = 2 ** 30
const zoned = (zone: string): Part<Node> => ({
  spec: { annotations: { labels: new Map([['zone', zone]]) } },
})
const placed = ['node.labels.zone==a']

/** `web` with two tasks on n1, in zone a, which run since 10 and 20 ms. */
function running(
  memoryBytes = 0,
  part: Part<ServiceSpec> = {},
  condition: RestartPolicy['condition'] = 'any',
  stopAfterMs = 0,
): Orchestration {
  const spec = {
    disconnect: { stopAfterMs },
    placement: { constraints: placed },
    restart: { condition },
    resources: { reservations: { memoryBytes } },
  }
  const web = service({
    id: 'web',
    spec: { task: spec, mode: { kind: 'replicated', replicated: { replicas: 2 } }, ...part },
  })
  const on = (slot: number, runningClusterMs: number): Task =>
    task({
      id: `t${slot}`,
      serviceId: 'web',
      slot,
      nodeId: 'n1',
      ...(web.spec?.task && { spec: web.spec.task }),
      status: { state: 'running' },
      runningClusterMs,
    })
  const world = new Orchestration({
    nodes: [node({ id: 'n1', ...zoned('a') }), node({ id: 'n2', ...zoned('a') })],
    services: [web],
    tasks: [on(1, 20), on(2, 10)],
  })
  world.settle()
  return world
}

const stateOf = (world: Orchestration, id: string) => world.getTask(id).status

test('tasks whose node no longer meets the constraints are rejected and replaced elsewhere', () => {
  const world = running()

  world.setNode(node({ id: 'n1', ...zoned('b') }))

  expect(stateOf(world, 't1')).toMatchObject({
    state: 'rejected',
    message: 'task rejected by constraint enforcer',
    error: 'assigned node no longer meets constraints',
  })
  expect(stateOf(world, 't2')?.state).toBe('rejected')
  expect(world.wantedOf('web').map((wanted) => wanted.nodeId)).toEqual(['n2', 'n2'])
})

test.each<[string, Part<Node>]>([
  ['paused', { spec: { availability: 'pause', annotations: { labels: new Map() } } }],
  ['never registered', { description: undefined, spec: { annotations: { labels: new Map() } } }],
])('tasks on a node that is %s are left alone', (_what, part) => {
  const world = running()

  world.setNode(node({ id: 'n1', ...part }))

  expect(stateOf(world, 't1')?.state).toBe('running')
})

test('tasks that no longer fit are rejected, the longest running one stays', () => {
  const world = running(3 * GIB)

  world.setNode(
    node({ id: 'n1', ...zoned('a'), description: { resources: { memoryBytes: 4 * GIB } } }),
  )

  expect(stateOf(world, 't2')?.state).toBe('running')
  expect(stateOf(world, 't1')?.state).toBe('rejected')
})

test('a changed constraint rejects nothing by itself: the update goes slot by slot', () => {
  const world = running()
  const { spec } = world.getService('web')
  if (spec?.task?.placement === undefined) throw new Error('web has a placement')

  world.setSpec('web', {
    ...spec,
    task: { ...spec.task, placement: { ...spec.task.placement, constraints: ['node.id==n2'] } },
  })
  world.changeLeader()
  world.settle()

  expect(stateOf(world, 't1')?.state).toBe('running')
  expect(world.getTask('t1').desiredState).toBe('shutdown')
  expect(world.getTask('t2').desiredState).toBe('running')
})

test.each(['any', 'none'] as const)(
  'a service with a budget loses no more at once than that, restarted %s',
  (condition) => {
    // Rejected for good, a slot would be missed by no budget (simulator, seed 70119).
    const world = running(0, { disruptionBudget: { maxUnavailable: 1 } }, condition)

    world.setNode(node({ id: 'n1', ...zoned('b') }))

    const states = () => ['t1', 't2'].map((id) => stateOf(world, id)?.state)
    expect(states()).toEqual(['running', 'rejected'])
    world.advance(5_000)
    const [, made] = world.wantedOf('web')
    world.report(made?.id ?? '', 'running')
    expect(states()).toEqual(['rejected', 'rejected'])
  },
)

test.each(['any', 'none'] as const)(
  'of fenced tasks it loses no more either, restarted %s, and each has a successor that waits for it',
  (condition) => {
    // Ended for good, a slot would be missed by no budget (simulator, seed 160284).
    const world = running(0, { disruptionBudget: { maxUnavailable: 1 } }, condition, 12_000)

    world.setNode(node({ id: 'n1', ...zoned('b') }))

    const desired = () => ['t1', 't2'].map((id) => world.getTask(id).desiredState)
    expect(desired()).toEqual(['running', 'shutdown'])
    const [, made] = world.wantedOf('web')
    expect(made).toMatchObject({ slot: 2, nodeId: 'n2', desiredState: 'ready' })
    world.report('t2', 'shutdown')
    world.report(made?.id ?? '', 'running')
    expect(desired()).toEqual(['shutdown', 'shutdown'])
  },
)

test('a slot with two tasks is lost with the second of them', () => {
  // A start-first update that paused left both (simulator, seed 71054).
  const world = running(0, { disruptionBudget: { maxUnavailable: 1 } })
  const web = world.getService('web')
  const updateStatus: UpdateStatus = {
    ...emptyUpdateStatus,
    state: 'paused',
    targetSpecVersion: web.specVersion,
  }
  world.write([{ kind: 'update', table: 'services', object: { ...web, updateStatus } }])
  const made = world.getTask('t1')
  const spec = { ...(made.spec ?? emptyTaskSpec), forceUpdate: 9 }
  const old = { ...made, id: 'old', spec, specVersion: 99, createdClusterMs: 5 }
  world.write([{ kind: 'create', table: 'tasks', object: { ...old, runningClusterMs: 30 } }])
  expect(world.wantedOf('web').length).toBe(3)

  world.setNode(node({ id: 'n1', ...zoned('b') }))

  const states = ['t1', 'old', 't2'].map((id) => stateOf(world, id)?.state)
  expect(states).toEqual(['rejected', 'running', 'rejected'])
})
