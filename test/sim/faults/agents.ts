/** Faults of agents, their runtimes and their sessions (peers.md 3.3, A). */
import type { SimNode } from '../sim-node.ts'
import type { Fault, FaultContext } from './fault.ts'
import { crash } from './process.ts'

export const agentFaults: readonly Fault[] = [
  { name: 'power cut', classes: ['A7', 'P1'], weight: 1, act: cutPower },
]

/** The machine is off: daemon and containers are gone. */
function cutPower(context: FaultContext, node: SimNode): boolean {
  if (!crash(context, node)) return false
  node.runtime.powerCut()
  return true
}
