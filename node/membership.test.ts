/** What a manager that is alone makes of what it is told of its membership. */
import { expect, test } from 'vitest'
import { judgeMembership } from './membership.ts'

const OWN = { raftId: 7, epoch: 2 }

test.each([
  ['a member of its group stays', { raftId: 7, epoch: 2 }, 'stays'],
  [
    'who is no member of its group any more was removed',
    { raftId: undefined, epoch: 2 },
    'removed',
  ],
  ['another member of its node has its place', { raftId: 8, epoch: 2 }, 'removed'],
  ['a later group shuts it out', { raftId: undefined, epoch: 3 }, 'shut-out'],
  ['an earlier group says nothing of it', { raftId: undefined, epoch: 1 }, 'stays'],
] as const)('membership: %s', (_, answer, verdict) => {
  expect(judgeMembership(OWN, answer)).toBe(verdict)
})
