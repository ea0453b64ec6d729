/**
 * Consensus: the Raft core, its log and its members as one machine, as the consensus thread runs
 * it (DESIGN section 4). It decides what to persist, what to send and what the main thread gets to
 * see; it holds the fences between the threads: a proposal counts for one term only, read requests
 * are answered by ReadIndex rounds, committed entries flow at the pace at which main applies them,
 * and a main thread without progress loses the leadership. The shell (`node/consensus-thread.ts`,
 * or the simulator) carries out what `ready()` returns and reports it back through `step()`.
 */
import { assert } from '../lib/assert.ts'
import type { Log } from '../lib/log.ts'
import {
  decodeMembershipContext,
  decodeSnapshotPayload,
  emptyMembershipContext,
  encodeMembershipContext,
  encodeSnapshotPayload,
} from '../proto/gen/consensus.ts'
import type { Member } from '../proto/gen/types.ts'
import { Compaction } from './compaction.ts'
import type {
  CommittedEntry,
  ConsensusConfig,
  ConsensusInput,
  ConsensusReady,
  ConsensusStatus,
  MainEvent,
  Persist,
} from './consensus-interface.ts'
import { Group, listIds } from './group.ts'
import { LeaderStream } from './leader-stream.ts'
import { MainWatch } from './main-watch.ts'
import { MemberChanges, type MemberRefusal } from './member-changes.ts'
import { refuseOldCopy } from './old-copy.ts'
import {
  type ConfChangeV2,
  type ConfState,
  type Entry,
  emptyConfState,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  leaveJointChange,
  type Message,
  NO_BYTES,
  type Snapshot,
} from './raft/message.ts'
import type { RawNode } from './raft/raw-node.ts'
import type { Role } from './raft/state.ts'
import { MemoryStorage } from './raft/storage.ts'
import { ELECTION_TICKS, newRawNode } from './raft-core.ts'
import { ReadRounds } from './read-rounds.ts'
import { StorageQueue } from './storage-queue.ts'
import { findPromotable, findSuccessor, type LeaderSight } from './succession.ts'

/** After the leader's stream closed a follower draws its election timer anew from this many. */
const ELECTION_TICKS_AFTER_CLOSE = 3
/** How long a learner counts on a leader that says nothing. */
const LEARNER_PATIENCE_TICKS = 5 * ELECTION_TICKS

export class Consensus {
  readonly raftId: number
  readonly #raft: RawNode
  readonly #storage: MemoryStorage = new MemoryStorage()
  readonly #log: Log
  readonly #group: Group
  readonly #changes: MemberChanges
  readonly #reads: ReadRounds
  readonly #compaction: Compaction
  readonly #queue: StorageQueue = new StorageQueue()
  readonly #leaderStream: LeaderStream = new LeaderStream()
  readonly #mainWatch: MainWatch = new MainWatch()
  /** Ticks since the start. */
  #now = 0
  /** Tick at which the last message of a member came. */
  #heardTick = new Map<number, number>()

  /** What main has applied. */
  #appliedIndex: number

  #role: Role = 'follower'
  #term = 0
  #leader = 0
  /** The last term that this member led and committed an entry in. */
  #committedTerm = 0

  /** Proposals of this term that Raft is not given now, in order; see `#proposeHeld`. */
  #held: Uint8Array[] = []
  /** Whether this leader proposed a change of members that is not in force. */
  #isChanging = false
  /** The entry that makes the last change of members known; 'due': Raft has not taken it yet. */
  #announcement: number | 'due' = 0
  /** Members that were to be sent a snapshot which they would not take. */
  #unsent: number[] = []
  #isDiskFull = false
  #fatal: string | undefined

  #out: Out = newOut()

  constructor(config: ConsensusConfig) {
    const { raftId, snapshot } = config
    this.raftId = raftId
    this.#log = config.log
    this.#reads = new ReadRounds(raftId, config.random.integer(2 ** 32))
    if (snapshot !== undefined) this.#storage.applySnapshot(snapshot)
    this.#storage.append(config.entries)
    this.#storage.setHardState(config.hardState)
    this.#appliedIndex = snapshot?.index ?? 0
    this.#group = new Group(raftId, snapshot?.confState ?? emptyConfState)
    this.#changes = new MemberChanges(raftId)
    this.#compaction = new Compaction(config.snapshotInterval, this.#appliedIndex)
    this.#raft = newRawNode(config, this.#storage)
    if (snapshot !== undefined) this.#installSnapshot(snapshot)
    this.#compaction.grew(config.entries)
    this.#publishMembers()
    // The only voter has nobody to wait for.
    const { voters, votersOutgoing } = this.#group.confState
    if (voters.length === 1 && voters[0] === raftId && votersOutgoing.length === 0) {
      this.#raft.campaign()
      this.#pump()
    }
  }

  /** Who votes and who learns, as of the last applied membership change. */
  get confState(): ConfState {
    return this.#group.confState
  }

  /**
   * Whether this leader knows of no membership change that is not applied, and a quorum of the
   * members has on its disks that it is committed: any quorum that is left can then elect.
   */
  get isMembershipSettled(): boolean {
    if (this.#role !== 'leader' || !this.#changes.isEmpty || this.#isNewLeader()) return false
    const { commit } = this.#raft.basicStatus()
    const isKnown = this.#announcement !== 'due' && commit >= this.#announcement
    return isKnown && this.#raft.canChangeMembers()
  }

  /** One tick of TICK_MS passed. */
  tick(): void {
    this.#now++
    for (const raftId of this.#unsent.splice(0)) this.#raft.reportSnapshot(raftId, 'failed')
    // Who is not fit to lead must not: it would take leadership and then answer nothing.
    const isFit = !this.#mainWatch.isStalled && !this.#isDiskFull
    if (this.#role === 'leader' || isFit) this.#raft.tick()
    if (this.#isDiskFull && this.#now % ELECTION_TICKS === 0) this.#transfer()
    this.#watchLeaderStream()
    this.#watchSilentLeader()
    this.#expireReads()
    this.#stepChanges()
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
        this.#reads.add(input.id, this.#now)
        this.#askForReads(this.#reads.begin(this.#now))
        break
      case 'applied':
        this.#applied(input.index)
        break
      case 'snapshot':
        this.#compact(input.index, input.store)
        break
      case 'change-members':
        this.#changes.add(input.id, input.change, this.#now)
        this.#stepChanges()
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
        this.#compaction.adjust(input.snapshotEntries, input.keepEntries, input.keepOldSnapshots)
        this.#askForSnapshot()
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
    return this.#group.list()
  }

  status(): ConsensusStatus {
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
    this.#announceChange()
    for (let ready = this.#raft.ready(); ready !== undefined; ready = this.#raft.ready()) {
      for (const message of ready.messages) {
        if (message.to === LOCAL_APPEND_THREAD)
          this.#out.persist.push(this.#queue.addPersist(message, ready.mustSync))
        else if (message.to === LOCAL_APPLY_THREAD) this.#apply(message)
        else if (isUseless(message)) this.#unsent.push(message.to)
        else this.#out.send.push(message)
      }
      for (const state of ready.readStates) this.#readStateArrived(state.context, state.index)
      this.#publishRole()
      this.#announceChange()
    }
  }

  #publishRole(): void {
    const { role, term, leader } = this.#raft.basicStatus()
    if (role === this.#role && term === this.#term && leader === this.#leader) return
    if (leader !== this.#leader) this.#leaderStream.reset()
    const isNews = role !== this.#role && (role === 'leader' || this.#role === 'leader')
    if (role !== 'leader' || term !== this.#term) {
      this.#held = []
      this.#isChanging = false
      this.#announcement = 0
    }
    this.#role = role
    this.#term = term
    this.#leader = leader
    if (isNews) {
      this.#log.info({ role, term }, role === 'leader' ? 'became leader' : 'lost leadership')
      if (role !== 'leader')
        this.#refuseChanges(this.#changes.refuseAll('this manager lost the leadership'))
    }
    this.#out.events.push({ kind: 'role', role, term, leader })
    if (leader !== 0) this.#askForReads(this.#reads.restart(this.#now))
  }

  #receive(message: Message): void {
    assert(message.to === this.raftId, 'a message of another member arrived', {
      to: message.to,
      raftId: this.raftId,
    })
    this.#heardTick.set(message.from, this.#now)
    refuseOldCopy(message, { term: this.#term, lastIndex: this.#storage.lastIndex() })
    this.#raft.step(message)
  }

  #persisted(sequence: number): void {
    for (;;) {
      const pending = this.#queue.takePersisted(sequence)
      if (pending === undefined) break
      const { persist, responses } = pending
      if (persist.hardState !== undefined) this.#storage.setHardState(persist.hardState)
      if (persist.snapshot !== undefined && this.#storage.applySnapshot(persist.snapshot))
        this.#installSnapshot(persist.snapshot)
      this.#storage.append(persist.entries)
      this.#compaction.grew(persist.entries)
      for (const response of responses) {
        if (response.to === this.raftId) this.#raft.step(response)
        else this.#out.send.push(response)
      }
    }
    this.#askForSnapshot()
  }

  #installSnapshot(snapshot: Snapshot): void {
    const { members, store } = decodeSnapshotPayload(snapshot.data)
    const confState = snapshot.confState ?? emptyConfState
    this.#group.install({ index: snapshot.index, confState, members })
    this.#compaction.saved(snapshot.index)
    this.#compaction.answered()
    // Entries up to the snapshot that main was given are covered by it.
    this.#queue.dropApplying(snapshot.index)
    const { index, term } = snapshot
    this.#out.events.push({ kind: 'install', index, term, store })
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
        data: entry.type === 'normal' ? entry.data : NO_BYTES,
      })
    }
    this.#queue.addApply(index, message.responses)
    // Reads that came before the first entry of this leader's term may be asked for now.
    const isOwn = this.#role === 'leader' && message.entries.at(-1)?.term === this.#term
    if (isOwn && this.#committedTerm < this.#term) {
      this.#committedTerm = this.#term
      this.#askForReads(this.#reads.restart(this.#now))
    }
    this.#out.events.push({ kind: 'committed', entries: committed })
  }

  #applyConfChange(entry: Entry): void {
    const change = entry.confChange ?? leaveJointChange
    const confState = this.#raft.applyConfChange(change, entry.index)
    this.#isChanging = false
    const { added, proposer, request } =
      change.context.length === 0 ? emptyMembershipContext : decodeMembershipContext(change.context)
    // A member takes no snapshot of a time before it was one, so there must be a newer.
    if (added.some((member) => !this.#group.has(member.raftId))) this.#compaction.need(entry.index)
    this.#group.apply(entry.index, confState, added)
    if (proposer === this.raftId && request !== 0) {
      this.#changes.applied(request)
      this.#out.events.push({ kind: 'members-changed', id: request })
    }
    // What follows it in the log was sent before it was known to be committed.
    if (this.#role === 'leader' && confState.votersOutgoing.length === 0) this.#announcement = 'due'
    this.#publishMembers()
  }

  /**
   * An empty entry after a change of members. Members act by a change once they know that it is
   * committed, and the log writes a commit index with the next entry only: were all killed before
   * there is one, a quorum of the new members could be none of those they remember, and elect nobody.
   */
  #announceChange(): void {
    if (this.#announcement !== 'due' || this.#role !== 'leader') return
    if (this.#raft.propose(NO_BYTES) === 'ok') this.#announcement = this.#raft.lastIndex()
  }

  #publishMembers(): void {
    const members = this.#group.listStates()
    this.#out.events.push({ kind: 'members', term: this.#term, members })
  }

  #applied(index: number): void {
    this.#appliedIndex = Math.max(this.#appliedIndex, index)
    for (;;) {
      const responses = this.#queue.takeApplied(this.#appliedIndex)
      if (responses === undefined) break
      for (const response of responses) this.#raft.step(response)
    }
    this.#askForSnapshot()
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

  /**
   * Raft takes nothing while the leadership is handed over; and it is given nothing behind a change
   * of members that is not in force. A member that is to leave might else keep more of the log than
   * the others have on their disks: after a crash they may need its vote, and it would refuse them.
   */
  #proposeHeld(): void {
    if (this.#isChanging || this.#group.confState.votersOutgoing.length > 0) return
    while (this.#held[0] !== undefined && this.#raft.propose(this.#held[0]) === 'ok')
      this.#held.shift()
  }

  #proposeChange(change: ConfChangeV2): 'proposed' | 'pending' {
    if (!this.#raft.canChangeMembers() || this.#raft.proposeConfChange(change) !== 'ok')
      return 'pending'
    this.#isChanging = true
    return 'proposed'
  }

  // ── reads ──────────────────────────────────────────────────────────────────────────────────

  #askForReads(context: Uint8Array | undefined): void {
    if (context === undefined || this.#mainWatch.isStalled || this.#isNewLeader()) return
    this.#raft.readIndex(context)
  }

  /**
   * A leader without a committed entry of its term does not know yet what is committed: a log may
   * hold more than its hard state says. Raft would hold each round that is asked again until then.
   */
  #isNewLeader(): boolean {
    if (this.#role !== 'leader') return false
    return this.#storage.term(this.#raft.basicStatus().commit) !== this.#term
  }

  #readStateArrived(context: Uint8Array, index: number): void {
    if (this.#mainWatch.isStalled) return
    const ids = this.#reads.take(context)
    if (ids === undefined) return
    for (const id of ids) this.#out.events.push({ kind: 'read-ready', id, index })
    this.#askForReads(this.#reads.begin(this.#now))
  }

  #expireReads(): void {
    const refused = this.#reads.takeExpired(this.#now)
    for (const id of refused) this.#out.events.push({ kind: 'read-refused', id })
    if (refused.length > 0 || this.#reads.isOverdue(this.#now))
      this.#askForReads(this.#reads.restart(this.#now))
  }

  // ── members ────────────────────────────────────────────────────────────────────────────────

  #sight(): LeaderSight {
    const isHeard = (raftId: number): boolean =>
      this.#now - (this.#heardTick.get(raftId) ?? Number.NEGATIVE_INFINITY) <= ELECTION_TICKS
    return { status: this.#raft.status(), group: this.#group, isHeard }
  }

  #stepChanges(): void {
    if (this.#role !== 'leader') {
      this.#refuseChanges(this.#changes.refuseAll('this manager is not the leader'))
      return
    }
    const refusal = this.#changes.step(this.#now, {
      sight: () => this.#sight(),
      propose: (change) => this.#proposeChange(change),
    })
    if (refusal !== undefined) this.#refuseChanges([refusal])
  }

  #refuseChanges(refusals: readonly MemberRefusal[]): void {
    for (const { id, reason } of refusals)
      this.#out.events.push({ kind: 'members-refused', id, reason })
  }

  #promoteLearners(): void {
    if (this.#role !== 'leader' || this.#group.confState.learners.length === 0) return
    const nodeId = this.#raft.canChangeMembers() ? findPromotable(this.#sight()) : undefined
    if (nodeId === undefined) return
    this.#proposeChange({
      transition: 'auto',
      changes: [{ type: 'add-voter', nodeId }],
      context: encodeMembershipContext({ ...emptyMembershipContext, proposer: this.raftId }),
    })
  }

  #transfer(): void {
    if (this.#role !== 'leader') return
    const successor = findSuccessor(this.#sight())
    if (successor !== undefined) this.#raft.transferLeader(successor)
  }

  #peer(raftId: number, state: 'connected' | 'closed'): void {
    const isNews = this.#group.note(raftId, state)
    if (raftId === this.#leader) this.#leaderStream.note(state, this.#now)
    if (isNews) this.#publishMembers()
  }

  #watchLeaderStream(): void {
    if (this.#role !== 'follower' || !this.#leaderStream.takeLoss(this.#now)) return
    this.#log.debug({ leader: this.#leader }, 'leader forgotten after its stream closed')
    this.#raft.forgetLeader({ electionTicks: ELECTION_TICKS_AFTER_CLOSE })
  }

  /**
   * A learner stands in no election, by which a voter finds out that nobody sends to it any more: one
   * that was taken out, or was replaced by another member of its node, would believe in its leader for good.
   */
  #watchSilentLeader(): void {
    const { voters, votersOutgoing } = this.confState
    if (this.#role !== 'follower' || this.#leader === 0) return
    if (voters.includes(this.raftId) || votersOutgoing.includes(this.raftId)) return
    const heardTick = this.#heardTick.get(this.#leader) ?? 0
    if (this.#now - heardTick <= LEARNER_PATIENCE_TICKS) return
    this.#log.debug({ leader: this.#leader }, 'leader forgotten, it has been silent')
    this.#raft.forgetLeader()
  }

  // ── the main thread ────────────────────────────────────────────────────────────────────────

  #watchMain(counter: number): void {
    this.#mainWatch.see(counter)
    if (this.#mainWatch.isDead) this.#fatal = 'the main thread made no progress for 30 s'
    if (!this.#mainWatch.isHandOverDue || this.#role !== 'leader') return
    const { stalledTicks } = this.#mainWatch
    this.#log.warn({ stalledTicks }, 'main thread stalled, leadership handed over')
    this.#transfer()
  }

  #askForSnapshot(): void {
    if (this.#compaction.ask(this.#appliedIndex)) this.#out.events.push({ kind: 'snapshot-wanted' })
  }

  #compact(index: number, store: Uint8Array): void {
    this.#compaction.answered()
    // The leader's, which replaces the log, is on its way to the disk.
    if (index <= this.#compaction.snapshotIndex || this.#queue.isReplacing) return
    const term = this.#storage.term(index)
    assert(typeof term === 'number', 'a snapshot at an index that is not in the log', { index })
    const state = this.#group.at(index)
    const data = encodeSnapshotPayload({ members: state.members, store })
    const snapshot: Snapshot = { index, term, confState: state.confState, data }
    const compactIndex = this.#compaction.cutIndex(index)
    this.#storage.setSnapshot(snapshot)
    this.#storage.compact(compactIndex)
    this.#group.forgetBefore(state)
    this.#compaction.saved(index)
    const { oldSnapshots } = this.#compaction
    this.#out.persist.push(this.#queue.addCompaction({ snapshot, compactIndex, oldSnapshots }))
  }
}

/** A member takes no snapshot of a time before it was one; the newer one is being made. */
function isUseless({ snapshot, to }: Message): boolean {
  if (snapshot === undefined) return false
  return !listIds(snapshot.confState ?? emptyConfState).includes(to)
}

type Out = { persist: Persist[]; send: Message[]; events: MainEvent[] }

function newOut(): Out {
  return { persist: [], send: [], events: [] }
}
