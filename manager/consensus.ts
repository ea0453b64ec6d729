/**
 * Consensus: the Raft core, its log and its members as one machine, as the consensus thread runs
 * it (DESIGN section 4). It decides what to persist, what to send and what the main thread gets to
 * see; it holds the fences between the threads: a proposal counts for one term only, read requests
 * are answered by ReadIndex rounds, committed entries flow at the pace at which main applies them,
 * and a main thread without progress loses the leadership. The shell (`node/consensus-thread.ts`,
 * or the simulator) carries out what `ready()` returns and reports it back through `step()`.
 */
import { assert } from '../lib/assert.ts'
import { equalBytes } from '../lib/crypto.ts'
import type { Log } from '../lib/log.ts'
import type { Random } from '../lib/random.ts'
import {
  decodeMembershipContext,
  decodeSnapshotPayload,
  emptyMembershipContext,
  encodeMembershipContext,
  encodeSnapshotPayload,
} from '../proto/gen/consensus.ts'
import type { Member } from '../proto/gen/types.ts'
import {
  type ConfChangeSingle,
  type ConfState,
  type Entry,
  emptyConfState,
  type HardState,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  leaveJointChange,
  type Message,
  type Snapshot,
} from './raft/message.ts'
import { RawNode } from './raft/raw-node.ts'
import type { Role } from './raft/state.ts'
import { MemoryStorage } from './raft/storage.ts'

/** One tick of the consensus loop, in ms; everything below counts in ticks. */
export const TICK_MS = 50
const HEARTBEAT_TICKS = 2
const ELECTION_TICKS = 10
/** After the leader's stream closed a follower draws its election timer anew from this many. */
const ELECTION_TICKS_AFTER_CLOSE = 3
/** How long a stream from the leader must stay closed before it is news: 100 ms. */
const CLOSED_TICKS = 2
/** An unanswered ReadIndex round is asked again after this long. */
const READ_RETRY_TICKS = 4
/** A read that no leader confirmed within this time is refused: 5 s. */
const READ_DEADLINE_TICKS = 100
/** A membership change that was not applied within this time has an unknown outcome: 10 s. */
const MEMBERSHIP_DEADLINE_TICKS = 200
/** Main without progress for this long: leadership handed over, reads refused: 3 s. */
export const MAIN_STALLED_TICKS = 60
/** Main without progress for this long: the process ends: 30 s. */
export const MAIN_DEAD_TICKS = 600
/** A learner at most this many entries behind the commit index becomes a voter. */
const PROMOTE_BEHIND_ENTRIES = 100

const MESSAGE_BYTES_MAX = 1024 * 1024
const INFLIGHT_MESSAGES_MAX = 256
/** Byte credit of main: at most this much is committed but not yet applied there. */
const COMMITTED_BYTES_MAX = 8 * 1024 * 1024
const UNCOMMITTED_BYTES_MAX = 64 * 1024 * 1024

export type MembershipChange =
  /** As a learner first; the leader makes it a voter once it has caught up. */
  | { readonly kind: 'add'; readonly member: Member; readonly replaces: number | undefined }
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
  | { readonly kind: 'settings'; readonly snapshotEntries: number; readonly keepEntries: number }

/** What must be made durable, in order of `sequence`, before `persisted` is stepped. */
export type Persist = {
  readonly sequence: number
  readonly hardState: HardState | undefined
  readonly entries: readonly Entry[]
  /** Replaces the whole log. */
  readonly snapshot: Snapshot | undefined
  /** This node's own snapshot, after which the log may be cut up to `compactIndex`. */
  readonly compaction: { readonly snapshot: Snapshot; readonly compactIndex: number } | undefined
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
}

type PendingPersist = { readonly persist: Persist; readonly responses: readonly Message[] }
type PendingApply = { readonly index: number; readonly responses: readonly Message[] }
type PendingMembership = {
  readonly id: number
  readonly change: MembershipChange
  proposedTick: number | undefined
  readonly deadlineTick: number
}
type ReadRound = { readonly round: number; readonly ids: readonly number[]; askedTick: number }
type WaitingRead = { readonly id: number; readonly deadlineTick: number }

export class Consensus {
  readonly raftId: number
  #raft: RawNode
  #storage: MemoryStorage
  #log: Log
  #interval: ConsensusConfig['snapshotInterval']
  /** Ticks since the start. */
  #now = 0

  #persistSequence = 0
  /** Emitted but not yet durable, in order. */
  #persisting: PendingPersist[] = []
  /** Given to main but not yet applied there, in order. */
  #applying: PendingApply[] = []

  /** Every member by Raft id, as of the last applied membership change. */
  #members = new Map<number, Member>()
  #confState: ConfState
  /** Configuration and members after each change that main's snapshot may still predate. */
  #history: { index: number; confState: ConfState; members: ReadonlyMap<number, Member> }[] = []
  #connected = new Set<number>()
  /** Tick at which the stream from the leader closed; undefined while it is open. */
  #leaderClosedTick: number | undefined

  #role: Role = 'follower'
  #term = 0
  #leader = 0

  /** Proposals of this term that Raft does not take now, in order: a transfer is under way. */
  #held: Uint8Array[] = []
  /** Members that were to be sent a snapshot which they would not take. */
  #unsent: number[] = []
  #membership: PendingMembership[] = []
  #readsWaiting: WaitingRead[] = []
  #readRound: ReadRound | undefined
  #readRoundCount = 0
  /** The last term that this member led and committed an entry in. */
  #committedTerm = 0
  /** Tells this start's read rounds from an earlier one's. */
  #nonce: number

  #mainCounter = -1
  #mainStalledTicks = 0
  #fatal: string | undefined
  #isDiskFull = false

  #appliedIndex: number
  #snapshotIndex: number
  #snapshotWanted = false
  /** Index from which on a snapshot is wanted whatever the interval says; 0: none. */
  #snapshotAfter = 0
  #bytesSinceSnapshot = 0

  #out: { persist: Persist[]; send: Message[]; events: MainEvent[] } = newOut()

  constructor(config: ConsensusConfig) {
    this.raftId = config.raftId
    this.#log = config.log
    this.#interval = config.snapshotInterval
    this.#nonce = config.random.integer(2 ** 32)
    this.#storage = new MemoryStorage()
    const snapshot = config.snapshot
    if (snapshot !== undefined) this.#storage.applySnapshot(snapshot)
    this.#storage.append(config.entries)
    this.#storage.setHardState(config.hardState)
    this.#snapshotIndex = snapshot?.index ?? 0
    this.#appliedIndex = this.#snapshotIndex
    this.#confState = snapshot?.confState ?? emptyConfState
    for (const entry of config.entries) this.#bytesSinceSnapshot += entry.data.length
    this.#raft = new RawNode({
      id: config.raftId,
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: HEARTBEAT_TICKS,
      storage: this.#storage,
      random: config.random,
      appliedIndex: this.#snapshotIndex,
      asyncStorageWrites: true,
      preVote: true,
      checkQuorum: true,
      readOnly: 'safe',
      disableProposalForwarding: true,
      stepDownOnRemoval: true,
      messageBytesMax: MESSAGE_BYTES_MAX,
      committedBytesMax: COMMITTED_BYTES_MAX,
      uncommittedBytesMax: UNCOMMITTED_BYTES_MAX,
      inflightMessagesMax: INFLIGHT_MESSAGES_MAX,
    })
    if (snapshot !== undefined) this.#installSnapshot(snapshot)
    this.#publishMembers()
    // The only voter has nobody to wait for.
    const { voters, votersOutgoing } = this.#confState
    if (voters.length === 1 && voters[0] === this.raftId && votersOutgoing.length === 0) {
      this.#raft.campaign()
      this.#pump()
    }
  }

  /** Who votes and who learns, as of the last applied membership change. */
  get confState(): ConfState {
    return this.#confState
  }

  /** Whether this leader knows of no membership change that is not applied. */
  get isMembershipSettled(): boolean {
    return this.#role === 'leader' && this.#membership.length === 0 && this.#raft.canChangeMembers()
  }

  /** One tick of TICK_MS passed. */
  tick(): void {
    this.#now++
    for (const raftId of this.#unsent.splice(0)) this.#raft.reportSnapshot(raftId, 'failed')
    // Who is not fit to lead must not: it would take leadership and then answer nothing.
    if (this.#role === 'leader' || this.#isFit()) this.#raft.tick()
    if (this.#isDiskFull && this.#now % ELECTION_TICKS === 0) this.#transfer()
    this.#watchLeaderStream()
    this.#expireReads()
    this.#stepMembership()
    this.#promoteLearners()
    this.#pump()
  }

  step(input: ConsensusInput): void {
    switch (input.kind) {
      case 'message':
        this.#receive(input.message)
        break
      case 'persisted':
        this.#persisted(input.sequence)
        break
      case 'propose':
        this.#propose(input)
        break
      case 'read-index':
        this.#readsWaiting.push({ id: input.id, deadlineTick: this.#now + READ_DEADLINE_TICKS })
        this.#startReadRound()
        break
      case 'applied':
        this.#applied(input.index)
        break
      case 'snapshot':
        this.#compact(input.index, input.store)
        break
      case 'change-members':
        this.#membership.push({
          id: input.id,
          change: input.change,
          proposedTick: undefined,
          deadlineTick: this.#now + MEMBERSHIP_DEADLINE_TICKS,
        })
        this.#stepMembership()
        break
      case 'transfer':
        this.#transfer()
        break
      case 'main-progress':
        this.#watchMain(input.counter)
        break
      case 'disk':
        this.#isDiskFull = input.isFull
        this.#out.events.push({ kind: 'disk', isFull: input.isFull })
        if (input.isFull) this.#transfer()
        break
      case 'peer':
        this.#peer(input.raftId, input.state)
        break
      case 'snapshot-sent':
        this.#raft.reportSnapshot(input.raftId, input.outcome)
        break
      case 'unreachable':
        this.#raft.reportUnreachable(input.raftId)
        break
      case 'settings':
        this.#interval = {
          ...this.#interval,
          entries: input.snapshotEntries,
          keepEntries: input.keepEntries,
        }
        this.#wantSnapshot()
        break
      default:
        input satisfies never
    }
    this.#pump()
  }

  /** What there is to do now, once; undefined when nothing. */
  ready(): ConsensusReady | undefined {
    const { persist, send, events } = this.#out
    if (persist.length + send.length + events.length === 0 && this.#fatal === undefined)
      return undefined
    this.#out = newOut()
    return { persist, send, events, fatal: this.#fatal }
  }

  /** The members as of the last applied change, by ascending Raft id. */
  listMembers(): readonly Member[] {
    return [...this.#members.values()].sort((a, b) => a.raftId - b.raftId)
  }

  status(): { role: Role; term: number; leader: number; commit: number; applied: number } {
    const { commit } = this.#raft.basicStatus()
    return {
      role: this.#role,
      term: this.#term,
      leader: this.#leader,
      commit,
      applied: this.#appliedIndex,
    }
  }

  /** Moves what the core has ready into effects; everything the core emits leaves it here. */
  #pump(): void {
    this.#proposeHeld()
    for (let ready = this.#raft.ready(); ready !== undefined; ready = this.#raft.ready()) {
      for (const message of ready.messages) {
        if (message.to === LOCAL_APPEND_THREAD) this.#persist(message, ready.mustSync)
        else if (message.to === LOCAL_APPLY_THREAD) this.#apply(message)
        else if (isUseless(message)) this.#unsent.push(message.to)
        else this.#out.send.push(message)
      }
      for (const state of ready.readStates) this.#readStateArrived(state.context, state.index)
      this.#publishRole()
    }
  }

  #publishRole(): void {
    const { role, term, leader } = this.#raft.basicStatus()
    if (role === this.#role && term === this.#term && leader === this.#leader) return
    if (leader !== this.#leader) this.#leaderClosedTick = undefined
    const isNews = role !== this.#role && (role === 'leader' || this.#role === 'leader')
    if (role !== 'leader' || term !== this.#term) this.#held = []
    this.#role = role
    this.#term = term
    this.#leader = leader
    if (isNews) {
      this.#log.info({ role, term }, role === 'leader' ? 'became leader' : 'lost leadership')
      if (role !== 'leader') this.#refuseMembership('this manager lost the leadership')
    }
    this.#out.events.push({ kind: 'role', role, term, leader })
    if (leader !== 0) this.#restartReadRound()
  }

  #receive(message: Message): void {
    assert(message.to === this.raftId, 'a message of another member arrived', {
      to: message.to,
      raftId: this.raftId,
    })
    this.#raft.step(message)
  }

  #persist(message: Message, mustSync: boolean): void {
    const isHardState = message.term !== 0 || message.vote !== 0 || message.commit !== 0
    const persist: Persist = {
      sequence: ++this.#persistSequence,
      hardState: isHardState
        ? { term: message.term, vote: message.vote, commit: message.commit }
        : undefined,
      entries: message.entries,
      snapshot: message.snapshot,
      compaction: undefined,
      mustSync,
    }
    this.#persisting.push({ persist, responses: message.responses })
    this.#out.persist.push(persist)
  }

  #persisted(sequence: number): void {
    while (this.#persisting[0] !== undefined && this.#persisting[0].persist.sequence <= sequence) {
      const pending = this.#persisting.shift()
      if (pending === undefined) return
      const { persist, responses } = pending
      if (persist.hardState !== undefined) this.#storage.setHardState(persist.hardState)
      if (persist.snapshot !== undefined && this.#storage.applySnapshot(persist.snapshot))
        this.#installSnapshot(persist.snapshot)
      this.#storage.append(persist.entries)
      for (const entry of persist.entries) this.#bytesSinceSnapshot += entry.data.length
      for (const response of responses) {
        if (response.to === this.raftId) this.#raft.step(response)
        else this.#out.send.push(response)
      }
    }
    this.#wantSnapshot()
  }

  #installSnapshot(snapshot: Snapshot): void {
    const payload = decodeSnapshotPayload(snapshot.data)
    this.#members = new Map(payload.members.map((member) => [member.raftId, member]))
    this.#confState = snapshot.confState ?? emptyConfState
    this.#history = [
      { index: snapshot.index, confState: this.#confState, members: new Map(this.#members) },
    ]
    this.#snapshotIndex = snapshot.index
    this.#bytesSinceSnapshot = 0
    this.#snapshotWanted = false
    // Entries up to the snapshot that main was given are covered by it.
    this.#applying = this.#applying.filter((pending) => pending.index > snapshot.index)
    this.#out.events.push({
      kind: 'install',
      index: snapshot.index,
      term: snapshot.term,
      store: payload.store,
    })
    this.#publishMembers()
  }

  #apply(message: Message): void {
    const committed: CommittedEntry[] = []
    let index = 0
    for (const entry of message.entries) {
      index = entry.index
      if (entry.type !== 'normal') this.#applyConfChange(entry)
      committed.push({
        index: entry.index,
        term: entry.term,
        data: entry.type === 'normal' ? entry.data : NO_DATA,
      })
    }
    this.#applying.push({ index, responses: message.responses })
    // Reads that came before the first entry of this leader's term may be asked for now.
    const isOwn = this.#role === 'leader' && message.entries.at(-1)?.term === this.#term
    if (isOwn && this.#committedTerm < this.#term) {
      this.#committedTerm = this.#term
      this.#restartReadRound()
    }
    this.#out.events.push({ kind: 'committed', entries: committed })
  }

  #applyConfChange(entry: Entry): void {
    const change = entry.confChange ?? leaveJointChange
    this.#confState = this.#raft.applyConfChange(change, entry.index)
    const context =
      change.context.length === 0 ? emptyMembershipContext : decodeMembershipContext(change.context)
    for (const member of context.added) {
      // A member takes no snapshot of a time before it was one, so there must be a newer.
      if (!this.#members.has(member.raftId)) this.#snapshotAfter = entry.index
      this.#members.set(member.raftId, member)
    }
    const present = new Set([
      ...this.#confState.voters,
      ...this.#confState.learners,
      ...this.#confState.votersOutgoing,
      ...this.#confState.learnersNext,
    ])
    for (const raftId of [...this.#members.keys()])
      if (!present.has(raftId)) this.#members.delete(raftId)
    this.#history.push({
      index: entry.index,
      confState: this.#confState,
      members: new Map(this.#members),
    })
    if (context.proposer === this.raftId && context.request !== 0) {
      this.#membership = this.#membership.filter((pending) => pending.id !== context.request)
      this.#out.events.push({ kind: 'members-changed', id: context.request })
    }
    this.#publishMembers()
  }

  #publishMembers(): void {
    const voters = new Set([...this.#confState.voters, ...this.#confState.votersOutgoing])
    this.#out.events.push({
      kind: 'members',
      term: this.#term,
      members: this.listMembers().map((member) => ({
        ...member,
        isVoter: voters.has(member.raftId),
        isConnected: member.raftId === this.raftId || this.#connected.has(member.raftId),
      })),
    })
  }

  #applied(index: number): void {
    this.#appliedIndex = Math.max(this.#appliedIndex, index)
    while (this.#applying[0] !== undefined && this.#applying[0].index <= this.#appliedIndex)
      for (const response of this.#applying.shift()?.responses ?? []) this.#raft.step(response)
    this.#wantSnapshot()
  }

  /**
   * A proposal of another term is dropped: the role event that ended its term has told main. One of
   * this term is never dropped alone, for those behind it were decided on top of it.
   */
  #propose(input: { readonly term: number; readonly data: Uint8Array }): void {
    if (this.#role !== 'leader' || this.#term !== input.term) return
    this.#held.push(input.data)
    this.#proposeHeld()
  }

  #proposeHeld(): void {
    while (this.#held[0] !== undefined && this.#raft.propose(this.#held[0]) === 'ok')
      this.#held.shift()
  }

  // ── reads ──────────────────────────────────────────────────────────────────────────────────

  #startReadRound(): void {
    if (this.#readRound !== undefined || this.#readsWaiting.length === 0) return
    this.#readRoundCount++
    this.#readRound = {
      round: this.#readRoundCount,
      ids: this.#readsWaiting.map((read) => read.id),
      askedTick: this.#now,
    }
    if (this.#mainStalledTicks < MAIN_STALLED_TICKS && !this.#isNewLeader())
      this.#raft.readIndex(this.#roundContext(this.#readRoundCount))
  }

  /**
   * A leader without a committed entry of its term does not know yet what is committed: a log may
   * hold more than its hard state says. Raft asks that of itself but in a group of one.
   */
  #isNewLeader(): boolean {
    if (this.#role !== 'leader') return false
    return this.#storage.term(this.#raft.basicStatus().commit) !== this.#term
  }

  /** Unique in the group: the leader takes two requests of equal context for one. 20 bytes. */
  #roundContext(round: number): Uint8Array {
    const bytes = new Uint8Array(20)
    const data = new DataView(bytes.buffer)
    data.setFloat64(0, this.raftId)
    data.setUint32(8, this.#nonce)
    data.setFloat64(12, round)
    return bytes
  }

  /** Asks again under a new number: an answer to the old round says nothing of reads since. */
  #restartReadRound(): void {
    this.#readRound = undefined
    this.#startReadRound()
  }

  #readStateArrived(context: Uint8Array, index: number): void {
    const round = this.#readRound
    if (round === undefined || !equalBytes(context, this.#roundContext(round.round))) return
    if (this.#mainStalledTicks >= MAIN_STALLED_TICKS) return
    const answered = new Set(round.ids)
    this.#readsWaiting = this.#readsWaiting.filter((read) => !answered.has(read.id))
    for (const id of round.ids) this.#out.events.push({ kind: 'read-ready', id, index })
    this.#restartReadRound()
  }

  #expireReads(): void {
    const expired = this.#readsWaiting.filter((read) => read.deadlineTick <= this.#now)
    if (expired.length > 0) {
      this.#readsWaiting = this.#readsWaiting.filter((read) => read.deadlineTick > this.#now)
      for (const read of expired) this.#out.events.push({ kind: 'read-refused', id: read.id })
      this.#restartReadRound()
    } else if (
      this.#readRound !== undefined &&
      this.#now - this.#readRound.askedTick >= READ_RETRY_TICKS
    ) {
      this.#restartReadRound()
    }
  }

  // ── members ────────────────────────────────────────────────────────────────────────────────

  #stepMembership(): void {
    const pending = this.#membership[0]
    if (pending === undefined) return
    if (this.#role !== 'leader') {
      this.#refuseMembership('this manager is not the leader')
      return
    }
    if (pending.deadlineTick <= this.#now) {
      this.#membership.shift()
      this.#refuse(pending.id, 'the membership change was not applied in time, outcome unknown')
      return
    }
    if (pending.proposedTick !== undefined) return
    const refusal = this.#refusalOf(pending.change)
    if (refusal !== undefined) {
      this.#membership.shift()
      this.#refuse(pending.id, refusal)
      return
    }
    // Raft turns a second pending change into an empty entry, so this one waits for the others.
    if (!this.#raft.canChangeMembers()) return
    const outcome = this.#raft.proposeConfChange({
      transition: 'auto',
      changes: changesOf(pending.change),
      context: encodeMembershipContext({
        ...emptyMembershipContext,
        proposer: this.raftId,
        request: pending.id,
        added: pending.change.kind === 'remove' ? [] : [pending.change.member],
      }),
    })
    if (outcome === 'ok') pending.proposedTick = this.#now
  }

  /** Why the change must not be made, or undefined. */
  #refusalOf(change: MembershipChange): string | undefined {
    if (change.kind === 'add') return this.#refusalOfAdd(change.member, change.replaces)
    if (change.kind === 'update') return undefined
    const { voters } = this.#confState
    if (!voters.includes(change.raftId)) return undefined
    const left = voters.filter((raftId) => raftId !== change.raftId)
    if (left.length === 0) return 'the last manager of the swarm cannot be removed'
    const reachable = left.filter(
      (raftId) => raftId === this.raftId || this.#isRecentlyHeard(raftId),
    )
    return reachable.length > left.length / 2
      ? undefined
      : 'removing this manager would result in a loss of quorum'
  }

  /**
   * A node that asked twice would be two members: both of its requests were decided before the first
   * one was applied.
   */
  #refusalOfAdd({ nodeId }: Member, replaces: number | undefined): string | undefined {
    const other = [...this.#members.values()].find(
      (member) => member.nodeId === nodeId && member.raftId !== replaces,
    )
    return other === undefined
      ? undefined
      : `node ${nodeId} has become member ${other.raftId} meanwhile: try again`
  }

  #isRecentlyHeard(raftId: number): boolean {
    return (
      this.#raft.status().progress.get(raftId)?.recentActive === true && this.#connected.has(raftId)
    )
  }

  #refuseMembership(reason: string): void {
    for (const pending of this.#membership) this.#refuse(pending.id, reason)
    this.#membership = []
  }

  #refuse(id: number, reason: string): void {
    this.#out.events.push({ kind: 'members-refused', id, reason })
  }

  #promoteLearners(): void {
    if (this.#role !== 'leader' || this.#confState.learners.length === 0) return
    if (!this.#raft.canChangeMembers()) return
    const { progress, commit } = this.#raft.status()
    const caughtUp = this.#confState.learners.find((raftId) => {
      const learner = progress.get(raftId)
      return (
        learner !== undefined &&
        learner.state === 'replicate' &&
        learner.recentActive &&
        learner.match + PROMOTE_BEHIND_ENTRIES >= commit
      )
    })
    if (caughtUp === undefined) return
    this.#raft.proposeConfChange({
      transition: 'auto',
      changes: [{ type: 'add-voter', nodeId: caughtUp }],
      context: encodeMembershipContext({ ...emptyMembershipContext, proposer: this.raftId }),
    })
  }

  #peer(raftId: number, state: 'connected' | 'closed'): void {
    const isChange = this.#connected.has(raftId) !== (state === 'connected')
    if (state === 'connected') this.#connected.add(raftId)
    else this.#connected.delete(raftId)
    if (raftId === this.#leader) this.#leaderClosedTick = state === 'closed' ? this.#now : undefined
    if (isChange) this.#publishMembers()
  }

  /** A stream from the leader that closed and stays closed is news (DESIGN section 4). */
  #watchLeaderStream(): void {
    if (this.#leaderClosedTick === undefined || this.#role !== 'follower') return
    if (this.#now - this.#leaderClosedTick < CLOSED_TICKS) return
    this.#leaderClosedTick = undefined
    this.#log.debug({ leader: this.#leader }, 'leader forgotten after its stream closed')
    this.#raft.forgetLeader({ electionTicks: ELECTION_TICKS_AFTER_CLOSE })
  }

  #transfer(): void {
    if (this.#role !== 'leader') return
    let best: { raftId: number; match: number } | undefined
    const { progress } = this.#raft.status()
    for (const raftId of this.#confState.voters) {
      const match = progress.get(raftId)?.match ?? 0
      if (raftId === this.raftId || !this.#isRecentlyHeard(raftId)) continue
      if (best === undefined || match > best.match) best = { raftId, match }
    }
    if (best !== undefined) this.#raft.transferLeader(best.raftId)
  }

  // ── the main thread ────────────────────────────────────────────────────────────────────────

  #watchMain(counter: number): void {
    if (counter !== this.#mainCounter) {
      this.#mainCounter = counter
      this.#mainStalledTicks = 0
      return
    }
    this.#mainStalledTicks++
    if (this.#mainStalledTicks >= MAIN_DEAD_TICKS)
      this.#fatal = 'the main thread made no progress for 30 s'
    // Asked again each election timeout: the first transfer may fail.
    if (
      this.#mainStalledTicks >= MAIN_STALLED_TICKS &&
      (this.#mainStalledTicks - MAIN_STALLED_TICKS) % ELECTION_TICKS === 0 &&
      this.#role === 'leader'
    ) {
      this.#log.warn(
        { stalledTicks: this.#mainStalledTicks },
        'main thread stalled, leadership handed over',
      )
      this.#transfer()
    }
  }

  #isFit(): boolean {
    return this.#mainStalledTicks < MAIN_STALLED_TICKS && !this.#isDiskFull
  }

  #wantSnapshot(): void {
    const entries = this.#appliedIndex - this.#snapshotIndex
    if (this.#snapshotWanted || entries <= 0) return
    const isForced =
      this.#snapshotAfter > this.#snapshotIndex && this.#appliedIndex >= this.#snapshotAfter
    const isFull =
      this.#interval.entries > 0 &&
      (entries >= this.#interval.entries || this.#bytesSinceSnapshot >= this.#interval.bytes)
    if (!isForced && !isFull) return
    this.#snapshotWanted = true
    this.#out.events.push({ kind: 'snapshot-wanted' })
  }

  #compact(index: number, store: Uint8Array): void {
    this.#snapshotWanted = false
    // The leader's, which replaces the log, is on its way to the disk.
    const isOvertaken = this.#persisting.some(({ persist }) => persist.snapshot !== undefined)
    if (index <= this.#snapshotIndex || isOvertaken) return
    const term = this.#storage.term(index)
    assert(typeof term === 'number', 'a snapshot at an index that is not in the log', { index })
    const at = this.#history.findLast((change) => change.index <= index)
    assert(at !== undefined, 'a snapshot before the first configuration', { index })
    const members = [...at.members.values()].sort((a, b) => a.raftId - b.raftId)
    const snapshot: Snapshot = {
      index,
      term,
      confState: at.confState,
      data: encodeSnapshotPayload({ members, store }),
    }
    const compactIndex = Math.max(0, index - this.#interval.keepEntries)
    this.#storage.setSnapshot(snapshot)
    this.#storage.compact(compactIndex)
    this.#history = this.#history.filter((change) => change.index >= at.index)
    this.#snapshotIndex = index
    this.#bytesSinceSnapshot = 0
    const persist: Persist = {
      sequence: ++this.#persistSequence,
      hardState: undefined,
      entries: [],
      snapshot: undefined,
      compaction: { snapshot, compactIndex },
      mustSync: false,
    }
    this.#persisting.push({ persist, responses: [] })
    this.#out.persist.push(persist)
  }
}

const NO_DATA: Uint8Array = new Uint8Array(0)

/** A member takes no snapshot of a time before it was one; the newer one is being made. */
function isUseless({ snapshot, to }: Message): boolean {
  if (snapshot === undefined) return false
  const { voters, votersOutgoing, learners, learnersNext } = snapshot.confState ?? emptyConfState
  return ![...voters, ...votersOutgoing, ...learners, ...learnersNext].includes(to)
}

function newOut(): { persist: Persist[]; send: Message[]; events: MainEvent[] } {
  return { persist: [], send: [], events: [] }
}

function changesOf(change: MembershipChange): readonly ConfChangeSingle[] {
  switch (change.kind) {
    case 'add':
      return [
        { type: 'add-learner', nodeId: change.member.raftId },
        ...(change.replaces === undefined
          ? []
          : [{ type: 'remove-node' as const, nodeId: change.replaces }]),
      ]
    case 'update':
      return [{ type: 'update-node', nodeId: change.member.raftId }]
    case 'remove':
      return [{ type: 'remove-node', nodeId: change.raftId }]
    default:
      return change satisfies never
  }
}

/** The snapshot a new cluster begins with: one voter, an empty store, index 1 of term 1. */
export function newBootstrapSnapshot(member: Member): Snapshot {
  return {
    index: 1,
    term: 1,
    confState: { ...emptyConfState, voters: [member.raftId] },
    data: encodeSnapshotPayload({ members: [member], store: NO_DATA }),
  }
}
