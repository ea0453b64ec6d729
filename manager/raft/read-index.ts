/**
 * Linearizable reads without a log entry (thesis section 6.4): the leader remembers its commit
 * index, makes sure that it still leads, and answers; the reader serves once it has applied that
 * index. A new leader first commits an entry of its term, for before that it does not know how far
 * the log is committed. With lease-based reads the lease takes the place of the confirmation, which
 * is only as safe as the clocks are.
 */
import { assert, defined } from '../../lib/assert.ts'
import { broadcastHeartbeat } from './heartbeat.ts'
import { type Message, NONE } from './message.ts'
import { type Raft, send } from './state.ts'

/** Leader: a read arrives, from this node or through a follower. */
export function handleReadRequest(raft: Raft, request: Message): void {
  if (hasCommittedInTerm(raft)) admit(raft, request)
  else raft.postponedReads.push(request)
}

/** Leader: reads that waited for the first commit of the term go on. */
export function releasePostponedReads(raft: Raft): void {
  if (raft.postponedReads.length === 0) return
  assert(hasCommittedInTerm(raft), 'reads go on after the first commit of the term')
  const requests = raft.postponedReads
  raft.postponedReads = []
  for (const request of requests) admit(raft, request)
}

/** Leader: `from` has answered a heartbeat; reads that a quorum has confirmed are answered. */
export function acknowledgeReads(raft: Raft, from: number, context: Uint8Array): void {
  if (raft.settings.readOnly !== 'safe' || context.length === 0) return
  raft.reads.acknowledge(from, context)
  for (const { request, index } of raft.reads.takeConfirmed(raft.confState)) {
    answer(raft, request, index)
  }
}

/** Follower: the leader has confirmed a read of this node. */
export function handleReadResponse(raft: Raft, message: Message): void {
  const context = message.entries[0]?.data
  if (context === undefined) return
  raft.readStates.push({ index: message.index, context })
}

/** Follower: a read goes to the leader; without one it is dropped, and its reader asks again. */
export function forwardRead(raft: Raft, request: Message): void {
  if (raft.leader === NONE) {
    raft.trace?.({ kind: 'read-dropped', term: raft.term })
    return
  }
  send(raft, { ...request, to: raft.leader, from: request.from === NONE ? raft.id : request.from })
}

function admit(raft: Raft, request: Message): void {
  if (isSingleton(raft) || raft.settings.readOnly === 'lease-based') {
    answer(raft, request, raft.log.committed)
    return
  }
  raft.reads.add({ request, index: raft.log.committed })
  raft.reads.acknowledge(raft.id, raft.reads.context())
  broadcastHeartbeat(raft)
}

function answer(raft: Raft, request: Message, index: number): void {
  if (request.from === NONE || request.from === raft.id) {
    const { data } = defined(request.entries[0], 'a read request has a context')
    raft.readStates.push({ index, context: data })
  } else {
    send(raft, { type: 'read-index-response', to: request.from, index, entries: request.entries })
  }
}

function isSingleton({ confState }: Raft): boolean {
  return confState.voters.length === 1 && confState.votersOutgoing.length === 0
}

function hasCommittedInTerm(raft: Raft): boolean {
  return raft.log.termOrZero(raft.log.committed) === raft.term
}
