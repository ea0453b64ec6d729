/**
 * What goes into the consensus machine and what comes out of it. Inputs are what other members, the
 * disk and the main thread say; what comes out is to be made durable, to be sent, or for main to
 * see. `consensus.ts` decides; `node/consensus-thread.ts`, or the simulator, carries out.
 */
import type { Log } from '../lib/log.ts'
import type { Random } from '../lib/random.ts'
import type { Member } from '../proto/gen/types.ts'
import type { Entry, HardState, Message, Snapshot } from './raft/message.ts'
import type { Role } from './raft/state.ts'

export type MembershipChange =
  /**
   * As a learner first; the leader makes it a voter once it has caught up. Whatever other members its
   * node has then go in the same change: a node is one member.
   */
  | { readonly kind: 'add'; readonly member: Member }
  | { readonly kind: 'update'; readonly member: Member }
  | { readonly kind: 'remove'; readonly raftId: number }

export type ConsensusInput =
  | { readonly kind: 'message'; readonly message: Message }
  /** The persist effect with this number is durable, and so are all before it. */
  | { readonly kind: 'persisted'; readonly sequence: number }
  | {
      readonly kind: 'propose'
      readonly id: number
      readonly term: number
      readonly data: Uint8Array
    }
  | { readonly kind: 'read-index'; readonly id: number }
  /** Main has applied everything up to `index`. */
  | { readonly kind: 'applied'; readonly index: number }
  /** Main's state at `index`, for compaction. */
  | { readonly kind: 'snapshot'; readonly index: number; readonly store: Uint8Array }
  | { readonly kind: 'change-members'; readonly id: number; readonly change: MembershipChange }
  /** Leadership goes to the most advanced other voter, if there is one. */
  | { readonly kind: 'transfer' }
  /** Main's progress counter, read once a tick. */
  | { readonly kind: 'main-progress'; readonly counter: number }
  /** Whether the log's disk has no space: nothing becomes durable until it has. */
  | { readonly kind: 'disk'; readonly isFull: boolean }
  | { readonly kind: 'peer'; readonly raftId: number; readonly state: 'connected' | 'closed' }
  | {
      readonly kind: 'snapshot-sent'
      readonly raftId: number
      readonly outcome: 'finished' | 'failed'
    }
  | { readonly kind: 'unreachable'; readonly raftId: number }
  /** The cluster's settings, as main has applied them. */
  | {
      readonly kind: 'settings'
      readonly snapshotEntries: number
      readonly keepEntries: number
      readonly keepOldSnapshots: number
    }

/** What must be made durable, in order of `sequence`, before `persisted` is stepped. */
export type Persist = {
  readonly sequence: number
  readonly hardState: HardState | undefined
  readonly entries: readonly Entry[]
  /** Replaces the whole log. */
  readonly snapshot: Snapshot | undefined
  /**
   * This node's own snapshot, after which the log may be cut up to `compactIndex`, and of the files of
   * older ones all but so many removed.
   */
  readonly compaction:
    | {
        readonly snapshot: Snapshot
        readonly compactIndex: number
        readonly oldSnapshots: number
      }
    | undefined
  readonly mustSync: boolean
}

export type CommittedEntry = {
  readonly index: number
  readonly term: number
  /** Empty for a leader's first entry and for membership changes. */
  readonly data: Uint8Array
}

export type MainEvent =
  | {
      readonly kind: 'role'
      readonly role: Role
      readonly term: number
      /** Raft id, 0 when unknown. */
      readonly leader: number
    }
  | { readonly kind: 'committed'; readonly entries: readonly CommittedEntry[] }
  /** The store is replaced by this snapshot's. */
  | {
      readonly kind: 'install'
      readonly index: number
      readonly term: number
      readonly store: Uint8Array
    }
  | { readonly kind: 'read-ready'; readonly id: number; readonly index: number }
  | { readonly kind: 'read-refused'; readonly id: number }
  | { readonly kind: 'members'; readonly members: readonly MemberState[]; readonly term: number }
  | { readonly kind: 'members-changed'; readonly id: number }
  | { readonly kind: 'members-refused'; readonly id: number; readonly reason: string }
  /** Whether writes can be taken: without space for the log they would wait for ever. */
  | { readonly kind: 'disk'; readonly isFull: boolean }
  /** The log has grown enough: main should step `snapshot`. */
  | { readonly kind: 'snapshot-wanted' }

/** A member as this node sees it. */
export type MemberState = Member & {
  readonly isVoter: boolean
  /** Whether messages can be exchanged with it now; true for this node itself. */
  readonly isConnected: boolean
}

export type ConsensusReady = {
  readonly persist: readonly Persist[]
  /** May be sent at once, before anything in `persist` is durable. */
  readonly send: readonly Message[]
  readonly events: readonly MainEvent[]
  /** The process must end, with this reason. */
  readonly fatal: string | undefined
}

export type ConsensusConfig = {
  readonly raftId: number
  readonly random: Random
  readonly log: Log
  /** What the log on disk held; `snapshot` is always there (a bootstrap makes the first one). */
  readonly hardState: HardState
  readonly entries: readonly Entry[]
  readonly snapshot: Snapshot | undefined
  readonly snapshotInterval: {
    readonly entries: number
    readonly bytes: number
    readonly keepEntries: number
  }
  /**
   * Entries that go in one message, by their size; at least one does. 1 MiB unless it says otherwise:
   * with few a log is cut into many messages, as a large one is, and each may be lost alone.
   */
  readonly messageBytesMax?: number
  /**
   * Main's credit: entries of this size may be committed and not yet applied there; at least one may.
   * 8 MiB unless it says otherwise: with little a slow main is soon as far behind as a long log puts it.
   */
  readonly committedBytesMax?: number
}

export type ConsensusStatus = {
  readonly role: Role
  readonly term: number
  /** Raft id, 0 when unknown. */
  readonly leader: number
  readonly commit: number
  /** What main has applied. */
  readonly applied: number
}
