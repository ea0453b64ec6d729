/**
 * NodeStatus: which nodes are alive, judged by the leader on its monotonic clock. This is the one
 * state that is not replicated (DESIGN section 7): a new leader begins with a new NodeStatus, which
 * counts every node as heard at its election plus one period. It answers the relays of managers,
 * knows who holds which session, finds cloned identities, and as the first of the reconcilers
 * turns nodes down. Only a registration (`handlers.ts`) makes a node ready.
 */
import type { Log } from '../../lib/log.ts'
import type { RelayReply, RelayRequest } from '../../proto/gen/control.ts'
import type { Outcome, Round } from '../store/round.ts'
import type { View } from '../store/view.ts'

export type NodeStatusOptions = {
  readonly term: number
  /** Monotonic, ms: when this manager became leader. */
  readonly electedMs: number
  readonly log: Log
}

export declare class NodeStatus {
  constructor(options: NodeStatusOptions)
  /** `nowMs` is monotonic; before the other calls of a round. */
  tick(nowMs: number): void
  /** The answer to a manager's heartbeats. */
  relay(view: View, request: RelayRequest): RelayReply
  /** Raft id of the manager that holds the node's session; undefined when it was not heard yet. */
  findHolder(nodeId: string): number | undefined
  /** Why this instance of a node must not register or report; undefined when it may. */
  findRefusal(nodeId: string, instance: string): string | undefined
  /** A reconciler: nodes to turn down, and the names of cloned ones in their status. */
  reconcile(round: Round): Outcome
}
