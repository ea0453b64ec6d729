/**
 * OldCopy: a member whose directory was set back to an older copy has forgotten what it promised,
 * and nothing on its disk says so (docs/log.md). The leader that it promised it to may remember: its
 * heartbeats never name more than this member has acknowledged. Then the member ends before anybody
 * counts on it again. A leader elected since knows nothing of it, so this is no licence to restore.
 */
import { SwarmError } from '../lib/errors.ts'
import type { Message } from './raft/message.ts'

/** Refuses to go on where a heartbeat of this term or a later one names more than the log holds. */
export function refuseOldCopy(
  message: Message,
  own: { readonly term: number; readonly lastIndex: number },
): void {
  const { type, term, commit } = message
  if (type !== 'heartbeat' || term < own.term || commit <= own.lastIndex) return
  const { lastIndex } = own
  throw new SwarmError(
    'data-loss',
    `this manager has acknowledged entry ${commit}, and its log ends at entry ${lastIndex}: raft/ was set back ` +
      'to an older copy and cannot be trusted: start the daemon once with --rebuild, which gets it ' +
      'anew from the other managers',
    { facts: { kind: 'old-copy', commit, lastIndex } },
  )
}
