/** The simulated network: cuts that overlap, ways that clog, what opens them again. */
import { expect, test } from 'vitest'
import { newSeededRandom } from '../../lib/random.ts'
import { type NetworkEvent, SimNetwork } from './network.ts'
import { Schedule } from './schedule.ts'

const CALM = { loss: 0, duplication: 0, delayMeanMs: 1, spike: 0 }

function newNetwork(rates: Partial<typeof CALM> = {}) {
  const schedule = new Schedule()
  const events: NetworkEvent[] = []
  const network = new SimNetwork(schedule, {
    random: newSeededRandom(1),
    rates: { ...CALM, ...rates },
    reached: (event) => events.push(event),
  })
  const got: string[] = []
  return {
    network,
    events,
    got,
    carry: (what: string) =>
      network.carry(
        'a',
        'b',
        () => got.push(what),
        () => got.push(`lost ${what}`),
      ),
    run: (untilMs: number) => {
      while (schedule.step(untilMs));
    },
  }
}

test('a way that two faults have cut is open when both have mended it', () => {
  const { network } = newNetwork()

  network.cut('a', 'b')
  network.cut('a', 'b')
  network.mend('a', 'b')
  const once = network.isCut('a', 'b')
  network.mend('a', 'b')

  expect(once).toBe(true)
  expect(network.isCut('a', 'b')).toBe(false)
  expect(network.isCut('b', 'a')).toBe(false)
})

test('a clogged way delivers late and in order, or nothing at all', () => {
  const { network, got, carry, run } = newNetwork()

  network.clog('a', 'b')
  carry('1')
  run(1_000)
  carry('2')
  run(2_000)
  const before = [...got]
  network.unclog('a', 'b', true)
  network.clog('a', 'b')
  carry('3')
  run(3_000)
  network.unclog('a', 'b', false)

  expect(before).toEqual([])
  expect(got).toEqual(['1', '2', 'lost 3'])
})

test('healing opens every way and delivers what waited', () => {
  const { network, got, carry, run } = newNetwork()

  network.clog('a', 'b')
  carry('1')
  run(1_000)
  network.cut('a', 'b')
  network.heal()

  expect(got).toEqual(['1'])
  expect(network.isCut('a', 'b')).toBe(false)
})

test('what the rates bring about is counted by its class', () => {
  const { network, events, run } = newNetwork({ loss: 0.2, duplication: 0.2, spike: 0.2 })

  for (let count = 0; count < 200; count++) network.send('a', 'b', () => undefined)
  run(60_000)

  expect([...new Set(events)].sort()).toEqual(['N5', 'N6', 'N7', 'N8'])
})
