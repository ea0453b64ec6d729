/**
 * Faults of disks (peers.md 3.3, D). Torn tails and the loss of what was not synced (D1, D2) come with
 * each crash; slow disks (D8) are a rate of the seed.
 */
import type { SimNode } from '../sim-node.ts'
import type { Fault, FaultContext } from './fault.ts'

export const diskFaults: readonly Fault[] = [
  { name: 'full disk', classes: ['D3'], weight: 1, act: fillDisk },
  { name: 'failed sync', classes: ['D4'], weight: 1, act: failSync },
]

function fillDisk({ world, random }: FaultContext, node: SimNode): boolean {
  node.disk.fill()
  world.schedule.after(1_000 + random.integer(15_000), () => node.disk.heal())
  return true
}

/** The page cache is lost with it: the process must end, and not try again. */
function failSync({ random }: FaultContext, node: SimNode): boolean {
  node.disk.inject({ operation: 'sync', kind: 'eio', skip: random.integer(4) })
  return true
}
