/**
 * Faults of a daemon's process (peers.md 3.3, P): it is killed, stopped for a while, or its main
 * thread makes no progress.
 */
import type { SimNode } from '../sim-node.ts'
import type { Fault, FaultContext } from './fault.ts'

export const processFaults: readonly Fault[] = [
  { name: 'crash', classes: ['P1'], weight: 2, act: crash },
  {
    name: 'crash of the leader',
    classes: ['P1'],
    weight: 1,
    act: (context, node) => crash(context, context.world.findLeader() ?? node),
  },
  { name: 'crash in a write', classes: ['P2'], weight: 1, act: dieInWrite },
  { name: 'pause', classes: ['P3'], weight: 1, act: pause },
  { name: 'stall of main', classes: ['P4'], weight: 1, act: stall },
]

/** SIGKILL; it comes back some time later. What was not synced is lost, in part or whole. */
export function crash(context: FaultContext, node: SimNode): boolean {
  const { world, random } = context
  if (!node.isUp) return false
  node.crash((['none', 'some', 'all'] as const)[random.integer(3)] ?? 'some')
  context.later(200 + random.integer(15_000), () => {
    if (!node.isUp) world.restart(node)
  })
  return true
}

/** The process dies after so many more operations of its disk: at any durability point. */
function dieInWrite({ random }: FaultContext, node: SimNode): boolean {
  if (!node.isUp) return false
  node.disk.dieAfter(1 + random.integer(8))
  return true
}

function pause({ world, random }: FaultContext, node: SimNode): boolean {
  node.pausedUntilMs = world.schedule.nowMs + random.integer(8_000)
  return true
}

/** Main makes no progress, for longer than a leader may. */
function stall({ world, random }: FaultContext, node: SimNode): boolean {
  node.mainStalledUntilMs = world.schedule.nowMs + random.integer(10_000)
  return true
}
