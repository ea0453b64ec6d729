/**
 * How the simulator's operator lets managers of a group that is over return, on a calm cluster: never
 * two at a time before they are told, for two are a quorum of that group again (docs/disasters.md).
 */
import { expect, test } from 'vitest'
import { calmCluster, leaderOf, until } from '../calm.ts'
import { forceNewCluster } from '../force.ts'
import { setRole } from '../operator.ts'
import type { SimNode } from '../sim-node.ts'
import type { World } from '../world.ts'
import { bringBack } from './quorum.ts'

/** The quorum is lost for good, and one goes on alone. */
function newDisaster(seed: number): {
  readonly world: World
  readonly survivor: SimNode
  readonly gone: readonly SimNode[]
} {
  const world = calmCluster(seed)
  const survivor = world.listManagers().find((node) => node !== leaderOf(world))
  if (survivor === undefined) throw new Error('no follower')
  const gone = world.listManagers().filter((node) => node !== survivor)
  for (const node of gone) {
    world.lost.add(node.id)
    node.crash('all')
  }
  forceNewCluster(world, survivor)
  until(world, () => world.findLeader() === survivor)
  return { world, survivor, gone }
}

test.each([1, 2, 3])(
  'an old manager that failed to start may still return, and the next one waits (seed 72141), %i',
  (seed) => {
    const { world, gone } = newDisaster(seed)
    const [first, second] = gone

    first?.disk.fill()
    bringBack(world, gone)
    until(world, () => !world.lost.has(first?.id ?? ''))
    world.run(world.schedule.nowMs + 60_000)
    const isWaiting = world.lost.has(second?.id ?? '')
    first?.disk.heal()
    if (first?.isUp === false) world.restart(first)
    until(world, () => !world.lost.has(second?.id ?? ''))

    expect(isWaiting).toBe(true)
    expect(first?.shutOutBy === 2 || first?.epoch === 2 || first?.raftId === 0).toBe(true)
    expect(world.violations).toEqual([])
  },
)

test.each([1, 2, 3])(
  'an old manager whose members are no managers any more is taken in anew (seed 72141), %i',
  (seed) => {
    const { world, survivor, gone } = newDisaster(seed)
    const areManagers = (...ids: readonly string[]): boolean =>
      ids.every((id) => world.nodes.get(id)?.manager !== undefined)

    for (const id of ['m4', 'm5']) world.join(id, 'manager')
    until(world, () => areManagers('m4', 'm5'))
    setRole(world, survivor.id, { role: 'worker' })
    until(world, () => survivor.raftId === 0)
    bringBack(world, gone)
    until(world, () => gone.every(({ id }) => world.retired.has(id)), 120_000)
    until(world, () => areManagers('m6', 'm7'))

    expect(world.lost.size).toBe(0)
    expect(world.violations).toEqual([])
  },
)
