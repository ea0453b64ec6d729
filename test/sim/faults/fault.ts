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
