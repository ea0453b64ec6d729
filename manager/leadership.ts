/**
 * Leadership: what a manager has only while it leads, from the first entry of its own term that it
 * applied to the loss of the office (DESIGN section 4): the writer with its queue, the control loops,
 * the liveness of nodes, and whose call each write is. Nothing of it outlives the term; what is
 * waiting then is given back, and what is under way is answered with an unknown outcome.
 */
import { SwarmError } from '../lib/errors.ts'
import type { RelayReply, RelayRequest, WriteReply, WriteRequest } from '../proto/gen/control.ts'
import { planRoles } from './ca/roles.ts'
import type { Origin } from './calls.ts'
import type { MemberState } from './consensus-interface.ts'
import { NodeStatus } from './dispatcher/node-status.ts'
import { Leader } from './leader.ts'
import type { ManagerConfig, ManagerNow } from './manager-interface.ts'
import { LEAVING_RETRY_MS } from './member-requests.ts'
import type { Handled, HandlerContext, ManagerReach } from './store/handler.ts'
import type { Outcome, Round } from './store/round.ts'
import type { Store } from './store/store.ts'
import type { View } from './store/view.ts'
import { reconcileVersions } from './versions.ts'
import { Writer, type WriterEffect } from './writer.ts'

export type LeadershipConfig = Pick<ManagerConfig, 'random' | 'log' | 'handle' | 'loops'> & {
  readonly store: Store
  readonly term: number
  /** Monotonic, ms: when it began. */
  readonly electedMs: number
  readonly members: () => readonly MemberState[]
}

export type LeadershipEffect =
  | Extract<WriterEffect, { readonly kind: 'propose' | 'read-index' }>
  | {
      readonly kind: 'answer'
      readonly origin: Origin
      readonly outcome: WriteReply | SwarmError
    }

/** What is over with a term, in the order in which it is to be answered. */
export type LeadershipEnd = {
  readonly effects: readonly LeadershipEffect[]
  /** Not evaluated: they may go to the next leader. */
  readonly waiting: readonly { readonly origin: Origin; readonly request: WriteRequest }[]
}

export class Leadership {
  readonly #config: LeadershipConfig
  readonly #nodeStatus: NodeStatus
  readonly #loops: Leader
  readonly #writer: Writer
  /** Whose call each write is, by the writer's number. */
  #origins = new Map<number, Origin>()
  #lastId = 0
  /** Raft ids of members whose nodes are to be workers, as of the last round. */
  #leavingIds: readonly number[] = []

  constructor(config: LeadershipConfig) {
    this.#config = config
    const { term, electedMs, log, store, random } = config
    this.#nodeStatus = new NodeStatus({ term, electedMs, log })
    this.#nodeStatus.tick(electedMs)
    this.#loops = new Leader([
      // Both look at all nodes or managers each time: not for every task that changes.
      {
        name: 'roles',
        reconcile: (round) => this.#reconcileRoles(round),
        tables: ['nodes'],
      },
      { name: 'versions', reconcile: reconcileVersions, tables: ['clusters', 'nodes'] },
      { name: 'node-status', reconcile: (round) => this.#nodeStatus.reconcile(round) },
      ...config.loops(),
    ])
    const handle: ManagerConfig['handle'] = (view, request, context) =>
      this.#handle(view, request, context)
    this.#writer = new Writer({ store, leader: this.#loops, random, log, handle }, term, electedMs)
  }

  get leavingIds(): readonly number[] {
    return this.#leavingIds
  }

  tick(monotonicMs: number): void {
    this.#nodeStatus.tick(monotonicMs)
  }

  /** The write waits for its turn; one effect `answer` with its origin follows. */
  submit(origin: Origin, request: WriteRequest): void {
    const id = ++this.#lastId
    this.#origins.set(id, origin)
    this.#writer.submit(id, request)
  }

  /** Writer and control loops go on. */
  run(now: ManagerNow): readonly LeadershipEffect[] {
    this.#writer.run({ ...now, managers: this.#config.members().map(toReach) })
    return this.#takeEffects()
  }

  /** The members of the group are others, or reached otherwise. */
  noteMembers(): void {
    this.#loops.wake('roles')
  }

  /** An entry that this leader proposed was applied at `index`. */
  committed(index: number): void {
    this.#writer.committed(index)
  }

  /** A read that effect `read-index` asked for; `index` is undefined when it was not confirmed. */
  readDone(id: number, index: number | undefined): void {
    if (index === undefined) this.#writer.readRefused(id)
    else this.#writer.readReady(id, index)
  }

  /** Heartbeats of a manager's sessions. */
  relay(view: View, request: RelayRequest): RelayReply {
    return this.#nodeStatus.relay(view, request)
  }

  /** Raft id of the manager that holds the node's session. */
  findHolder(nodeId: string): number | undefined {
    return this.#nodeStatus.findHolder(nodeId)
  }

  stop(): LeadershipEnd {
    const waiting = this.#writer.stop()
    const effects = this.#takeEffects()
    const calls = waiting.flatMap(({ id, request }) => {
      const origin = this.#takeOrigin(id)
      return origin === undefined ? [] : [{ origin, request }]
    })
    return { effects, waiting: calls }
  }

  #takeEffects(): readonly LeadershipEffect[] {
    return this.#writer.takeEffects().flatMap((effect): readonly LeadershipEffect[] => {
      if (effect.kind === 'propose' || effect.kind === 'read-index') return [effect]
      const origin = this.#takeOrigin(effect.id)
      const outcome = effect.kind === 'answer' ? effect.reply : effect.error
      return origin === undefined ? [] : [{ kind: 'answer', origin, outcome }]
    })
  }

  #takeOrigin(id: number): Origin | undefined {
    const origin = this.#origins.get(id)
    this.#origins.delete(id)
    return origin
  }

  /** A node that is held by two processes is refused before anything of it is written. */
  #handle(view: View, request: WriteRequest, context: HandlerContext): Handled {
    const from = findInstance(request)
    const refusal = from === undefined ? undefined : this.#nodeStatus.findRefusal(view, from)
    if (refusal !== undefined) throw new SwarmError('failed-precondition', refusal)
    return this.#config.handle(view, request, context)
  }

  #reconcileRoles({ view, now }: Round): Outcome {
    const plan = planRoles(view, this.#config.members())
    this.#leavingIds = plan.leaving
    const nextMs = plan.leaving.length === 0 ? undefined : now + LEAVING_RETRY_MS
    return { changes: plan.changes, nextMs }
  }
}

/** The process of a node that speaks in this request, if one does. */
function findInstance(
  request: WriteRequest,
): { readonly nodeId: string; readonly instance: string } | undefined {
  const body = request.body
  if (body?.kind === 'nodeRegister') return body.nodeRegister
  if (body?.kind === 'statusReport') return body.statusReport
  return undefined
}

function toReach(member: MemberState): ManagerReach {
  const { nodeId, isVoter, isConnected } = member
  return { nodeId, isVoter, isReachable: isConnected }
}
