/** Faults of clocks (peers.md 3.3, C): the wall clock jumps, clocks run at different speeds. */
import type { Fault } from './fault.ts'

export const clockFaults: readonly Fault[] = []
