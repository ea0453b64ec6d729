/**
 * What a fault of the simulator is, and the classes of peers.md 3.3 by which faults are counted. A
 * fault says what it does to the world, and how often beside the others; when, and whether in this
 * seed at all, is drawn by `chaos.ts`. What comes about without being injected (an update during an
 * update, say) is counted by whoever sees it, with `World.reached`.
 */
import type { SeededRandom } from '../../../lib/random.ts'
import type { SimNode } from '../sim-node.ts'
import type { World } from '../world.ts'

type Digit = '1' | '2' | '3' | '4' | '5' | '6' | '7' | '8' | '9'

/** As peers.md 3.3 numbers them: network, process, disk, clock, membership, identity, agents, orchestration. */
export type FaultClass =
  | `${'N' | 'P' | 'D' | 'C' | 'M' | 'I' | 'A' | 'O'}${Digit}`
  | 'N10'
  | 'M10'
  | 'A10'
  | 'A11'
  | 'A12'

/** All of them, in order. */
export const FAULT_CLASSES: readonly FaultClass[] = [
  ...(['N1', 'N2', 'N3', 'N4', 'N5', 'N6', 'N7', 'N8', 'N9', 'N10'] as const),
  ...(['P1', 'P2', 'P3', 'P4', 'P5', 'P6', 'P7'] as const),
  ...(['D1', 'D2', 'D3', 'D4', 'D5', 'D6', 'D7', 'D8', 'D9'] as const),
  ...(['C1', 'C2', 'C3'] as const),
  ...(['M1', 'M2', 'M3', 'M4', 'M5', 'M6', 'M7', 'M8', 'M9', 'M10'] as const),
  ...(['I1', 'I2', 'I3', 'I4', 'I5'] as const),
  ...(['A1', 'A2', 'A3', 'A4', 'A5', 'A6', 'A7', 'A8', 'A9', 'A10', 'A11', 'A12'] as const),
  ...(['O1', 'O2', 'O3', 'O4', 'O5', 'O6', 'O7', 'O8', 'O9'] as const),
]

/** What a fault has at hand. */
export type FaultContext = {
  readonly world: World
  readonly random: SeededRandom
  /** Faults are over: what was to come later, to undo or to repeat one, does not happen any more. */
  readonly isHealed: () => boolean
  /** Later, unless the cluster was healed until then. */
  readonly later: (ms: number, work: () => void) => void
}

export type Fault = {
  /** As the trace and the summary say it. */
  readonly name: string
  /** Counted each time that it was done. */
  readonly classes: readonly FaultClass[]
  /** How often beside the others, before a seed's own taste. */
  readonly weight: number
  /** Does it to a node that was drawn, or to others; false when there is nothing now to do it to. */
  readonly act: (context: FaultContext, node: SimNode) => boolean
}
