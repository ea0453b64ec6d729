/**
 * Mutants of updates and rollbacks: how long they watch, what they count, where they go.
 */
import type { Mutant } from './mutant.ts'

const FILE = 'manager/orchestrator/update.ts'
const FAILURES = 'manager/orchestrator/update-failures.ts'

export const updateMutants: readonly Mutant[] = [
  {
    name: 'rollback-of-a-rollback',
    file: FILE,
    search: '  if (isRollback(status))\n    return pause(',
    replacement:
      '  if (isRollback(status) && service.previousSpec === undefined)\n    return pause(',
    caughtBy: 'U4',
    why: 'a service goes to and fro between two specs, none of which works',
  },
  {
    name: 'monitor-window-cut-short',
    file: FAILURES,
    search: ': config.monitorMs\n',
    replacement: ': config.monitorMs / 2\n',
    caughtBy: 'U1, U2',
    why: 'an update is called complete while its user still wants it watched',
  },
  {
    name: 'failures-forgotten-from-slot-to-slot',
    file: FAILURES,
    search: 'failedTaskIds.length / works.length > config.maxFailureRatio',
    replacement: 'failed.length / works.length > config.maxFailureRatio',
    caughtBy: 'U2',
    why: 'one failure after another never adds up to too many',
  },
  {
    name: 'update-delay-forgotten',
    file: 'manager/orchestrator/update-slot.ts',
    search: 'return Math.max(busyMs, upMs + config.delayMs)',
    replacement: 'return Math.max(busyMs, upMs)',
    caughtBy: 'U3',
    why: 'all slots are replaced before anybody can see that the first ones do badly',
  },
  {
    name: 'rollback-to-the-failed-spec',
    file: 'manager/model/update-status.ts',
    search: '    spec: service.previousSpec,\n',
    replacement: '    spec: service.spec,\n',
    caughtBy: 'U4',
    why: 'an update that failed is tried again under the name of a rollback',
  },
]
