/**
 * Mutants of the scheduler: what a node has given, and who may be beside whom.
 */
import type { Mutant } from './mutant.ts'

export const placementMutants: readonly Mutant[] = [
  {
    name: 'named-resource-given-twice',
    file: 'manager/model/generic-resources.ts',
    search: 'return named.filter(({ name }) => !taken.has(name)).slice(0, each.count)',
    replacement: 'return named.filter(() => taken.size >= 0).slice(0, each.count)',
    caughtBy: 'T4',
    why: 'two containers work on one GPU, and another one idles',
  },
  {
    name: 'anti-affinity-one-way',
    file: 'manager/scheduler/candidates.ts',
    search: ': new Set([...shunning, ...far.flatMap(around.findTasks)])',
    replacement: ': new Set(far.flatMap(around.findTasks))',
    caughtBy: 'T7',
    why: 'what wants to be alone is joined by whoever does not mind',
  },
  {
    name: 'platform-ignored',
    file: 'manager/scheduler/filters.ts',
    search: '  if (wanted.platforms.length === 0) return undefined\n',
    replacement: '  if (wanted.platforms.length >= 0) return undefined\n',
    caughtBy: 'T7',
    why: 'an image is sent where no processor can run it',
  },
]
