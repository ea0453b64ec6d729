/**
 * Dispatcher: the sessions of agents that this manager holds, as one machine. It runs on every
 * manager. It decides when a session may begin (ReadIndex, own store far enough, node registered
 * with the leader), what each node is told (assignments, its own node object, the managers), which
 * heartbeats travel to the leader and which of its answers go back. Liveness is judged by the
 * leader (`node-status.ts`); writes are evaluated there (`handlers.ts`). DESIGN section 7,
 * docs/sessions.md.
 */
import type { SwarmError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import type { RelayReply, RelayRequest, WriteReply, WriteRequest } from '../../proto/gen/control.ts'
import type { AgentCommand, AgentMessage, SessionMessage } from '../../proto/gen/dispatcher.ts'
import type { Change } from '../store/change.ts'
import type { View } from '../store/view.ts'

export type DispatcherInput =
  /** A stream was opened by the node that its certificate names. `session` is never used again. */
  | {
      readonly kind: 'opened'
      readonly session: number
      readonly nodeId: string
      /** IP address under which the node is seen here. */
      readonly peerAddr: string
    }
  | { readonly kind: 'received'; readonly session: number; readonly message: AgentMessage }
  | { readonly kind: 'closed'; readonly session: number }
  /** The stream's buffer is full: assignments wait until `drained`. */
  | { readonly kind: 'blocked'; readonly session: number }
  | { readonly kind: 'drained'; readonly session: number }
  /** The store has applied more entries; `changes` is all that they changed. */
  | { readonly kind: 'applied'; readonly view: View; readonly changes: readonly Change[] }
  /** The store was replaced: everything may have changed. */
  | { readonly kind: 'reset'; readonly view: View }
  /** What this manager's consensus knows of the leader; at start and at each change. */
  | { readonly kind: 'leader'; readonly term: number; readonly isKnown: boolean }
  | {
      readonly kind: 'write-done'
      readonly id: number
      readonly outcome: WriteReply | SwarmError
    }
  /** `reply` is undefined when no leader answered. */
  | { readonly kind: 'relay-done'; readonly id: number; readonly reply: RelayReply | undefined }
  /** `index` is undefined when the read was refused. */
  | { readonly kind: 'read-index-done'; readonly id: number; readonly index: number | undefined }
  /** Answered by the output `command-done`. */
  | {
      readonly kind: 'command'
      readonly id: number
      readonly nodeId: string
      readonly command: AgentCommand
    }

export type DispatcherOutput =
  | { readonly kind: 'send'; readonly session: number; readonly message: SessionMessage }
  /** The stream ends with `reason` as its status; no `closed` is expected for it. */
  | { readonly kind: 'close'; readonly session: number; readonly reason: SwarmError }
  /** To be evaluated on the leader, answered by `write-done` whatever happens. */
  | { readonly kind: 'write'; readonly id: number; readonly request: WriteRequest }
  /** To the leader (`NodeStatus.relay` there), answered by `relay-done` whatever happens. */
  | { readonly kind: 'relay'; readonly id: number; readonly request: RelayRequest }
  /** A linearizable read index, answered by `read-index-done` whatever happens. */
  | { readonly kind: 'read-index'; readonly id: number }
  | { readonly kind: 'command-done'; readonly id: number; readonly isDelivered: boolean }

export type DispatcherOptions = {
  /** Raft id of this manager: the holder of its sessions. */
  readonly raftId: number
  /** The store as it is now. */
  readonly view: View
  /** Monotonic, ms. */
  readonly nowMs: number
  readonly log: Log
}

export type DispatcherStatus = {
  readonly sessions: number
  readonly runningSessions: number
  readonly assignmentsSent: number
}

export declare class Dispatcher {
  constructor(options: DispatcherOptions)
  step(input: DispatcherInput): void
  /** `nowMs` is monotonic; to be called every 50 ms or so, and before the inputs of a round. */
  tick(nowMs: number): void
  ready(): readonly DispatcherOutput[] | undefined
  advance(outputs: readonly DispatcherOutput[]): void
  status(): DispatcherStatus
}
