/**
 * The manager's shell: carries out what the manager machine returns, over the consensus thread,
 * gRPC to the other managers and the agents' streams, and gives the rest of the daemon promises
 * instead of ids. It decides nothing: every rule is in `manager/`.
 */
import { SwarmError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { MainEvent, MemberState } from '../manager/consensus-interface.ts'
import { inPieces } from '../manager/event-pieces.ts'
import { handleWrite, newLoops } from '../manager/handle.ts'
import { Manager } from '../manager/manager.ts'
import type { ManagerOutput, SessionInput } from '../manager/manager-interface.ts'
import type { Change } from '../manager/store/change.ts'
import type { View } from '../manager/store/view.ts'
import { findDowngrade } from '../manager/versions.ts'
import {
  controlService,
  type RelayReply,
  type RelayRequest,
  type WriteReply,
  type WriteRequest,
} from '../proto/gen/control.ts'
import type { AgentCommand, AgentMessage, SessionMessage } from '../proto/gen/dispatcher.ts'
import type { Member } from '../proto/gen/types.ts'
import { type Channel, newChannel, newClient } from '../proto/grpc.ts'
import type { BidiStream, Client } from '../proto/rpc.ts'
import type { ConsensusPort } from './consensus-port.ts'
import { ForwardCall } from './forwards.ts'
import type { TransportIdentity } from './io/raft-transport.ts'
import { systemRandom } from './io/random.ts'
import type { Loop, LoopPart, RoundTime } from './loop.ts'
import { Sender } from './sender.ts'

/** A command or a digest without an answer in this time has none. */
const PEER_DEADLINE_MS = 10_000
/** At a stop another member gets this long to take over. */
const HAND_OVER_MS = 2_000
const POLL_MS = 20

export type ManagerShellOptions = {
  readonly raftId: number
  readonly nodeId: string
  readonly loop: Loop
  readonly log: Log
  readonly identity: () => TransportIdentity
  readonly onFatal: (error: unknown) => void
  /** Members of the group changed, or who leads. */
  readonly onMembers: (members: readonly MemberState[], leaderId: number) => void
}

type Waiter<T> = { readonly resolve: (value: T) => void; readonly reject: (error: unknown) => void }
type Stream = BidiStream<AgentMessage, SessionMessage>

export class ManagerShell implements LoopPart {
  #options: ManagerShellOptions
  #manager: Manager
  #port: ConsensusPort | undefined
  /** What Raft said, not stepped yet. */
  #events: MainEvent[] = []
  #sequence = 0
  #writes = new Map<number, Waiter<WriteReply>>()
  #reads = new Map<number, Waiter<View>>()
  #relays = new Map<number, Waiter<RelayReply>>()
  #commands = new Map<number, Waiter<boolean>>()
  #digests = new Map<number, Waiter<Uint8Array>>()
  #sessions = new Map<number, SessionEnd>()
  #channels = new Map<
    string,
    { readonly channel: Channel; readonly client: Client<typeof controlService> }
  >()
  /** To leaders, those too that only wait for answers. */
  #forwards = new Set<ForwardCall>()
  #watchers = new Set<(changes: readonly Change[] | undefined, view: View) => void>()
  #isClosed = false

  constructor(options: ManagerShellOptions) {
    this.#options = options
    const time = options.loop.now()
    this.#manager = new Manager({
      raftId: options.raftId,
      random: systemRandom,
      log: options.log,
      handle: handleWrite,
      loops: newLoops,
      now: time,
    })
  }

  /** The thread's end; its events may arrive at once. */
  attach(port: ConsensusPort): void {
    this.#port = port
    this.#options.loop.add(this)
    this.#options.loop.wake()
  }

  /** They wait for the next round, in their order. */
  events(events: readonly MainEvent[]): void {
    for (const event of events) this.#events.push(...inPieces(event))
    this.#options.loop.wake()
  }

  round(time: RoundTime): void {
    this.#manager.tick(time)
    for (const call of this.#forwards) call.tick(time.monotonicMs)
    this.#stepEvents(time)
    for (
      let outputs = this.#manager.ready();
      outputs !== undefined;
      outputs = this.#manager.ready()
    )
      for (const output of outputs) this.#carryOut(output)
    this.#port?.flush(time)
  }

  /** What is committed may be much: then the rest is applied in rounds that follow at once. */
  #stepEvents({ isOver }: RoundTime): void {
    let event = this.#events.shift()
    for (; event !== undefined; event = isOver() ? undefined : this.#events.shift()) {
      this.#manager.step({ kind: 'event', event })
      if (event.kind === 'members' || event.kind === 'role') this.#membersChanged()
    }
    if (this.#events.length > 0) this.#options.loop.wake()
  }

  #membersChanged(): void {
    const { members, leaderId } = this.#manager.status()
    this.#options.onMembers(members, leaderId)
    // A leader that was cut off would keep its callers waiting until their deadline.
    for (const call of this.#forwards)
      if (leaderId !== 0 && call.to !== leaderId) call.cancel(LEADER_GONE)
  }

  view(): View {
    return this.#manager.view()
  }

  status(): ReturnType<Manager['status']> {
    return this.#manager.status()
  }

  metrics(): { readonly snapshotsInstalled: number; readonly commit: number } {
    return this.#port?.metrics() ?? { snapshotsInstalled: 0, commit: 0 }
  }

  write(request: WriteRequest, isForwarded = false): Promise<WriteReply> {
    return this.#ask(this.#writes, (id) =>
      this.#manager.step({ kind: 'write', id, request, isForwarded }),
    )
  }

  /** The view, as new as every write acknowledged before the call. */
  read(): Promise<View> {
    return this.#ask(this.#reads, (id) => this.#manager.step({ kind: 'read', id }))
  }

  relay(request: RelayRequest): Promise<RelayReply> {
    return this.#ask(this.#relays, (id) => this.#manager.step({ kind: 'relay', id, request }))
  }

  /** This manager's digest at an index where another's differs; empty when it is not known. */
  digest(index: number): Promise<Uint8Array> {
    return this.#ask(this.#digests, (id) => this.#manager.step({ kind: 'digest-asked', id, index }))
  }

  /** Whether the agent of the node was given the command. */
  command(nodeId: string, command: AgentCommand, hops = 0): Promise<boolean> {
    return this.#ask(this.#commands, (id) =>
      this.#manager.step({ kind: 'command', id, nodeId, command, hops }),
    )
  }

  watch(onChanges: (changes: readonly Change[] | undefined, view: View) => void): () => void {
    this.#watchers.add(onChanges)
    return () => this.#watchers.delete(onChanges)
  }

  /** Holds an agent's stream until either side ends it. */
  async session(nodeId: string, peerAddr: string, stream: Stream): Promise<void> {
    const session = ++this.#sequence
    const end = new SessionEnd(stream)
    this.#sessions.set(session, end)
    const step = (input: SessionInput): void => {
      this.#manager.step({ kind: 'session', input })
      this.#options.loop.wake()
    }
    step({ kind: 'opened', session, nodeId, peerAddr })
    end.onBlocked = (isBlocked) => step({ kind: isBlocked ? 'blocked' : 'drained', session })
    try {
      await Promise.race([end.closed, this.#read(session, stream, step)])
    } finally {
      if (this.#sessions.delete(session)) step({ kind: 'closed', session })
    }
  }

  /** If this manager leads, another one does afterwards, unless none can within two seconds. */
  async handOver(): Promise<void> {
    if (!this.#manager.isLeading || this.#manager.status().members.length < 2) return
    this.#manager.step({ kind: 'stop' })
    this.#options.loop.wake()
    await this.#untilNotLeading()
  }

  /** Sessions end, callers are told, and the leadership is handed over first. */
  async close(): Promise<void> {
    await this.handOver()
    this.#isClosed = true
    this.#options.loop.remove(this)
    const over = new SwarmError('unavailable', 'this node stops being a manager', {
      retriable: true,
    })
    for (const end of this.#sessions.values()) end.close(over)
    this.#sessions = new Map()
    for (const waiting of [this.#writes, this.#reads, this.#relays, this.#commands, this.#digests])
      for (const waiter of waiting.values()) waiter.reject(over)
    for (const call of this.#forwards) call.cancel(STOPPED)
    for (const { channel } of this.#channels.values()) channel.close()
    await this.#port?.close()
  }

  /** New connections to managers use the renewed certificate. */
  renewed(): void {
    this.#port?.setIdentity(this.#options.identity())
    for (const call of this.#forwards) call.end()
    for (const { channel } of this.#channels.values()) channel.close()
    this.#channels = new Map()
  }

  async #untilNotLeading(): Promise<void> {
    for (let waited = 0; waited < HAND_OVER_MS && this.#manager.isLeading; waited += POLL_MS)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }

  async #read(session: number, stream: Stream, step: (input: SessionInput) => void): Promise<void> {
    for await (const message of stream) step({ kind: 'received', session, message })
  }

  #ask<T>(waiting: Map<number, Waiter<T>>, step: (id: number) => void): Promise<T> {
    if (this.#isClosed)
      return Promise.reject(
        new SwarmError('unavailable', 'this node stops being a manager', { retriable: true }),
      )
    const id = ++this.#sequence
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject })
      step(id)
      this.#options.loop.wake()
    })
  }

  #carryOut(output: ManagerOutput): void {
    switch (output.kind) {
      case 'consensus':
        this.#port?.push(output.input)
        break
      case 'answer':
        settle(this.#writes, output.id, output.outcome)
        break
      case 'read-answer':
        settle(
          this.#reads,
          output.id,
          output.outcome instanceof SwarmError ? output.outcome : this.#manager.view(),
        )
        break
      case 'relay-answer':
        settle(this.#relays, output.id, output.outcome)
        break
      case 'command-answer':
        settle(this.#commands, output.id, output.isDelivered)
        break
      case 'forward':
        this.#forward(output.id, output.to, output.request)
        break
      case 'relay':
        this.#relayTo(output.id, output.to, output.request)
        break
      case 'pass':
        this.#pass(output)
        break
      case 'send':
        this.#sessions.get(output.session)?.send(output.message)
        break
      case 'close': {
        const end = this.#sessions.get(output.session)
        this.#sessions.delete(output.session)
        end?.close(output.reason)
        break
      }
      case 'ask-digest':
        this.#askDigest(output.to, output.index)
        break
      case 'digest-answer':
        settle(this.#digests, output.id, output.digest)
        break
      case 'fatal':
        this.#options.onFatal(new Error(output.reason))
        break
      case 'applied':
        this.#endIfDowngraded(output)
        for (const watcher of this.#watchers)
          watcher(output.isReset ? undefined : output.changes, this.#manager.view())
        break
      default:
        output satisfies never
    }
  }

  /** What a newer version writes from now on this one would lose, or not understand. */
  #endIfDowngraded(output: Extract<ManagerOutput, { readonly kind: 'applied' }>): void {
    if (!output.isReset && !output.changes.some(({ table }) => table === 'clusters')) return
    const reason = findDowngrade(this.#manager.view())
    if (reason !== undefined) this.#options.onFatal(new Error(reason))
  }

  #client(member: Member): Client<typeof controlService> {
    const key = `${member.nodeId}@${member.addr}`
    const known = this.#channels.get(key)
    if (known !== undefined) return known.client
    const { certificatePem, keyPem, rootPem } = this.#options.identity()
    const channel = newChannel(member.addr, {
      credentials: {
        kind: 'tls',
        ca: rootPem,
        identity: { cert: certificatePem, key: keyPem },
        serverName: member.nodeId,
      },
      keepaliveTimeMs: 1_000,
      keepaliveTimeoutMs: 1_000,
    })
    const client = newClient(channel, controlService)
    this.#channels.set(key, { channel, client })
    return client
  }

  #forward(id: number, to: Member, request: WriteRequest): void {
    this.#forwardCall(to).send(id, request, this.#options.loop.now().monotonicMs)
  }

  #forwardCall(to: Member): ForwardCall {
    for (const call of this.#forwards) if (call.to === to.raftId && call.isOpen) return call
    const call = new ForwardCall({
      to: to.raftId,
      stream: this.#client(to).forward(),
      onDone: (id, outcome) => {
        this.#manager.step({ kind: 'forward-done', id, outcome })
        this.#options.loop.wake()
      },
      onEnd: () => this.#forwards.delete(call),
    })
    this.#forwards.add(call)
    return call
  }

  #relayTo(id: number, to: Member, request: RelayRequest): void {
    const done = (reply: RelayReply | undefined): void => {
      this.#manager.step({ kind: 'relay-done', id, reply })
      this.#options.loop.wake()
    }
    this.#client(to)
      .relay(request, { deadlineMs: 1_000 })
      .then(done, () => done(undefined))
  }

  #askDigest(to: Member, index: number): void {
    const done = (digest: Uint8Array | undefined): void => {
      this.#manager.step({ kind: 'digest-done', raftId: to.raftId, index, digest })
      this.#options.loop.wake()
    }
    this.#client(to)
      .digest({ index }, { deadlineMs: PEER_DEADLINE_MS })
      .then(
        (reply) => done(reply.digest),
        () => done(undefined),
      )
  }

  #pass(output: Extract<ManagerOutput, { readonly kind: 'pass' }>): void {
    const { id, to, nodeId, command, hops } = output
    const done = (isDelivered: boolean): void => {
      this.#manager.step({ kind: 'pass-done', id, isDelivered })
      this.#options.loop.wake()
    }
    this.#client(to)
      .command({ nodeId, command, hops }, { deadlineMs: PEER_DEADLINE_MS })
      .then(
        (reply) => done(reply.delivered),
        () => done(false),
      )
  }
}

/** One agent's stream as the manager writes to it: in order, and saying when it is full. */
class SessionEnd {
  readonly closed: Promise<void>
  onBlocked: (isBlocked: boolean) => void = () => undefined
  #sender: Sender<SessionMessage>
  #end: Waiter<void> | undefined

  constructor(stream: Stream) {
    this.#sender = new Sender(stream, (isBlocked) => this.onBlocked(isBlocked))
    this.closed = new Promise((resolve, reject) => {
      this.#end = { resolve, reject }
    })
    // A session may end before anybody waits for it.
    this.closed.catch(() => undefined)
  }

  send(message: SessionMessage): void {
    this.#sender.send(message)
  }

  /** With a reason the stream ends as failed, without one as finished. */
  close(reason: SwarmError | undefined): void {
    if (reason === undefined) this.#end?.resolve()
    else this.#end?.reject(reason)
  }
}

function settle<T>(waiting: Map<number, Waiter<T>>, id: number, outcome: T | SwarmError): void {
  const waiter = waiting.get(id)
  waiting.delete(id)
  if (outcome instanceof SwarmError) waiter?.reject(outcome)
  else waiter?.resolve(outcome)
}

/** Of what was passed on nobody may say that it was not evaluated. */
const STOPPED: SwarmError = new SwarmError(
  'unavailable',
  'this node stopped being a manager before the leader answered, outcome unknown',
)

const LEADER_GONE: SwarmError = new SwarmError(
  'unavailable',
  'the leader changed before it answered, outcome unknown',
)
