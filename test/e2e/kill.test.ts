/**
 * A few rounds of `npm run e2e:kill`, one of each kind of fault, against real managers under recording
 * clients: nothing acknowledged is lost, and what clients saw is linearizable.
 */
import { expect, test } from 'vitest'
import { type Round, runRounds } from './kill/rounds.ts'

const CLUSTER = 7
const SEED = 7
const FAULTS = ['kill', 'pause', 'cut', 'cut out', 'full disk', 'clock', 'bit flip']

test('killed, stopped, cut off, without space or sense of time, no manager loses a write or reads an old one', {
  timeout: 600_000,
}, async () => {
  const told: Round[] = []

  const rounds = await runRounds({
    ...{ rounds: FAULTS.length, faults: FAULTS, seed: SEED, number: CLUSTER },
    tell: (_, round) => told.push(round),
  })

  expect(rounds.filter(({ lost, violations }) => lost.length + violations.length > 0)).toEqual([])
  expect(rounds.map(({ fault }) => fault).sort()).toEqual([...FAULTS].sort())
  expect(told).toEqual(rounds)
  expect(Math.min(...rounds.map(({ writes }) => writes))).toBeGreaterThan(50)
})
