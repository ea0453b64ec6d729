/** Faults of identities (peers.md 3.3, I): certificates, tokens, keys and cloned nodes. */
import type { Fault } from './fault.ts'

export const identityFaults: readonly Fault[] = []
