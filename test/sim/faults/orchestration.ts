/**
 * Faults of orchestration (peers.md 3.3, O): things that clients do at bad moments. Most come about by
 * the workload, which counts them; here are those that want a moment of their own.
 */
import type { Fault } from './fault.ts'

export const orchestrationFaults: readonly Fault[] = []
