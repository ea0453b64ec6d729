/**
 * Elections (thesis section 3.4), with pre-votes (9.6) and the lease of CheckQuorum: when this
 * node campaigns, how it votes, what the votes decide; and the handing over of leadership (3.10),
 * which is a campaign on request. Changes of role themselves are in `role.ts`.
 */
import { assert } from '../../lib/assert.ts'
import { listVoters } from './configuration.ts'
import { type Message, type MessageType, NO_BYTES, NONE } from './message.ts'
import type { Progress } from './progress.ts'
import { type VoteResult, voteResult } from './quorum.ts'
import { broadcastAppend, sendAppend } from './replication.ts'
import { becomeCandidate, becomeFollower, becomeLeader, becomePreCandidate } from './role.ts'
import { isPromotable, type Raft, send } from './state.ts'

/** Tells voters that the leader itself asked for the election: they need not honour its lease. */
const TRANSFER_CONTEXT: Uint8Array = new TextEncoder().encode('CampaignTransfer')

/** How a campaign begins: with pre-votes, with votes, or with votes at the leader's request. */
export type Campaign = 'pre-election' | 'election' | 'transfer'

/** A campaign begins if this node may lead, and knows the configuration it would lead. */
export function startCampaign(raft: Raft, campaign: Campaign): void {
  const { term } = raft
  if (raft.role === 'leader') {
    raft.trace?.({ kind: 'campaign-ignored', reason: 'leader', term })
  } else if (!isPromotable(raft)) {
    raft.trace?.({ kind: 'campaign-ignored', reason: 'not-promotable', term })
  } else if (hasUnappliedConfChange(raft)) {
    raft.trace?.({ kind: 'campaign-ignored', reason: 'conf-change-unapplied', term })
  } else {
    raft.trace?.({ kind: 'election-started', term })
    requestVotes(raft, campaign)
  }
}

function requestVotes(raft: Raft, campaign: Campaign): void {
  const isPre = campaign === 'pre-election'
  if (isPre) becomePreCandidate(raft)
  else becomeCandidate(raft)
  // A pre-vote asks about the term that would be begun.
  const term = isPre ? raft.term + 1 : raft.term
  const request = isPre ? 'pre-vote' : 'vote'
  const context = campaign === 'transfer' ? TRANSFER_CONTEXT : NO_BYTES
  const last = raft.log.last()
  for (const to of listVoters(raft.confState)) {
    if (to === raft.id) {
      // Its own vote counts once it is on disk.
      send(raft, { type: responseTo(request), to, term })
      continue
    }
    raft.trace?.({ kind: 'vote-requested', request, to, last, term: raft.term })
    send(raft, { type: request, to, term, index: last.index, logTerm: last.term, context })
  }
}

function hasUnappliedConfChange(raft: Raft): boolean {
  const { log } = raft
  let low = log.applied + 1
  while (low <= log.committed) {
    const entries = log.slice(low, log.committed + 1, raft.settings.messageBytesMax)
    assert(entries !== 'compacted', 'entries are applied before they are compacted', { low })
    if (entries.some((entry) => entry.type !== 'normal')) return true
    low += entries.length
  }
  return false
}

/**
 * Whether a request of a higher term comes while the leader is heard of: it is ignored, so that
 * neither a removed nor a parted node can disturb the cluster (section 4.2.3).
 */
export function isIgnoredInLease(raft: Raft, message: Message): boolean {
  const { electionTicks, checkQuorum } = raft.settings
  if (!checkQuorum || raft.leader === NONE) return false
  if (raft.electionElapsedTicks >= electionTicks) return false
  if (isTransfer(message.context)) return false
  const remainingTicks = electionTicks - raft.electionElapsedTicks
  raft.trace?.({ kind: 'vote-ignored-in-lease', ...describeRequest(raft, message), remainingTicks })
  return true
}

/** The vote or pre-vote is granted, or refused with this node's term. */
export function handleVoteRequest(raft: Raft, message: Message): void {
  const { type, from: to, term } = message
  const isPre = type === 'pre-vote'
  // A repeated vote; or no vote and no leader in this term; or a question about a later term.
  const isFree =
    raft.vote === to || (raft.vote === NONE && raft.leader === NONE) || (isPre && term > raft.term)
  // A learner votes too: it may have been made a voter and not know it yet.
  if (!isFree || !raft.log.isUpToDate({ term: message.logTerm, index: message.index })) {
    refuseVote(raft, message)
    return
  }
  raft.trace?.({ kind: 'vote-cast', ...describeRequest(raft, message) })
  // With the term of the request: the one who asks about a later term would ignore ours.
  send(raft, { type: responseTo(type), to, term })
  if (isPre) return
  raft.electionElapsedTicks = 0
  raft.vote = to
}

/** The one who asks is told no, and this node's term. */
export function refuseVote(raft: Raft, message: Message): void {
  const { type, from: to } = message
  raft.trace?.({ kind: 'vote-rejected', ...describeRequest(raft, message) })
  send(raft, { type: responseTo(type), to, term: raft.term, reject: true })
}

/** Candidate and pre-candidate: an answer to the campaign that is under way. */
export function handleVoteResponse(raft: Raft, message: Message): void {
  const { type: response, from } = message
  const granted = !message.reject
  raft.trace?.({ kind: 'vote-received', response, from, granted, term: raft.term })
  if (!raft.votes.has(from)) raft.votes.set(from, granted)
  const counts = countVotes(raft)
  raft.trace?.({ kind: 'votes-counted', response, ...counts })
  concludeCampaign(raft, voteResult(raft.confState, raft.votes))
}

function concludeCampaign(raft: Raft, result: VoteResult): void {
  switch (result) {
    case 'won':
      if (raft.role === 'pre-candidate') {
        requestVotes(raft, 'election')
      } else {
        becomeLeader(raft)
        broadcastAppend(raft)
      }
      break
    case 'lost':
      becomeFollower(raft, raft.term, NONE)
      break
    case 'pending':
      break
    default:
      result satisfies never
  }
}

function countVotes(raft: Raft): { readonly granted: number; readonly rejected: number } {
  let granted = 0
  let rejected = 0
  for (const [id, { isLearner }] of raft.progress) {
    const vote = isLearner ? undefined : raft.votes.get(id)
    if (vote === true) granted++
    if (vote === false) rejected++
  }
  return { granted, rejected }
}

/** Leader: `message.from` is to take over as soon as it has all entries. */
export function handleTransferLeader(raft: Raft, message: Message, progress: Progress): void {
  const target = message.from
  const { term, leadTransferee: previous } = raft
  if (progress.isLearner) {
    raft.trace?.({ kind: 'transfer', step: 'to-learner-ignored', target, term })
    return
  }
  if (previous === target) {
    raft.trace?.({ kind: 'transfer', step: 'already-in-progress', target, term })
    return
  }
  if (previous !== NONE) {
    raft.leadTransferee = NONE
    raft.trace?.({ kind: 'transfer', step: 'previous-aborted', target: previous, term })
  }
  if (target === raft.id) {
    raft.trace?.({ kind: 'transfer', step: 'to-self-ignored', target, term })
    return
  }
  raft.trace?.({ kind: 'transfer', step: 'started', target, term })
  // It has one election timeout to succeed; then this leader takes proposals again.
  raft.electionElapsedTicks = 0
  raft.leadTransferee = target
  if (progress.match === raft.log.lastIndex()) {
    send(raft, { type: 'timeout-now', to: target })
    raft.trace?.({ kind: 'transfer', step: 'timeout-now-sent-at-once', target, term })
  } else {
    sendAppend(raft, target, progress)
  }
}

/** Follower: the request to hand over goes to the leader. */
export function forwardTransfer(raft: Raft, message: Message): void {
  if (raft.leader === NONE) {
    const target = message.from
    raft.trace?.({ kind: 'transfer', step: 'no-leader', target, term: raft.term })
    return
  }
  send(raft, { ...message, term: 0, to: raft.leader })
}

/** Follower: the leader asks to be replaced. No pre-vote: nobody has been parted from anyone. */
export function handleTimeoutNow(raft: Raft, message: Message): void {
  raft.trace?.({ kind: 'timeout-now-received', from: message.from, term: raft.term })
  startCampaign(raft, 'transfer')
}

function describeRequest(raft: Raft, message: Message) {
  return {
    request: message.type,
    from: message.from,
    candidate: { term: message.logTerm, index: message.index },
    last: raft.log.last(),
    vote: raft.vote,
    term: raft.term,
  }
}

function responseTo(request: MessageType): 'vote-response' | 'pre-vote-response' {
  return request === 'pre-vote' ? 'pre-vote-response' : 'vote-response'
}

function isTransfer(context: Uint8Array): boolean {
  return (
    context.length === TRANSFER_CONTEXT.length &&
    context.every((byte, i) => byte === TRANSFER_CONTEXT[i])
  )
}
