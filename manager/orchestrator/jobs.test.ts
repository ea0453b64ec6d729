/**
 * Jobs: completions and concurrency, failures and attempts, iterations, nodes that come and go; cases of
 * SwarmKit's orchestrators and what this one does better (swarm-mode.md 2.8).
 */
import { describe, expect, test } from 'vitest'
import type { Task } from '../../proto/gen/objects.ts'
import type { RestartPolicy, ServiceSpec } from '../../proto/gen/specs.ts'
import type { NodeState, TaskState } from '../../proto/gen/types.ts'
import { isTerminal } from '../../proto/task-state.ts'
import { cluster, node, type Part, service } from '../../test/build.ts'
import { Orchestration } from '../../test/orchestration.ts'
import { getState } from '../model/task.ts'

describe('a replicated job', () => {
  test('runs as many tasks at once as it may, until so many are done as it wants', () => {
    const world = replicatedJob({ maxConcurrent: 2, totalCompletions: 5 })
    const seen: number[] = []
    for (let round = 0; round < 5; round++) {
      const running = active(world)
      seen.push(running.length)
      world.report(running[0]?.id ?? '', 'complete')
    }

    expect(seen).toEqual([2, 2, 2, 2, 1])
    expect(slots(world, 'complete')).toEqual([1, 2, 3, 4, 5])
    expect(active(world)).toEqual([])
    world.advance(3_600_000)
    expect(world.tasksOf('job')).toHaveLength(5)
  })

  test.each<TaskState>(['failed', 'rejected'])('a task that is %s is tried again', (state) => {
    const world = replicatedJob({ maxConcurrent: 1, totalCompletions: 2 })
    const first = active(world)[0]
    world.report(first?.id ?? '', state)

    world.advance(4_999)
    expect(wanted(world).map((task) => task.desiredState)).toEqual(['ready'])
    world.advance(1)

    expect(active(world).map((task) => [task.slot, task.replaces])).toEqual([[1, first?.id]])
    world.report(active(world)[0]?.id ?? '', 'complete')
    world.report(active(world)[0]?.id ?? '', 'complete')
    expect(slots(world, 'complete')).toEqual([1, 2])
  })

  test('the attempts of each task are counted, and the others go on', () => {
    const restart = { condition: 'any', maxAttempts: 2, delayMs: 0 } as const
    const world = replicatedJob({ maxConcurrent: 1, totalCompletions: 2 }, restart)
    for (let attempt = 0; attempt < 3; attempt++) world.report(active(world)[0]?.id ?? '', 'failed')

    expect(active(world).map((task) => task.slot)).toEqual([2])
    world.report(active(world)[0]?.id ?? '', 'complete')
    expect(wanted(world)).toEqual([])
    world.advance(3_600_000)
    expect(wanted(world)).toEqual([])
  })

  test('with the condition none a task that fails is not tried again', () => {
    const world = replicatedJob({ maxConcurrent: 1, totalCompletions: 1 }, { condition: 'none' })

    world.report(active(world)[0]?.id ?? '', 'failed')

    expect(wanted(world)).toEqual([])
  })

  test('a task whose node is lost runs on another one, without a delay', () => {
    const world = replicatedJob({ maxConcurrent: 1, totalCompletions: 1 })
    const lost = active(world)[0]

    world.setNode(node({ ...world.getNode(lost?.nodeId ?? ''), status: { state: 'down' } }))

    expect(active(world).map((task) => [task.slot, task.replaces])).toEqual([[1, lost?.id]])
  })

  test('work that a lost node has done after all is not done again', () => {
    const world = replicatedJob({ maxConcurrent: 1, totalCompletions: 2 })
    const lost = active(world)[0]
    setState(world, lost?.nodeId, 'down')
    const again = active(world)[0]
    setState(world, lost?.nodeId, 'ready')

    world.report(lost?.id ?? '', 'complete')

    expect(world.getTask(again?.id ?? '').desiredState).toBe('shutdown')
    expect(active(world).map((task) => task.slot)).toEqual([2])
    world.report(again?.id ?? '', 'failed')
    world.report(active(world)[0]?.id ?? '', 'complete')
    world.advance(3_600_000)
    expect(wanted(world)).toEqual([])
    expect(slots(world, 'complete')).toEqual([1, 2])
  })

  test('that its work is done is kept, however short the history', () => {
    const world = replicatedJob({ maxConcurrent: 1, totalCompletions: 1 }, {}, 0)
    const lost = active(world)[0]
    setState(world, lost?.nodeId, 'down')
    const again = active(world)[0]
    setState(world, lost?.nodeId, 'ready')
    world.report(lost?.id ?? '', 'complete')

    world.report(again?.id ?? '', 'shutdown')
    world.advance(3_600_000)

    expect(wanted(world)).toEqual([])
    expect(slots(world, 'complete')).toEqual([1])
  })

  test('an update runs it anew: what is left of the iteration before is removed first', () => {
    const world = replicatedJob({ maxConcurrent: 1, totalCompletions: 2 })
    world.report(active(world)[0]?.id ?? '', 'complete')
    const running = active(world)[0]

    runAnew(world)

    expect(world.getTask(running?.id ?? '').desiredState).toBe('remove')
    expect(wanted(world).map((task) => [task.slot, task.jobIteration])).toEqual([[1, 2]])
    expect(world.tasksOf('job').filter((task) => task.slot === 1)).toHaveLength(1)
    world.report(active(world)[0]?.id ?? '', 'complete')
    // The second slot waits for what still runs there.
    expect(wanted(world)).toMatchObject([{ slot: 2, desiredState: 'ready', jobIteration: 2 }])
    world.report(running?.id ?? '', 'shutdown')
    expect(wanted(world)).toMatchObject([{ slot: 2, desiredState: 'running', jobIteration: 2 }])
  })

  test('run anew, it waits for what has run there for hours as for anything else', () => {
    const world = replicatedJob({ maxConcurrent: 1, totalCompletions: 1 })
    const [running] = active(world)
    world.report(running?.id ?? '', 'running')
    world.advance(3_600_000)

    runAnew(world)

    expect(wanted(world)).toMatchObject([{ desiredState: 'ready', jobIteration: 2 }])
    world.report(running?.id ?? '', 'shutdown')
    expect(wanted(world)).toMatchObject([{ desiredState: 'running', jobIteration: 2 }])
  })

  test('a new leader changes nothing', () => {
    const world = replicatedJob({ maxConcurrent: 2, totalCompletions: 4 })
    world.report(active(world)[0]?.id ?? '', 'failed')
    world.report(active(world)[0]?.id ?? '', 'complete')
    const before = world.view

    world.changeLeader()
    world.settle()

    expect(world.view).toBe(before)
  })

  test('a job that wants nothing makes nothing', () => {
    expect(replicatedJob({ maxConcurrent: 1, totalCompletions: 0 }).tasksOf('job')).toEqual([])
  })

  test('what failed before is pruned to the history limit', () => {
    const world = replicatedJob({ maxConcurrent: 1, totalCompletions: 1 }, { delayMs: 0 })
    for (let attempt = 0; attempt < 20; attempt++)
      world.report(active(world)[0]?.id ?? '', 'failed')
    world.report(active(world)[0]?.id ?? '', 'complete')
    world.advance(60_000)

    expect(world.tasksOf('job').length).toBeLessThanOrEqual(6)
    expect(slots(world, 'complete')).toEqual([1])
  })
})

describe('a global job', () => {
  test('runs once on each node, also on one that comes later', () => {
    const world = globalJob()
    expect(active(world).map((task) => task.nodeId)).toEqual(['n1', 'n2'])
    for (const task of active(world)) world.report(task.id, 'complete')
    expect(active(world)).toEqual([])

    world.setNode(node({ id: 'n3' }))

    expect(active(world).map((task) => task.nodeId)).toEqual(['n3'])
  })

  test('attempts are counted for each node', () => {
    const world = globalJob({ maxAttempts: 1, delayMs: 0 })
    const failing = active(world)[0]
    world.report(failing?.id ?? '', 'failed')
    const again = active(world).find((task) => task.nodeId === failing?.nodeId)

    world.report(again?.id ?? '', 'failed')

    expect(active(world).map((task) => task.nodeId)).toEqual(['n2'])
    world.advance(3_600_000)
    expect(active(world).map((task) => task.nodeId)).toEqual(['n2'])
  })

  test('a drained node is done when it is active again', () => {
    const world = globalJob()
    const task = active(world)[0]
    world.setNode(node({ id: 'n1', spec: { availability: 'drain' } }))
    world.report(task?.id ?? '', 'shutdown')
    expect(active(world).map((each) => each.nodeId)).toEqual(['n2'])

    world.setNode(node({ id: 'n1' }))

    expect(active(world).map((each) => each.nodeId)).toEqual(['n1', 'n2'])
  })

  test('work that a lost node has done after all is not done again', () => {
    const world = globalJob()
    const lost = active(world)[0]
    setState(world, 'n1', 'down')
    setState(world, 'n1', 'ready')
    expect(wanted(world).map((task) => [task.nodeId, task.desiredState])).toContainEqual([
      'n1',
      'ready',
    ])

    world.report(lost?.id ?? '', 'complete')

    expect(wanted(world).map((task) => task.nodeId)).toEqual(['n2'])
  })

  test('an update runs it anew on all nodes', () => {
    const world = globalJob()
    for (const task of active(world)) world.report(task.id, 'complete')

    runAnew(world)

    expect(active(world).map((task) => [task.nodeId, task.jobIteration])).toEqual([
      ['n1', 2],
      ['n2', 2],
    ])
    expect(world.tasksOf('job')).toHaveLength(2)
  })
})

function replicatedJob(
  job: { readonly maxConcurrent: number; readonly totalCompletions: number },
  restart: Part<RestartPolicy> = {},
  taskHistoryLimit = 5,
): Orchestration {
  return start({ kind: 'replicatedJob', replicatedJob: job }, restart, taskHistoryLimit)
}

function globalJob(restart: Part<RestartPolicy> = {}): Orchestration {
  return start({ kind: 'globalJob', globalJob: {} }, restart)
}

function start(
  mode: ServiceSpec['mode'],
  restart: Part<RestartPolicy>,
  taskHistoryLimit = 5,
): Orchestration {
  const world = new Orchestration({
    clusters: [cluster({ spec: { taskHistoryLimit } })],
    nodes: ['n1', 'n2'].map((id) => node({ id })),
    services: [
      {
        ...service({ id: 'job', spec: { mode, task: { restart } } }),
        jobStatus: { iteration: 1, lastExecutionMs: 1 },
      },
    ],
  })
  world.settle()
  return world
}

function setState(world: Orchestration, nodeId: string | undefined, state: NodeState): void {
  world.setNode(node({ ...world.getNode(nodeId ?? ''), status: { state } }))
}

/** As the handler of an update does. */
function runAnew(world: Orchestration): void {
  const job = world.getService('job')
  const iteration = (job.jobStatus?.iteration ?? 0) + 1
  const object = {
    ...job,
    specVersion: job.specVersion + 1,
    jobStatus: { iteration, lastExecutionMs: 2 },
  }
  world.write([{ kind: 'update', table: 'services', object }])
}

function wanted(world: Orchestration): readonly Task[] {
  return world.wantedOf('job').filter((task) => !isTerminal(getState(task)))
}

/** The tasks that run or may. */
function active(world: Orchestration): readonly Task[] {
  return wanted(world).filter((task) => task.desiredState === 'running')
}

function slots(world: Orchestration, state: TaskState): readonly number[] {
  return world
    .tasksOf('job')
    .filter((task) => getState(task) === state)
    .map((task) => task.slot)
}
