/** Faults and changes of the Raft group's members (peers.md 3.3, M). */
import { localCaller } from '../../../manager/manager.ts'
import type { SimNode } from '../sim-node.ts'
import type { World } from '../world.ts'
import type { Fault, FaultContext } from './fault.ts'

const LOST_LOG_EVERY_MS = 30_000

export const membershipFaults: readonly Fault[] = [
  { name: 'lost log', classes: ['M4'], weight: 1, act: loseLog },
  { name: 'role change', classes: ['M3'], weight: 1, act: changeRole },
]

const lostLogMs = new WeakMap<World, number>()

/** One copy is lost, and only when no other is at risk. */
function loseLog({ world }: FaultContext, node: SimNode): boolean {
  const { nowMs } = world.schedule
  const managers = [...world.nodes.values()].filter((other) => other.role === 'manager')
  const isSafe = managers.length >= 3 && managers.every((other) => isServing(other))
  if (!isServing(node) || !isSafe || nowMs - (lostLogMs.get(world) ?? 0) < LOST_LOG_EVERY_MS)
    return false
  lostLogMs.set(world, nowMs)
  node.crash('none')
  node.disk.heal()
  node.removeLog()
  world.restartLater(node)
  return true
}

/** A manager that takes part, and whose disk takes what it is given. */
function isServing(node: SimNode): boolean {
  return node.manager !== undefined && node.manager.status().members.length >= 3
}

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
