/** When a closed stream from the leader is news. */
import { expect, test } from 'vitest'
import { LeaderStream } from './leader-stream.ts'

test('a stream that stays closed for 100 ms is news, once', () => {
  const stream = new LeaderStream()
  stream.note('closed', 10)

  expect([10, 11, 12, 13].map((now) => stream.takeLoss(now))).toEqual([false, false, true, false])
})

test('a stream that opens again, or that of an earlier leader, is none', () => {
  const [opened, other] = [new LeaderStream(), new LeaderStream()]
  for (const stream of [opened, other]) stream.note('closed', 10)

  opened.note('connected', 11)
  other.reset()

  expect([opened.takeLoss(20), other.takeLoss(20)]).toEqual([false, false])
})
