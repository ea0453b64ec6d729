/**
 * Faults and changes of the Raft group's members (peers.md 3.3, M): managers that come and go in bad
 * moments, and the snapshots that new ones are sent. One copy of the log is lost at a time, and only
 * when no other is at risk.
 */
import { localCaller } from '../../../manager/manager.ts'
import { bringIn, isServing, isWhole, setRole, takeOut } from '../operator.ts'
import type { SimNode } from '../sim-node.ts'
import type { World } from '../world.ts'
import type { Fault, FaultContext } from './fault.ts'
import { crash } from './process.ts'

const LOST_LOG_EVERY_MS = 30_000
/** A leader knows by then that a member is gone. */
const NOTICED_MS = 2_000

export const membershipFaults: readonly Fault[] = [
  { name: 'lost log', classes: ['M4'], weight: 1, act: loseLog },
  { name: 'role change', classes: [], weight: 1, act: changeRole },
  { name: 'change of members in a partition', classes: ['M1'], weight: 1, act: changeInPartition },
  { name: 'demotion of the leader', classes: ['M2'], weight: 1, act: demoteLeader },
  { name: 'role changes in quick turns', classes: ['M3'], weight: 0.5, act: changeQuickly },
  { name: 'node joins', classes: [], weight: 0.5, act: join },
  { name: 'node leaves', classes: [], weight: 0.5, act: leave },
  { name: 'node lost for good', classes: [], weight: 0.5, act: lose },
  { name: 'leader dies in a joint change', classes: [], weight: 0.5, act: killInJointChange },
  { name: 'death in an install', classes: [], weight: 0.5, act: dieInstalling },
  { name: 'removed under its snapshot', classes: [], weight: 0.5, act: removeUnderSnapshot },
]

const lostLogMs = new WeakMap<World, number>()

/** One copy is lost, and only when no other is at risk. */
function loseLog(context: FaultContext, node: SimNode): boolean {
  const { world } = context
  const { nowMs } = world.schedule
  if (!isServing(node, world.wallMs()) || !isWhole(world)) return false
  if (nowMs - (lostLogMs.get(world) ?? 0) < LOST_LOG_EVERY_MS) return false
  lostLogMs.set(world, nowMs)
  whenMissed(context, node, () => {
    node.disk.heal()
    node.removeLog()
    world.restartLater(node)
  })
  return true
}

/**
 * Done to a node that is down, when the leader knows that and the others are still whole. Sooner, another one
 * could be demoted on the strength of it.
 */
function whenMissed({ world, later }: FaultContext, node: SimNode, act: () => void): void {
  node.crash('none')
  later(NOTICED_MS, () => {
    if (node.isUp || world.nodes.get(node.id) !== node) return
    if (isWhole(world, node)) act()
    else world.restartLater(node)
  })
}

/** Asked once, by a client that has seen the node as it is now. */
function changeRole({ world }: FaultContext, node: SimNode): boolean {
  const stored = world.checkers.reference.view().nodes.get(node.id)
  const manager = world.anyManager()
  if (stored?.spec === undefined || manager === undefined) return false
  const role = stored.spec.role === 'manager' ? 'worker' : 'manager'
  const version = stored.meta?.version ?? 0
  manager.write(
    {
      caller: localCaller,
      body: {
        kind: 'nodeUpdate',
        nodeUpdate: { id: node.id, version, spec: { ...stored.spec, role } },
      },
    },
    false,
    () => undefined,
  )
  return true
}

/** While one manager hears nobody: another one comes, one goes, or one takes the place of another. */
function changeInPartition(context: FaultContext, node: SimNode): boolean {
  const { world, random } = context
  if (world.listManagers().length < 3) return false
  const kind = random.integer(3)
  if (kind === 2 && isServing(node, world.wallMs()) && isWhole(world)) {
    whenMissed(context, node, () => {
      cutOneOff(context)
      takeOut(world, node)
      bringIn(world, 'manager')
    })
    return true
  }
  cutOneOff(context)
  return kind === 0 ? bringIn(world, 'manager') !== undefined : changeRole(context, node)
}

/** Some manager hears nobody, and nobody hears it, for a while. */
function cutOneOff({ world, random, later }: FaultContext): void {
  const managers = world.listManagers()
  const cut = managers[random.integer(Math.max(1, managers.length))]
  if (cut === undefined) return
  for (const other of world.nodes.values()) {
    if (other === cut) continue
    world.network.cut(cut.id, other.id)
    world.network.cut(other.id, cut.id)
  }
  world.refreshPeers()
  later(3_000 + random.integer(15_000), () => {
    world.network.heal()
    world.refreshPeers()
  })
}

/** For a while only, so that clusters keep their managers. */
function demoteLeader({ world, random }: FaultContext): boolean {
  const leader = world.findLeader()
  if (leader === undefined || world.listManagers().length < 2) return false
  const untilMs = world.schedule.nowMs + 5_000
  setRole(world, leader.id, { role: 'worker', isWanted: () => world.schedule.nowMs < untilMs })
  world.schedule.after(6_000 + random.integer(15_000), () =>
    setRole(world, leader.id, { role: 'manager' }),
  )
  return true
}

function changeQuickly(context: FaultContext, node: SimNode): boolean {
  const { random, later } = context
  let afterMs = 0
  for (let turns = 3 + random.integer(4); turns > 0; turns--) {
    later(afterMs, () => changeRole(context, node))
    afterMs += 100 + random.integer(2_500)
  }
  return true
}

function join({ world, random }: FaultContext): boolean {
  return bringIn(world, random.integer(2) === 0 ? 'manager' : 'worker') !== undefined
}

/** Its tasks are stopped and it says so; then it is removed. */
function leave({ world }: FaultContext, node: SimNode): boolean {
  const isKnown = world.checkers.reference.view().nodes.get(node.id) !== undefined
  const isSafe = node.role === 'worker' && node.raftId === 0 && world.nodes.size > 3
  if (!node.isUp || !isKnown || !isSafe) return false
  return node.leave(() => takeOut(world, node))
}

/** The host never comes back, and is removed from the cluster. */
function lose(context: FaultContext, node: SimNode): boolean {
  const { world } = context
  const isKnown = world.checkers.reference.view().nodes.get(node.id) !== undefined
  const isWorker = node.role === 'worker' && node.raftId === 0 && world.nodes.size > 3
  const isSpare = isServing(node, world.wallMs()) && world.listManagers().length > 3
  if (!isKnown || !isWhole(world) || !(isWorker || isSpare)) return false
  whenMissed(context, node, () => takeOut(world, node))
  return true
}

function pickServing({ world, random }: FaultContext): SimNode | undefined {
  const serving = world.listManagers().filter((node) => isServing(node, world.wallMs()))
  return serving[random.integer(Math.max(1, serving.length))]
}

/** A member that is replaced is a joint change; the leader dies in the middle of it. */
function killInJointChange(context: FaultContext, drawn: SimNode): boolean {
  const { world } = context
  if (!loseLog(context, pickServing(context) ?? drawn)) return false
  world.onJoint = (leader) => {
    if (!crash(context, leader)) return
    world.reached('M5')
  }
  return true
}

function dieInstalling(context: FaultContext, drawn: SimNode): boolean {
  const { world, random } = context
  const node = pickServing(context) ?? drawn
  if (!loseLog(context, node)) return false
  world.snapshots.dieInstalling(node, 1 + random.integer(8))
  return true
}

/** A manager that has just come, and is to be none any more while its snapshot is on its way. */
function removeUnderSnapshot({ world }: FaultContext): boolean {
  const joiner = bringIn(world, 'manager')
  if (joiner === undefined) return false
  world.snapshots.onNext((to) => {
    if (to === joiner) setRole(world, joiner.id, { role: 'worker' })
  })
  return true
}
