/**
 * Operator: whoever looks after the nodes of a simulated cluster. It promotes and demotes, brings hosts
 * in and takes hosts out for good, and tries again until what it wants is committed, as people do. How a
 * node then follows is the node's own life.
 */
import { SwarmError } from '../../lib/errors.ts'
import { localCaller } from '../../manager/manager.ts'
import type { WriteRequest } from '../../proto/gen/control.ts'
import type { NodeRole } from '../../proto/gen/types.ts'
import { type Call, creationOf } from './checkers/history.ts'
import { findVoters } from './core.ts'
import type { SimNode } from './sim-node.ts'
import { labelOf } from './workload/specs.ts'
import type { World } from './world.ts'

/** More hosts than this make a run slow, and find nothing that fewer do not. */
const NODES_MAX = 9
const LOOK_MS = 500

/**
 * One copy of the log can be spared: no change of the group is under way or wanted, no host is being
 * taken out, no log is damaged, and each member votes, is up and follows one leader. A learner is no
 * copy that a quorum can count on, and a voter that is on its way out is none either. `missed` may be down.
 */
export function isWhole(world: World, missed?: SimNode): boolean {
  const leader = world.findLeader()
  const voters = findVoters(world) ?? []
  // Of those that are about to be lost for good the survivor must keep its log (seed 190442).
  if (voters.length < 3 || world.lost.size > 0) return false
  return voters.every(
    (node) =>
      !world.atlas.isDamaged(node) &&
      (node === missed ||
        (isServing(node, world.wallMs()) && node.manager?.status().leaderId === leader?.raftId)),
  )
}

/** A manager that takes part in a group of three or more, and is let in by the others. */
export function isServing({ manager, claims }: SimNode, wallMs: number): boolean {
  if (manager === undefined || claims === undefined) return false
  return manager.status().members.length >= 3 && claims.notAfterMs > wallMs
}

/** One more host, or undefined when there are enough. */
export function bringIn(world: World, role: NodeRole): SimNode | undefined {
  if (world.nodes.size >= NODES_MAX) return undefined
  for (let number = 1; ; number++) {
    const id = `${role === 'manager' ? 'm' : 'w'}${number}`
    const isKnown = world.checkers.reference.view().nodes.get(id) !== undefined
    if (isKnown || world.nodes.has(id) || world.retired.has(id)) continue
    // Who comes after the faults are over is well.
    if (world.core !== undefined) world.core = new Set([...world.core, id])
    return world.join(id, role)
  }
}

/** Asked for until the node has the role, is gone, or it is not wanted any more. */
export function setRole(
  world: World,
  id: string,
  options: { readonly role: NodeRole; readonly isWanted?: () => boolean },
): void {
  const node = world.checkers.reference.view().nodes.get(id)
  if (node?.spec === undefined || node.spec.role === options.role) return
  if (options.isWanted?.() === false) return
  const version = node.meta?.version ?? 0
  const spec = { ...node.spec, role: options.role }
  let isDone = false
  ask(world, { kind: 'nodeUpdate', nodeUpdate: { id, version, spec } }, () => {
    isDone = true
  })
  world.schedule.after(LOOK_MS, () => {
    if (!isDone) setRole(world, id, options)
  })
}

/**
 * The host is gone for good, and the cluster is told: demoted where it must be, then removed, which
 * the history of clients knows of.
 */
export function takeOut(world: World, node: SimNode): void {
  const { id } = node
  world.trace(`${id} is gone for good`)
  node.crash('none')
  node.runtime.powerCut()
  world.nodes.delete(id)
  world.retired.add(id)
  const { history } = world
  // However often it is asked for: it is gone after the first time.
  let removal: Call | undefined
  const removed = (): void => {
    if (removal === undefined || removal.answeredAt !== undefined) return
    history.end(removal, { kind: 'done' })
  }
  const look = (): void => {
    const stored = world.checkers.reference.view().nodes.get(id)
    if (stored?.spec === undefined) {
      removed()
      return
    }
    const version = stored.meta?.version ?? 0
    if (stored.spec.role === 'manager')
      ask(world, {
        kind: 'nodeUpdate',
        nodeUpdate: { id, version, spec: { ...stored.spec, role: 'worker' } },
      })
    else if (stored.member === undefined) {
      const creation = creationOf(labelOf(stored))
      removal ??= history.begin('node', id, { kind: 'remove', creation })
      ask(world, { kind: 'nodeRemove', nodeRemove: { id, force: true } }, removed)
    }
    world.schedule.after(LOOK_MS, look)
  }
  look()
}

/** "A node finds no manager" of docs/disasters.md: it is removed, leaves, and joins as another node. */
export function takeInAnew(world: World, node: SimNode, role: NodeRole): SimNode | undefined {
  takeOut(world, node)
  return bringIn(world, role)
}

function ask(
  world: World,
  body: NonNullable<WriteRequest['body']>,
  done: () => void = () => undefined,
): void {
  world.anyManager()?.write({ caller: localCaller, body }, false, (outcome) => {
    if (!(outcome instanceof SwarmError)) done()
  })
}
