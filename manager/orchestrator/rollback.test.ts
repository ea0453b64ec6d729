/**
 * Rollbacks (swarm-mode.md 2.9): by a failed update and by hand, what ends them, and what they never do.
 * Each story is played twice, the second time with a new leader after every event.
 */

import { describe, expect, test } from 'vitest'
import { emptyUpdateStatus, type UpdateStatus } from '../../proto/gen/objects.ts'
import { node } from '../../test/build.ts'
import { type UpdateShape, UpdateStory } from '../../test/update-story.ts'

describe.each([
  ['one leader', false],
  ['a new leader after every event', true],
] as const)('with %s', (_name, isNewLeader) => {
  test('what is out of date after a rollback was completed is updated, and not by its config', () => {
    const story = begin({ replicas: 3, update: { parallelism: 1 }, rollback: { parallelism: 0 } })
    const web = story.world.getService('web')
    if (web.spec?.task === undefined) throw new Error('web has a spec')
    const specVersion = web.specVersion + 1

    // As where the node of its tasks is no longer one of those that the spec names (simulator, seed 72129).
    const spec = { ...web.spec, task: { ...web.spec.task, forceUpdate: 1 } }
    const updateStatus: UpdateStatus = {
      ...emptyUpdateStatus,
      state: 'rollback-completed',
      targetSpecVersion: specVersion,
    }
    const object = { ...web, spec, specVersion, updateStatus }
    story.world.write([{ kind: 'update', table: 'services', object }])

    expect(story.status()?.state).toBe('updating')
    expect(story.tasks('new').length).toBe(1)
  })

  test('an update that fails goes back to the spec before, which runs again everywhere', () => {
    const story = begin({ replicas: 3, update: { failureAction: 'rollback' } })
    const before = story.tasks('old').map((task) => task.id)
    story.update()
    story.comeUp()
    const [, second] = story.tasks('new')
    story.stopOld()

    story.report(second, 'failed')

    const service = story.world.getService('web')
    expect(service.updateStatus).toMatchObject({
      state: 'rollback-started',
      message: `update rolled back due to failure or early termination of task ${second?.id}`,
      failedTaskIds: [],
    })
    expect([service.spec?.task?.forceUpdate, service.previousSpec]).toEqual([0, undefined])
    // The third slot was not begun, and is left as it is.
    expect(story.world.getTask(before[2] ?? '').desiredState).toBe('running')
    for (let step = 0; step < 4; step++) story.comeUp()
    expect(story.running()).toBe(3)
    story.advance(5_000)
    expect(story.status()).toMatchObject({
      state: 'rollback-completed',
      message: 'rollback completed',
    })
  })

  test('what a start-first rollback finds running goes on where what it goes back to is lost in that step (seed 320478)', () => {
    const order = 'start-first'
    const story = begin({ replicas: 1, update: { order }, rollback: { order } })
    const [old] = story.tasks('old')
    story.update()
    story.report(story.tasks('new')[0], 'rejected')
    story.advance(10_000)
    story.comeUp()
    const [failing] = story.tasks('new')
    expect([story.status()?.state, story.running()]).toEqual(['paused', 2])

    const nodeId = old?.nodeId ?? ''
    const down = node({ ...story.world.getNode(nodeId), status: { state: 'down' } })
    story.rollBack([{ kind: 'update', table: 'nodes', object: down }])

    expect([story.get(old), story.get(failing)].map(({ desiredState }) => desiredState)).toEqual([
      'shutdown',
      'running',
    ])
    story.comeUp()
    expect(story.get(failing).desiredState).toBe('shutdown')
    expect(story.running()).toBe(1)
  })

  test('failures below the ratio roll nothing back', () => {
    const update = { failureAction: 'rollback', maxFailureRatio: 0.5 } as const
    const story = begin({ replicas: 2, update })
    story.update()
    story.stopOld()

    story.report(story.tasks('new')[0], 'failed')

    expect(story.status()).toMatchObject({ state: 'updating' })
    expect(story.status()?.failedTaskIds).toHaveLength(1)
  })

  test('a rollback goes by its own config', () => {
    const story = begin({
      replicas: 4,
      update: { parallelism: 4, failureAction: 'rollback' },
      rollback: { parallelism: 2 },
    })
    story.update()
    const failing = story.tasks('new')[0]
    story.stopOld()

    story.report(failing, 'failed')

    const back = story.world.wantedOf('web').filter((task) => task.spec?.forceUpdate === 0)
    expect(back).toHaveLength(2)
  })

  test('a rollback that fails is paused, and never rolled back itself', () => {
    const story = begin({
      update: { failureAction: 'rollback' },
      rollback: { failureAction: 'rollback' },
    })
    story.update()
    story.stopOld()
    story.report(story.tasks('new')[0], 'failed')
    story.stopOld()
    const back = story.tasks('new')[0]

    story.report(back, 'failed')

    expect(story.status()).toMatchObject({
      state: 'rollback-paused',
      message: `rollback paused due to failure or early termination of task ${back?.id}`,
    })
    expect(story.world.getService('web').spec?.task?.forceUpdate).toBe(0)
    story.advance(60_000)
    expect(story.status()?.state).toBe('rollback-paused')
  })

  test('a rollback that may go on whatever fails does so', () => {
    const story = begin({
      update: { failureAction: 'rollback' },
      rollback: { failureAction: 'continue' },
    })
    story.update()
    story.stopOld()
    story.report(story.tasks('new')[0], 'failed')
    story.stopOld()

    story.report(story.tasks('new')[0], 'failed')

    expect(story.status()?.state).toBe('rollback-started')
  })

  test('after a rollback by itself there is nothing to go back to: the next failure pauses', () => {
    const story = begin({ update: { failureAction: 'rollback' } })
    story.update()
    story.stopOld()
    story.report(story.tasks('new')[0], 'failed')
    for (let step = 0; step < 3; step++) story.comeUp()
    story.advance(10_000)
    expect(story.status()?.state).toBe('rollback-completed')
    const service = story.world.getService('web')
    expect([service.previousSpec, service.previousSpecVersion]).toEqual([undefined, 0])
  })

  test('a failed first update of a service without a former spec is paused, and says why', () => {
    const story = begin({ update: { failureAction: 'rollback' } })
    story.update()
    const made = story.tasks('new')[0]
    story.forgetPrevious()
    story.stopOld()

    story.report(made, 'failed')

    expect(story.status()).toMatchObject({
      state: 'paused',
      message: `update paused due to failure or early termination of task ${made?.id}: there is no previous spec to roll back to`,
    })
  })

  test('by hand: the tasks go back, and back again', () => {
    const story = begin({ replicas: 2 })
    story.update()
    for (let step = 0; step < 3; step++) story.comeUp()
    story.advance(5_000)
    expect(story.status()?.state).toBe('completed')

    story.rollBack()

    expect(story.status()).toMatchObject({
      state: 'rollback-started',
      message: 'manually requested rollback',
    })
    for (let step = 0; step < 3; step++) story.comeUp()
    story.advance(5_000)
    expect(story.status()?.state).toBe('rollback-completed')
    expect(story.tasks('new').map((task) => task.spec?.forceUpdate)).toEqual([0, 0])
    story.rollBack()
    for (let step = 0; step < 3; step++) story.comeUp()
    expect(story.tasks('new').map((task) => task.spec?.forceUpdate)).toEqual([1, 1])
  })

  test('by hand in the middle of an update: slots that were not begun are left alone', () => {
    const story = begin({ replicas: 3 })
    const before = story.tasks('old').map((task) => task.id)
    story.update()

    story.rollBack()

    for (let step = 0; step < 3; step++) story.comeUp()
    story.advance(5_000)
    expect(story.status()?.state).toBe('rollback-completed')
    const now = story.tasks('new').map((task) => task.id)
    expect(now.slice(1)).toEqual(before.slice(1))
    expect(now[0]).not.toBe(before[0])
  })

  test.each([
    ['start-first', 'stop-first', 'beside'],
    ['stop-first', 'start-first', 'instead of'],
  ] as const)(
    'a task that fails in a %s rollback of a %s update is replaced %s the old one',
    (order, updates, where) => {
      const story = begin({
        update: { order: updates },
        rollback: { order, failureAction: 'continue' },
      })
      story.update()
      for (let step = 0; step < 2; step++) story.comeUp()
      const old = story.tasks('new')[0]
      story.rollBack()
      if (where === 'instead of') story.stopOld()

      story.report(
        story.world.wantedOf('web').find((task) => task.id !== old?.id),
        'rejected',
      )
      story.advance(5_000)

      const running = story.world.wantedOf('web').filter((task) => task.desiredState === 'running')
      expect(running).toHaveLength(where === 'beside' ? 2 : 1)
      expect(running.some((task) => task.id === old?.id)).toBe(where === 'beside')
      for (let step = 0; step < 2; step++) story.comeUp()
      story.advance(10_000)
      expect(story.status()?.state).toBe('rollback-completed')
    },
  )

  test('slots that came up a moment ago are rolled back within the parallelism too (seed 15)', () => {
    const story = begin({
      replicas: 3,
      update: { parallelism: 3 },
      rollback: { parallelism: 1, delayMs: 10_000, order: 'start-first' },
    })
    story.update()
    // The second one comes before any task of the first ran, and ends those.
    story.update()
    story.comeUp()

    story.rollBack()

    expect(story.tasks('new')).toHaveLength(1)
  })

  test('slots that an update has just begun are rolled back within the parallelism too', () => {
    const story = begin({
      replicas: 2,
      update: { parallelism: 2 },
      rollback: { parallelism: 1, delayMs: 10_000 },
    })
    story.update()
    for (let step = 0; step < 2; step++) story.comeUp()
    expect(story.running()).toBe(2)
    story.update()

    story.rollBack()

    expect(story.tasks('new')).toHaveLength(1)
    for (let step = 0; step < 2; step++) story.comeUp()
    story.advance(10_000)
    story.comeUp()
    expect(story.running()).toBe(2)
  })

  test('a new spec takes the place of a rollback', () => {
    const story = begin({ update: { failureAction: 'rollback' } })
    story.update()
    story.stopOld()
    story.report(story.tasks('new')[0], 'failed')

    story.update()

    expect(story.status()).toMatchObject({ state: 'updating' })
  })

  function begin(shape: UpdateShape): UpdateStory {
    return new UpdateStory(shape, isNewLeader)
  }
})
