/** What the states of an update mean, all of them; the start of a rollback is tested where it is used. */
import { expect, test } from 'vitest'
import { emptyUpdateStatus } from '../../proto/gen/objects.ts'
import { isPaused, isRollback, isUnderWay } from './update-status.ts'

test.each([
  ['updating', true, false, false],
  ['paused', false, true, false],
  ['completed', false, false, false],
  ['rollback-started', true, false, true],
  ['rollback-paused', false, true, true],
  ['rollback-completed', false, false, true],
] as const)('%s: under way %s, paused %s, rollback %s', (state, underWay, paused, rollback) => {
  const status = { ...emptyUpdateStatus, state }

  expect([isUnderWay(status), isPaused(status), isRollback(status)]).toEqual([
    underWay,
    paused,
    rollback,
  ])
})

test('a service without a status has no update at all', () => {
  expect([isUnderWay(undefined), isPaused(undefined), isRollback(undefined)]).toEqual([
    false,
    false,
    false,
  ])
})
