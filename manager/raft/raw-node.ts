/**
 * RawNode: the Raft core as one machine. Its methods are what may happen to a node; what is to be
 * done because of it comes out of `ready`. It persists, sends and applies nothing itself, knows no
 * clock, and is deterministic but for the election timeouts drawn from the given Random.
 *
 * The rules are in the files beside this one, called from `raft.ts`. Semantics are those of
 * etcd-io/raft's RawNode; docs/raft.md says how to drive it.
 */
import { assert } from '../../lib/assert.ts'
import { applyConfChange } from './conf-change.ts'
import {
  type ConfChangeV2,
  type ConfState,
  type Entry,
  emptyMessage,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  leaveJointChange,
  type Message,
  type MessageType,
  NO_BYTES,
} from './message.ts'
import { viewProgress } from './progress.ts'
import { canChangeMembers } from './proposal.ts'
import { newRaft, step, tick } from './raft.ts'
import { type Handover, hasReady, newHandover, type Ready, takeReady } from './ready.ts'
import { type Config, drawElectionTimeout, type Raft, type Role } from './state.ts'
import type { ProgressView } from './trace.ts'

/**
 * What became of a message. `proposal-dropped`: no leader, leadership is being handed over, or too
 * much waits; ask again later. `local-message`: a type that never comes from another node.
 * `peer-unknown`: an answer from a node that is no member.
 */
export type StepOutcome = 'ok' | 'proposal-dropped' | 'local-message' | 'peer-unknown'

export type BasicStatus = {
  readonly id: number
  readonly term: number
  readonly vote: number
  readonly commit: number
  readonly applied: number
  readonly leader: number
  readonly role: Role
  readonly leadTransferee: number
}

export type Status = BasicStatus & {
  readonly confState: ConfState
  /** By node, ascending; empty unless this node leads. */
  readonly progress: ReadonlyMap<number, ProgressView>
}

export class RawNode {
  readonly #raft: Raft
  readonly #handover: Handover

  /** A follower in the state of its storage. */
  constructor(config: Config) {
    this.#raft = newRaft(config)
    this.#handover = newHandover(this.#raft, config.asyncStorageWrites ?? false)
  }

  /** A message came, from another node or from a local thread. */
  step(message: Message): StepOutcome {
    const isFromThread = message.from === LOCAL_APPEND_THREAD || message.from === LOCAL_APPLY_THREAD
    if (!isFromThread) {
      if (isLocal(message.type)) return 'local-message'
      if (isResponse(message.type) && !this.#raft.progress.has(message.from)) return 'peer-unknown'
    }
    return step(this.#raft, message)
  }

  tick(): void {
    tick(this.#raft)
  }

  /** As if the election timeout had passed. */
  campaign(): void {
    step(this.#raft, { ...emptyMessage, type: 'campaign' })
  }

  /** `data` is in the leader's log, or on its way to the leader, which is no promise; or dropped. */
  propose(data: Uint8Array): StepOutcome {
    return this.#propose(newEntry({ data }))
  }

  /** Several proposals at once: all or none are taken, next to each other in the log. */
  proposeAll(data: readonly Uint8Array[]): StepOutcome {
    const entries = data.map((bytes) => newEntry({ data: bytes }))
    return this.#propose(...entries)
  }

  /**
   * A membership change is proposed, as `propose` is. One that cannot be made now becomes an empty
   * entry. `v1` is etcd's older form: exactly one change, not joint.
   */
  proposeConfChange(
    change: ConfChangeV2,
    options: { readonly v1: boolean } = { v1: false },
  ): StepOutcome {
    if (options.v1) {
      assert(change.changes.length === 1, 'a v1 membership change is one change')
      assert(change.transition === 'auto', 'a v1 membership change has no transition')
    }
    const type = options.v1 ? 'conf-change' : 'conf-change-v2'
    return this.#propose(newEntry({ type, confChange: change }))
  }

  /** Whether a membership change that is proposed now is made, and does not become an empty entry. */
  canChangeMembers(): boolean {
    return canChangeMembers(this.#raft)
  }

  /**
   * To be called with the change of each membership entry that is applied (undefined leaves a joint
   * configuration), unless the application voids it. The configuration that is in force then. With
   * the entry's `index`, a change that a snapshot has overtaken on its way is known and left out:
   * it is part of the snapshot's configuration.
   */
  applyConfChange(change: ConfChangeV2 | undefined, index?: number): ConfState {
    if (index !== undefined && index < this.#raft.log.firstIndex()) return this.#raft.confState
    return applyConfChange(this.#raft, change ?? leaveJointChange)
  }

  /** A read is asked for; it is allowed by a ReadState with this context, or never. */
  readIndex(context: Uint8Array): void {
    step(this.#raft, {
      ...emptyMessage,
      type: 'read-index',
      entries: [newEntry({ data: context })],
    })
  }

  /** The leader, told or asked by this node, tries to hand over to `target`. */
  transferLeader(target: number): void {
    step(this.#raft, { ...emptyMessage, type: 'transfer-leader', from: target })
  }

  /**
   * A follower knows no leader any more, and votes for another at once. With `electionTicks` its
   * timer is drawn anew, from 1 to that many ticks, and stays as short until a leader is heard or
   * the term ends: for when there is news that the leader is gone. Meant for use with pre-votes,
   * which keep a false alarm harmless. No effect on other roles, and with lease-based reads.
   */
  forgetLeader(options?: { readonly electionTicks: number }): void {
    const { leader } = this.#raft
    step(this.#raft, { ...emptyMessage, type: 'forget-leader' })
    if (options === undefined || this.#raft.leader === leader) return
    assert(options.electionTicks > 0, 'a timer is drawn from at least one tick')
    this.#raft.hastyElectionTicks = options.electionTicks
    this.#raft.electionElapsedTicks = 0
    drawElectionTimeout(this.#raft)
  }

  /** A message to `id` could not be sent. */
  reportUnreachable(id: number): void {
    step(this.#raft, { ...emptyMessage, type: 'unreachable', from: id })
  }

  /**
   * The snapshot sent to `id` was delivered, or not. Nothing else is sent to it before that is
   * reported, or the peer itself acknowledges the snapshot.
   */
  reportSnapshot(id: number, outcome: 'finished' | 'failed'): void {
    const reject = outcome === 'failed'
    step(this.#raft, { ...emptyMessage, type: 'snapshot-status', from: id, reject })
  }

  hasReady(): boolean {
    return hasReady(this.#raft, this.#handover)
  }

  /** What there is to do; undefined if nothing. In turn: `advance` before the next. */
  ready(): Ready | undefined {
    assert(this.#handover.taken === undefined, 'the last Ready is advanced before the next')
    return this.hasReady() ? takeReady(this.#raft, this.#handover) : undefined
  }

  /** The Ready has been carried out. Not with `asyncStorageWrites`. */
  advance(ready: Ready): void {
    assert(!this.#handover.asyncStorageWrites, 'storage messages are answered, not advanced')
    assert(this.#handover.taken === ready, 'the Ready that is advanced is the last one')
    const steps = this.#handover.stepsOnAdvance
    this.#handover.taken = undefined
    this.#handover.stepsOnAdvance = []
    for (const message of steps) step(this.#raft, message)
  }

  /** The index of the log's last entry, on the disk or not yet. */
  lastIndex(): number {
    return this.#raft.log.lastIndex()
  }

  basicStatus(): BasicStatus {
    const { id, term, vote, leader, role, leadTransferee, log } = this.#raft
    const { committed: commit, applied } = log
    return { id, term, vote, commit, applied, leader, role, leadTransferee }
  }

  status(): Status {
    const { role, confState, progress } = this.#raft
    const views = [...progress].map(([id, peer]) => [id, viewProgress(peer)] as const)
    return {
      ...this.basicStatus(),
      confState,
      progress: new Map(role === 'leader' ? views : []),
    }
  }

  /** The next campaign begins after `ticks` without a leader. For tests of elections only. */
  setElectionTimeout(ticks: number): void {
    this.#raft.randomizedElectionTicks = ticks
  }

  #propose(...entries: readonly Entry[]): StepOutcome {
    return step(this.#raft, { ...emptyMessage, type: 'propose', from: this.#raft.id, entries })
  }
}

function newEntry(fields: Partial<Entry>): Entry {
  return { term: 0, index: 0, type: 'normal', data: NO_BYTES, confChange: undefined, ...fields }
}

/** Types that a node tells itself. */
function isLocal(type: MessageType): boolean {
  switch (type) {
    case 'campaign':
    case 'beat':
    case 'check-quorum':
    case 'unreachable':
    case 'snapshot-status':
    case 'storage-append':
    case 'storage-append-response':
    case 'storage-apply':
    case 'storage-apply-response':
      return true
    default:
      return false
  }
}

/** Types that answer what only a member was asked. */
function isResponse(type: MessageType): boolean {
  switch (type) {
    case 'append-response':
    case 'vote-response':
    case 'pre-vote-response':
    case 'heartbeat-response':
    case 'read-index-response':
    case 'unreachable':
    case 'storage-append-response':
    case 'storage-apply-response':
      return true
    default:
      return false
  }
}
