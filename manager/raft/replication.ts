/**
 * Replication of the log (thesis sections 3.5 and 3.6, flow control 10.2): what the leader sends
 * to whom, what follows from an answer, when entries are committed; and how a follower takes them
 * or refuses. The window to one peer is kept in `progress.ts`.
 *
 * A refusal carries a hint, so that a leader and a follower whose logs parted long ago need one
 * round for each term they disagree about, not one for each entry.
 */

import type { Entry, Message } from './message.ts'
import {
  acknowledge,
  becomeProbe,
  becomeReplicate,
  canRaiseCommit,
  decrease,
  isPaused,
  type Progress,
  sentEntries,
  viewProgress,
} from './progress.ts'
import { committedIndex } from './quorum.ts'
import { acknowledgeReads, releasePostponedReads } from './read-index.ts'
import { payloadsSize } from './size.ts'
import { sendSnapshot } from './snapshot.ts'
import { type Raft, send } from './state.ts'

/**
 * Leader: the entries are at the end of its log, with its term; it acknowledges them to itself as
 * soon as they are on disk. False, and nothing is done, if too much waits to be committed.
 */
export function appendEntries(raft: Raft, entries: readonly Entry[]): boolean {
  const bytes = payloadsSize(entries)
  // An empty entry always passes: a new leader's first, and the one that leaves a joint
  // configuration; so does any when nothing waits.
  const isOver = raft.uncommittedBytes + bytes > raft.settings.uncommittedBytesMax
  if (raft.uncommittedBytes > 0 && bytes > 0 && isOver) return false
  raft.uncommittedBytes += bytes
  const last = raft.log.lastIndex()
  const { term } = raft
  raft.log.append(entries.map((entry, i) => ({ ...entry, term, index: last + 1 + i })))
  send(raft, { type: 'append-response', to: raft.id, index: last + entries.length })
  return true
}

/** Leader: each peer is sent what it lacks, or at least the commit index. */
export function broadcastAppend(raft: Raft): void {
  for (const [id, progress] of raft.progress) {
    if (id !== raft.id) sendAppend(raft, id, progress)
  }
}

/** Leader: each peer that lacks entries is sent some. */
export function broadcastMissingEntries(raft: Raft): void {
  for (const [id, progress] of raft.progress) {
    if (id !== raft.id) sendMissingEntries(raft, id, progress)
  }
}

/** Leader: an append goes to the peer, if need be without entries, unless it is paused. */
export function sendAppend(raft: Raft, to: number, progress: Progress): void {
  trySend(raft, to, { progress, sendEmpty: true })
}

/** Leader: an append with entries goes to the peer; whether there was something to send. */
export function sendMissingEntries(raft: Raft, to: number, progress: Progress): boolean {
  return trySend(raft, to, { progress, sendEmpty: false })
}

function trySend(
  raft: Raft,
  to: number,
  { progress, sendEmpty }: { readonly progress: Progress; readonly sendEmpty: boolean },
): boolean {
  if (isPaused(progress)) return false
  const { log } = raft
  const index = progress.next - 1
  const logTerm = log.term(index)
  if (typeof logTerm !== 'number') return sendSnapshot(raft, to, progress)
  // A full window may mean that all in it is lost. An append without entries finds out: it is
  // acknowledged or refused, and either way the window opens.
  const isFull = progress.state === 'replicate' && progress.inflights.isFull()
  const entries = isFull ? [] : log.entries(progress.next, raft.settings.messageBytesMax)
  if (entries === 'compacted') return sendSnapshot(raft, to, progress)
  if (entries.length === 0 && !sendEmpty) return false
  const commit = log.committed
  send(raft, { type: 'append', to, index, logTerm, entries, commit })
  sentEntries(progress, entries.length, payloadsSize(entries))
  progress.sentCommit = commit
  return true
}

/**
 * Leader: what a quorum has on disk is committed, if it is of this term (section 3.6.2); whether
 * the commit index has moved.
 */
export function advanceCommit(raft: Raft): boolean {
  const index = committedIndex(raft.confState, (voter) => raft.progress.get(voter)?.match)
  return raft.log.commitIfMatches({ term: raft.term, index })
}

/** Leader: a peer, or its own disk, has taken or refused an append. */
export function handleAppendResponse(raft: Raft, message: Message, progress: Progress): void {
  progress.recentActive = true
  if (message.reject) handleRejection(raft, message, progress)
  else handleAcknowledgement(raft, message, progress)
}

function handleRejection(raft: Raft, message: Message, progress: Progress): void {
  const { from, index } = message
  const hint = { term: message.logTerm, index: message.rejectHint }
  raft.trace?.({ kind: 'rejection-received', from, index, hint })
  // Entries of higher terms here cannot match the hint or anything before it in the peer's log.
  const nextProbe = hint.term > 0 ? raft.log.findMatchHint(hint).index : hint.index
  if (!decrease(progress, index, nextProbe)) return
  raft.trace?.({ kind: 'progress-decreased', to: from, progress: viewProgress(progress) })
  if (progress.state === 'replicate') becomeProbe(progress)
  sendAppend(raft, from, progress)
}

function handleAcknowledgement(raft: Raft, message: Message, progress: Progress): void {
  const { from, index } = message
  const isNews = acknowledge(progress, index)
  // What was known can still end a probe: the peer answers, and matches.
  const endsProbe = progress.match === index && progress.state === 'probe'
  if (!isNews && !endsProbe) return
  resumeReplication(raft, message, progress)
  if (advanceCommit(raft)) {
    releasePostponedReads(raft)
    broadcastAppend(raft)
  } else if (from !== raft.id && canRaiseCommit(progress, raft.log.committed)) {
    sendAppend(raft, from, progress)
  }
  if (from === raft.id) return
  // The window may have opened by several appends.
  while (sendMissingEntries(raft, from, progress));
  if (from === raft.leadTransferee && progress.match === raft.log.lastIndex()) {
    raft.trace?.({ kind: 'transfer', step: 'timeout-now-sent', target: from, term: raft.term })
    send(raft, { type: 'timeout-now', to: from })
  }
}

function resumeReplication(raft: Raft, { from, index }: Message, progress: Progress): void {
  switch (progress.state) {
    case 'probe':
      becomeReplicate(progress)
      break
    case 'replicate':
      progress.inflights.freeTo(index)
      break
    case 'snapshot':
      // Whichever snapshot it has: what counts is that the log goes on from there.
      if (progress.match + 1 < raft.log.firstIndex()) return
      raft.trace?.({
        kind: 'replication-resumed',
        to: from,
        reason: 'caught-up',
        progress: viewProgress(progress),
      })
      becomeProbe(progress)
      becomeReplicate(progress)
      break
    default:
      progress.state satisfies never
  }
}

/** Leader: a heartbeat was answered. Appends that were lost are sent again, reads confirmed. */
export function handleHeartbeatResponse(raft: Raft, message: Message, progress: Progress): void {
  progress.recentActive = true
  progress.flowPaused = false
  // A peer in state probe that lacks nothing needs an empty append to leave that state.
  if (progress.match < raft.log.lastIndex() || progress.state === 'probe') {
    sendAppend(raft, message.from, progress)
  }
  acknowledgeReads(raft, message.from, message.context)
}

/** Leader: the snapshot under way was delivered, or not. */
export function handleSnapshotStatus(raft: Raft, message: Message, progress: Progress): void {
  if (progress.state !== 'snapshot') return
  // One that failed is no reason to probe after it.
  if (message.reject) progress.pendingSnapshot = 0
  becomeProbe(progress)
  raft.trace?.({
    kind: 'replication-resumed',
    to: message.from,
    reason: message.reject ? 'snapshot-failed' : 'snapshot-finished',
    progress: viewProgress(progress),
  })
  // Delivered: the peer will acknowledge it by itself. Failed: not again before a heartbeat.
  progress.flowPaused = true
}

/** Leader: a message could not be sent, so an append under way is probably lost. */
export function handleUnreachable(raft: Raft, message: Message, progress: Progress): void {
  if (progress.state === 'replicate') becomeProbe(progress)
  raft.trace?.({
    kind: 'peer-unreachable',
    to: message.from,
    progress: viewProgress(progress),
  })
}

/** Follower: the leader's entries are in the log, or refused with a hint where to go on. */
export function handleAppend(raft: Raft, message: Message): void {
  const { log } = raft
  const { from: to } = message
  const previous = { term: message.logTerm, index: message.index }
  if (previous.index < log.committed) {
    send(raft, { type: 'append-response', to, index: log.committed })
    return
  }
  const last = log.appendAfter(previous, message.entries, message.commit)
  if (last !== undefined) {
    send(raft, { type: 'append-response', to, index: last })
    return
  }
  raft.trace?.({
    kind: 'append-rejected',
    ownTerm: log.termOrZero(previous.index),
    previous,
    from: to,
  })
  // The leader's log before `previous` holds no higher term than that entry's.
  const hint = log.findMatchHint({
    term: previous.term,
    index: Math.min(previous.index, log.lastIndex()),
  })
  send(raft, {
    type: 'append-response',
    to,
    index: previous.index,
    reject: true,
    rejectHint: hint.index,
    logTerm: hint.term,
  })
}
