/**
 * Membership changes in force (thesis chapter 4). As in etcd, and unlike in the thesis, a change
 * takes effect when its entry is *applied*; that is why a node does not campaign while one is
 * committed and not applied, and why only one may be under way. What a change makes of a
 * configuration is in `configuration.ts`, which proposals are taken in `proposal.ts`.
 */
import { assert } from '../../lib/assert.ts'
import {
  changeSimply,
  enterJoint,
  leaveJoint,
  listVoters,
  type Membership,
  type MembershipRefusal,
} from './configuration.ts'
import {
  type ConfChangeV2,
  type ConfState,
  type Entry,
  emptyMessage,
  NO_BYTES,
  NONE,
} from './message.ts'
import { propose } from './proposal.ts'
import { advanceCommit, broadcastAppend, broadcastMissingEntries } from './replication.ts'
import { becomeFollower } from './role.ts'
import { adoptMembership, type Raft } from './state.ts'

/** Without a change, so that its size is 0 and it always passes. Term and index are the log's. */
const LEAVE_JOINT_ENTRY: Entry = {
  term: 0,
  index: 0,
  type: 'conf-change-v2',
  data: NO_BYTES,
  confChange: undefined,
}

/**
 * The change of a committed entry is in force; a leader brings new members up to date, and commits
 * what the new quorum has. A change that is impossible here is a bug: it went through the log.
 */
export function applyConfChange(raft: Raft, change: ConfChangeV2): ConfState {
  const membership = makeChange(raft, change)
  assert(typeof membership === 'object', 'a committed membership change is possible', {
    refusal: membership,
  })
  adoptMembership(raft, membership)
  if (raft.role === 'leader') leadNewConfiguration(raft)
  return membership.confState
}

function makeChange(raft: Raft, change: ConfChangeV2): Membership | MembershipRefusal {
  const membership: Membership = { confState: raft.confState, progress: raft.progress }
  const tracking = { lastIndex: raft.log.lastIndex(), window: raft.settings.window }
  const { transition, changes } = change
  if (transition === 'auto') {
    if (changes.length === 0) return leaveJoint(membership)
    if (changes.length === 1) return changeSimply(membership, changes, tracking)
  }
  const autoLeave = transition !== 'joint-explicit'
  return enterJoint(membership, changes, { autoLeave, tracking })
}

function leadNewConfiguration(raft: Raft): void {
  const own = raft.progress.get(raft.id)
  if (own === undefined || own.isLearner) {
    if (raft.settings.stepDownOnRemoval) becomeFollower(raft, raft.term, NONE)
    return
  }
  if (raft.confState.voters.length === 0) return
  if (advanceCommit(raft)) broadcastAppend(raft)
  else broadcastMissingEntries(raft)
  if (!listVoters(raft.confState).includes(raft.leadTransferee)) raft.leadTransferee = NONE
}

/** The log has been applied up to `index`, by entries of `bytes`; what was due then is proposed. */
export function appliedTo(raft: Raft, index: number, bytes: number): void {
  raft.log.appliedTo(Math.max(index, raft.log.applied), bytes)
  leaveJointIfDue(raft)
}

/**
 * A leader whose joint configuration is to be left automatically, and has been applied, proposes to
 * leave it. That is dropped while leadership is being handed over: it is tried again with the next
 * entry that is applied, and, unlike in etcd, when the transfer is given up.
 */
export function leaveJointIfDue(raft: Raft): void {
  const { confState } = raft
  if (!confState.autoLeave || raft.role !== 'leader') return
  if (raft.log.applied < raft.pendingConfIndex) return
  const outcome = propose(raft, { ...emptyMessage, type: 'propose', entries: [LEAVE_JOINT_ENTRY] })
  raft.trace?.({
    kind: outcome === 'ok' ? 'joint-leave-started' : 'joint-leave-dropped',
    confState,
  })
}
