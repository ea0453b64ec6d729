/**
 * M10: the quorum is lost for good, one survivor goes on alone, and the others come back later
 * (peers.md 3.3, docs/disasters.md). The operator does what the product says: it lets old managers
 * return one at a time, so that they never are a quorum of the group that is over, and then rebuilds
 * each, makes it a worker, or both in turn; one that knows nobody of the new group is taken in anew.
 * What only the lost ones had acknowledged is gone.
 */
import { findVoters } from '../core.ts'
import { forceNewCluster } from '../force.ts'
import { isWhole, setRole, takeInAnew } from '../operator.ts'
import type { SimNode } from '../sim-node.ts'
import { hasHeardOf } from '../stranger.ts'
import type { World } from '../world.ts'
import type { Fault, FaultContext } from './fault.ts'

/** Until the operator is sure that they are gone, and has decided. */
const DECIDE_MS = 3_000
const DECIDE_SPREAD_MS = 10_000
/** How long the survivor may have heard nothing new before. */
const LAG_MAX_MS = 3_000
const LOOK_MS = 500
const RETURN_SPREAD_MS = 20_000
/** An old manager that is up and could have been told for so long, but by nobody, is not going to be. */
const STRANGER_MS = 10_000

export const quorumFaults: readonly Fault[] = [
  { name: 'quorum lost for good', classes: [], weight: 0.3, act: loseQuorum },
]

function loseQuorum({ world, random }: FaultContext): boolean {
  const voters = findVoters(world) ?? []
  if (!isWhole(world)) return false
  const leader = world.findLeader()
  const followers = voters.filter((node) => node !== leader)
  const survivor = followers[random.integer(followers.length)]
  if (survivor === undefined) return false
  const isLagging = random.integer(2) === 0
  const lagMs = isLagging ? random.integer(LAG_MAX_MS) : 0
  if (isLagging) starve(world, survivor, lagMs + DECIDE_MS)
  // Nobody comes back by himself from now on.
  const enough = voters.length - Math.floor(voters.length / 2)
  const others = voters.filter((node) => node !== survivor)
  const count = enough + random.integer(others.length - enough + 1)
  const gone: SimNode[] = []
  while (gone.length < count) gone.push(...others.splice(random.integer(others.length), 1))
  for (const node of gone) world.lost.add(node.id)
  const decideMs = DECIDE_MS + random.integer(DECIDE_SPREAD_MS)
  world.schedule.after(lagMs, () => {
    // A group that has changed since may have a quorum without them, and is not lost.
    if (!isSame(voters, findVoters(world) ?? [])) {
      for (const node of gone) {
        world.lost.delete(node.id)
        world.restartLater(node)
      }
      return
    }
    for (const node of gone)
      node.crash((['none', 'some', 'all'] as const)[random.integer(3)] ?? 'all')
    world.trace(`${gone.map(({ id }) => id).join(', ')} are gone`)
    world.schedule.after(decideMs, () => {
      survivor.disk.dieAfter(1 + random.integer(60))
      forceNewCluster(world, survivor)
      world.reached('M10')
      bringBack(world, gone)
      watchOverRest(world, survivor.epoch - 1, gone)
    })
  })
  return true
}

function isSame(before: readonly SimNode[], now: readonly SimNode[]): boolean {
  return before.length === now.length && before.every((node) => now.includes(node))
}

/** It hears its leader, and gets no entries. */
function starve(world: World, node: SimNode, ms: number): void {
  const { raftId } = node
  const drops: World['drops'] = ({ to, type }) =>
    to === raftId && (type === 'append' || type === 'snapshot')
  world.drops = drops
  world.schedule.after(ms, () => {
    if (world.drops === drops) world.drops = () => false
  })
}

/** The next one that was gone starts once no other one of the old group is up, or may come up by itself. */
export function bringBack(world: World, gone: readonly SimNode[]): void {
  const [next, ...rest] = gone
  if (next === undefined) return
  const look = (): void => {
    if ([...world.nodes.values()].some((node) => mayReturn(world, node))) {
      world.schedule.after(LOOK_MS, look)
      return
    }
    world.lost.delete(next.id)
    world.restart(next)
    watchOver(world, next)
    bringBack(world, rest)
  }
  world.schedule.after(world.random.integer(RETURN_SPREAD_MS), look)
}

/**
 * Whether it is a manager of a group that is over, or is down and will be one when it starts: nobody
 * has told it yet. Who is lost stays down, and who is not of the core reaches nobody.
 */
function mayReturn(world: World, node: SimNode): boolean {
  if (world.lost.has(node.id) || world.core?.has(node.id) === false) return false
  return isOld(world, node) && (node.shutOutBy === 0 || node.consensus !== undefined)
}

function isOld(world: World, { raftId, epoch }: SimNode): boolean {
  return raftId !== 0 && epoch < world.checkers.epoch
}

/**
 * All of the group that is over, but those who have not returned: also who had been removed from it and
 * has not noticed, for its log is of that group, and shuts it out.
 */
export function watchOverRest(world: World, epoch: number, gone: readonly SimNode[]): void {
  for (const node of world.nodes.values())
    if (node.epoch === epoch && !gone.includes(node)) watchOver(world, node)
}

/** When it is shut out its operator makes it a member of the new group, or a worker. */
function watchOver(world: World, node: SimNode, strangeMs = 0): void {
  if (world.nodes.get(node.id) !== node || !isOld(world, node)) return
  if (strangeMs >= STRANGER_MS) {
    world.trace(`${node.id} knows nobody of the new group, and is taken in anew`)
    takeInAnew(world, node, 'manager')
    return
  }
  if (node.shutOutBy === 0 || node.consensus !== undefined) {
    const nextMs = isStranger(world, node) ? strangeMs + LOOK_MS : 0
    world.schedule.after(LOOK_MS, () => watchOver(world, node, nextMs))
    return
  }
  const isRebuilt = world.random.integer(2) === 0
  world.schedule.after(world.random.integer(RETURN_SPREAD_MS), () => {
    if (world.nodes.get(node.id) !== node || node.shutOutBy === 0) return
    if (isRebuilt) rebuild(world, node)
    else demote(world, node)
  })
}

/** It is up, and neither a member that it knows nor whom its agent heard of is a manager of the group that goes on. */
function isStranger(world: World, node: SimNode): boolean {
  const { manager, shutOutBy } = node
  if (manager === undefined || shutOutBy > 0) return false
  const addrs = manager.status().members.map(({ raftAddr }) => raftAddr)
  return [...world.nodes.values()]
    .filter(({ raftId, epoch }) => raftId !== 0 && epoch === world.checkers.epoch)
    .every((present) => !addrs.includes(present.raftAddr) && !hasHeardOf(node, present))
}

/** That drops its log; half of the time it is to be a manager again. */
function demote(world: World, node: SimNode): void {
  const isPromoted = world.random.integer(2) === 0
  let asked = 0
  const look = (): void => {
    const asking = ++asked
    if (world.nodes.get(node.id) !== node) return
    if (isOld(world, node)) {
      world.schedule.after(LOOK_MS, look)
      // Who was promoted before it has noticed keeps its log: it is demoted once more.
      setRole(world, node.id, { role: 'worker', isWanted: () => asking === asked })
    } else if (isPromoted) setRole(world, node.id, { role: 'manager' })
  }
  look()
}

/** A start with `--rebuild`: an empty log, and another member of the group that goes on. */
function rebuild(world: World, node: SimNode): void {
  world.trace(`${node.id} is rebuilt for the new group`)
  node.crash('all')
  node.disk.heal()
  node.removeLog()
  node.raftId = 0
  node.shutOutBy = 0
  world.restart(node)
}
