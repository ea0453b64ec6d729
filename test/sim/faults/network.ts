/**
 * Faults of the network between hosts (peers.md 3.3, N). Loss, duplication, reordering and long
 * delays (N5 to N8) are no events but rates that the seed draws: see `drawRates` of the world.
 */
import type { Fault, FaultContext } from './fault.ts'

export const networkFaults: readonly Fault[] = [
  { name: 'partition', classes: ['N1'], weight: 1, act: partition },
  { name: 'one-way cut', classes: ['N2'], weight: 1, act: cutOneWay },
  { name: 'heal', classes: [], weight: 2, act: healNetwork },
]

/** Two sides that do not hear each other. */
function partition(context: FaultContext): boolean {
  const { world, random } = context
  const nodes = [...world.nodes.values()]
  const side = new Set(nodes.filter(() => random.integer(2) === 0))
  if (side.size === 0 || side.size === nodes.length) return false
  for (const a of nodes)
    for (const b of nodes) if (side.has(a) !== side.has(b)) world.network.cut(a.id, b.id)
  world.refreshPeers()
  healLater(context)
  return true
}

function cutOneWay(context: FaultContext): boolean {
  const { world, random } = context
  const nodes = [...world.nodes.values()]
  const a = nodes[random.integer(nodes.length)]
  const b = nodes[random.integer(nodes.length)]
  if (a === undefined || b === undefined || a === b) return false
  world.network.cut(a.id, b.id)
  world.refreshPeers()
  healLater(context)
  return true
}

function healNetwork({ world }: FaultContext): boolean {
  world.network.heal()
  world.refreshPeers()
  return true
}

function healLater(context: FaultContext): void {
  context.later(1_000 + context.random.integer(20_000), () => healNetwork(context))
}
