/**
 * Mutants of jobs: how many of their tasks there are, how often, and where.
 */
import type { Mutant } from './mutant.ts'

export const jobMutants: readonly Mutant[] = [
  {
    name: 'job-completion-counted-twice',
    file: 'manager/orchestrator/jobs.ts',
    search: 'number <= totalCompletions && active',
    replacement: 'number <= totalCompletions - again && active',
    also: [
      {
        search: '    filled.add(number)\n',
        replacement:
          '    filled.add(number)\n    if (findDone(present, iteration) !== undefined) again++\n',
      },
      {
        search: '  let active = 0\n',
        replacement: '  let active = 0\n  let again = 0\n',
      },
    ],
    caughtBy: 'L1',
    why: 'a job ends when half of its work is done',
  },
  {
    name: 'job-beyond-max-concurrent',
    file: 'manager/orchestrator/jobs.ts',
    search: 'active < maxConcurrent',
    replacement: 'active <= maxConcurrent',
    caughtBy: 'J1',
    why: 'one task more than its user allowed works on the same queue',
  },
  {
    name: 'job-of-iteration-before-goes-on',
    file: 'manager/orchestrator/jobs.ts',
    search: "      ...endTasks(old, 'remove', round.now),\n",
    replacement: '',
    caughtBy: 'J4, L1, L8, D3',
    why: 'a job that is run anew does the work of its old spec as well',
  },
  {
    name: 'job-slot-done-twice',
    file: 'manager/orchestrator/restart-policy.ts',
    search: '  if (findDone(slot, iteration) === undefined) return []\n',
    replacement: '  if (slot.length >= 0) return []\n',
    caughtBy: 'J2',
    why: 'work that a node has done after it was given up is done once more',
  },
  {
    name: 'job-tried-once-too-often',
    file: 'manager/orchestrator/restart-policy.ts',
    search: 'countAttempts(task, slot, now) < policy.maxAttempts',
    replacement: 'countAttempts(task, slot, now) <= policy.maxAttempts',
    caughtBy: 'J3',
    why: 'what its user gave three attempts gets four',
  },
  {
    name: 'global-job-misses-a-node-that-joined',
    file: 'manager/orchestrator/global.ts',
    search: '    for (const serviceId of listGlobalIds(view))\n',
    replacement:
      '    for (const serviceId of listGlobalIds(view).filter((id) => !view.services.get(id)?.jobStatus))\n',
    caughtBy: 'L1',
    why: 'a node that came after the job does not get what it installs on each',
  },
]
