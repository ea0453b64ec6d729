/**
 * The Raft node: which rule applies to what happens. `step` takes a message, `tick` the passing of
 * time; each decides which case it is, by term, then by role and type, and calls the one rule for
 * it in the files beside this one. State is in `state.ts`, changes of role in `role.ts`.
 *
 * The rules are the Raft thesis' as etcd-io/raft reads them; docs/raft.md names what differs.
 */
import { appliedTo, leaveJointIfDue } from './conf-change.ts'
import {
  forwardTransfer,
  handleTimeoutNow,
  handleTransferLeader,
  handleVoteRequest,
  handleVoteResponse,
  isIgnoredInLease,
  refuseVote,
  startCampaign,
} from './election.ts'
import { broadcastHeartbeat, handleHeartbeat } from './heartbeat.ts'
import { emptyMessage, type Message, NONE, type Snapshot } from './message.ts'
import type { Progress } from './progress.ts'
import { dropProposal, forwardProposal, type ProposalOutcome, propose } from './proposal.ts'
import { voteResult } from './quorum.ts'
import { forwardRead, handleReadRequest, handleReadResponse } from './read-index.ts'
import {
  handleAppend,
  handleAppendResponse,
  handleHeartbeatResponse,
  handleSnapshotStatus,
  handleUnreachable,
} from './replication.ts'
import { becomeFollower } from './role.ts'
import { entriesSize, payloadsSize } from './size.ts'
import { handleSnapshot } from './snapshot.ts'
import { type Config, followLeader, isPromotable, newState, type Raft, send } from './state.ts'

/** A follower as its storage left it. */
export function newRaft(config: Config): Raft {
  const raft = newState(config)
  const { log, term } = raft
  raft.trace?.({ kind: 'configuration-switched', confState: raft.confState })
  becomeFollower(raft, term, NONE)
  raft.trace?.({
    kind: 'started',
    voters: [...raft.progress].filter(([, { isLearner }]) => !isLearner).map(([id]) => id),
    term,
    commit: log.committed,
    applied: log.applied,
    last: log.last(),
  })
  return raft
}

/** A message is dealt with; only a proposal can be refused. */
export function step(raft: Raft, message: Message): ProposalOutcome {
  if (message.term > raft.term && !enterHigherTerm(raft, message)) return 'ok'
  if (message.term !== 0 && message.term < raft.term) {
    answerLowerTerm(raft, message)
    return 'ok'
  }
  switch (message.type) {
    case 'campaign':
      startCampaign(raft, raft.settings.preVote ? 'pre-election' : 'election')
      return 'ok'
    case 'vote':
    case 'pre-vote':
      handleVoteRequest(raft, message)
      return 'ok'
    case 'storage-append-response':
      if (message.index !== 0) {
        raft.log.unstable.stableTo({ term: message.logTerm, index: message.index })
      }
      appliedSnapshot(raft, message.snapshot)
      return 'ok'
    case 'storage-apply-response':
      appliedEntries(raft, message)
      return 'ok'
    default:
      return stepRole(raft, message)
  }
}

/** One tick passed. */
export function tick(raft: Raft): void {
  if (raft.role === 'leader') tickLeader(raft)
  else tickElection(raft)
}

function tickElection(raft: Raft): void {
  raft.electionElapsedTicks++
  if (raft.electionElapsedTicks < raft.randomizedElectionTicks || !isPromotable(raft)) return
  raft.electionElapsedTicks = 0
  step(raft, { ...emptyMessage, type: 'campaign', from: raft.id })
}

function tickLeader(raft: Raft): void {
  raft.heartbeatElapsedTicks++
  raft.electionElapsedTicks++
  if (raft.electionElapsedTicks >= raft.settings.electionTicks) {
    raft.electionElapsedTicks = 0
    if (raft.settings.checkQuorum) checkQuorum(raft)
    // Who has not taken over by now will not.
    raft.leadTransferee = NONE
    leaveJointIfDue(raft)
  }
  if (raft.role !== 'leader') return
  if (raft.heartbeatElapsedTicks < raft.settings.heartbeatTicks) return
  raft.heartbeatElapsedTicks = 0
  broadcastHeartbeat(raft)
}

/** Leader: it steps down unless a quorum was heard of since the last look. */
function checkQuorum(raft: Raft): void {
  const active = new Map<number, boolean>()
  for (const [id, { isLearner, recentActive }] of raft.progress) {
    if (!isLearner) active.set(id, recentActive)
  }
  if (voteResult(raft.confState, active) !== 'won') {
    raft.trace?.({ kind: 'quorum-inactive' })
    becomeFollower(raft, raft.term, NONE)
  }
  for (const [id, progress] of raft.progress) {
    if (id !== raft.id) progress.recentActive = false
  }
}

/** The term of the message is taken over where that is due; false if the message is to be ignored. */
function enterHigherTerm(raft: Raft, message: Message): boolean {
  const { type, from, term: messageTerm } = message
  const isRequest = type === 'vote' || type === 'pre-vote'
  if (isRequest && isIgnoredInLease(raft, message)) return false
  // A pre-vote, and its consent, are about a term that nobody has begun. A refusal bears the
  // term of the one who refused.
  if (type === 'pre-vote' || (type === 'pre-vote-response' && !message.reject)) return true
  raft.trace?.({ kind: 'higher-term', term: raft.term, type, from, messageTerm })
  const isFromLeader = type === 'append' || type === 'heartbeat' || type === 'snapshot'
  becomeFollower(raft, messageTerm, isFromLeader ? from : NONE)
  return true
}

/** A message of an old term changes nothing, but for who sent it, it may be time to hear of ours. */
function answerLowerTerm(raft: Raft, message: Message): void {
  const { type, from } = message
  const { checkQuorum, preVote } = raft.settings
  if ((checkQuorum || preVote) && (type === 'heartbeat' || type === 'append')) {
    // This node may be stuck: its term is higher, and its requests for votes are ignored in the
    // lease. The leader learns of the term from this answer and steps down.
    send(raft, { type: 'append-response', to: from })
  } else if (type === 'pre-vote') {
    // Otherwise nodes with less log and a higher term, from the time before pre-votes, would
    // block the others, and they them.
    refuseVote(raft, message)
  } else if (type === 'storage-append-response') {
    // Writes of the new term may be under way that replace these entries; see docs/raft.md on
    // the ABA race. A snapshot stays true in every term.
    if (message.index !== 0) {
      raft.trace?.({ kind: 'stale-append-ignored', term: raft.term, messageTerm: message.term })
    }
    appliedSnapshot(raft, message.snapshot)
  } else {
    const messageTerm = message.term
    raft.trace?.({ kind: 'lower-term-ignored', term: raft.term, type, from, messageTerm })
  }
}

function appliedSnapshot(raft: Raft, snapshot: Snapshot | undefined): void {
  if (snapshot === undefined) return
  raft.log.unstable.stableSnapshotTo(snapshot.index)
  appliedTo(raft, snapshot.index, 0)
}

function appliedEntries(raft: Raft, { entries }: Message): void {
  const last = entries.at(-1)
  if (last === undefined) return
  appliedTo(raft, last.index, entriesSize(entries))
  raft.uncommittedBytes = Math.max(0, raft.uncommittedBytes - payloadsSize(entries))
}

function stepRole(raft: Raft, message: Message): ProposalOutcome {
  const { role } = raft
  switch (role) {
    case 'leader':
      return stepLeader(raft, message)
    case 'candidate':
    case 'pre-candidate':
      return stepCandidate(raft, message, role)
    case 'follower':
      return stepFollower(raft, message)
    default:
      return role satisfies never
  }
}

function stepLeader(raft: Raft, message: Message): ProposalOutcome {
  switch (message.type) {
    case 'beat':
      broadcastHeartbeat(raft)
      return 'ok'
    case 'check-quorum':
      checkQuorum(raft)
      return 'ok'
    case 'propose':
      return propose(raft, message)
    case 'read-index':
      handleReadRequest(raft, message)
      return 'ok'
    case 'forget-leader':
      return 'ok'
    default: {
      const progress = raft.progress.get(message.from)
      if (progress === undefined) raft.trace?.({ kind: 'peer-unknown', from: message.from })
      else stepPeer(raft, message, progress)
      return 'ok'
    }
  }
}

/** Leader: what a member has to say. */
function stepPeer(raft: Raft, message: Message, progress: Progress): void {
  switch (message.type) {
    case 'append-response':
      handleAppendResponse(raft, message, progress)
      break
    case 'heartbeat-response':
      handleHeartbeatResponse(raft, message, progress)
      break
    case 'snapshot-status':
      handleSnapshotStatus(raft, message, progress)
      break
    case 'unreachable':
      handleUnreachable(raft, message, progress)
      break
    case 'transfer-leader':
      handleTransferLeader(raft, message, progress)
      break
    default:
    // Of no meaning to a leader.
  }
}

function stepCandidate(
  raft: Raft,
  message: Message,
  role: 'candidate' | 'pre-candidate',
): ProposalOutcome {
  const { type, from, term } = message
  switch (type) {
    case 'propose':
      return dropProposal(raft)
    case 'append':
    case 'heartbeat':
    case 'snapshot':
      // Someone leads this term.
      becomeFollower(raft, term, from)
      return stepFollower(raft, message)
    case 'vote-response':
    case 'pre-vote-response':
      // A candidate may still get answers to its pre-votes, which count no more.
      if ((type === 'vote-response') === (role === 'candidate')) handleVoteResponse(raft, message)
      return 'ok'
    case 'timeout-now':
      raft.trace?.({ kind: 'timeout-now-ignored', from, term: raft.term, role })
      return 'ok'
    default:
      return 'ok'
  }
}

function stepFollower(raft: Raft, message: Message): ProposalOutcome {
  switch (message.type) {
    case 'propose':
      return forwardProposal(raft, message)
    case 'append':
      followLeader(raft, message.from)
      handleAppend(raft, message)
      break
    case 'heartbeat':
      followLeader(raft, message.from)
      handleHeartbeat(raft, message)
      break
    case 'snapshot':
      followLeader(raft, message.from)
      handleSnapshot(raft, message)
      break
    case 'read-index':
      forwardRead(raft, message)
      break
    case 'read-index-response':
      handleReadResponse(raft, message)
      break
    case 'transfer-leader':
      forwardTransfer(raft, message)
      break
    case 'timeout-now':
      handleTimeoutNow(raft, message)
      break
    case 'forget-leader':
      forgetLeader(raft)
      break
    default:
    // Of no meaning to a follower.
  }
  return 'ok'
}

/**
 * Follower: it knows no leader any more and may vote for another at once. Not with lease-based
 * reads: they rest on followers who keep to the lease.
 */
function forgetLeader(raft: Raft): void {
  const { leader, term } = raft
  if (raft.settings.readOnly === 'lease-based') {
    raft.trace?.({ kind: 'forget-leader-refused' })
  } else if (leader !== NONE) {
    raft.trace?.({ kind: 'leader-forgotten', leader, term })
    raft.leader = NONE
  }
}
