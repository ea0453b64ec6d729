/**
 * Snapshots (thesis chapter 5): the leader sends one to a peer whose next entry it no longer has;
 * the follower replaces its log by it. Making, storing and applying snapshots is the application's
 * part; it comes to know of one through Ready or a storage message.
 */
import { assert } from '../../lib/assert.ts'
import { restoreMembership } from './configuration.ts'
import { emptyConfState, emptySnapshot, type Message, type Snapshot } from './message.ts'
import { becomeSnapshot, type Progress, viewProgress } from './progress.ts'
import { adoptMembership, type Raft, send } from './state.ts'

/** Leader: the newest snapshot is on its way to `to`; false if that is not possible now. */
export function sendSnapshot(raft: Raft, to: number, progress: Progress): boolean {
  if (!progress.recentActive) {
    raft.trace?.({ kind: 'snapshot-not-sent', to, reason: 'inactive' })
    return false
  }
  const snapshot = raft.log.snapshot()
  if (snapshot === 'unavailable') {
    raft.trace?.({ kind: 'snapshot-not-sent', to, reason: 'unavailable' })
    return false
  }
  const { index, term } = snapshot
  assert(index > 0, 'a log that lacks entries has a snapshot', { to })
  raft.trace?.({
    kind: 'snapshot-sent',
    to,
    firstIndex: raft.log.firstIndex(),
    commit: raft.log.committed,
    snapshot: { term, index },
    progress: viewProgress(progress),
  })
  becomeSnapshot(progress, index)
  raft.trace?.({ kind: 'replication-paused', to, progress: viewProgress(progress) })
  send(raft, { type: 'snapshot', to, snapshot })
  return true
}

/** Follower: the leader's snapshot is restored unless it is old; the answer says how far we are. */
export function handleSnapshot(raft: Raft, message: Message): void {
  const snapshot = message.snapshot ?? emptySnapshot
  const isRestored = restore(raft, snapshot)
  raft.trace?.({
    kind: 'snapshot-handled',
    outcome: isRestored ? 'restored' : 'ignored',
    snapshot: { term: snapshot.term, index: snapshot.index },
    commit: raft.log.committed,
  })
  const index = isRestored ? raft.log.lastIndex() : raft.log.committed
  send(raft, { type: 'append-response', to: message.from, index })
}

/** The log is the snapshot and its configuration is in force; false if there is no need. */
function restore(raft: Raft, snapshot: Snapshot): boolean {
  const { log } = raft
  if (snapshot.index <= log.committed) return false
  assert(raft.role === 'follower', 'only a follower restores a snapshot', { role: raft.role })
  const confState = snapshot.confState ?? emptyConfState
  const members = [...confState.voters, ...confState.learners, ...confState.votersOutgoing]
  if (!members.includes(raft.id)) {
    raft.trace?.({ kind: 'restore-refused', confState })
    return false
  }
  const position = { term: snapshot.term, index: snapshot.index }
  if (log.matches(position)) {
    raft.trace?.({
      kind: 'fast-forwarded',
      snapshot: position,
      commit: log.committed,
      last: log.last(),
    })
    log.commitTo(position.index)
    return false
  }
  log.restore(snapshot)
  const tracking = { lastIndex: log.lastIndex(), window: raft.settings.window }
  raft.votes = new Map()
  adoptMembership(raft, restoreMembership(confState, tracking))
  raft.trace?.({ kind: 'restored', snapshot: position, commit: log.committed, last: log.last() })
  return true
}
