/**
 * Rolling updates: order, parallelism, delay, monitor and failures; cases of SwarmKit's updater tests.
 * Each story is played twice, the second time with a new leader after every event, which must make
 * no difference.
 */
import { describe, expect, test } from 'vitest'
import type { Task } from '../../proto/gen/objects.ts'
import type { UpdateConfig } from '../../proto/gen/specs.ts'
import type { TaskState } from '../../proto/gen/types.ts'
import { node, service } from '../../test/build.ts'
import { Orchestration } from '../../test/orchestration.ts'
import { type UpdateShape, UpdateStory } from '../../test/update-story.ts'

describe.each([
  ['one leader', false],
  ['a new leader after every event', true],
] as const)('with %s', (_name, isNewLeader) => {
  test('stop-first ends the old task before it lets the new one run', () => {
    const story = begin({ replicas: 1 })
    const [old] = story.tasks('old')

    story.update()

    const [made] = story.tasks('new')
    expect(story.get(old).desiredState).toBe('shutdown')
    expect(made).toMatchObject({ desiredState: 'ready', replaces: old?.id, madeByUpdate: true })
    expect(story.status()).toMatchObject({ state: 'updating', message: 'update in progress' })
    story.report(old, 'shutdown')
    expect(story.get(made).desiredState).toBe('running')
  })

  test('start-first lets the old task run until the new one does', () => {
    const story = begin({ replicas: 1, update: { order: 'start-first' } })
    const [old] = story.tasks('old')

    story.update()

    const [made] = story.tasks('new')
    expect([story.get(old).desiredState, made?.desiredState]).toEqual(['running', 'running'])
    story.report(made, 'starting')
    expect(story.get(old).desiredState).toBe('running')
    story.report(made, 'running')
    expect(story.get(old).desiredState).toBe('shutdown')
  })

  test.each([
    [1, 1],
    [2, 2],
    [4, 4],
    [9, 6],
    [0, 6],
  ])('parallelism %i begins %i of six slots', (parallelism, expected) => {
    const story = begin({ replicas: 6, update: { parallelism } })

    story.update()

    expect(story.tasks('new').length).toBe(expected)
    expect(story.tasks('new').map((task) => task.slot)).toEqual(
      Array.from({ length: expected }, (_, at) => at + 1),
    )
  })

  test.each<[string, Partial<UpdateConfig>, number]>([
    ['whatever the parallelism', { parallelism: 0 }, 2],
    ['or the parallelism, which is less', { parallelism: 1 }, 1],
    ['but for start-first, which takes nothing down', { order: 'start-first', parallelism: 4 }, 4],
  ])('a budget of two takes two slots down, %s', (_what, update, expected) => {
    const story = begin({ replicas: 6, maxUnavailable: 2, update })

    story.update()

    expect(story.tasks('new').length).toBe(expected)
  })

  test.each([
    ['pause', 'paused'],
    ['rollback', 'rollback-started'],
    ['continue', 'updating'],
  ] as const)('a budget that lasting failures use up: %s', (failureAction, state) => {
    const story = begin({
      replicas: 4,
      maxUnavailable: 1,
      update: { failureAction, maxFailureRatio: 0.5 },
    })
    story.update()
    story.stopOld()
    const [made] = story.tasks('new')
    story.report(made, 'failed')
    expect(story.status()?.state).toBe('updating')
    story.advance(5_000)
    const [again] = story.tasks('new')
    story.report(again, 'failed')

    expect(story.status()?.state).toBe(state)
    expect(story.running()).toBe(3)
  })

  test('a budget counts what is down already, which is begun first', () => {
    const story = begin({ replicas: 4, maxUnavailable: 2, update: { parallelism: 0 } })
    story.report(story.tasks('old')[3], 'failed')

    story.update()

    expect(story.tasks('new').map((task) => task.slot)).toEqual([1, 4])
    story.comeUp()
    expect(story.tasks('new').map((task) => task.slot)).toEqual([1, 2, 3, 4])
  })

  test('the next slot begins when the one before came up', () => {
    const story = begin({ replicas: 3 })
    story.update()

    for (const slot of [1, 2, 3]) {
      expect(story.tasks('new').map((task) => task.slot)).toContain(slot)
      expect(story.tasks('new').length).toBe(slot)
      story.comeUp()
    }
    expect(story.tasks('old')).toEqual([])
  })

  test('a worker waits for the delay, each for its own', () => {
    const story = begin({ replicas: 4, update: { parallelism: 2, delayMs: 10_000 } })
    story.update()
    const [first, second] = story.tasks('new')
    story.stopOld()
    story.report(first, 'running')
    story.advance(4_000)
    story.report(second, 'running')

    story.advance(5_999)
    expect(story.tasks('new').length).toBe(2)
    story.advance(1)
    expect(story.tasks('new').length).toBe(3)
    story.advance(3_999)
    expect(story.tasks('new').length).toBe(3)
    story.advance(1)
    expect(story.tasks('new').length).toBe(4)
  })

  test('the update is complete when the last slot was watched for the monitor time', () => {
    const story = begin({ replicas: 2, update: { parallelism: 0, monitorMs: 7_000 } })
    story.update()
    story.advance(500)
    story.comeUp()

    story.advance(6_999)
    expect(story.status()).toMatchObject({ state: 'updating', completedMs: 0 })
    story.advance(1)
    expect(story.status()).toMatchObject({ state: 'completed', message: 'update completed' })
    expect(story.status()?.completedMs).toBeGreaterThan(0)
  })

  test('the monitor time is longer than the delay', () => {
    const story = begin({ replicas: 1, update: { delayMs: 20_000, monitorMs: 5_000 } })
    story.update()
    story.comeUp()

    story.advance(20_999)
    expect(story.status()?.state).toBe('updating')
    story.advance(1)
    expect(story.status()?.state).toBe('completed')
  })

  test.each<TaskState>(['rejected', 'failed', 'complete'])(
    'a new task that is %s pauses the update',
    (state) => {
      const story = begin({ replicas: 3 })
      story.update()
      const [made] = story.tasks('new')
      story.stopOld()

      story.report(made, state)

      expect(story.status()).toMatchObject({
        state: 'paused',
        message: `update paused due to failure or early termination of task ${made?.id}`,
        failedTaskIds: [made?.id],
      })
      story.advance(600_000)
      expect(story.tasks('old').length).toBe(2)
    },
  )

  test('a new task that ends after the monitor time does not count', () => {
    const story = begin({ replicas: 3, update: { delayMs: 30_000, monitorMs: 40_000 } })
    story.update()
    const [made] = story.tasks('new')
    story.comeUp()
    story.advance(40_001)

    story.report(made, 'failed')

    expect(story.status()).toMatchObject({ state: 'updating', failedTaskIds: [] })
  })

  test('an old task that fails does not count', () => {
    const story = begin({ replicas: 3 })
    story.update()

    story.report(story.tasks('old').at(-1), 'failed')

    expect(story.status()).toMatchObject({ state: 'updating', failedTaskIds: [] })
  })

  test('failures up to the ratio are put up with, each task counted once', () => {
    const story = begin({ replicas: 4, update: { maxFailureRatio: 0.5 }, restart: { delayMs: 0 } })
    story.update()

    for (const expected of [1, 2]) {
      story.stopOld()
      story.report(
        story.tasks('new').findLast((task) => task.madeByUpdate),
        'failed',
      )
      story.advance(1_000)
      expect(story.status()).toMatchObject({ state: 'updating' })
      expect(story.status()?.failedTaskIds.length).toBe(expected)
    }
    // What failed is not up again, so that no third slot is taken down.
    expect(story.tasks('old').length).toBe(2)
    const [again] = story.tasks('new')
    story.report(again, 'failed')
    expect(story.status()).toMatchObject({
      state: 'paused',
      message: `update paused due to failure or early termination of task ${again?.id}`,
    })
  })

  test('a ratio of a quarter leaves three quarters of the old tasks running', () => {
    const story = quarter({ parallelism: 3 })
    story.update()
    story.stopOld()
    for (const made of story.tasks('new')) story.report(made, 'failed')

    expect(story.status()).toMatchObject({ state: 'updating' })
    expect([story.tasks('old').length, story.running()]).toEqual([9, 9])
    story.advance(5_000)
    expect(story.status()).toMatchObject({ state: 'updating' })
    story.report(story.tasks('new')[1], 'failed')

    expect(story.status()).toMatchObject({ state: 'rollback-started' })
    expect(story.running()).toBe(9)
    for (let slot = 0; slot < 3; slot++) story.comeUp()
    story.advance(60_000)
    story.comeUp()
    expect(story.status()).toMatchObject({ state: 'rollback-completed' })
    expect(story.running()).toBe(12)
  })

  test('slots under way are down too once one failed', () => {
    const story = quarter({ parallelism: 6 })
    story.update()
    story.stopOld()

    // Before the first failure the parallelism says how many.
    const [first, second, ...others] = story.tasks('new')
    expect(others.length).toBe(4)
    story.report(first, 'failed')
    story.report(second, 'running')
    for (const made of others.slice(0, 2)) story.report(made, 'running')
    expect(story.tasks('old').length).toBe(6)
    story.report(others[2], 'running')
    expect(story.tasks('old').length).toBe(5)
  })

  test('what failed and runs again for the monitor time makes room', () => {
    const story = quarter({ parallelism: 3 })
    story.update()
    story.stopOld()
    for (const made of story.tasks('new')) story.report(made, 'failed')
    story.advance(5_000)
    const [again] = story.tasks('new')
    story.report(again, 'running')

    story.advance(4_999)
    expect(story.tasks('old').length).toBe(9)
    story.advance(1)
    expect(story.tasks('old').length).toBe(8)
    expect(story.status()).toMatchObject({ state: 'updating' })
  })

  test('one slot that fails again and again is not more than a quarter', () => {
    const story = quarter({ parallelism: 3 })
    story.update()
    for (let round = 0; round < 8; round++) {
      story.comeUp()
      const bad = story.world.wantedOf('web').find(({ slot }) => slot === 2)
      if (bad?.desiredState === 'running') story.report(bad, 'failed')
      story.advance(5_000)
    }

    expect(story.tasks('old')).toEqual([])
    expect(story.status()).toMatchObject({ state: 'completed' })
  })

  test.each([
    ['none', { condition: 'none' as const }],
    ['on-failure, once', { condition: 'on-failure' as const, maxAttempts: 1, delayMs: 0 }],
  ])('where nothing restarts what failed (%s), it is too much at once', (_what, restart) => {
    const story = quarter({ parallelism: 3 }, restart)
    story.update()
    story.stopOld()
    for (const made of story.tasks('new')) story.report(made, 'failed')
    const isGoing = story.status()?.state === 'updating'
    expect(isGoing).toBe(restart.condition === 'on-failure')
    for (const again of isGoing ? story.tasks('new') : []) story.report(again, 'failed')

    expect(story.status()).toMatchObject({ state: 'rollback-started' })
    expect(story.running()).toBe(9)
  })

  test('start-first takes nothing down, so failures hold it up only by the ratio', () => {
    const story = quarter({ parallelism: 3, order: 'start-first' }, { condition: 'none' })
    story.update()
    for (const made of story.tasks('new')) story.report(made, 'failed')

    expect([story.running(), story.tasks('new').length]).toEqual([12, 3])
    story.report(story.tasks('new')[0], 'failed')
    expect(story.status()).toMatchObject({ state: 'rollback-started' })
    expect(story.running()).toBe(12)
  })

  test('continue goes on whatever fails, and ends', () => {
    const story = begin({
      replicas: 3,
      update: { failureAction: 'continue' },
      restart: { condition: 'none' },
    })
    story.update()

    for (let slot = 1; slot <= 3; slot++) {
      story.stopOld()
      story.report(
        story.tasks('new').findLast((task) => task.madeByUpdate),
        'failed',
      )
    }
    story.advance(5_000)

    expect(story.status()).toMatchObject({ state: 'completed' })
    expect(story.status()?.failedTaskIds.length).toBe(3)
    expect(story.tasks('old')).toEqual([])
  })

  test('start-first leaves the old task where the new one failed for good', () => {
    const story = begin({
      replicas: 1,
      update: { order: 'start-first', failureAction: 'continue' },
      restart: { condition: 'none' },
    })
    story.update()

    story.report(story.tasks('new')[0], 'failed')
    story.advance(60_000)

    expect(story.tasks('old').map((task) => task.desiredState)).toEqual(['running'])
    expect(story.tasks('new')).toEqual([])
    expect(story.status()).toMatchObject({ state: 'completed' })
  })

  test('start-first begins no more slots while old tasks that were told to end still run', () => {
    const story = begin({ replicas: 6, update: { order: 'start-first', parallelism: 2 } })
    story.update()
    for (const made of story.tasks('new')) story.report(made, 'running')
    const ending = story.world.tasksOf('web').filter((task) => task.desiredState === 'shutdown')

    expect(story.tasks('new').length).toBe(2)
    story.report(ending[0], 'shutdown')
    expect(story.tasks('new').length).toBe(3)
    story.advance(59_999)
    expect(story.tasks('new').length).toBe(3)
    story.advance(1)
    expect(story.tasks('new').length).toBe(4)
  })

  test('a new task that went with its daemon is no failure, and its slot keeps the worker', () => {
    const story = begin({ replicas: 4, update: { parallelism: 2 } })
    story.update()
    story.stopOld()
    const [made] = story.tasks('new')

    story.report(made, 'failed', { unseen: true })

    const [again] = story.tasks('new')
    expect(story.status()).toMatchObject({ state: 'updating', failedTaskIds: [] })
    expect(again).toMatchObject({
      ...{ replaces: made?.id, desiredState: 'running', startAfterMs: 0, madeByUpdate: true },
    })
    expect(story.tasks('new').length).toBe(2)
    story.report(again, 'failed', { unseen: true })
    expect(story.status()).toMatchObject({ state: 'paused', failedTaskIds: [again?.id] })
  })

  test('a paused update goes on with the next spec', () => {
    const story = begin({ replicas: 2 })
    story.update()
    story.stopOld()
    story.report(story.tasks('new')[0], 'failed')
    expect(story.status()?.state).toBe('paused')

    story.update()

    expect(story.status()).toMatchObject({ state: 'updating', failedTaskIds: [] })
    for (let round = 0; round < 4; round++) {
      story.advance(5_000)
      story.comeUp()
    }
    story.advance(5_000)
    expect(story.status()?.state).toBe('completed')
    expect(story.running()).toBe(2)
  })

  test('a new spec during an update takes its place, within the same parallelism', () => {
    const story = begin({ replicas: 3 })
    story.update()
    const [first] = story.tasks('new')

    story.update()

    expect(story.get(first).desiredState).toBe('shutdown')
    expect(story.tasks('new').map((task) => task.slot)).toEqual([1])
    expect(story.tasks('old').map((task) => task.slot)).toEqual([2, 3])
  })

  test('slots that wait for their turn keep one of two tasks that a paused update left', () => {
    const story = begin({ replicas: 3, update: { order: 'start-first', parallelism: 0 } })
    const [, ...first] = story.tasks('old')
    story.update()
    const [failing, ...second] = story.tasks('new')
    story.report(failing, 'failed')
    for (const task of second) story.report(task, 'running')
    expect(story.status()?.state).toBe('paused')

    story.update({ order: 'stop-first', parallelism: 1 })

    // What they hold twice may be the room that the slot under way waits for (simulator, seed 40302).
    expect(first.map((task) => story.get(task).desiredState)).toEqual(['shutdown', 'shutdown'])
    expect(second.map((task) => story.get(task).desiredState)).toEqual(['running', 'running'])
  })

  test('a slot that waits for its turn keeps the task that runs beside one that does not', () => {
    const story = begin({ replicas: 2, update: { order: 'start-first', parallelism: 0 } })
    const [, first] = story.tasks('old')
    story.update()
    const [, second] = story.tasks('new')

    story.update({ order: 'stop-first', parallelism: 1 })

    expect([story.get(first).desiredState, story.get(second).desiredState]).toEqual([
      'running',
      'shutdown',
    ])
  })

  test('going back to the spec before leaves the slots alone that were not begun', () => {
    const story = begin({ replicas: 3 })
    const before = story.tasks('old')
    story.update()
    story.revert()

    for (let round = 0; round < 3; round++) story.comeUp()
    story.advance(5_000)

    expect(before.map((task) => story.get(task).desiredState)).toEqual([
      'shutdown',
      'running',
      'running',
    ])
    expect(story.status()?.state).toBe('completed')
  })

  test('scaling makes no task out of date and starts no update', () => {
    const story = begin({ replicas: 2 })

    story.scale(3)

    expect(story.world.wantedOf('web').length).toBe(3)
    expect(story.world.wantedOf('web').every((task) => !task.madeByUpdate)).toBe(true)
    expect(story.status()).toBeUndefined()
  })

  test('scaling in the middle of an update goes on with it', () => {
    const story = begin({ replicas: 2 })
    story.update()

    story.scale(4)

    expect(story.tasks('new').map((task) => task.slot)).toEqual([1, 3, 4])
    story.comeUp()
    expect(story.tasks('old')).toEqual([])
    story.comeUp()
    story.advance(5_000)
    expect(story.status()?.state).toBe('completed')
  })

  test('slots where nothing runs are begun first', () => {
    const story = begin({ replicas: 3 })
    story.report(story.tasks('old')[2], 'failed')

    story.update()

    expect(story.tasks('new').map((task) => task.slot)).toEqual([3])
  })

  test('a new task whose node is lost stays the update’s on another one', () => {
    const story = begin({ replicas: 3 })
    story.update()
    story.stopOld()
    const [made] = story.tasks('new')

    story.changeNode(made?.nodeId ?? '', { status: { state: 'down' } })

    const successor = story.tasks('new').find((task) => task.replaces === made?.id)
    expect(successor).toMatchObject({ madeByUpdate: true, slot: 1 })
    expect(story.status()).toMatchObject({ state: 'updating', failedTaskIds: [] })
  })

  test('what an update before made there and nobody saw come up is no part of this one', () => {
    const story = begin({ replicas: 3, update: { parallelism: 0 } })
    story.update()
    story.stopOld()
    story.update({ parallelism: 1 })
    const [made] = story.tasks('old')

    story.changeNode(made?.nodeId ?? '', { status: { state: 'down' } })

    const begun = story.tasks('new').map(({ slot, madeByUpdate }) => [slot, madeByUpdate])
    expect(begun).toEqual([
      [1, true],
      [2, false],
    ])
  })

  test('a slot whose old task need not leave its node after all gives its worker back (seed 280863)', () => {
    const story = begin({ replicas: 3, maxUnavailable: 1, update: { order: 'start-first' } })
    const [first, second] = story.tasks('old')
    const nodeId = first?.nodeId ?? ''
    story.changeNode(nodeId, {
      spec: { availability: 'drain' },
      drainUntilMs: story.world.now + 9e6,
    })
    story.report(second, 'failed')
    story.update({ order: 'stop-first' })
    expect(story.tasks('new').map(({ slot }) => slot)).toEqual([1])

    story.changeNode(nodeId, { spec: { availability: 'active' }, drainUntilMs: 0 })

    expect(story.get(first).desiredState).toBe('running')
    expect(story.tasks('new').map(({ slot }) => slot)).toEqual([2])
  })

  test('a slot whose node announced its return waits for it', () => {
    const story = begin({ replicas: 1 })
    const [old] = story.tasks('old')
    story.changeNode(old?.nodeId ?? '', { status: { state: 'disconnected' } })

    story.update()
    story.advance(3_600_000)
    expect(story.get(old).desiredState).toBe('running')
    expect(story.status()?.state).toBe('updating')

    story.changeNode(old?.nodeId ?? '', { status: { state: 'ready' } })
    expect(story.get(old).desiredState).toBe('shutdown')
  })

  test('an update without an update config goes slot by slot', () => {
    const story = begin({ replicas: 3, update: undefined })

    story.update()

    expect(story.tasks('new').length).toBe(1)
  })

  function begin(shape: UpdateShape): UpdateStory {
    return new UpdateStory(shape, isNewLeader)
  }

  /** 12 slots, of which a quarter may fail. */
  function quarter(
    update: Partial<UpdateConfig>,
    restart: NonNullable<UpdateShape['restart']> = {},
  ): UpdateStory {
    const config = { maxFailureRatio: 0.25, failureAction: 'rollback' as const, ...update }
    return begin({ replicas: 12, update: config, rollback: {}, restart })
  }
})

test('a paused node is not updated until it is active again', () => {
  const world = new Orchestration({
    nodes: ['n1', 'n2'].map((id) => node({ id })),
    services: [service({ id: 'web', spec: { mode: { kind: 'global', global: {} } } })],
  })
  world.settle()
  for (const task of world.wantedOf('web')) world.report(task.id, 'running')
  world.setNode(node({ id: 'n1', spec: { availability: 'pause' } }))
  const { spec } = world.getService('web')
  if (spec?.task === undefined) throw new Error('web has a spec')
  world.setSpec('web', { ...spec, task: { ...spec.task, forceUpdate: 1 } })
  const isNew = (task: Task): boolean => task.spec?.forceUpdate === 1
  expect(
    world
      .wantedOf('web')
      .filter(isNew)
      .map((task) => task.nodeId),
  ).toEqual(['n2'])

  world.setNode(node({ id: 'n1' }))
  for (const task of world.tasksOf('web'))
    if (task.nodeId === 'n2') world.report(task.id, isNew(task) ? 'running' : 'shutdown')

  expect(
    world
      .wantedOf('web')
      .filter(isNew)
      .map((task) => task.nodeId),
  ).toEqual(['n1', 'n2'])
})
