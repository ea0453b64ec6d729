/**
 * Manager: everything of a manager but the Raft core, as one machine on the main thread (DESIGN
 * section 4). It applies what is committed, leads while this member is Raft's leader and has
 * applied the first entry of its own term (`leadership.ts`), passes writes on to the leader
 * otherwise, answers linearizable reads, and holds the sessions of agents. Here is which part of it
 * each input concerns; the parts are the files beside it. The shell carries out what `ready()`
 * returns: `node/manager-shell.ts`, or the simulator.
 */
import { assert } from '../lib/assert.ts'
import type { SwarmError } from '../lib/errors.ts'
import {
  type Caller,
  emptyCaller,
  type MemberJoin,
  type RelayRequest,
  type WriteReply,
  type WriteRequest,
} from '../proto/gen/control.ts'
import type { Member } from '../proto/gen/types.ts'
import { AgentCalls, type AgentEffect, type Reach } from './agent-calls.ts'
import { Calls, type Origin } from './calls.ts'
import type {
  CommittedEntry,
  ConsensusInput,
  MainEvent,
  MemberState,
} from './consensus-interface.ts'
import { type DigestEffect, type DigestSituation, DigestWatch } from './digest-watch.ts'
import { Leadership, type LeadershipEffect } from './leadership.ts'
import type {
  ManagerConfig,
  ManagerInput,
  ManagerNow,
  ManagerOutput,
  ManagerStatus,
} from './manager-interface.ts'
import { type GroupNow, MemberRequests } from './member-requests.ts'
import { ReadCalls, type Reader, type ReadResult } from './read-calls.ts'
import { newDiskFull, newNoLeader, newNotLeader, newTooMany } from './refusals.ts'
import { Replica } from './replica.ts'
import type { Change } from './store/change.ts'
import type { View } from './store/view.ts'
import { refuseUnspoken } from './versions.ts'

export class Manager {
  readonly #config: ManagerConfig
  #now: ManagerNow
  readonly #replica: Replica = new Replica()
  readonly #agentCalls: AgentCalls
  readonly #calls: Calls = new Calls()
  readonly #reads: ReadCalls = new ReadCalls()
  readonly #memberRequests: MemberRequests = new MemberRequests()
  readonly #digestWatch: DigestWatch
  #outputs: ManagerOutput[] = []

  #members: readonly MemberState[] = []
  #term = 0
  #leaderId = 0
  #isRaftLeader = false
  /** While this manager leads and has applied the first entry of its term. */
  #leadership: Leadership | undefined
  /** The log's disk has no space, so nothing this manager would write becomes durable. */
  #isDiskFull = false

  constructor(config: ManagerConfig) {
    this.#config = config
    this.#now = config.now
    this.#digestWatch = new DigestWatch(config.log, (index) =>
      this.#replica.store.findDigest(index),
    )
    this.#agentCalls = new AgentCalls(config, this.#replica.view())
  }

  /** The applied state of this manager. Linearizable only after a `read`. */
  view(): View {
    return this.#replica.view()
  }

  get isLeading(): boolean {
    return this.#leadership !== undefined
  }

  status(): ManagerStatus {
    return {
      term: this.#term,
      leaderId: this.#leaderId,
      isLeading: this.isLeading,
      members: this.#members,
      sessions: this.#agentCalls.sessions,
    }
  }

  digest(): Uint8Array {
    return this.#replica.store.digest()
  }

  /** A round begins: time moves on; timers fire in `pump`. */
  tick(now: ManagerNow): void {
    this.#now = now
    this.#agentCalls.tick(now.monotonicMs)
    this.#leadership?.tick(now.monotonicMs)
    for (const { origin } of this.#calls.takeExpired(now.monotonicMs))
      this.#answer(origin, newNoLeader())
    this.#passCalls()
    this.#emitIfAny(this.#replica.saveSnapshot(now.isOver))
    const reason = this.#digestWatch.takeEnd(now.monotonicMs)
    if (reason !== undefined) this.#emit({ kind: 'fatal', reason })
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
      case 'forward-done': {
        const call = this.#calls.finish(input.id, input.outcome, this.#now.monotonicMs)
        if (call !== undefined) this.#answer(call.origin, input.outcome)
        break
      }
      case 'relay-done':
        this.#agentCalls.relayDone(input.id, input.reply, this.#term)
        break
      case 'session':
        this.#agentCalls.step(input.input)
        break
      case 'command':
        this.#agentCalls.command(input)
        break
      case 'pass-done':
        this.#emitIfAny(this.#agentCalls.commandDone(input.id, input.isDelivered))
        break
      case 'digest-asked':
        this.#digestEffects(this.#digestWatch.asked(input.id, input.index, this.#reach()))
        break
      case 'digest-done':
        this.#digestEffects(this.#digestWatch.answer(input, input.digest, this.#reach()))
        break
      case 'stop':
        this.#toConsensus({ kind: 'transfer' })
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
    do this.#runLeadership()
    while (this.#agentCalls.run(this.#reach(), (effect) => this.#agentEffect(effect)))
  }

  #emit(output: ManagerOutput): void {
    this.#outputs.push(output)
  }

  #emitIfAny(output: ManagerOutput | undefined): void {
    if (output !== undefined) this.#emit(output)
  }

  #toConsensus(input: ConsensusInput): void {
    this.#emit({ kind: 'consensus', input })
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
        this.#readResult(this.#reads.ready(event.id, event.index))
        this.#answerReads()
        break
      case 'read-refused':
        this.#readResult(this.#reads.refused(event.id))
        break
      case 'members':
        this.#members = event.members
        this.#leadership?.noteMembers()
        this.#tellSessionsOfLeader()
        break
      case 'members-changed':
        this.#memberJoined(event.id)
        break
      case 'members-refused':
        this.#memberRefused(event.id, event.reason)
        break
      case 'snapshot-wanted':
        this.#replica.beginSnapshot()
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
    this.#tellSessionsOfLeader()
    this.#passCalls()
  }

  /**
   * A new member knows the leader's number before it knows the members, and a leader that joined
   * after what this one has applied is none of them: no heartbeat gets to it from here.
   */
  #tellSessionsOfLeader(): void {
    const isKnown = this.#isRaftLeader || this.#findLeader() !== undefined
    this.#agentCalls.step({ kind: 'leader', term: this.#term, isKnown })
  }

  #committed(entries: readonly CommittedEntry[]): void {
    const changes: Change[] = []
    for (const entry of entries) {
      const applied = this.#replica.apply(entry)
      changes.push(...applied.changes)
      if (applied.differsAt !== undefined)
        this.#digestEffects(this.#digestWatch.suspect(applied.differsAt, this.#reach()))
      if (entry.data.length > 0) this.#leadership?.committed(entry.index)
      const isOwn = this.#isRaftLeader && entry.term === this.#term
      if (isOwn && this.#leadership === undefined) this.#lead()
    }
    this.#appliedChanges(changes, false)
  }

  #appliedChanges(changes: readonly Change[], isReset: boolean): void {
    const view = this.#replica.view()
    if (isReset || changes.some((change) => change.table === 'clusters'))
      this.#emitIfAny(this.#replica.settings())
    if (isReset) this.#agentCalls.step({ kind: 'reset', view })
    else this.#agentCalls.step({ kind: 'applied', view, changes })
    this.#toConsensus({ kind: 'applied', index: view.index })
    if (changes.length > 0 || isReset) this.#emit({ kind: 'applied', changes, isReset })
    this.#answerReads()
  }

  #install(index: number, bytes: Uint8Array): void {
    this.#stopLeading()
    this.#replica.install(index, bytes)
    this.#appliedChanges([], true)
  }

  // ── leading ────────────────────────────────────────────────────────────────────────────────

  #lead(): void {
    assert(this.#leadership === undefined, 'a manager leads once a term')
    const { random, log, handle, loops } = this.#config
    this.#leadership = new Leadership({
      ...{ random, log, handle, loops },
      store: this.#replica.store,
      term: this.#term,
      electedMs: this.#now.monotonicMs,
      members: () => this.#members,
    })
    this.#passCalls()
  }

  #stopLeading(): void {
    const leadership = this.#leadership
    if (leadership === undefined) return
    this.#leadership = undefined
    const { effects, waiting } = leadership.stop()
    for (const effect of effects) this.#leadershipEffect(effect)
    for (const { origin, request } of waiting) this.#queueCall(origin, request)
    for (const { origin, outcome } of this.#memberRequests.stopLeading())
      this.#answer(origin, outcome)
    for (const result of this.#reads.stopLeading()) this.#readResult(result)
  }

  #runLeadership(): void {
    const leadership = this.#leadership
    if (leadership === undefined) return
    for (const effect of leadership.run(this.#now)) this.#leadershipEffect(effect)
    this.#askToLeave(leadership.leavingIds)
  }

  #leadershipEffect(effect: LeadershipEffect): void {
    switch (effect.kind) {
      case 'propose':
        this.#toConsensus(effect)
        break
      case 'read-index':
        this.#askForRead({ kind: 'writer', id: effect.id })
        break
      case 'answer':
        this.#answer(effect.origin, effect.outcome)
        break
      default:
        effect satisfies never
    }
  }

  // ── writes ─────────────────────────────────────────────────────────────────────────────────

  #write(origin: Origin, request: WriteRequest, isForwarded: boolean): void {
    if (this.#leadership === undefined && isForwarded) {
      this.#answer(origin, newNotLeader())
    } else if (this.#leadership === undefined) {
      // A leader of an older version would take what it does not know.
      const unspoken = refuseUnspoken(this.view(), request)
      if (unspoken === undefined) this.#queueCall(origin, request)
      else this.#answer(origin, unspoken)
      this.#passCalls()
    } else if (this.#isDiskFull && origin.from === 'shell') {
      this.#answer(origin, newDiskFull())
    } else {
      this.#submit(this.#leadership, origin, request)
    }
  }

  #submit(leadership: Leadership, origin: Origin, request: WriteRequest): void {
    const { body, caller } = request
    if (body?.kind === 'memberJoin')
      this.#memberJoin(origin, body.memberJoin, caller ?? emptyCaller)
    else leadership.submit(origin, request)
  }

  #queueCall(origin: Origin, request: WriteRequest): void {
    if (!this.#calls.add(origin, request, this.#now.monotonicMs))
      this.#answer(origin, newTooMany('requests'))
  }

  /** Calls that wait go to whoever leads now. */
  #passCalls(): void {
    if (this.#calls.isEmpty) return
    const leader = this.#findLeader()
    if (this.#leadership === undefined && leader === undefined) return
    for (const call of this.#calls.takeDue(this.#now.monotonicMs)) {
      if (this.#leadership !== undefined) {
        this.#submit(this.#leadership, call.origin, call.request)
      } else if (leader !== undefined) {
        const id = this.#calls.forward(call)
        this.#emit({ kind: 'forward', id, to: leader, request: call.request })
      }
    }
  }

  /** The leader, when it is another member. */
  #findLeader(): Member | undefined {
    if (this.#isRaftLeader) return undefined
    return this.#members.find((member) => member.raftId === this.#leaderId)
  }

  #answer(origin: Origin, outcome: WriteReply | SwarmError): void {
    if (origin.from === 'shell') this.#emit({ kind: 'answer', id: origin.id, outcome })
    else this.#agentCalls.writeDone(origin.id, outcome)
  }

  // ── members ────────────────────────────────────────────────────────────────────────────────

  #memberJoin(origin: Origin, body: MemberJoin, caller: Caller): void {
    const { random } = this.#config
    const situation = { ...this.#groupNow(), view: this.#replica.view(), caller, random }
    const effect = this.#memberRequests.join(origin, body, situation)
    if (effect.kind === 'change-members') this.#toConsensus(effect)
    else this.#askForRead(effect)
  }

  #groupNow(): GroupNow {
    return { index: this.#replica.view().index, members: this.#members }
  }

  #memberJoined(id: number): void {
    const answer = this.#memberRequests.joined(id, this.#groupNow())
    if (answer !== undefined) this.#answer(answer.origin, answer.outcome)
  }

  #memberRefused(id: number, reason: string): void {
    const answer = this.#memberRequests.refused(id, reason)
    if (answer === undefined) this.#config.log.warn({ reason }, 'membership change refused')
    else this.#answer(answer.origin, answer.outcome)
  }

  /** Members whose nodes are to be workers leave the group; this one hands over first. */
  #askToLeave(raftIds: readonly number[]): void {
    for (const raftId of this.#memberRequests.leave(raftIds, this.#now.monotonicMs)) {
      if (raftId === this.#config.raftId) this.#toConsensus({ kind: 'transfer' })
      else this.#toConsensus(this.#memberRequests.remove(raftId))
    }
  }

  // ── reads ──────────────────────────────────────────────────────────────────────────────────

  #read(origin: Origin): void {
    if (!this.#askForRead({ kind: 'caller', origin })) this.#answerRead(origin, newTooMany('reads'))
  }

  /** Whether it was asked: not when too many wait. */
  #askForRead(reader: Reader): boolean {
    const id = this.#reads.add(reader)
    if (id !== undefined) this.#toConsensus({ kind: 'read-index', id })
    return id !== undefined
  }

  #answerReads(): void {
    for (const result of this.#reads.takeReached(this.#replica.view().index))
      this.#readResult(result)
  }

  #readResult(result: ReadResult | undefined): void {
    switch (result?.kind) {
      case undefined:
        break
      case 'read':
        this.#answerRead(result.origin, result.outcome)
        break
      case 'outcome':
        this.#answer(result.origin, result.outcome)
        break
      case 'writer':
        this.#leadership?.readDone(result.id, result.index)
        break
      default:
        result satisfies never
    }
  }

  #answerRead(origin: Origin, outcome: number | SwarmError): void {
    if (origin.from === 'shell') this.#emit({ kind: 'read-answer', id: origin.id, outcome })
    else this.#agentCalls.readDone(origin.id, outcome)
  }

  // ── sessions ───────────────────────────────────────────────────────────────────────────────

  #reach(): Reach & DigestSituation {
    return {
      raftId: this.#config.raftId,
      nowMs: this.#now.monotonicMs,
      isRaftLeader: this.#isRaftLeader,
      members: this.#members,
      leader: this.#findLeader(),
      leadership: this.#leadership,
      view: this.#replica.view(),
    }
  }

  #agentEffect(effect: AgentEffect): void {
    switch (effect.kind) {
      case 'write':
        this.#write({ from: 'dispatcher', id: effect.id }, effect.request, false)
        break
      case 'read-index':
        this.#read({ from: 'dispatcher', id: effect.id })
        break
      default:
        this.#emit(effect)
    }
  }

  /** Heartbeats of another manager's sessions. */
  #relay(id: number, request: RelayRequest): void {
    const outcome = this.#leadership?.relay(this.#replica.view(), request) ?? newNotLeader()
    this.#emit({ kind: 'relay-answer', id, outcome })
  }

  // ── digests ────────────────────────────────────────────────────────────────────────────────

  #digestEffects(effects: readonly DigestEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'hand-over') this.#toConsensus({ kind: 'transfer' })
      else this.#emit(effect)
    }
  }
}

/** The user of the local API: whoever may open its socket may do everything. */
export const localCaller: Caller = { ...emptyCaller, role: 'manager' }
