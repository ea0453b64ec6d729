/**
 * The state of a Raft node: one plain object, changed only by the rules in the files beside it,
 * which `raft.ts` calls. Here are also its settings, and `send`, the one way out for messages.
 *
 * What a message may do before the node's disk has caught up is decided here (thesis section
 * 3.8): votes and acknowledgements wait for it, all other messages need not.
 */
import { assert } from '../../lib/assert.ts'
import type { Random } from '../../lib/random.ts'
import { type Membership, restoreMembership } from './configuration.ts'
import { Log } from './log.ts'
import { type ConfState, emptyMessage, LOCAL_APPLY_THREAD, type Message, NONE } from './message.ts'
import type { Progress, Window } from './progress.ts'
import { ReadQueue } from './read-queue.ts'
import type { Storage } from './storage.ts'
import type { Trace } from './trace.ts'

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader'

export type Config = {
  /** This node; from 1 to below the local threads' addresses, never used again by another one. */
  readonly id: number
  /** A follower that hears nothing campaigns after this many ticks, up to twice as many less one. */
  readonly electionTicks: number
  /** A leader sends heartbeats this often; less than `electionTicks`, best a tenth. */
  readonly heartbeatTicks: number
  readonly storage: Storage
  /** Draws election timeouts. */
  readonly random: Random
  /** The last index the application has applied before a restart. Default: the snapshot's. */
  readonly appliedIndex?: number
  /** Storage is written by messages to the two local threads instead of Ready and advance. */
  readonly asyncStorageWrites?: boolean
  /** Ask whether an election could be won before raising the term (section 9.6). */
  readonly preVote?: boolean
  /** A leader that hears of no quorum for `electionTicks` steps down; enables the lease. */
  readonly checkQuorum?: boolean
  /** How a read is confirmed: by a quorum's heartbeats, or by the lease (needs `checkQuorum`). */
  readonly readOnly?: 'safe' | 'lease-based'
  /** Followers drop proposals instead of passing them on to the leader. */
  readonly disableProposalForwarding?: boolean
  /** Propose membership changes even if they look impossible; the caller has checked them. */
  readonly disableConfChangeValidation?: boolean
  /** A leader that is removed or made a learner becomes a follower. */
  readonly stepDownOnRemoval?: boolean
  /** Bytes of entries in one append; at least one entry is sent. Default: no limit. */
  readonly messageBytesMax?: number
  /** Bytes of committed entries given out and not yet applied. Default: `messageBytesMax`. */
  readonly committedBytesMax?: number
  /** Bytes of proposals that may wait to be committed; more are dropped. Default: no limit. */
  readonly uncommittedBytesMax?: number
  /** Appends in flight to one peer. Default: 256. */
  readonly inflightMessagesMax?: number
  /** Bytes in flight to one peer; at least `messageBytesMax`. Default: no limit. */
  readonly inflightBytesMax?: number
  readonly trace?: Trace
}

const INFLIGHT_MESSAGES_MAX = 256

export type Settings = {
  readonly electionTicks: number
  readonly heartbeatTicks: number
  readonly preVote: boolean
  readonly checkQuorum: boolean
  readonly readOnly: 'safe' | 'lease-based'
  readonly disableProposalForwarding: boolean
  readonly disableConfChangeValidation: boolean
  readonly stepDownOnRemoval: boolean
  readonly messageBytesMax: number
  readonly uncommittedBytesMax: number
  readonly window: Window
}

/** A read that is linearizable once the state machine has applied `index`. */
export type ReadState = { readonly index: number; readonly context: Uint8Array }

export type Raft = {
  readonly id: number
  readonly settings: Settings
  readonly random: Random
  readonly trace: Trace | undefined
  readonly log: Log

  /** The newest term seen. Never goes back; on disk before it is answered for. */
  term: number
  /** The candidate voted for in `term`, or NONE. Changes once a term. */
  vote: number
  role: Role
  /** The leader of `term` as far as known, or NONE. */
  leader: number

  /** The configuration of the last membership change that was applied. */
  confState: ConfState
  /**
   * The members, ascending by id, this node included if it is one. Valid on a leader; elsewhere
   * only its keys and `isLearner` are.
   */
  progress: ReadonlyMap<number, Progress>
  /** Whether this node is a learner of `confState`. */
  isLearner: boolean
  /**
   * Leader: at most one membership change may be in the log and not applied; one is refused until
   * this index is applied. At least the index of the last such entry.
   */
  pendingConfIndex: number

  /** Candidate and pre-candidate: the answers so far, this node's own included. */
  votes: Map<number, boolean>
  /** Leader: who is to take over (section 3.10), or NONE. No proposals are taken meanwhile. */
  leadTransferee: number

  /**
   * Follower, candidates: ticks since the leader was heard, or a vote given, or a campaign begun.
   * Leader: ticks since the last look at the quorum.
   */
  electionElapsedTicks: number
  /** Leader: ticks since the last heartbeat. */
  heartbeatElapsedTicks: number
  /** Drawn from [electionTicks, 2 * electionTicks), or from [1, hastyElectionTicks]. */
  randomizedElectionTicks: number
  /**
   * Follower and pre-candidate that have been told that the leader is gone: the bound of short
   * timeouts, until a leader is heard or the term ends. 0 otherwise.
   */
  hastyElectionTicks: number

  /** Leader: payload bytes of proposals since the last that is known to be applied; estimated. */
  uncommittedBytes: number

  /** Leader: reads that wait for a quorum's heartbeats. */
  reads: ReadQueue
  /** Leader: reads that wait for the first commit of its term. */
  postponedReads: Message[]
  /** Confirmed reads of this node, for the next Ready. */
  readStates: ReadState[]

  /** To be sent at once. Invariant: addressed to others. */
  messages: Message[]
  /** To be sent, or stepped if to this node, when all that is unstable now is on disk. */
  messagesAfterAppend: Message[]
}

/** A follower with the state of its storage; `raft.ts` begins its life. */
export function newState(config: Config): Raft {
  const settings = newSettings(config)
  const { hardState, confState } = config.storage.initialState()
  const log = new Log(
    config.storage,
    config.committedBytesMax ?? settings.messageBytesMax,
    config.trace,
  )
  const tracking = { lastIndex: log.lastIndex(), window: settings.window }
  const membership = restoreMembership(confState, tracking)
  const applied = Math.max(config.appliedIndex ?? 0, log.applied)
  // What a snapshot contains or was applied is committed, even if the word of it was not synced.
  log.commitTo(Math.max(hardState.commit, applied))
  log.appliedTo(applied, 0)
  return {
    id: config.id,
    settings,
    random: config.random,
    trace: config.trace,
    log,
    term: hardState.term,
    vote: hardState.vote,
    role: 'follower',
    leader: NONE,
    confState: membership.confState,
    progress: membership.progress,
    isLearner: membership.progress.get(config.id)?.isLearner ?? false,
    pendingConfIndex: 0,
    votes: new Map(),
    leadTransferee: NONE,
    electionElapsedTicks: 0,
    heartbeatElapsedTicks: 0,
    randomizedElectionTicks: settings.electionTicks,
    hastyElectionTicks: 0,
    uncommittedBytes: 0,
    reads: new ReadQueue(),
    postponedReads: [],
    readStates: [],
    messages: [],
    messagesAfterAppend: [],
  }
}

function newSettings(config: Config): Settings {
  const unlimited = Number.POSITIVE_INFINITY
  const messageBytesMax = config.messageBytesMax ?? unlimited
  const window: Window = {
    messagesMax: config.inflightMessagesMax ?? INFLIGHT_MESSAGES_MAX,
    bytesMax: config.inflightBytesMax ?? unlimited,
  }
  const settings: Settings = {
    electionTicks: config.electionTicks,
    heartbeatTicks: config.heartbeatTicks,
    preVote: config.preVote ?? false,
    checkQuorum: config.checkQuorum ?? false,
    readOnly: config.readOnly ?? 'safe',
    disableProposalForwarding: config.disableProposalForwarding ?? false,
    disableConfChangeValidation: config.disableConfChangeValidation ?? false,
    stepDownOnRemoval: config.stepDownOnRemoval ?? false,
    messageBytesMax,
    uncommittedBytesMax: config.uncommittedBytesMax ?? unlimited,
    window,
  }
  const { id } = config
  assert(id > NONE && id < LOCAL_APPLY_THREAD, 'a node id in range', { id })
  assert(settings.heartbeatTicks > 0, 'heartbeats are at least a tick apart')
  assert(settings.electionTicks > settings.heartbeatTicks, 'elections are rarer than heartbeats')
  assert(window.messagesMax > 0, 'at least one append may be in flight')
  assert(
    window.bytesMax === unlimited || window.bytesMax >= messageBytesMax,
    'a full append fits into the window',
  )
  assert(settings.readOnly === 'safe' || settings.checkQuorum, 'lease reads need checkQuorum')
  return settings
}

/** A message without what `send` knows; the rest is empty. */
export type Outgoing = Partial<Message> & Pick<Message, 'type' | 'to'>

/**
 * The message goes out with the next Ready, or, being a vote or an acknowledgement, once what it
 * answers for is on disk. It bears the node's term, but for elections, whose term the caller
 * states, and for proposals and reads, which belong to no term.
 */
export function send(raft: Raft, outgoing: Outgoing): void {
  const message = { ...emptyMessage, from: raft.id, ...outgoing }
  switch (message.type) {
    case 'vote':
    case 'vote-response':
    case 'pre-vote':
    case 'pre-vote-response':
      assert(message.term > 0, 'an election message states its term', { type: message.type })
      break
    case 'propose':
    case 'read-index':
      assert(message.term === 0, 'the message belongs to no term', { type: message.type })
      break
    default:
      assert(message.term === 0, 'the term is set by send', { type: message.type })
      message.term = raft.term
  }
  if (waitsForDisk(message)) {
    raft.messagesAfterAppend.push(message)
  } else {
    assert(message.to !== raft.id, 'no message to oneself', { type: message.type })
    raft.messages.push(message)
  }
}

function waitsForDisk(message: Message): boolean {
  switch (message.type) {
    case 'append-response':
    case 'vote-response':
    case 'pre-vote-response':
      return true
    default:
      return false
  }
}

/** The configuration and its members are in force on this node. */
export function adoptMembership(raft: Raft, membership: Membership): void {
  raft.confState = membership.confState
  raft.progress = membership.progress
  raft.isLearner = membership.progress.get(raft.id)?.isLearner ?? false
  raft.trace?.({ kind: 'configuration-switched', confState: membership.confState })
}

/** Whether this node may campaign: it is a voter, and no snapshot waits to be written. */
export function isPromotable(raft: Raft): boolean {
  const own = raft.progress.get(raft.id)
  return own !== undefined && !own.isLearner && raft.log.unstable.snapshot === undefined
}

/** The leader of this term is heard of: the election timer starts anew. */
export function followLeader(raft: Raft, leader: number): void {
  raft.electionElapsedTicks = 0
  raft.leader = leader
  if (raft.hastyElectionTicks > 0) {
    raft.hastyElectionTicks = 0
    drawElectionTimeout(raft)
  }
}

/** The next election timeout is drawn; a fresh one avoids split votes (section 3.4). */
export function drawElectionTimeout(raft: Raft): void {
  const { electionTicks } = raft.settings
  raft.randomizedElectionTicks =
    raft.hastyElectionTicks > 0
      ? 1 + raft.random.integer(raft.hastyElectionTicks)
      : electionTicks + raft.random.integer(electionTicks)
}
