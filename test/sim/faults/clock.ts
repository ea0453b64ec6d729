/**
 * Faults of clocks (peers.md 3.3, C): the wall clock of a node jumps by seconds to days, forward or
 * back, once or again and again; clocks of nodes run at different speeds.
 */
import { DAY_MS } from '../../../lib/clock.ts'
import type { SimNode } from '../sim-node.ts'
import type { Fault, FaultContext } from './fault.ts'
import { age } from './identity.ts'

/** From a second to five days, as many powers of ten as near. */
const JUMP_DECADES = 5.6
/** A clock that is off by more than a tenth is no clock. */
const DRIFT_MAX = 0.1

export const clockFaults: readonly Fault[] = [
  { name: 'clock jumps', classes: ['C1'], weight: 1, act: jump },
  { name: 'clock drifts', classes: ['C2'], weight: 1, act: drift },
  { name: 'clock strobes', classes: ['C3'], weight: 0.5, act: strobe },
  { name: 'certificate by a wrong clock', classes: ['C1'], weight: 1, act: signWrong },
]

function jump(context: FaultContext, node: SimNode): boolean {
  setWrong(context, node, drawJumpMs(context))
  return true
}

/** Until somebody sets it right. */
function setWrong(context: FaultContext, node: SimNode, offsetMs: number): void {
  node.wallOffsetMs = offsetMs
  context.later(2_000 + context.random.integer(40_000), () => {
    node.wallOffsetMs = 0
  })
}

function drift({ random }: FaultContext, node: SimNode): boolean {
  node.setClockSpeed(1 + (random.fraction() * 2 - 1) * DRIFT_MAX)
  return true
}

/** Between right and wrong, several times a second. */
function strobe(context: FaultContext, node: SimNode): boolean {
  const offsetMs = drawJumpMs(context)
  let left = 10 + context.random.integer(40)
  const again = (): void => {
    left--
    node.wallOffsetMs = left % 2 === 0 ? 0 : offsetMs
    if (left > 0) context.later(50 + context.random.integer(300), again)
  }
  again()
  return true
}

/** The leader's clock, or every manager's, is days off while a node needs a certificate. */
function signWrong(context: FaultContext, node: SimNode): boolean {
  const { world, random } = context
  const leader = world.findLeader()
  if (leader === undefined || leader === node || !age(context, node)) return false
  // Ahead of the others as a rule: what is signed then is from the future for them.
  const sizeMs = DAY_MS + random.integer(4 * DAY_MS)
  const offsetMs = random.integer(4) > 0 ? sizeMs : eitherWay(context, sizeMs)
  // Whichever manager is asked signs.
  const others = random.integer(2) === 0 ? [...world.nodes.values()] : []
  for (const signer of new Set([leader, ...others.filter(({ manager }) => manager !== undefined)]))
    setWrong(context, signer, offsetMs)
  return true
}

/** Whoever it is: managers sign certificates by that clock. */
function drawJumpMs(context: FaultContext): number {
  const decades = context.random.fraction() * JUMP_DECADES
  return eitherWay(context, Math.min(5 * DAY_MS, Math.round(1_000 * 10 ** decades)))
}

/**
 * Behind by less than half of what certificates live: a manager alone that is behind by more signs its
 * own as over, and is out when its clock is right again (docs/certificates.md).
 */
function eitherWay({ world, random }: FaultContext, sizeMs: number): number {
  if (random.integer(2) === 0) return sizeMs
  return -Math.min(sizeMs, world.rates.certLifeMs / 2 - 1)
}
