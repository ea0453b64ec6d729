/**
 * Changes of role, and what each one starts anew.
 *
 *                       timeout                 quorum of pre-votes
 *            ┌───────────────────> pre-candidate ──────────────> candidate ─┐ quorum
 *   start ─> follower <──────────────── a leader is heard ────────── │      │ of votes
 *            ^  ^                                                    v      v
 *            │  └──────────────── a higher term is seen ─────────────── leader
 *            └─ pre-votes or votes lost; a leader without a quorum ─────────┘
 *
 * Without pre-vote, and when leadership is handed over, a follower becomes candidate at once.
 */
import { assert } from '../../lib/assert.ts'
import { type Entry, NO_BYTES, NONE } from './message.ts'
import { becomeReplicate, newProgress } from './progress.ts'
import { ReadQueue } from './read-queue.ts'
import { appendEntries } from './replication.ts'
import { drawElectionTimeout, type Raft } from './state.ts'

/** Term and index are the log's to set. */
const EMPTY_ENTRY: Entry = {
  term: 0,
  index: 0,
  type: 'normal',
  data: NO_BYTES,
  confChange: undefined,
}

export function becomeFollower(raft: Raft, term: number, leader: number): void {
  reset(raft, term)
  raft.leader = leader
  raft.role = 'follower'
  raft.trace?.({ kind: 'became', role: 'follower', term })
}

/** Neither term nor vote change: nothing is promised to anyone. */
export function becomePreCandidate(raft: Raft): void {
  assert(raft.role !== 'leader', 'a leader does not campaign', { term: raft.term })
  raft.votes = new Map()
  raft.leader = NONE
  raft.role = 'pre-candidate'
  raft.trace?.({ kind: 'became', role: 'pre-candidate', term: raft.term })
}

/** In the next term, with its own vote. */
export function becomeCandidate(raft: Raft): void {
  assert(raft.role !== 'leader', 'a leader does not campaign', { term: raft.term })
  reset(raft, raft.term + 1)
  raft.vote = raft.id
  raft.role = 'candidate'
  raft.trace?.({ kind: 'became', role: 'candidate', term: raft.term })
}

/** With an empty entry of its term in its log, whose commit commits all before (section 3.6.2). */
export function becomeLeader(raft: Raft): void {
  assert(raft.role === 'candidate', 'only a candidate becomes leader', { role: raft.role })
  reset(raft, raft.term)
  raft.leader = raft.id
  raft.role = 'leader'
  const own = raft.progress.get(raft.id)
  assert(own !== undefined, 'a leader is a member', { id: raft.id })
  becomeReplicate(own)
  own.recentActive = true
  // There may be a membership change in the log. To wait for all of the log costs less than
  // to look for it.
  raft.pendingConfIndex = raft.log.lastIndex()
  assert(appendEntries(raft, [EMPTY_ENTRY]), 'an empty entry is always taken')
  raft.trace?.({ kind: 'became', role: 'leader', term: raft.term })
}

/** What belonged to a role or a term is forgotten. */
function reset(raft: Raft, term: number): void {
  assert(term >= raft.term, 'terms do not go back', { term, current: raft.term })
  if (term !== raft.term) {
    raft.term = term
    raft.vote = NONE
  }
  raft.leader = NONE
  raft.electionElapsedTicks = 0
  raft.heartbeatElapsedTicks = 0
  raft.hastyElectionTicks = 0
  drawElectionTimeout(raft)
  raft.leadTransferee = NONE
  raft.votes = new Map()
  const last = raft.log.lastIndex()
  const progress = new Map(raft.progress)
  for (const [id, { isLearner }] of progress) {
    const fresh = newProgress(last + 1, isLearner, raft.settings.window)
    if (id === raft.id) fresh.match = last
    progress.set(id, fresh)
  }
  raft.progress = progress
  raft.pendingConfIndex = 0
  raft.uncommittedBytes = 0
  raft.reads = new ReadQueue()
  raft.postponedReads = []
}
