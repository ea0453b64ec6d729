/**
 * Manager: everything of a manager but the Raft core, as one machine on the main thread (DESIGN
 * section 4). It applies what is committed, leads while this member is Raft's leader and has
 * applied the first entry of its own term, passes writes on to the leader otherwise, answers
 * linearizable reads, and holds the sessions of agents. The shell carries out what `ready()`
 * returns: `node/manager-shell.ts`, or the simulator.
 */
import { assert } from '../lib/assert.ts'
import { SwarmError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { Random } from '../lib/random.ts'
import {
  type Caller,
  emptyCaller,
  emptyWriteReply,
  type RelayReply,
  type RelayRequest,
  type WriteReply,
  type WriteRequest,
} from '../proto/gen/control.ts'
import type { AgentCommand } from '../proto/gen/dispatcher.ts'
import { decodeStoreEntry, emptyStoreEntry } from '../proto/gen/store.ts'
import type { Member } from '../proto/gen/types.ts'
import { planRoles } from './ca/roles.ts'
import type { CommittedEntry, ConsensusInput, MainEvent, MemberState } from './consensus.ts'
import { DigestVote } from './digest-vote.ts'
import { Dispatcher, type DispatcherInput, type DispatcherOutput } from './dispatcher/dispatcher.ts'
import { NodeStatus } from './dispatcher/node-status.ts'
import { Leader, type Loop } from './leader.ts'
import { planMemberJoin } from './member-join.ts'
import { type Change, fromStoreChange } from './store/change.ts'
import type { Handled, HandlerContext, ManagerReach } from './store/handler.ts'
import { SnapshotReader, saveSnapshot } from './store/snapshot.ts'
import { Store } from './store/store.ts'
import type { View } from './store/view.ts'
import { reconcileVersions } from './versions.ts'
import { Writer, type WriterEffect } from './writer.ts'

/** A write or read that no leader took within this time is refused, as Docker's 20 s. */
const DEADLINE_MS = 20_000
/** A refused forward is tried again after this long. */
const FORWARD_RETRY_MS = 100
/** Writes and reads of callers waiting at once. */
const CALLS_MAX = 50_000
/** A leader whose state is wrong ends this long after it handed over. */
const HAND_OVER_MS = 2_000
/** A member that is to leave the group is asked to again after this long. */
const LEAVING_RETRY_MS = 5_000
/** From the asked manager to the leader to the holder of the session. */
const HOPS_MAX = 2
const NO_LEADER =
  'The swarm does not have a leader. It is possible that too few managers are online. Make sure more than half of the managers are online.'

export type ManagerInput =
  | { readonly kind: 'event'; readonly event: MainEvent }
  /** `isForwarded`: from another manager, which asks again elsewhere if this one does not lead. */
  | {
      readonly kind: 'write'
      readonly id: number
      readonly request: WriteRequest
      readonly isForwarded: boolean
    }
  | { readonly kind: 'read'; readonly id: number }
  /** Heartbeats from a manager that took this one for the leader. */
  | { readonly kind: 'relay'; readonly id: number; readonly request: RelayRequest }
  | {
      readonly kind: 'forward-done'
      readonly id: number
      readonly outcome: WriteReply | SwarmError
    }
  | { readonly kind: 'relay-done'; readonly id: number; readonly reply: RelayReply | undefined }
  /** Of a session: opened, received, closed, blocked, drained. */
  | { readonly kind: 'session'; readonly input: SessionInput }
  /** For the agent of a node, wherever its session is. */
  | {
      readonly kind: 'command'
      readonly id: number
      readonly nodeId: string
      readonly command: AgentCommand
      /** Managers that passed it on before. */
      readonly hops: number
    }
  | { readonly kind: 'pass-done'; readonly id: number; readonly isDelivered: boolean }
  /** Another manager found that states differ at this index. */
  | { readonly kind: 'digest-asked'; readonly id: number; readonly index: number }
  /** `digest` is undefined when the other did not answer or does not know. */
  | {
      readonly kind: 'digest-done'
      readonly raftId: number
      readonly index: number
      readonly digest: Uint8Array | undefined
    }
  /** The daemon stops: the leadership is handed over. */
  | { readonly kind: 'stop' }

export type SessionInput = Extract<
  DispatcherInput,
  { readonly kind: 'opened' | 'received' | 'closed' | 'blocked' | 'drained' }
>

export type ManagerOutput =
  | { readonly kind: 'consensus'; readonly input: ConsensusInput }
  | { readonly kind: 'answer'; readonly id: number; readonly outcome: WriteReply | SwarmError }
  /** `outcome` is the log index that the view has reached, or why not. */
  | { readonly kind: 'read-answer'; readonly id: number; readonly outcome: number | SwarmError }
  | {
      readonly kind: 'relay-answer'
      readonly id: number
      readonly outcome: RelayReply | SwarmError
    }
  | { readonly kind: 'command-answer'; readonly id: number; readonly isDelivered: boolean }
  /** To another manager, answered by `forward-done`, `relay-done`, `pass-done` whatever happens. */
  | {
      readonly kind: 'forward'
      readonly id: number
      readonly to: Member
      readonly request: WriteRequest
    }
  | {
      readonly kind: 'relay'
      readonly id: number
      readonly to: Member
      readonly request: RelayRequest
    }
  | {
      readonly kind: 'pass'
      readonly id: number
      readonly to: Member
      readonly nodeId: string
      readonly command: AgentCommand
      readonly hops: number
    }
  /** Answered by `digest-done` whatever happens. */
  | { readonly kind: 'ask-digest'; readonly to: Member; readonly index: number }
  | { readonly kind: 'digest-answer'; readonly id: number; readonly digest: Uint8Array }
  /** The node must end. */
  | { readonly kind: 'fatal'; readonly reason: string }
  | Extract<DispatcherOutput, { readonly kind: 'send' | 'close' }>
  /** The store's state has moved on; `reset` after a snapshot. */
  | { readonly kind: 'applied'; readonly changes: readonly Change[]; readonly isReset: boolean }

export type ManagerConfig = {
  readonly raftId: number
  readonly random: Random
  readonly log: Log
  readonly handle: (view: View, request: WriteRequest, context: HandlerContext) => Handled
  /** The reconcilers in their order; liveness and roles are put before them. */
  readonly loops: () => readonly Loop[]
  readonly now: ManagerNow
}

export type ManagerNow = {
  readonly monotonicMs: number
  readonly wallMs: number
  /** Whether the round's slice of time is used up. */
  readonly isOver: () => boolean
}

/** Whose call it is: of the shell by its id, or of the dispatcher. */
type Origin = { readonly from: 'shell' | 'dispatcher'; readonly id: number }
type Call = Origin & { readonly request: WriteRequest; readonly deadlineMs: number }
type Read = Origin & { index: number | undefined }

export class Manager {
  readonly #config: ManagerConfig
  #now: ManagerNow
  readonly #store: Store = new Store()
  #dispatcher: Dispatcher
  #outputs: ManagerOutput[] = []
  #sequence = 0

  #members: readonly MemberState[] = []
  #term = 0
  #leaderId = 0
  #isRaftLeader = false
  /** The log's disk has no space, so nothing this manager would write becomes durable. */
  #isDiskFull = false
  /** While this manager leads and has applied the first entry of its term. */
  #writer: Writer | undefined
  #leader: Leader | undefined
  #nodeStatus: NodeStatus | undefined

  /** Calls by the writer's id, while this manager leads. */
  #writing = new Map<number, Origin>()
  /** Calls that wait for a leader, or for another try. */
  #calls: (Call & { retryMs: number })[] = []
  /** Calls on their way to the leader, by the number of the forward. */
  #forwarding = new Map<number, Call>()
  #reads = new Map<number, Read>()
  #relays = new Map<number, number>()
  /** Membership requests on their way through Raft, by their number. */
  #joining = new Map<number, { readonly origin: Origin; readonly member: Member }>()
  /** What a member request comes to, by the number of the read that must confirm it. */
  #unconfirmed = new Map<
    number,
    { readonly origin: Origin; readonly outcome: WriteReply | SwarmError }
  >()
  /** The writer's reads by the number that consensus knows them by. */
  #confirming = new Map<number, number>()
  #commands = new Map<number, Extract<ManagerInput, { readonly kind: 'command' }>>()
  #leaving: { readonly raftIds: readonly number[]; readonly askedMs: number } = {
    raftIds: [],
    askedMs: 0,
  }
  #leavingIds: readonly number[] = []
  #vote: DigestVote | undefined
  /** Monotonic time at which this manager ends because its state is wrong. */
  #endMs: number | undefined
  #snapshot:
    | { readonly index: number; readonly chunks: Iterator<Uint8Array>; bytes: Uint8Array[] }
    | undefined

  constructor(config: ManagerConfig) {
    this.#config = config
    this.#now = config.now
    this.#dispatcher = this.#newDispatcher()
  }

  /** The applied state of this manager. Linearizable only after a `read`. */
  view(): View {
    return this.#store.view()
  }

  get isLeading(): boolean {
    return this.#writer !== undefined
  }

  /** What is known of the group: for `node ls`, `info` and metrics. */
  status(): {
    readonly term: number
    readonly leaderId: number
    readonly isLeading: boolean
    readonly members: readonly MemberState[]
    readonly sessions: number
  } {
    return {
      term: this.#term,
      leaderId: this.#leaderId,
      isLeading: this.isLeading,
      members: this.#members,
      sessions: this.#dispatcher.status().sessions,
    }
  }

  digest(): Uint8Array {
    return this.#store.digest()
  }

  /** A round begins: time moves on; timers fire in `pump`. */
  tick(now: ManagerNow): void {
    this.#now = now
    this.#dispatcher.tick(now.monotonicMs)
    this.#nodeStatus?.tick(now.monotonicMs)
    this.#expireCalls()
    this.#forwardCalls()
    this.#stepSnapshot()
    this.#endIfWrong()
  }

  step(input: ManagerInput): void {
    switch (input.kind) {
      case 'event':
        this.#event(input.event)
        break
      case 'write':
        this.#write({ from: 'shell', id: input.id }, input.request, input.isForwarded)
        break
      case 'read':
        this.#read({ from: 'shell', id: input.id })
        break
      case 'relay':
        this.#relay(input.id, input.request)
        break
      case 'forward-done':
        this.#forwardDone(input.id, input.outcome)
        break
      case 'relay-done':
        this.#relayDone(input.id, input.reply)
        break
      case 'session':
        this.#dispatcher.step(input.input)
        break
      case 'command':
        this.#command(input)
        break
      case 'pass-done':
        this.#commandDone(input.id, input.isDelivered)
        break
      case 'digest-asked':
        this.#digestAsked(input.id, input.index)
        break
      case 'digest-done':
        this.#vote?.answer(
          input.raftId,
          input.index === this.#vote.index ? input.digest : undefined,
        )
        this.#judge()
        break
      case 'stop':
        this.#emit({ kind: 'consensus', input: { kind: 'transfer' } })
        break
      default:
        input satisfies never
    }
  }

  /**
   * What there is to do now. Writer and dispatcher go on here and not in `step`, so that all
   * inputs of a round share one proposal: each costs a crossing of threads and a sync.
   */
  ready(): readonly ManagerOutput[] | undefined {
    this.#pump()
    if (this.#outputs.length === 0) return undefined
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  /** Lets writer and dispatcher go on until both have nothing more to say for now. */
  #pump(): void {
    for (;;) {
      this.#runWriter()
      const outputs = this.#dispatcher.ready()
      if (outputs === undefined) break
      for (const output of outputs) this.#carryOut(output)
      this.#dispatcher.advance(outputs)
    }
  }

  #emit(output: ManagerOutput): void {
    this.#outputs.push(output)
  }

  // ── what Raft says ─────────────────────────────────────────────────────────────────────────

  #event(event: MainEvent): void {
    switch (event.kind) {
      case 'role':
        this.#role(event)
        break
      case 'committed':
        this.#committed(event.entries)
        break
      case 'install':
        this.#install(event.index, event.store)
        break
      case 'read-ready':
        this.#readReady(event.id, event.index)
        break
      case 'read-refused':
        this.#readRefused(event.id)
        break
      case 'members':
        this.#members = event.members
        this.#leader?.wake('roles')
        break
      case 'members-changed':
        this.#memberJoined(event.id)
        break
      case 'members-refused':
        this.#memberRefused(event.id, event.reason)
        break
      case 'snapshot-wanted':
        this.#beginSnapshot()
        break
      case 'disk':
        this.#isDiskFull = event.isFull
        break
      default:
        event satisfies never
    }
  }

  #role(event: Extract<MainEvent, { readonly kind: 'role' }>): void {
    const isStillLeading = event.role === 'leader' && event.term === this.#term
    if (!isStillLeading) this.#stopLeading()
    this.#term = event.term
    this.#leaderId = event.leader
    this.#isRaftLeader = event.role === 'leader'
    this.#dispatcher.step({ kind: 'leader', term: event.term, isKnown: event.leader !== 0 })
    this.#forwardCalls()
  }

  #committed(entries: readonly CommittedEntry[]): void {
    const changes: Change[] = []
    for (const { index, term, data } of entries) {
      const last = this.#store.view().index
      assert(index === last + 1, 'no entry is left out', { index, last })
      const entry =
        data.length === 0
          ? { ...emptyStoreEntry, timeMs: this.#store.view().timeMs }
          : decodeStoreEntry(data)
      const check = this.#store.apply(index, entry)
      if (check === 'different') this.#suspect(entry.digest?.index ?? 0)
      changes.push(...entry.changes.map(fromStoreChange))
      if (this.#writer !== undefined && data.length > 0) this.#writer.committed(index)
      if (this.#isRaftLeader && this.#writer === undefined && term === this.#term) this.#lead()
    }
    this.#appliedChanges(changes, false)
  }

  #appliedChanges(changes: readonly Change[], isReset: boolean): void {
    const view = this.#store.view()
    if (isReset || changes.some((change) => change.table === 'clusters')) this.#passSettings(view)
    if (isReset) this.#dispatcher.step({ kind: 'reset', view })
    else this.#dispatcher.step({ kind: 'applied', view, changes })
    this.#emit({ kind: 'consensus', input: { kind: 'applied', index: view.index } })
    if (changes.length > 0 || isReset) this.#emit({ kind: 'applied', changes, isReset })
    this.#answerReads()
  }

  /** Settings that the consensus thread goes by. */
  #passSettings(view: View): void {
    const [cluster] = view.clusters.list()
    if (cluster?.spec === undefined) return
    this.#emit({
      kind: 'consensus',
      input: {
        kind: 'settings',
        snapshotEntries: cluster.spec.snapshotIntervalEntries,
        keepEntries: cluster.spec.logEntriesForSlowFollowers,
      },
    })
  }

  /** A new store is built beside the old one, which then takes its state over. */
  #install(index: number, bytes: Uint8Array): void {
    this.#stopLeading()
    const reader = new SnapshotReader()
    reader.feed(bytes)
    const restored = bytes.length === 0 ? new Store() : reader.finish()
    if (restored.view().index < index)
      restored.apply(index, { ...emptyStoreEntry, timeMs: restored.view().timeMs })
    this.#store.replaceBy(restored)
    this.#snapshot = undefined
    this.#appliedChanges([], true)
  }

  // ── leading ────────────────────────────────────────────────────────────────────────────────

  #lead(): void {
    assert(this.#writer === undefined, 'a manager leads once a term')
    const { monotonicMs } = this.#now
    const nodeStatus = new NodeStatus({
      term: this.#term,
      electedMs: monotonicMs,
      log: this.#config.log,
    })
    nodeStatus.tick(monotonicMs)
    const leader = new Leader([
      { name: 'roles', reconcile: (round) => this.#reconcileRoles(round.view, round.now) },
      { name: 'versions', reconcile: reconcileVersions },
      { name: 'node-status', reconcile: (round) => nodeStatus.reconcile(round) },
      ...this.#config.loops(),
    ])
    this.#nodeStatus = nodeStatus
    this.#leader = leader
    this.#writer = new Writer(
      {
        store: this.#store,
        leader,
        random: this.#config.random,
        log: this.#config.log,
        handle: (view, request, context) => this.#handle(view, request, context),
      },
      this.#term,
      monotonicMs,
    )
    this.#forwardCalls()
  }

  #stopLeading(): void {
    const writer = this.#writer
    if (writer === undefined) return
    this.#writer = undefined
    this.#leader = undefined
    this.#nodeStatus = undefined
    const waiting = writer.stop()
    this.#takeWriterEffects(writer)
    for (const { id, request } of waiting) {
      const origin = this.#writing.get(id)
      this.#writing.delete(id)
      if (origin !== undefined) this.#queueCall(origin, request)
    }
    const lost = new SwarmError(
      'unavailable',
      'the leader changed, outcome unknown: look before trying again',
    )
    for (const { origin } of this.#joining.values()) this.#answer(origin, lost)
    for (const { origin } of this.#unconfirmed.values()) this.#answer(origin, notLeader())
    this.#joining = new Map()
    this.#unconfirmed = new Map()
    // A later writer counts its reads anew, so answers to this one's must not reach it.
    this.#confirming = new Map()
    this.#leavingIds = []
  }

  #runWriter(): void {
    const writer = this.#writer
    if (writer === undefined) return
    writer.run({ ...this.#now, managers: this.#listReach() })
    this.#takeWriterEffects(writer)
    this.#askToLeave()
  }

  #takeWriterEffects(writer: Writer): void {
    for (const effect of writer.takeEffects()) this.#writerEffect(effect)
  }

  #writerEffect(effect: WriterEffect): void {
    switch (effect.kind) {
      case 'propose':
        this.#emit({ kind: 'consensus', input: effect })
        break
      case 'read-index': {
        // Numbers of the writer's reads and of callers' reads must not meet.
        const id = ++this.#sequence
        this.#confirming.set(id, effect.id)
        this.#emit({ kind: 'consensus', input: { kind: 'read-index', id } })
        break
      }
      case 'answer':
      case 'refuse': {
        const origin = this.#writing.get(effect.id)
        this.#writing.delete(effect.id)
        if (origin !== undefined)
          this.#answer(origin, effect.kind === 'answer' ? effect.reply : effect.error)
        break
      }
      default:
        effect satisfies never
    }
  }

  #listReach(): readonly ManagerReach[] {
    return this.#members.map((member) => ({
      nodeId: member.nodeId,
      isVoter: member.isVoter,
      isReachable: member.isConnected,
    }))
  }

  /** A node that is held by two processes is refused before anything of it is written. */
  #handle(view: View, request: WriteRequest, context: HandlerContext): Handled {
    const body = request.body
    const from =
      body?.kind === 'nodeRegister'
        ? body.nodeRegister
        : body?.kind === 'statusReport'
          ? body.statusReport
          : undefined
    const refusal =
      from === undefined ? undefined : this.#nodeStatus?.findRefusal(from.nodeId, from.instance)
    if (refusal !== undefined) throw new SwarmError('failed-precondition', refusal)
    return this.#config.handle(view, request, context)
  }

  #reconcileRoles(
    view: View,
    now: number,
  ): { changes: readonly Change[]; nextMs: number | undefined } {
    const plan = planRoles(view, this.#members)
    this.#leavingIds = plan.leaving
    return {
      changes: plan.changes,
      nextMs: plan.leaving.length === 0 ? undefined : now + LEAVING_RETRY_MS,
    }
  }

  /** Members whose nodes are to be workers leave the group; this one hands over first. */
  #askToLeave(): void {
    if (this.#leavingIds.length === 0) return
    const { monotonicMs } = this.#now
    const isNew = this.#leavingIds.some((raftId) => !this.#leaving.raftIds.includes(raftId))
    if (!isNew && monotonicMs - this.#leaving.askedMs < LEAVING_RETRY_MS) return
    this.#leaving = { raftIds: this.#leavingIds, askedMs: monotonicMs }
    for (const raftId of this.#leavingIds) {
      if (raftId === this.#config.raftId) {
        this.#emit({ kind: 'consensus', input: { kind: 'transfer' } })
        continue
      }
      const id = ++this.#sequence
      this.#emit({
        kind: 'consensus',
        input: { kind: 'change-members', id, change: { kind: 'remove', raftId } },
      })
    }
  }

  // ── writes ─────────────────────────────────────────────────────────────────────────────────

  #write(origin: Origin, request: WriteRequest, isForwarded: boolean): void {
    if (this.#writer !== undefined && this.#isDiskFull && origin.from === 'shell') {
      this.#answer(
        origin,
        new SwarmError(
          'resource-exhausted',
          'the disk under the log of the leading manager is full: free some space and try again',
          { retriable: true },
        ),
      )
    } else if (this.#writer !== undefined) {
      this.#submit(origin, request)
    } else if (isForwarded) {
      this.#answer(origin, notLeader())
    } else {
      this.#queueCall(origin, request)
      this.#forwardCalls()
    }
  }

  #submit(origin: Origin, request: WriteRequest): void {
    const writer = this.#writer
    assert(writer !== undefined, 'only a leader evaluates writes')
    if (request.body?.kind === 'memberJoin') {
      this.#memberJoin(origin, request)
      return
    }
    const id = ++this.#sequence
    this.#writing.set(id, origin)
    writer.submit(id, request)
  }

  #queueCall(origin: Origin, request: WriteRequest): void {
    if (this.#calls.length >= CALLS_MAX) {
      this.#answer(
        origin,
        new SwarmError('resource-exhausted', 'too many requests are waiting, try again later', {
          retriable: true,
        }),
      )
      return
    }
    const deadlineMs = this.#now.monotonicMs + DEADLINE_MS
    this.#calls.push({ ...origin, request, deadlineMs, retryMs: 0 })
  }

  /** Calls that wait go to whoever leads now. */
  #forwardCalls(): void {
    if (this.#calls.length === 0) return
    const leader = this.#findLeader()
    if (this.#writer === undefined && leader === undefined) return
    const { monotonicMs } = this.#now
    const due = this.#calls.filter((call) => call.retryMs <= monotonicMs)
    this.#calls = this.#calls.filter((call) => call.retryMs > monotonicMs)
    for (const call of due) {
      if (this.#writer !== undefined) {
        this.#submit(call, call.request)
      } else if (leader !== undefined) {
        const id = ++this.#sequence
        this.#forwarding.set(id, call)
        this.#emit({ kind: 'forward', id, to: leader, request: call.request })
      }
    }
  }

  /** The leader, when it is another member. */
  #findLeader(): Member | undefined {
    if (this.#isRaftLeader) return undefined
    return this.#members.find((member) => member.raftId === this.#leaderId)
  }

  #forwardDone(id: number, outcome: WriteReply | SwarmError): void {
    const call = this.#forwarding.get(id)
    if (call === undefined) return
    this.#forwarding.delete(id)
    // Only a leader that says it evaluated nothing may be asked again (DESIGN section 4).
    const isUntouched =
      outcome instanceof SwarmError && outcome.code === 'unavailable' && outcome.retriable
    if (isUntouched)
      this.#calls.push({ ...call, retryMs: this.#now.monotonicMs + FORWARD_RETRY_MS })
    else this.#answer(call, outcome)
  }

  #expireCalls(): void {
    const { monotonicMs } = this.#now
    const expired = this.#calls.filter((call) => call.deadlineMs <= monotonicMs)
    if (expired.length === 0) return
    this.#calls = this.#calls.filter((call) => call.deadlineMs > monotonicMs)
    for (const call of expired)
      this.#answer(call, new SwarmError('unavailable', NO_LEADER, { retriable: true }))
  }

  #answer(origin: Origin, outcome: WriteReply | SwarmError): void {
    if (origin.from === 'shell') this.#emit({ kind: 'answer', id: origin.id, outcome })
    else
      this.#dispatcher.step({
        kind: 'write-done',
        id: origin.id,
        outcome:
          outcome instanceof SwarmError
            ? { kind: 'refused', error: outcome }
            : { kind: 'committed', reply: outcome },
      })
  }

  // ── members ────────────────────────────────────────────────────────────────────────────────

  #memberJoin(origin: Origin, request: WriteRequest): void {
    assert(request.body?.kind === 'memberJoin', 'a request for membership')
    try {
      const plan = planMemberJoin(this.#store.view(), request.body.memberJoin, {
        caller: request.caller ?? emptyCaller,
        members: this.#members,
        random: this.#config.random,
      })
      if (plan.change === undefined) {
        this.#answerConfirmed(origin, this.#joinReply(plan.member))
        return
      }
      const id = ++this.#sequence
      this.#joining.set(id, { origin, member: plan.member })
      this.#emit({ kind: 'consensus', input: { kind: 'change-members', id, change: plan.change } })
    } catch (error) {
      if (!(error instanceof SwarmError)) throw error
      this.#answerConfirmed(origin, error)
    }
  }

  /** Once it is known that this manager still leads: a deposed one's state may be old. */
  #answerConfirmed(origin: Origin, outcome: WriteReply | SwarmError): void {
    const id = ++this.#sequence
    this.#unconfirmed.set(id, { origin, outcome })
    this.#emit({ kind: 'consensus', input: { kind: 'read-index', id } })
  }

  #memberJoined(id: number): void {
    const joining = this.#joining.get(id)
    if (joining === undefined) return
    this.#joining.delete(id)
    this.#answer(joining.origin, this.#joinReply(joining.member))
  }

  #memberRefused(id: number, reason: string): void {
    const joining = this.#joining.get(id)
    if (joining === undefined) {
      this.#config.log.warn({ reason }, 'membership change refused')
      return
    }
    this.#joining.delete(id)
    this.#answer(joining.origin, new SwarmError('unavailable', reason, { retriable: true }))
  }

  #joinReply(member: Member): WriteReply {
    const members = this.#members.filter((known) => known.raftId !== member.raftId)
    return {
      ...emptyWriteReply,
      index: this.#store.view().index,
      member,
      members: [...members, member],
    }
  }

  // ── reads ──────────────────────────────────────────────────────────────────────────────────

  #read(origin: Origin): void {
    if (this.#reads.size >= CALLS_MAX) {
      this.#answerRead(
        origin,
        new SwarmError('resource-exhausted', 'too many reads are waiting, try again later', {
          retriable: true,
        }),
      )
      return
    }
    const id = ++this.#sequence
    this.#reads.set(id, { ...origin, index: undefined })
    this.#emit({ kind: 'consensus', input: { kind: 'read-index', id } })
  }

  #readReady(id: number, index: number): void {
    const read = this.#reads.get(id)
    if (read !== undefined) {
      read.index = index
      this.#answerReads()
      return
    }
    const unconfirmed = this.#unconfirmed.get(id)
    this.#unconfirmed.delete(id)
    if (unconfirmed !== undefined) this.#answer(unconfirmed.origin, unconfirmed.outcome)
    const confirming = this.#confirming.get(id)
    this.#confirming.delete(id)
    if (confirming !== undefined) this.#writer?.readReady(confirming, index)
  }

  #readRefused(id: number): void {
    const read = this.#reads.get(id)
    this.#reads.delete(id)
    if (read !== undefined)
      this.#answerRead(read, new SwarmError('unavailable', NO_LEADER, { retriable: true }))
    const unconfirmed = this.#unconfirmed.get(id)
    this.#unconfirmed.delete(id)
    if (unconfirmed !== undefined) this.#answer(unconfirmed.origin, notLeader())
    const confirming = this.#confirming.get(id)
    this.#confirming.delete(id)
    if (confirming !== undefined) this.#writer?.readRefused(confirming)
  }

  #answerReads(): void {
    const { index } = this.#store.view()
    for (const [id, read] of this.#reads) {
      if (read.index === undefined || read.index > index) continue
      this.#reads.delete(id)
      this.#answerRead(read, read.index)
    }
  }

  #answerRead(origin: Origin, outcome: number | SwarmError): void {
    if (origin.from === 'shell') this.#emit({ kind: 'read-answer', id: origin.id, outcome })
    else
      this.#dispatcher.step({
        kind: 'read-index-done',
        id: origin.id,
        index: outcome instanceof SwarmError ? undefined : outcome,
      })
  }

  // ── sessions ───────────────────────────────────────────────────────────────────────────────

  #newDispatcher(): Dispatcher {
    return new Dispatcher({
      raftId: this.#config.raftId,
      view: this.#store.view(),
      nowMs: this.#now.monotonicMs,
      log: this.#config.log,
    })
  }

  #carryOut(output: DispatcherOutput): void {
    switch (output.kind) {
      case 'send':
      case 'close':
        this.#emit(output)
        break
      case 'write':
        this.#write({ from: 'dispatcher', id: output.id }, output.request, false)
        break
      case 'relay':
        this.#relayOut(output.id, output.request)
        break
      case 'read-index':
        this.#read({ from: 'dispatcher', id: output.id })
        break
      case 'command-done':
        this.#commandTried(output.id, output.isDelivered)
        break
      default:
        output satisfies never
    }
  }

  /** Heartbeats of this manager's own sessions: to itself when it leads. */
  #relayOut(id: number, request: RelayRequest): void {
    if (this.#nodeStatus !== undefined) {
      const reply = this.#nodeStatus.relay(this.#store.view(), request)
      this.#dispatcher.step({ kind: 'relay-done', id, reply })
      return
    }
    const leader = this.#findLeader()
    if (leader === undefined) {
      this.#dispatcher.step({ kind: 'relay-done', id, reply: undefined })
      return
    }
    const sequence = ++this.#sequence
    this.#relays.set(sequence, id)
    this.#emit({ kind: 'relay', id: sequence, to: leader, request })
  }

  #relayDone(sequence: number, reply: RelayReply | undefined): void {
    const id = this.#relays.get(sequence)
    this.#relays.delete(sequence)
    if (id === undefined) return
    // An answer of an older leader says nothing about the present one.
    const isCurrent = reply !== undefined && reply.term === this.#term
    this.#dispatcher.step({ kind: 'relay-done', id, reply: isCurrent ? reply : undefined })
  }

  #relay(id: number, request: RelayRequest): void {
    const outcome = this.#nodeStatus?.relay(this.#store.view(), request) ?? notLeader()
    this.#emit({ kind: 'relay-answer', id, outcome })
  }

  /**
   * A session held here is given the command at once. Else the leader knows who holds it: the asked
   * manager passes to the leader, and that one to the holder.
   */
  #command(input: Extract<ManagerInput, { readonly kind: 'command' }>): void {
    const id = ++this.#sequence
    this.#commands.set(id, input)
    this.#dispatcher.step({ ...input, id })
  }

  #commandTried(sequence: number, isDelivered: boolean): void {
    const input = this.#commands.get(sequence)
    if (input === undefined) return
    const to = isDelivered ? undefined : this.#findNextHop(input)
    if (to === undefined) {
      this.#commandDone(sequence, isDelivered)
      return
    }
    const { nodeId, command } = input
    this.#emit({ kind: 'pass', id: sequence, to, nodeId, command, hops: input.hops + 1 })
  }

  #findNextHop(input: Extract<ManagerInput, { readonly kind: 'command' }>): Member | undefined {
    if (input.hops >= HOPS_MAX) return undefined
    if (this.#nodeStatus === undefined) return this.#findLeader()
    const holder = this.#nodeStatus.findHolder(input.nodeId)
    if (holder === this.#config.raftId) return undefined
    return this.#members.find((member) => member.raftId === holder)
  }

  #commandDone(sequence: number, isDelivered: boolean): void {
    const input = this.#commands.get(sequence)
    this.#commands.delete(sequence)
    if (input !== undefined) this.#emit({ kind: 'command-answer', id: input.id, isDelivered })
  }

  // ── digests ────────────────────────────────────────────────────────────────────────────────

  /** This manager's state differs from another's: all are asked. */
  #suspect(index: number): void {
    const own = this.#store.findDigest(index)
    if (own === undefined || this.#vote?.index === index) return
    this.#config.log.error({ index }, 'state differs from another manager’s, all are asked')
    const others = this.#members.filter((member) => member.raftId !== this.#config.raftId)
    this.#vote = new DigestVote(
      index,
      own,
      others.map((member) => member.raftId),
    )
    for (const to of others) this.#emit({ kind: 'ask-digest', to, index })
    this.#judge()
  }

  #digestAsked(id: number, index: number): void {
    const digest = this.#store.findDigest(index) ?? new Uint8Array(0)
    this.#emit({ kind: 'digest-answer', id, digest })
    this.#suspect(index)
  }

  /** Who differs from a majority ends; a leader hands over first. */
  #judge(): void {
    const verdict = this.#vote?.verdict()
    if (this.#vote === undefined || verdict === undefined) return
    const { index } = this.#vote
    if (verdict === 'right') {
      this.#config.log.error(
        { index },
        'another manager’s state is wrong, this one’s is a majority’s',
      )
    } else if (verdict === 'undecided') {
      this.#config.log.error({ index }, 'managers’ states differ and none has a majority: alarm')
    } else {
      if (this.#isRaftLeader) this.#emit({ kind: 'consensus', input: { kind: 'transfer' } })
      this.#endMs = this.#now.monotonicMs + (this.#isRaftLeader ? HAND_OVER_MS : 0)
      this.#config.log.error({ index }, 'this manager’s state is wrong, it ends')
    }
  }

  #endIfWrong(): void {
    if (this.#endMs === undefined || this.#now.monotonicMs < this.#endMs) return
    this.#endMs = undefined
    const reason = `the state of this manager differs from a majority's at index ${this.#vote?.index}: remove its directory raft/ and join again`
    this.#emit({ kind: 'fatal', reason })
  }

  // ── snapshots ──────────────────────────────────────────────────────────────────────────────

  #beginSnapshot(): void {
    this.#snapshot = {
      index: this.#store.view().index,
      chunks: saveSnapshot(this.#store),
      bytes: [],
    }
  }

  /** A few chunks a round, so that a large store delays nothing. */
  #stepSnapshot(): void {
    const snapshot = this.#snapshot
    if (snapshot === undefined) return
    do {
      const next = snapshot.chunks.next()
      if (next.done === true) {
        this.#snapshot = undefined
        const store = joinBytes(snapshot.bytes)
        this.#emit({ kind: 'consensus', input: { kind: 'snapshot', index: snapshot.index, store } })
        return
      }
      snapshot.bytes.push(next.value)
    } while (!this.#now.isOver())
  }
}

/** The user of the local API: whoever may open its socket may do everything. */
export const localCaller: Caller = { ...emptyCaller, role: 'manager' }

function notLeader(): SwarmError {
  return new SwarmError('unavailable', 'this manager is not the leader', { retriable: true })
}

function joinBytes(chunks: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    joined.set(chunk, at)
    at += chunk.length
  }
  return joined
}
