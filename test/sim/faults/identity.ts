/**
 * Faults of identities (peers.md 3.3, I): certificates that end while their node is away, tokens that
 * change under a join, and a host that is a copy of another one. Rotation of the root (I2) and lock
 * keys (I4) come with their features.
 */
import { DAY_MS } from '../../../lib/clock.ts'
import { renewalMs } from '../../../manager/ca/certificate-life.ts'
import { localCaller } from '../../../manager/manager.ts'
import { bringIn, isServing, isWhole, takeOut } from '../operator.ts'
import type { SimNode } from '../sim-node.ts'
import type { World } from '../world.ts'
import type { Fault, FaultContext } from './fault.ts'

export const identityFaults: readonly Fault[] = [
  { name: 'certificate ends while down', classes: ['I1'], weight: 0.5, act: expire },
  { name: 'certificate nearly over', classes: [], weight: 0.5, act: age },
  { name: 'tokens rotated in a join', classes: ['I3'], weight: 0.5, act: rotateTokens },
  { name: 'cloned node', classes: ['I5'], weight: 0.5, act: clone },
]

/** Nobody lets it in any more, so its host is set up anew under another name. */
function expire(context: FaultContext, node: SimNode): boolean {
  const { world, random, isHealed } = context
  const { claims } = node
  if (!node.isUp || claims === undefined || !mayMiss(world, node)) return false
  node.crash('all')
  node.claims = { ...claims, notAfterMs: world.wallMs() - 1 }
  world.restartLater(node)
  const { epoch } = world.checkers
  world.schedule.after(10_000 + random.integer(30_000), () => {
    if (world.nodes.get(node.id) !== node) return
    // By a manager whose clock was set back it was let in, and has another one: others count on it again.
    if (node.claims !== undefined && node.claims.notAfterMs > world.wallMs()) return
    // Who heals the cluster sees to the certificates as well, and so does who goes on with what is left.
    const isMissed = world.lost.size > 0 || world.checkers.epoch !== epoch
    // Another manager may have been demoted meanwhile, on the strength of this one (seed 180529).
    const isSpared = (node.role === 'worker' && node.raftId === 0) || isWhole(world, node)
    if (isHealed() || isMissed || !isSpared) setAnew(world, node)
    else replace(world, node)
  })
  return true
}

/** The cluster goes on without it, whatever else is done to it meanwhile. */
function mayMiss(world: World, node: SimNode): boolean {
  const isKnown = world.checkers.reference.view().nodes.get(node.id) !== undefined
  if (!isKnown || !isWhole(world)) return false
  const isManager = node.role === 'manager' || node.raftId !== 0
  return isManager ? isServing(node, world.wallMs()) : world.nodes.size > 3
}

function replace(world: World, node: SimNode): void {
  const { role } = node
  takeOut(world, node)
  bringIn(world, role)
}

function setAnew(world: World, node: SimNode): void {
  const { claims } = node
  if (claims === undefined) return
  node.claims = { ...claims, notAfterMs: world.wallMs() + 90 * DAY_MS }
  if (!node.isUp) return
  node.crash('all')
  world.restart(node)
}

/** It was away for most of the certificate's life, and renews it as soon as it is back. */
export function age({ world }: FaultContext, node: SimNode): boolean {
  const { claims } = node
  if (!node.isUp || claims === undefined || renewalMs(claims, 0) < world.wallMs()) return false
  const passedMs = Math.floor(0.9 * (claims.notAfterMs - world.wallMs()))
  node.crash('all')
  node.claims = {
    ...claims,
    notBeforeMs: claims.notBeforeMs - passedMs,
    notAfterMs: claims.notAfterMs - passedMs,
  }
  world.restartLater(node)
  return true
}

/** The joiner has read the old token, or reads the new one at its next attempt. */
function rotateTokens({ world, random }: FaultContext): boolean {
  if (bringIn(world, random.integer(2) === 0 ? 'manager' : 'worker') === undefined) return false
  world.schedule.after(random.integer(50), () => {
    const [cluster] = world.checkers.reference.view().clusters.list()
    if (cluster?.spec === undefined) return
    const { spec, meta } = cluster
    const clusterUpdate = {
      version: meta?.version ?? 0,
      spec,
      rotateWorkerToken: true,
      rotateManagerToken: true,
    }
    world
      .anyManager()
      ?.write(
        { caller: localCaller, body: { kind: 'clusterUpdate', clusterUpdate } },
        false,
        () => undefined,
      )
  })
  return true
}

/** A copy of a worker's disk in another host, which runs beside it for a while. */
function clone({ world, random }: FaultContext, node: SimNode): boolean {
  const isKnown = world.checkers.reference.view().nodes.get(node.id) !== undefined
  const isWorker = node.role === 'worker' && node.raftId === 0
  if (!node.isUp || !isKnown || !isWorker || world.cloned.has(node.id)) return false
  const copy = world.addClone(node)
  copy.boot()
  world.schedule.after(10_000 + random.integer(40_000), () => {
    copy.crash('none')
    copy.runtime.powerCut()
    settleLater(world, node)
  })
  return true
}

/** What a clone said of its node's tasks is set right when the host could be told for so long. */
const CLONE_SETTLES_MS = 30_000
const LOOK_MS = 1_000

/** A clone of the node has ended: the node counts as cloned until what it said is set right. */
export function settleLater(world: World, node: SimNode, toldMs = 0): void {
  if (toldMs >= CLONE_SETTLES_MS) {
    world.cloned.delete(node.id)
    return
  }
  world.schedule.after(LOOK_MS, () =>
    settleLater(world, node, canBeTold(world, node) ? toldMs + LOOK_MS : 0),
  )
}

/**
 * Whether the host itself, not only its containers, is there to hear of its tasks and to end them.
 * Whether it has a session is no question: that it is let in is for the managers to see to.
 */
function canBeTold(world: World, node: SimNode): boolean {
  const leader = world.findLeader()
  const stalledUntilMs = Math.max(node.mainStalledUntilMs, node.runtime.hungUntilMs)
  return (
    leader !== undefined &&
    node.isUp &&
    !node.isPaused &&
    world.schedule.nowMs >= stalledUntilMs &&
    !world.network.isCut(node.id, leader.id) &&
    !world.network.isCut(leader.id, node.id)
  )
}
