/** Lanes: what a cut does to a stream. */
import { expect, test } from 'vitest'
import { newSeededRandom } from '../../lib/random.ts'
import { Lanes } from './lanes.ts'
import { SimNetwork } from './network.ts'
import { Schedule } from './schedule.ts'

function newLanes() {
  const schedule = new Schedule()
  const network = new SimNetwork(schedule, {
    random: newSeededRandom(1),
    rates: { loss: 0, duplication: 0, spike: 0, delayMeanMs: 1 },
    reached: () => undefined,
  })
  const lanes = new Lanes(schedule, network)
  const got: number[] = []
  const run = (ms: number): void => {
    const untilMs = schedule.nowMs + ms
    while (schedule.step(untilMs));
  }
  const send = (message: number): void =>
    lanes.send('a/1/down', { from: 'a', to: 'b', lateMs: 0 }, () => got.push(message))
  return { network, got, run, send }
}

test('messages arrive in order', () => {
  const { got, run, send } = newLanes()
  for (let message = 0; message < 20; message++) send(message)

  run(1_000)

  expect(got).toEqual(Array.from({ length: 20 }, (_, at) => at))
})

test.each<[string, number, readonly number[]]>([
  ['arrives when it is mended, before what follows', 5_000, [1, 2]],
  ['is given up after a long cut, and all that follows', 20_000, []],
])('what is sent while the way is cut %s', (_what, cutMs, expected) => {
  const { network, got, run, send } = newLanes()
  network.cut('a', 'b')
  send(1)
  run(cutMs)
  network.mend('a', 'b')
  send(2)
  const before = [...got]

  run(60_000)

  expect([before, got]).toEqual([[], expected])
})
