/**
 * Proposals: the leader appends them, a follower passes them on, a candidate drops them. A
 * membership change that cannot be made now is replaced by an empty entry, so that the proposer
 * sees it committed without effect (thesis section 4.1: one change at a time). That check is a
 * courtesy: it looks at the applied configuration, not at the one the change will meet.
 */
import { assert } from '../../lib/assert.ts'
import { isJoint } from './configuration.ts'
import { type Entry, leaveJointChange, type Message, NO_BYTES, NONE } from './message.ts'
import { appendEntries, broadcastAppend } from './replication.ts'
import { type Raft, send } from './state.ts'
import type { ConfChangeRefusal, ProposalRefusal } from './trace.ts'

export type ProposalOutcome = 'ok' | 'proposal-dropped'

/** Leader: the entries are in its log and on their way, or dropped together. */
export function propose(raft: Raft, message: Message): ProposalOutcome {
  assert(message.entries.length > 0, 'a proposal has entries')
  if (!raft.progress.has(raft.id)) return drop(raft, { kind: 'not-a-member' })
  if (raft.leadTransferee !== NONE) {
    return drop(raft, { kind: 'transfer', target: raft.leadTransferee })
  }
  const first = raft.log.lastIndex() + 1
  const entries = message.entries.map((entry, i) => admitEntry(raft, entry, first + i))
  if (!appendEntries(raft, entries)) return drop(raft, { kind: 'uncommitted-limit' })
  broadcastAppend(raft)
  return 'ok'
}

/** Follower: the proposal goes to the leader, unless there is none or that is not wanted. */
export function forwardProposal(raft: Raft, message: Message): ProposalOutcome {
  const { leader } = raft
  if (leader === NONE) return drop(raft, { kind: 'no-leader' })
  if (raft.settings.disableProposalForwarding) {
    return drop(raft, { kind: 'forwarding-off', leader })
  }
  send(raft, { ...message, to: leader })
  return 'ok'
}

/** Candidate: there is no leader. */
export function dropProposal(raft: Raft): ProposalOutcome {
  return drop(raft, { kind: 'no-leader' })
}

function drop(raft: Raft, refusal: ProposalRefusal): ProposalOutcome {
  raft.trace?.({ kind: 'proposal-dropped', refusal, term: raft.term })
  return 'proposal-dropped'
}

/** The entry as it will stand at `index`: itself, or empty for a change that cannot be made now. */
function admitEntry(raft: Raft, entry: Entry, index: number): Entry {
  if (entry.type === 'normal') return entry
  const change = entry.confChange ?? leaveJointChange
  const refusal = findRefusal(raft, change.changes.length === 0)
  if (refusal === undefined || raft.settings.disableConfChangeValidation) {
    raft.pendingConfIndex = index
    return entry
  }
  const { confState } = raft
  raft.trace?.({ kind: 'conf-change-ignored', entryType: entry.type, change, confState, refusal })
  return { ...entry, type: 'normal', data: NO_BYTES, confChange: undefined }
}

/** Whether a membership change that is proposed now is made, and does not become an empty entry. */
export function canChangeMembers(raft: Raft): boolean {
  return raft.role === 'leader' && findRefusal(raft, false) === undefined
}

function findRefusal(raft: Raft, wantsToLeave: boolean): ConfChangeRefusal | undefined {
  const { pendingConfIndex: pendingIndex, confState } = raft
  const { applied } = raft.log
  if (pendingIndex > applied) return { kind: 'pending', pendingIndex, applied }
  if (isJoint(confState) && !wantsToLeave) return { kind: 'joint' }
  if (!isJoint(confState) && wantsToLeave) return { kind: 'not-joint' }
  return undefined
}
