/**
 * NodeStatus: which nodes are alive, judged by the leader on its monotonic clock. This is the one
 * state that is not replicated (DESIGN section 7): a new leader begins with a new NodeStatus, which
 * counts every node as heard at its election plus one period. It answers the relays of managers,
 * knows who holds which session, finds cloned identities, and as one of the reconcilers turns nodes
 * down. Only a registration (`handlers.ts`) makes a node ready.
 */
import type { Log } from '../../lib/log.ts'
import type { HeartbeatRefusal, RelayReply, RelayRequest } from '../../proto/gen/control.ts'
import { emptyNodeStatus, type Node } from '../../proto/gen/objects.ts'
import { withNodeStatus } from '../model/node.ts'
import type { Change } from '../store/change.ts'
import type { Outcome, Round } from '../store/round.ts'
import type { View } from '../store/view.ts'
import { type Heard, hear, newHeard, refusalOf } from './identity.ts'
import { heartbeatPeriodOf } from './session.ts'

/** A ready node that was not heard for so many periods is down. */
export const MISSED_PERIODS_MAX = 5

/** One process of a node's agent. */
type Process = { readonly nodeId: string; readonly instance: string }

export type NodeStatusOptions = {
  readonly term: number
  /** Monotonic, ms: when this manager became leader. */
  readonly electedMs: number
  readonly log: Log
}

export class NodeStatus {
  readonly #term: number
  readonly #electedMs: number
  readonly #log: Log
  #nowMs: number
  /** Nodes that were heard in this term, or were ready when it was looked at them. */
  #heard = new Map<string, Heard>()
  /** Nodes whose status must be looked at, beside those that changed. */
  #toLook = new Set<string>()
  /** Monotonic, ms: before this no node can be overdue. */
  #nextScanMs: number

  constructor(options: NodeStatusOptions) {
    this.#term = options.term
    this.#electedMs = options.electedMs
    this.#log = options.log
    this.#nowMs = options.electedMs
    this.#nextScanMs = options.electedMs
  }

  /** `nowMs` is monotonic; before the other calls of a round. */
  tick(nowMs: number): void {
    this.#nowMs = nowMs
  }

  /** The answer to a manager's heartbeats, which are counted. `view` is the leader's own. */
  relay(view: View, request: RelayRequest): RelayReply {
    const periodMs = heartbeatPeriodOf(view)
    const refusals: HeartbeatRefusal[] = []
    const notReadyNodeIds: string[] = []
    for (const { nodeId, instance } of request.heartbeats) {
      const reason = this.#hear(view, { nodeId, instance, holder: request.holder, periodMs })
      if (reason !== undefined) refusals.push({ nodeId, instance, reason })
      else if (!this.#isReady(view, nodeId)) notReadyNodeIds.push(nodeId)
    }
    return { term: this.#term, refusals, appliedIndex: view.index, notReadyNodeIds }
  }

  /** Raft id of the manager that holds the node's session; undefined when it was not heard yet. */
  findHolder(nodeId: string): number | undefined {
    const holder = this.#heard.get(nodeId)?.holder
    return holder === 0 ? undefined : holder
  }

  /** Why this instance of a node must not register or report; undefined when it may. */
  findRefusal(view: View, asker: Process): string | undefined {
    const heard = this.#heard.get(asker.nodeId)
    if (heard === undefined) return undefined
    const periodMs = heartbeatPeriodOf(view)
    return refusalOf(heard, { instance: asker.instance, periodMs, nowMs: this.#nowMs })
  }

  /** A reconciler: nodes to turn down, and the names of cloned ones in their status. */
  reconcile(round: Round): Outcome {
    const periodMs = heartbeatPeriodOf(round.view)
    const changes: Change[] = []
    for (const node of this.#nodesToLook(round)) {
      const change = this.#judge(node, { now: round.now, periodMs })
      if (change !== undefined) changes.push({ kind: 'update', table: 'nodes', object: change })
    }
    for (const nodeId of round.changed.ids.nodes)
      if (round.view.nodes.get(nodeId) === undefined) this.#heard.delete(nodeId)
    const nextMs = round.now + Math.max(0, this.#nextScanMs - this.#nowMs)
    return { changes, nextMs: Number.isFinite(nextMs) ? nextMs : undefined }
  }

  #hear(
    view: View,
    heartbeat: { nodeId: string; instance: string; holder: number; periodMs: number },
  ): string | undefined {
    const { nodeId, instance } = heartbeat
    if (view.nodes.get(nodeId) === undefined) return `node ${nodeId} is not part of the swarm`
    const heard = this.#heard.get(nodeId) ?? newHeard(this.#nowMs)
    this.#heard.set(nodeId, heard)
    const before = heard.refused?.instance
    const reason = hear(heard, { ...heartbeat, nowMs: this.#nowMs })
    if (heard.refused !== undefined && heard.refused.instance !== before) {
      this.#toLook.add(nodeId)
      const refused = heard.refused.instance
      this.#log.warn({ node: nodeId, inUse: instance, refused }, 'cloned identity found')
      // What is stored of the node, its address among it, is the clone's.
      return `another host, ${refused}, registered as this node: register anew`
    }
    return reason
  }

  /** Neither turned down, nor about to be by what is not committed yet. */
  #isReady(view: View, nodeId: string): boolean {
    const isStored = view.nodes.get(nodeId)?.status?.state === 'ready'
    return isStored && this.#heard.get(nodeId)?.wasReady === true
  }

  /** All nodes when one may be overdue, else only those that changed. */
  #nodesToLook({ view, changed }: Round): Iterable<Node> {
    if (changed.all || this.#nowMs >= this.#nextScanMs) {
      this.#nextScanMs = Number.POSITIVE_INFINITY
      this.#toLook.clear()
      return view.nodes.list()
    }
    const ids = new Set([...changed.ids.nodes, ...this.#toLook])
    this.#toLook.clear()
    return [...ids].flatMap((nodeId) => view.nodes.get(nodeId) ?? [])
  }

  /** The node as it must be stored now; undefined when it is stored so. */
  #judge(node: Node, time: { now: number; periodMs: number }): Node | undefined {
    const heard = this.#heardOf(node, time.periodMs)
    const status = node.status ?? emptyNodeStatus
    heard.wasReady = status.state === 'ready'
    const down = (message: string): Node => {
      heard.wasReady = false
      this.#log.info({ node: node.id, reason: message }, 'node turned down')
      const turned = withNodeStatus(node, { ...status, state: 'down', message }, time.now)
      return { ...turned, returnUntilMs: 0 }
    }
    if (status.state === 'disconnected') {
      if (time.now >= node.returnUntilMs) return down('did not return in time')
      this.#scanBy(this.#nowMs + node.returnUntilMs - time.now)
      return undefined
    }
    if (status.state !== 'ready') return undefined
    const overdueMs = heard.heardMs + MISSED_PERIODS_MAX * time.periodMs
    if (this.#nowMs >= overdueMs) return down('heartbeat failure')
    this.#scanBy(overdueMs)
    return this.#nameClones(node, heard)
  }

  #nameClones(node: Node, heard: Heard): Node | undefined {
    const status = node.status ?? emptyNodeStatus
    const { refused } = heard
    const message =
      refused === undefined || refused.untilMs <= this.#nowMs
        ? ''
        : `cloned identity: instance ${refused.instance} is refused, ${heard.instance} is in use`
    if (refused !== undefined && refused.untilMs > this.#nowMs) this.#scanBy(refused.untilMs)
    return status.message === message ? undefined : { ...node, status: { ...status, message } }
  }

  /** A node that became ready just now was heard just now; others as the election says. */
  #heardOf(node: Node, periodMs: number): Heard {
    const known = this.#heard.get(node.id)
    const isReady = node.status?.state === 'ready'
    if (known === undefined) {
      const heardMs = Math.max(this.#electedMs + periodMs, isReady ? this.#nowMs : 0)
      const heard = newHeard(heardMs)
      this.#heard.set(node.id, heard)
      return heard
    }
    if (isReady && !known.wasReady) known.heardMs = Math.max(known.heardMs, this.#nowMs)
    return known
  }

  #scanBy(atMs: number): void {
    this.#nextScanMs = Math.min(this.#nextScanMs, atMs)
  }
}
