/** All mutants, in the order in which they are hunted. */
import { agentMutants } from './agent.ts'
import { consensusMutants } from './consensus.ts'
import { disconnectMutants } from './disconnect.ts'
import { identityMutants } from './identity.ts'
import { jobMutants } from './jobs.ts'
import { logMutants } from './log.ts'
import type { Mutant } from './mutant.ts'
import { orchestrationMutants } from './orchestration.ts'
import { placementMutants } from './placement.ts'
import { raftMutants } from './raft.ts'
import { updateMutants } from './updates.ts'

export const allMutants: readonly Mutant[] = [
  ...raftMutants,
  ...logMutants,
  ...consensusMutants,
  ...orchestrationMutants,
  ...updateMutants,
  ...jobMutants,
  ...placementMutants,
  ...agentMutants,
  ...disconnectMutants,
  ...identityMutants,
]

/** Throws with the names there are when there is no such mutant. */
export function getMutant(name: string): Mutant {
  const mutant = allMutants.find((candidate) => candidate.name === name)
  if (mutant !== undefined) return mutant
  const names = allMutants.map((candidate) => candidate.name)
  throw new Error(`there is no mutant ${name}, only ${names.join(', ')}`)
}
