/**
 * Tasks: how they are made, and that both their states only go up.
 */
import { expect, test } from 'vitest'
import { newSeededRandom } from '../../lib/random.ts'
import { emptyTaskStatus } from '../../proto/gen/objects.ts'
import type { TaskState } from '../../proto/gen/types.ts'
import { service, task } from '../../test/build.ts'
import { compareAge, isDead, newTask, withDesired, withManagerState, withStatus } from './task.ts'

const stamp = { now: 5_000, wallMs: 1_700_000_000_000, random: newSeededRandom(1) }
const web = service({ id: 'web', specVersion: 7 })
const status = (state: TaskState) => ({ ...emptyTaskStatus, state })

test('newTask() takes over what the service wants now', () => {
  const made = newTask(web, { slot: 2, nodeId: '', desired: 'running' }, stamp)

  expect(made).toMatchObject({
    serviceId: 'web',
    slot: 2,
    nodeId: '',
    specVersion: 7,
    desiredState: 'running',
    status: { state: 'new', timestampMs: stamp.wallMs },
    createdClusterMs: 5_000,
    desiredClusterMs: 5_000,
    runningClusterMs: 0,
    endedClusterMs: 0,
    replaces: '',
  })
  expect(made.id).toMatch(/^[0-9a-z]{25}$/)
  expect(made.spec).toBe(web.spec?.task)
})

test('newTask() is later than the one before it, even at the same time', () => {
  const first = newTask(web, { slot: 1, nodeId: '', desired: 'running' }, stamp)
  const second = newTask(web, { slot: 1, nodeId: '', desired: 'ready', after: first }, stamp)
  const third = newTask(web, { slot: 1, nodeId: '', desired: 'ready', after: second }, stamp)

  expect([third, first, second].sort(compareAge)).toEqual([first, second, third])
})

test('newTask() asserts that a task has either a slot or a node', () => {
  expect(() => newTask(web, { slot: 0, nodeId: '', desired: 'running' }, stamp)).toThrow('slot')
  expect(() => newTask(web, { slot: 1, nodeId: 'n1', desired: 'running' }, stamp)).toThrow('slot')
})

test('withDesired() says since when, and refuses to go down', () => {
  const made = task({ desiredState: 'ready', desiredClusterMs: 10 })
  const running = withDesired(made, 'running', 20)
  const ended = withDesired(running, 'shutdown', 30)

  expect([running.desiredState, running.desiredClusterMs]).toEqual(['running', 20])
  expect(withDesired(running, 'running', 99)).toBe(running)
  // Told to end at 30; that it is to be forgotten as well makes that no later.
  expect(withDesired(ended, 'remove', 40).desiredClusterMs).toBe(30)
  expect(() => withDesired(ended, 'running', 50)).toThrow('never goes down')
})

test('withStatus() stamps the first run and the end once, and refuses to go down', () => {
  const running = withStatus(task(), status('running'), 10)
  const again = withStatus(running, status('running'), 20)
  const failed = withStatus(again, status('failed'), 30)

  expect(again.runningClusterMs).toBe(10)
  expect([failed.runningClusterMs, failed.endedClusterMs]).toEqual([10, 30])
  expect(withStatus(failed, status('orphaned'), 40).endedClusterMs).toBe(30)
  expect(() => withStatus(failed, status('running'), 50)).toThrow('never goes down')
})

test('withManagerState() leaves what the agent observed', () => {
  const running = task({ status: { state: 'running', container: { containerId: 'c1' } } })

  const rejected = withManagerState(running, 'rejected', { ...stamp, message: 'm', error: 'e' })

  expect(rejected.status).toMatchObject({
    state: 'rejected',
    message: 'm',
    error: 'e',
    container: { containerId: 'c1' },
  })
  expect(rejected.endedClusterMs).toBe(stamp.now)
})

test.each<[TaskState, TaskState, boolean]>([
  ['running', 'pending', false],
  ['running', 'running', false],
  ['running', 'failed', true],
  ['shutdown', 'pending', true],
  ['shutdown', 'assigned', false],
  ['shutdown', 'running', false],
  ['remove', 'orphaned', true],
])('a task wanted %s that is %s is dead: %s', (desiredState, state, expected) => {
  expect(isDead(task({ desiredState, status: { state } }))).toBe(expected)
})
