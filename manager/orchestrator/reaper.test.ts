/**
 * The reaper: what is kept of the past, what is forgotten, and who is declared orphaned.
 */
import { expect, test } from 'vitest'
import { newSeededRandom } from '../../lib/random.ts'
import type { Task } from '../../proto/gen/objects.ts'
import type { ServiceSpec } from '../../proto/gen/specs.ts'
import { applyTo, cluster, node, type Part, service, storeWith, task } from '../../test/build.ts'
import { changedTasks, Orchestration } from '../../test/orchestration.ts'
import { changedId } from '../store/change.ts'
import type { Outcome, Round } from '../store/round.ts'
import { newReaper } from './reaper.ts'

const HOUR_MS = 3_600_000

/** Slot 1 of `web` with `count` dead tasks, d1 the oldest, and one that runs. */
function withDead(count: number, limit: number, part: Part<Task> = {}): Orchestration {
  const dead = Array.from({ length: count }, (_, at) =>
    task({
      id: `d${at + 1}`,
      serviceId: 'web',
      nodeId: 'n1',
      desiredState: 'shutdown',
      status: { state: 'failed' },
      createdClusterMs: at,
      endedClusterMs: at + 1,
      ...part,
    }),
  )
  const live = task({
    id: 'live',
    serviceId: 'web',
    nodeId: 'n1',
    status: { state: 'running' },
    createdClusterMs: count,
  })
  const world = new Orchestration({
    clusters: [cluster({ spec: { taskHistoryLimit: limit } })],
    nodes: [node({ id: 'n1' })],
    services: [service({ id: 'web' })],
    tasks: [...dead, live],
  })
  world.settle()
  return world
}

const idsOf = (world: Orchestration): readonly string[] =>
  world.tasksOf('web').map((each) => each.id)

test.each([
  [7, 5, ['d3', 'd4', 'd5', 'd6', 'd7', 'live']],
  [3, 5, ['d1', 'd2', 'd3', 'live']],
  [3, 1, ['d3', 'live']],
  [3, 0, ['live']],
  [3, -1, ['d1', 'd2', 'd3', 'live']],
])('of %i dead tasks a limit of %i keeps %j', (count, limit, expected) => {
  expect(idsOf(withDead(count, limit))).toEqual(expected)
})

test('the limit is raised to what restart attempts are counted by', () => {
  const world = withDead(7, 2, { spec: { restart: { maxAttempts: 3 } } })

  expect(idsOf(world)).toEqual(['d4', 'd5', 'd6', 'd7', 'live'])
})

test('a lower limit takes effect at once', () => {
  const world = withDead(5, 5)

  const object = cluster({ spec: { taskHistoryLimit: 1 } })
  world.write([{ kind: 'update', table: 'clusters', object }])

  expect(idsOf(world)).toEqual(['d5', 'live'])
})

test('the last task of a slot stays where nothing runs any more', () => {
  const spec: Part<ServiceSpec> = { task: { restart: { condition: 'none' } } }
  const world = new Orchestration({
    clusters: [cluster({ spec: { taskHistoryLimit: 0 } })],
    nodes: [node({ id: 'n1' })],
    services: [service({ id: 'web', spec })],
  })
  world.settle()
  const [only] = world.tasksOf('web')

  world.report(only?.id ?? '', 'complete')
  world.advance(HOUR_MS)

  expect(idsOf(world)).toEqual([only?.id])
})

test('what an update made stays until the update is over', () => {
  const world = withDead(0, 0)
  const { spec } = world.getService('web')
  if (spec?.task === undefined) throw new Error('web has a spec')
  world.setSpec('web', {
    ...spec,
    update: undefined,
    task: { ...spec.task, forceUpdate: 1 },
  })
  const made = world.wantedOf('web')[0]
  world.report('live', 'shutdown')
  world.report(made?.id ?? '', 'running')
  world.advance(4_999)
  expect(world.getService('web').updateStatus?.state).toBe('updating')

  world.advance(1)

  expect(world.getService('web').updateStatus?.state).toBe('completed')
  expect(idsOf(world)).toEqual([made?.id])
})

test('what updates made is forgotten once a spec that changes no task ends the last of them', () => {
  const world = withDead(0, 0)
  const { spec } = world.getService('web')
  if (spec?.task === undefined) throw new Error('web has a spec')
  world.setSpec('web', { ...spec, task: { ...spec.task, forceUpdate: 1 } })
  const [first] = world.wantedOf('web')
  const second: ServiceSpec = { ...spec, task: { ...spec.task, forceUpdate: 2 } }
  world.setSpec('web', second)
  world.report(first?.id ?? '', 'shutdown')
  world.report('live', 'shutdown')
  const [last] = world.wantedOf('web')
  world.report(last?.id ?? '', 'running')
  expect(idsOf(world)).toEqual([first?.id, last?.id])

  world.setSpec('web', { ...second, annotations: { name: 'web', labels: new Map([['a', 'b']]) } })

  expect(world.getService('web').updateStatus).toBeUndefined()
  expect(idsOf(world)).toEqual([last?.id])
})

test('a limit that falls with the tasks that raised it takes effect at once', () => {
  const world = withDead(0, 0)
  const dead = (id: string, at: number, maxAttempts: number): Task =>
    task({
      id,
      serviceId: 'web',
      nodeId: 'n1',
      desiredState: 'shutdown',
      status: { state: 'failed' },
      createdClusterMs: at - 10,
      endedClusterMs: at - 9,
      spec: { restart: { maxAttempts } },
    })
  const objects = [dead('d1', 1, 2), dead('d2', 2, 0), dead('d3', 3, 0), dead('d4', 4, 0)]

  world.write(objects.map((object) => ({ kind: 'create', table: 'tasks', object })))

  expect(idsOf(world)).toEqual(['live'])
})

test('the delay of an update is kept for a task that failed and would be forgotten', () => {
  const world = new Orchestration({
    clusters: [cluster({ spec: { taskHistoryLimit: 0 } })],
    nodes: [node({ id: 'n1' })],
    services: [
      service({
        id: 'web',
        spec: {
          mode: { kind: 'replicated', replicated: { replicas: 2 } },
          update: { parallelism: 1, delayMs: 10_000, failureAction: 'continue' },
        },
      }),
    ],
  })
  world.settle()
  const { spec } = world.getService('web')
  if (spec?.task === undefined) throw new Error('web has a spec')
  world.setSpec('web', { ...spec, task: { ...spec.task, forceUpdate: 1 } })
  const madeOf = (): readonly Task[] => world.tasksOf('web').filter((each) => each.madeByUpdate)

  world.report(madeOf()[0]?.id ?? '', 'rejected')
  world.advance(9_999)
  expect(madeOf().map((each) => each.slot)).toEqual([1])
  world.advance(1)

  expect(madeOf().map((each) => each.slot)).toEqual([1, 2])
})

test('tasks of a removed service go once no node can run them', () => {
  const world = withDead(2, 5)

  world.write([{ kind: 'remove', table: 'services', id: 'web' }])

  expect(idsOf(world)).toEqual(['live'])
  expect(world.getTask('live').desiredState).toBe('remove')
  world.report('live', 'shutdown')
  expect(idsOf(world)).toEqual([])
})

test('a pending task of a removed service goes at once', () => {
  const world = new Orchestration({ services: [service({ id: 'web' })] })
  world.settle()
  expect(world.tasksOf('web').length).toBe(1)

  world.write([{ kind: 'remove', table: 'services', id: 'web' }])

  expect(world.view.tasks.size).toBe(0)
})

test('a task that was told to end is orphaned when its node has been down for a day', () => {
  const world = withDead(0, 5)
  world.setNode(node({ id: 'n1', status: { state: 'down' } }))
  expect(world.getTask('live').desiredState).toBe('shutdown')

  world.advance(24 * HOUR_MS - 1)
  expect(world.getTask('live').status?.state).toBe('running')
  world.advance(1)

  expect(world.getTask('live').status).toMatchObject({
    state: 'orphaned',
    error: 'the node has been down for 24 hours',
  })
})

test('a node that comes back in time reports for itself', () => {
  const world = withDead(0, 5)
  world.setNode(node({ id: 'n1', status: { state: 'down' } }))
  world.advance(23 * HOUR_MS)
  world.setNode(node({ id: 'n1' }))

  world.advance(48 * HOUR_MS)

  expect(world.getTask('live').status?.state).toBe('running')
})

test('a new leader goes on counting the day', () => {
  const world = withDead(0, 5)
  world.setNode(node({ id: 'n1', status: { state: 'down' } }))
  world.advance(23 * HOUR_MS)
  world.changeLeader()
  world.settle()

  world.advance(HOUR_MS)

  expect(world.getTask('live').status?.state).toBe('orphaned')
})

test('tasks of a removed node are orphaned at once', () => {
  const world = withDead(0, 5)

  world.write([{ kind: 'remove', table: 'nodes', id: 'n1' }])

  expect(world.getTask('live').status).toMatchObject({
    state: 'orphaned',
    error: 'the node was removed',
  })
})

test('what a slot forgets while its service is removed is not told to go as well', () => {
  const tasks = ['d1', 'd2', 'd3'].map((id, at) =>
    task({
      ...{ id, serviceId: 'web', desiredState: 'shutdown', createdClusterMs: at },
      status: { state: 'failed' },
    }),
  )
  const clusters = [cluster({ spec: { taskHistoryLimit: 1 } })]
  const store = storeWith({ clusters, services: [service({ id: 'web' })], tasks })
  const reap = newReaper()
  const round = (changed: Round['changed']) =>
    reap({ view: store.view(), now: 2_000, wallMs: 0, random: newSeededRandom(1), changed })
  // The slot is to be looked at in the round after this one.
  round({ ...changedTasks([]), all: true })

  applyTo(store, [{ kind: 'remove', table: 'services', id: 'web' }], 2_000)
  const { ids } = changedTasks([])
  const first = round({ all: false, ids: { ...ids, services: new Set(['web']) } })
  applyTo(store, first.changes, 2_000)
  const second = round(changedTasks(['d1', 'd2', 'd3']))

  const kinds = (outcome: Outcome) =>
    outcome.changes.map((each) => `${each.kind} ${changedId(each)}`)
  expect(kinds(first)).toEqual(['remove d1', 'remove d2', 'update d3'])
  expect(kinds(second)).toEqual(['remove d3'])
})
