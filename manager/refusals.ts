/**
 * Refusals: what a manager says when it cannot serve a caller now. The words of each stand here once,
 * and whether trying again is safe: `retriable` promises that nothing was evaluated (DESIGN section 4).
 */
import { SwarmError } from '../lib/errors.ts'

/** To another manager that took this one for the leader. */
export function newNotLeader(): SwarmError {
  return new SwarmError('unavailable', 'this manager is not the leader', { retriable: true })
}

/** Docker's words, which its clients know, and what can be done. */
export function newNoLeader(): SwarmError {
  return new SwarmError(
    'unavailable',
    'The swarm does not have a leader. It is possible that too few managers are online. Make sure more than half of the managers are online. ' +
      'Until then reads with consistency=stale are answered; if managers are gone for good, "tsswarm init --force-new-cluster" goes on with one of those left.',
    { retriable: true },
  )
}

/** What was under way may have been done or not. */
export function newLeaderChanged(): SwarmError {
  return new SwarmError(
    'unavailable',
    'the leader changed, outcome unknown: look before trying again',
  )
}

export function newTooMany(what: 'requests' | 'reads'): SwarmError {
  return new SwarmError('resource-exhausted', `too many ${what} are waiting, try again later`, {
    retriable: true,
  })
}

export function newDiskFull(): SwarmError {
  return new SwarmError(
    'resource-exhausted',
    'the disk under the log of the leading manager is full: free some space and try again',
    { retriable: true },
  )
}
