/**
 * The words of the Raft core: entries, snapshots, hard state, membership and messages. They are
 * etcd's `raftpb`, field for field, in the house's types: string unions, safe integers, bytes.
 *
 * `proto/raft.proto` describes the same shapes, so that the log on disk and the network encode
 * these values without converting them; the core itself imports nothing of `proto`. The one
 * difference to etcd: a membership entry carries its change as a value, not as bytes to parse.
 */

/** No node: no leader known, no vote cast, or a message that was not addressed yet. */
export const NONE = 0

/**
 * Addresses of the two local storage threads, when `asyncStorageWrites` is on. They stand outside
 * of the range of node ids, and a message to or from them never crosses the network.
 */
export const LOCAL_APPEND_THREAD: number = Number.MAX_SAFE_INTEGER
export const LOCAL_APPLY_THREAD: number = Number.MAX_SAFE_INTEGER - 1

export const NO_BYTES: Uint8Array = new Uint8Array(0)

export type EntryType = 'normal' | 'conf-change' | 'conf-change-v2'

export type Entry = {
  /** Term of the leader that created the entry. Kept when later leaders replicate it. */
  readonly term: number
  /** Position in the log; the first is 1. */
  readonly index: number
  readonly type: EntryType
  /** What was proposed, opaque to Raft; empty for a membership change and for a leader's first. */
  readonly data: Uint8Array
  /** The membership change; undefined for type normal, and for leaving a joint automatically. */
  readonly confChange: ConfChangeV2 | undefined
}

/** What must be on disk before a vote or an acknowledgement leaves the node. */
export type HardState = {
  readonly term: number
  /** The candidate voted for in `term`, or NONE. */
  readonly vote: number
  /** The highest index known to be committed. Losing it is harmless. */
  readonly commit: number
}

/** A configuration as it is stored. `votersOutgoing` is empty unless it is a joint one. */
export type ConfState = {
  readonly voters: readonly number[]
  readonly learners: readonly number[]
  readonly votersOutgoing: readonly number[]
  /** Voters of the outgoing half that become learners when the joint configuration is left. */
  readonly learnersNext: readonly number[]
  /** Whether the leader leaves the joint configuration by itself. */
  readonly autoLeave: boolean
}

export type Snapshot = {
  /** The last entry it contains; 0 means that there is no snapshot. */
  readonly index: number
  readonly term: number
  /** The configuration at `index`; undefined means without members. */
  readonly confState: ConfState | undefined
  /** The state machine, opaque to Raft. */
  readonly data: Uint8Array
}

export type ConfChangeType = 'add-voter' | 'remove-node' | 'update-node' | 'add-learner'

export type ConfChangeSingle = {
  readonly type: ConfChangeType
  readonly nodeId: number
}

/**
 * How a change of several members is made. `auto`: by one step when that is safe, else jointly
 * and left automatically. `joint-implicit`: jointly, left automatically. `joint-explicit`: jointly,
 * left by a further, empty change.
 */
export type ConfChangeTransition = 'auto' | 'joint-implicit' | 'joint-explicit'

/** A membership change. One without changes leaves the joint configuration. */
export type ConfChangeV2 = {
  readonly transition: ConfChangeTransition
  readonly changes: readonly ConfChangeSingle[]
  /** For the proposer; opaque to Raft. */
  readonly context: Uint8Array
}

/**
 * Which message it is. Those in the first group never leave the node; the `storage-` ones go
 * between the core and its storage threads.
 */
export type MessageType =
  | 'campaign'
  | 'beat'
  | 'check-quorum'
  | 'unreachable'
  | 'snapshot-status'
  | 'storage-append'
  | 'storage-append-response'
  | 'storage-apply'
  | 'storage-apply-response'
  | 'propose'
  | 'append'
  | 'append-response'
  | 'vote'
  | 'vote-response'
  | 'pre-vote'
  | 'pre-vote-response'
  | 'snapshot'
  | 'heartbeat'
  | 'heartbeat-response'
  | 'read-index'
  | 'read-index-response'
  | 'transfer-leader'
  | 'timeout-now'
  | 'forget-leader'

/** One shape for all types, as in etcd; a field that a type does not use is zero or empty. */
export type Message = {
  readonly type: MessageType
  readonly to: number
  readonly from: number
  /** The sender's term; 0 for local messages, proposals and read requests. */
  readonly term: number
  /** Append: term of the entry at `index`. Vote: of the last entry. Rejection: at `rejectHint`. */
  readonly logTerm: number
  /** Append: the entry before the first sent. Vote: the last. Response: acknowledged or refused. */
  readonly index: number
  readonly entries: readonly Entry[]
  /** The sender's commit index (append, heartbeat), or the one to be stored (storage-append). */
  readonly commit: number
  /** The vote to be stored, in storage-append only. */
  readonly vote: number
  /** In snapshot, storage-append and storage-append-response only. */
  readonly snapshot: Snapshot | undefined
  readonly reject: boolean
  /** A refused append: the highest index at which the follower may match. */
  readonly rejectHint: number
  /** Heartbeat and its response: the read request they confirm. Vote: why the campaign started. */
  readonly context: Uint8Array
  /** To be delivered once a storage message has been carried out. */
  readonly responses: readonly Message[]
}

export const emptyMessage: Message = {
  type: 'campaign',
  to: NONE,
  from: NONE,
  term: 0,
  logTerm: 0,
  index: 0,
  entries: [],
  commit: 0,
  vote: NONE,
  snapshot: undefined,
  reject: false,
  rejectHint: 0,
  context: NO_BYTES,
  responses: [],
}

export const emptyHardState: HardState = { term: 0, vote: NONE, commit: 0 }

export const emptyConfState: ConfState = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
}

export const emptySnapshot: Snapshot = {
  index: 0,
  term: 0,
  confState: undefined,
  data: NO_BYTES,
}

/** The change that leaves a joint configuration. */
export const leaveJointChange: ConfChangeV2 = {
  transition: 'auto',
  changes: [],
  context: NO_BYTES,
}
