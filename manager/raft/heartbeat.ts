/**
 * Heartbeats: the leader's sign of life, with the commit index the peer may adopt and the reads it
 * would confirm; and the follower's answer. What the leader makes of the answer is decided in
 * `replication.ts` and `read-index.ts`.
 */
import type { Message } from './message.ts'
import type { Progress } from './progress.ts'
import { type Raft, send } from './state.ts'

/** Every peer gets a heartbeat, which asks it to confirm all reads that wait. */
export function broadcastHeartbeat(raft: Raft): void {
  const context = raft.reads.context()
  for (const [id, progress] of raft.progress) {
    if (id !== raft.id) sendHeartbeat(raft, id, { progress, context })
  }
}

function sendHeartbeat(
  raft: Raft,
  to: number,
  { progress, context }: { readonly progress: Progress; readonly context: Uint8Array },
): void {
  // Never more than the peer is known to have: it may hold other entries after that.
  const commit = Math.min(progress.match, raft.log.committed)
  send(raft, { type: 'heartbeat', to, commit, context })
  progress.sentCommit = commit
}

/** Follower: the leader's commit is adopted and its heartbeat answered. */
export function handleHeartbeat(raft: Raft, message: Message): void {
  raft.log.commitTo(message.commit)
  send(raft, { type: 'heartbeat-response', to: message.from, context: message.context })
}
