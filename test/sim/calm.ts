/**
 * A calm cluster for stories: three managers and one worker without faults, and the few words that
 * stories are told in.
 */
import { defaultClusterSpec } from '../../manager/ca/ca.ts'
import type { SimNode } from './sim-node.ts'
import { World } from './world.ts'

const CALM = { loss: 0, duplication: 0, delayMeanMs: 0.5, spike: 0 }

/** Three managers (m1 to m3) and one worker (w1), all up and ready. */
export function calmCluster(seed: number): World {
  const world = new World(seed)
  world.network.rates = CALM
  world.init('m1', defaultClusterSpec.nodeCertExpiryMs)
  world.run(2_000)
  for (const id of ['m2', 'm3']) world.join(id, 'manager')
  world.join('w1', 'worker')
  const peers = (): void => {
    world.refreshPeers()
    world.schedule.after(50, peers)
  }
  peers()
  world.isHealed = true
  for (const node of world.nodes.values()) node.runtime.heal()
  until(world, () => isFormed(world))
  return world
}

/**
 * All four nodes are ready, and three of them vote and know it: whom the word has not reached yet that
 * there are more voters cannot do without those of before.
 */
export function isFormed(world: World): boolean {
  const view = world.findLeader()?.manager?.view()
  const ready = [...(view?.nodes.list() ?? [])].filter((node) => node.status?.state === 'ready')
  const areVoters = world.listManagers().every(({ manager }) => {
    const members = manager?.status().members ?? []
    return members.length === 3 && members.every((member) => member.isVoter)
  })
  return ready.length === 4 && areVoters && world.listManagers().length === 3
}

/** Simulated time that passed until then, ms; throws when it takes too long, or the run has failed. */
export function until(world: World, isDone: () => boolean, limitMs = 60_000): number {
  const beganMs = world.schedule.nowMs
  while (!isDone()) {
    if (world.violations.length > 0) throw new Error(world.violations.join('\n'))
    if (world.schedule.nowMs - beganMs > limitMs) throw new Error('it did not come about')
    // After each event: some of what stories wait for lasts no longer than a word between two threads.
    world.schedule.step(beganMs + limitMs + 1)
  }
  return world.schedule.nowMs - beganMs
}

export function leaderOf(world: World): SimNode {
  const leader = world.findLeader()
  if (leader === undefined) throw new Error('no leader')
  return leader
}
