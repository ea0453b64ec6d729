/**
 * The core of a run's second phase (peers.md 3.2): a random quorum of the managers and some of the workers,
 * healed for ever, while all others stay broken. It is chosen so that it can decide: at a moment when
 * the configuration is known and nothing is on its way to change it, of managers whose logs are their own.
 */
import type { SeededRandom } from '../../lib/random.ts'
import type { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

/** The ids of its nodes, or undefined when there is none to be chosen now. */
export function chooseCore(world: World, random: SeededRandom): ReadonlySet<string> | undefined {
  const voters = findVoters(world)
  if (voters === undefined) return undefined
  const able = voters.filter((node) => node.hasLog && !world.atlas.isDamaged(node))
  const quorum = Math.floor(voters.length / 2) + 1
  if (able.length < quorum) return undefined
  const core = new Set<string>()
  while (core.size < quorum) {
    const node = able[random.integer(able.length)]
    if (node !== undefined) core.add(node.id)
  }
  for (const node of world.nodes.values())
    if (!voters.includes(node) && random.integer(3) > 0) core.add(node.id)
  return core
}

/** The voters, if all nodes are what they are to be, and a leader knows of no change to come. */
export function findVoters(world: World): readonly SimNode[] | undefined {
  const leader = world.findLeader()
  const consensus = leader?.consensus
  if (consensus === undefined || !consensus.isMembershipSettled) return undefined
  const { voters, votersOutgoing, learners } = consensus.confState
  if (votersOutgoing.length > 0 || learners.length > 0) return undefined
  const nodes = voters.flatMap((raftId) => world.findByRaftId(raftId) ?? [])
  if (nodes.length !== voters.length) return undefined
  for (const { id, spec } of world.checkers.reference.view().nodes.list()) {
    const node = world.nodes.get(id)
    if (node === undefined || (spec?.role === 'manager') !== nodes.includes(node)) return undefined
  }
  return nodes
}
