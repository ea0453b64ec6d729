/**
 * When the simulator's operator may take a copy of the log away: never one that a quorum needs. What
 * it took too early looked like a cluster that does not come back (seeds 30002, 30017, 30167, 30198).
 * And whom it sends the hosts to that it brings in.
 */
import { expect, test } from 'vitest'
import { calmCluster, leaderOf, until } from './calm.ts'
import { bringIn, isServing, isWhole, setRole } from './operator.ts'
import type { World } from './world.ts'

function followerIdOf(world: World): string {
  const follower = world.listManagers().find((node) => node !== leaderOf(world))
  if (follower === undefined) throw new Error('no follower')
  return follower.id
}

function membersOf(world: World) {
  return leaderOf(world).manager?.status().members ?? []
}

test('the operator spares a group with a member that does not vote yet', () => {
  const world = calmCluster(1)
  until(world, () => isWhole(world))
  const isJoinerUp = (): boolean => {
    const joiner = world.nodes.get('w1')
    return joiner !== undefined && isServing(joiner, world.wallMs())
  }
  // It stays a learner: the leader hears nothing of what it has now.
  world.drops = ({ from }) => from === world.nodes.get('w1')?.raftId && isJoinerUp()
  setRole(world, 'w1', { role: 'manager' })

  until(world, isJoinerUp)

  expect(membersOf(world).some((member) => !member.isVoter)).toBe(true)
  expect(isWhole(world)).toBe(false)
})

test('the operator spares a group that one of its voters is to leave', () => {
  const world = calmCluster(1)
  const id = followerIdOf(world)
  setRole(world, id, { role: 'worker' })

  until(world, () => world.checkers.reference.view().nodes.get(id)?.spec?.role === 'worker')

  expect(membersOf(world).some((member) => member.nodeId === id)).toBe(true)
  expect(isWhole(world)).toBe(false)
})

test('the operator goes on with a group that one of its voters is missed in', () => {
  const world = calmCluster(1)
  const missed = world.nodes.get(followerIdOf(world))
  missed?.crash('none')
  world.run(world.schedule.nowMs + 2_000)

  expect(isWhole(world)).toBe(false)
  expect(isWhole(world, missed)).toBe(true)
})

test.each([1, 2, 3])(
  'a host that comes after healing asks no manager that stays cut off (seeds 70150, 71066), %i',
  (seed) => {
    const world = calmCluster(seed)
    const cutOffId = followerIdOf(world)
    const rest = [...world.nodes.keys()].filter((id) => id !== cutOffId)
    for (const id of rest) {
      world.network.cut(cutOffId, id)
      world.network.cut(id, cutOffId)
    }
    world.core = new Set(rest)

    const joiners = [1, 2, 3, 4, 5].map(() => bringIn(world, 'worker'))
    world.run(world.schedule.nowMs + 5_000)

    const { nodes } = world.checkers.reference.view()
    const states = joiners.map((joiner) => nodes.get(joiner?.id ?? '')?.status?.state)
    expect(states).toEqual(joiners.map(() => 'ready'))
  },
)
