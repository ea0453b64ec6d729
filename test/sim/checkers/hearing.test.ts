/** Whether a node that is turned down was heard, on a calm cluster of one manager and one worker. */
import { expect, test } from 'vitest'
import { World } from '../world.ts'

function calmWorld(): World {
  const world = new World(1)
  world.network.rates = { ...world.network.rates, loss: 0, duplication: 0, spike: 0 }
  world.init('m1')
  world.run(3_000)
  world.join('w1', 'worker')
  world.run(30_000)
  return world
}

test('to turn a node down that is heard is a violation', () => {
  const world = calmWorld()
  const leader = world.findLeader()
  if (leader === undefined) throw new Error('no leader')
  expect(world.violations).toEqual([])

  world.checkers.turnedDown('w1', leader)

  expect(world.violations.join()).toContain('L6: node w1 was turned down, but was heard')
})

test('to turn a node down that is silent is none', () => {
  const world = calmWorld()

  world.nodes.get('w1')?.crash('all')
  world.run(world.schedule.nowMs + 20_000)

  expect(world.checkers.reference.view().nodes.get('w1')?.status?.state).toBe('down')
  expect(world.violations).toEqual([])
})
