/** Stories of statuses on their way. */
import { expect, test } from 'vitest'
import { emptyTaskStatus, type TaskStatus } from '../proto/gen/objects.ts'
import type { TaskState } from '../proto/gen/types.ts'
import { BATCH_UPDATES_MAX, Reporter } from './reporter.ts'

function status(state: TaskState): TaskStatus {
  return { ...emptyTaskStatus, state }
}

test('a batch holds the newest status of each task, and the next waits for its acknowledgement', () => {
  const reporter = new Reporter()
  reporter.note('t1', status('preparing'))
  reporter.note('t1', status('ready'))
  reporter.note('t2', status('running'))

  const first = reporter.take(0, 2_000)
  reporter.note('t1', status('starting'))
  const early = reporter.take(1_999, 2_000)
  reporter.acknowledge(1)
  const second = reporter.take(1_999, 2_000)

  expect(first).toMatchObject({
    sequence: 1,
    updates: [
      { taskId: 't1', status: { state: 'ready' } },
      { taskId: 't2', status: { state: 'running' } },
    ],
  })
  expect(early).toBeUndefined()
  expect(second).toMatchObject({ sequence: 2, updates: [{ status: { state: 'starting' } }] })
})

test('what is not acknowledged in time, or on this session, is sent again', () => {
  const reporter = new Reporter()
  reporter.note('t1', status('running'))
  reporter.take(0, 2_000)

  const late = reporter.take(2_000, 2_000)
  reporter.acknowledge(1)
  reporter.restart()
  const again = reporter.take(2_001, 2_000)

  expect([late?.sequence, again?.sequence]).toEqual([2, 3])
  expect(again?.updates).toHaveLength(1)
})

test('what is noted again while it is on its way is sent again', () => {
  const reporter = new Reporter()
  const running = status('running')
  reporter.note('t1', running)
  reporter.take(0, 2_000)

  // A set came that was made after the managers had ignored it: its task was not assigned yet.
  reporter.note('t1', running)
  reporter.acknowledge(1)
  const again = reporter.take(1, 2_000)
  reporter.acknowledge(2)

  expect(again).toMatchObject({ sequence: 2, updates: [{ status: { state: 'running' } }] })
  expect(reporter.waiting).toBe(0)
})

test('nothing is sent when all is acknowledged or forgotten', () => {
  const reporter = new Reporter()
  reporter.note('t1', status('running'))
  reporter.note('t2', status('running'))
  reporter.forget('t2')
  reporter.take(0, 2_000)

  reporter.acknowledge(1)

  expect(reporter.take(9_000, 2_000)).toBeUndefined()
  expect(reporter.waiting).toBe(0)
})

test('a batch is bounded, and the rest follows', () => {
  const reporter = new Reporter()
  for (let at = 0; at < BATCH_UPDATES_MAX + 1; at++) reporter.note(`t${at}`, status('running'))

  const first = reporter.take(0, 2_000)
  reporter.acknowledge(1)

  expect(first?.updates).toHaveLength(BATCH_UPDATES_MAX)
  expect(reporter.take(0, 2_000)?.updates).toHaveLength(1)
})
