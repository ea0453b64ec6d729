/**
 * What the core says about its decisions: one tagged union, given to the `trace` callback of the
 * configuration. The core formats no text. Production turns a few of these into log records; the
 * conformance harness turns all of them into etcd's log lines.
 *
 * An event is true at the moment it is emitted and holds copies, never live state.
 */
import type { ConfChangeV2, ConfState, EntryType, MessageType } from './message.ts'

/** Why a configuration change is not made. */
export type ConfChangeRefusal =
  | { readonly kind: 'pending'; readonly pendingIndex: number; readonly applied: number }
  | { readonly kind: 'joint' }
  | { readonly kind: 'not-joint' }

/** Why a proposal is dropped. */
export type ProposalRefusal =
  | { readonly kind: 'no-leader' }
  | { readonly kind: 'forwarding-off'; readonly leader: number }
  | { readonly kind: 'transfer'; readonly target: number }
  | { readonly kind: 'uncommitted-limit' }
  | { readonly kind: 'not-a-member' }

/** A peer as the leader sees it. `next` to `match` is what is in flight. */
export type ProgressView = {
  readonly state: 'probe' | 'replicate' | 'snapshot'
  readonly match: number
  readonly next: number
  readonly isLearner: boolean
  readonly isPaused: boolean
  readonly recentActive: boolean
  readonly pendingSnapshot: number
  readonly inflightCount: number
  readonly inflightFull: boolean
}

/** An entry's place: its term and index. */
export type Position = { readonly term: number; readonly index: number }

type Vote = {
  readonly request: MessageType
  readonly from: number
  /** The end of the candidate's log. */
  readonly candidate: Position
  /** The end of this node's log. */
  readonly last: Position
  readonly vote: number
  readonly term: number
}

export type TraceEvent =
  // The node and its configuration.
  | {
      readonly kind: 'started'
      readonly voters: readonly number[]
      readonly term: number
      readonly commit: number
      readonly applied: number
      readonly last: Position
    }
  | { readonly kind: 'configuration-switched'; readonly confState: ConfState }
  | {
      readonly kind: 'conf-change-ignored'
      readonly entryType: EntryType
      readonly change: ConfChangeV2
      readonly confState: ConfState
      readonly refusal: ConfChangeRefusal
    }
  | { readonly kind: 'joint-leave-started'; readonly confState: ConfState }
  | { readonly kind: 'joint-leave-dropped'; readonly confState: ConfState }
  // Roles and terms.
  | {
      readonly kind: 'became'
      readonly role: 'follower' | 'pre-candidate' | 'candidate' | 'leader'
      readonly term: number
    }
  | {
      readonly kind: 'higher-term'
      readonly term: number
      readonly type: MessageType
      readonly from: number
      readonly messageTerm: number
    }
  | {
      readonly kind: 'lower-term-ignored'
      readonly term: number
      readonly type: MessageType
      readonly from: number
      readonly messageTerm: number
    }
  | { readonly kind: 'stale-append-ignored'; readonly term: number; readonly messageTerm: number }
  | { readonly kind: 'quorum-inactive' }
  | { readonly kind: 'leader-forgotten'; readonly leader: number; readonly term: number }
  | { readonly kind: 'forget-leader-refused' }
  // Elections.
  | {
      readonly kind: 'campaign-ignored'
      readonly reason: 'leader' | 'not-promotable' | 'conf-change-unapplied'
      readonly term: number
    }
  | { readonly kind: 'election-started'; readonly term: number }
  | {
      readonly kind: 'vote-requested'
      readonly request: MessageType
      readonly to: number
      readonly last: Position
      readonly term: number
    }
  | {
      readonly kind: 'vote-received'
      readonly response: MessageType
      readonly from: number
      readonly granted: boolean
      readonly term: number
    }
  | {
      readonly kind: 'votes-counted'
      readonly response: MessageType
      readonly granted: number
      readonly rejected: number
    }
  | (Vote & { readonly kind: 'vote-cast' })
  | (Vote & { readonly kind: 'vote-rejected' })
  | (Vote & { readonly kind: 'vote-ignored-in-lease'; readonly remainingTicks: number })
  // Leadership transfer.
  | {
      readonly kind: 'transfer'
      readonly step:
        | 'started'
        | 'already-in-progress'
        | 'previous-aborted'
        | 'to-self-ignored'
        | 'to-learner-ignored'
        | 'timeout-now-sent-at-once'
        | 'timeout-now-sent'
        | 'no-leader'
      readonly target: number
      readonly term: number
    }
  | { readonly kind: 'timeout-now-received'; readonly from: number; readonly term: number }
  | {
      readonly kind: 'timeout-now-ignored'
      readonly from: number
      readonly term: number
      readonly role: 'pre-candidate' | 'candidate'
    }
  // Proposals and reads.
  | { readonly kind: 'proposal-dropped'; readonly refusal: ProposalRefusal; readonly term: number }
  | { readonly kind: 'read-dropped'; readonly term: number }
  // Replication, as the follower sees it.
  | {
      readonly kind: 'append-rejected'
      /** The term at the leader's previous index here; 0 if there is none. */
      readonly ownTerm: number
      readonly previous: Position
      readonly from: number
    }
  | {
      readonly kind: 'conflict-found'
      readonly index: number
      readonly ownTerm: number
      readonly term: number
    }
  | { readonly kind: 'unstable-replaced'; readonly index: number }
  | { readonly kind: 'unstable-truncated'; readonly index: number }
  | { readonly kind: 'stable-missing'; readonly index: number }
  | { readonly kind: 'stable-matched-snapshot'; readonly index: number }
  | { readonly kind: 'stable-mismatched'; readonly stable: Position; readonly ownTerm: number }
  // Replication, as the leader sees it.
  | { readonly kind: 'peer-unknown'; readonly from: number }
  | {
      readonly kind: 'rejection-received'
      readonly from: number
      readonly index: number
      readonly hint: Position
    }
  | { readonly kind: 'progress-decreased'; readonly to: number; readonly progress: ProgressView }
  | { readonly kind: 'peer-unreachable'; readonly to: number; readonly progress: ProgressView }
  | {
      readonly kind: 'snapshot-sent'
      readonly to: number
      readonly firstIndex: number
      readonly commit: number
      readonly snapshot: Position
      readonly progress: ProgressView
    }
  | { readonly kind: 'replication-paused'; readonly to: number; readonly progress: ProgressView }
  | {
      readonly kind: 'snapshot-not-sent'
      readonly to: number
      readonly reason: 'inactive' | 'unavailable'
    }
  | {
      readonly kind: 'replication-resumed'
      readonly to: number
      readonly reason: 'caught-up' | 'snapshot-finished' | 'snapshot-failed'
      readonly progress: ProgressView
    }
  // Snapshots, as the follower sees them.
  | {
      readonly kind: 'restore-started'
      readonly snapshot: Position
      readonly commit: number
      readonly applied: number
      readonly applying: number
      readonly unstableOffset: number
      readonly unstableOffsetInProgress: number
      readonly unstableCount: number
    }
  | {
      readonly kind: 'restored' | 'fast-forwarded'
      readonly snapshot: Position
      readonly commit: number
      readonly last: Position
    }
  | { readonly kind: 'restore-refused'; readonly confState: ConfState }
  | {
      readonly kind: 'snapshot-handled'
      readonly outcome: 'restored' | 'ignored'
      readonly snapshot: Position
      readonly commit: number
    }

export type Trace = (event: TraceEvent) => void
