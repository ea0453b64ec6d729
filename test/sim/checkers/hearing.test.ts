/** Whether a node that is turned down was heard, on a calm cluster. */
import { expect, test } from 'vitest'
import { calmCluster, leaderOf, until } from '../calm.ts'
import type { SimNode } from '../sim-node.ts'
import { World } from '../world.ts'
import { HearingChecker } from './hearing.ts'

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

test('processes that die before they are heard twice keep no node up', () => {
  // Their disk was full (seed 200152).
  const world = calmWorld()
  const leader = leaderOf(world)
  const { nowMs } = world.schedule
  world.nodes.get('w1')?.crash('all')
  world.run(nowMs + 1_000)
  const beat = (instance: string): void =>
    world.checkers.heartbeat({ id: 'w1', instance } as SimNode, leader)
  for (const instance of ['a', 'b', 'c']) {
    beat(instance)
    world.run(world.schedule.nowMs + 1_500)
  }
  world.run(nowMs + 9_500)

  world.checkers.turnedDown('w1', leader)
  const ofThree = [...world.violations]
  for (const instance of ['a', 'b', 'c']) beat(instance)
  world.checkers.turnedDown('w1', leader)

  expect(ofThree).toEqual([])
  expect(world.violations.join()).toContain('L6: node w1 was turned down, but was heard')
})

test('to turn a node down that is silent is none', () => {
  const world = calmWorld()

  world.nodes.get('w1')?.crash('all')
  world.run(world.schedule.nowMs + 20_000)

  expect(world.checkers.reference.view().nodes.get('w1')?.status?.state).toBe('down')
  expect(world.violations).toEqual([])
})

test('a refused clone that is heard does not keep its node up, until it has taken its place', () => {
  const world = calmCluster(1)
  const stored = () => world.checkers.reference.view().nodes.get('w1')?.status
  const node = world.nodes.get('w1')
  if (node === undefined) throw new Error('no node')
  const clone = world.addClone(node)
  clone.boot()
  until(world, () => stored()?.message.startsWith('cloned identity') === true)

  node.crash('all')
  until(world, () => {
    // As one does that dials one manager after another.
    world.checkers.heartbeat(clone, leaderOf(world))
    return stored()?.state === 'down'
  })
  until(world, () => stored()?.state === 'ready')
  world.run(world.schedule.nowMs + 20_000)
  const whileRefused = world.violations.join()
  world.checkers.turnedDown('w1', leaderOf(world))

  expect(whileRefused).toBe('')
  expect(world.violations.join()).toContain('L6: node w1 was turned down, but was heard')
})

/** What the checker says of heartbeats at a manager that does not lead, each after `before`. */
function newJudge(): {
  readonly world: World
  readonly leader: SimNode
  readonly manager: SimNode
  readonly judge: (before?: () => void) => string | undefined
} {
  const world = calmCluster(1)
  const leader = leaderOf(world)
  const manager = [...world.nodes.values()].find(({ id }) => id !== leader.id && id !== 'w1')
  if (manager === undefined) throw new Error('no other manager')
  const judge = (before?: () => void): string | undefined => {
    const checker = new HearingChecker(world)
    checker.elected(leader)
    for (let count = 0; count < 4; count++) {
      before?.()
      checker.heartbeat({ nodeId: 'w1', instance: 'w1-1' }, manager)
      world.run(world.schedule.nowMs + 2_000)
    }
    return checker.turnedDown('w1', leader)
  }
  return { world, leader, manager, judge }
}

test('what waits in a clogged way to the leader keeps nobody up', () => {
  const { world, leader, manager, judge } = newJudge()

  const whileOpen = judge()
  world.network.clog(manager.id, leader.id)
  const whileClogged = judge()

  expect(whileOpen).toContain('L6: node w1 was turned down, but was heard')
  expect(whileClogged).toBeUndefined()
})

test('what comes to a manager that does not know the leader as a member keeps nobody up (seed 71049)', () => {
  const { leader, manager, judge } = newJudge()
  const know = (raftIds: readonly number[]): void => {
    const { term, members } = manager.manager?.status() ?? { term: 0, members: [] }
    const known = members.filter(({ raftId }) => raftIds.includes(raftId))
    manager.manager?.step({ kind: 'event', event: { kind: 'members', term, members: known } })
  }

  const whileKnown = judge(() => know([leader.raftId]))
  const whileUnknown = judge(() => know([manager.raftId]))

  expect(whileKnown).toContain('L6: node w1 was turned down, but was heard')
  expect(whileUnknown).toBeUndefined()
})
