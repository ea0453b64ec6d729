/**
 * What goes into the manager machine and what comes out of it. Each question of a caller carries a
 * number of the caller's and is answered once by an output of the same number; each output that asks
 * another manager carries one of the machine's and is answered by an input. `manager.ts` decides;
 * `node/manager-shell.ts`, or the simulator, carries out.
 */
import type { SwarmError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { Random } from '../lib/random.ts'
import type { RelayReply, RelayRequest, WriteReply, WriteRequest } from '../proto/gen/control.ts'
import type { AgentCommand } from '../proto/gen/dispatcher.ts'
import type { Member } from '../proto/gen/types.ts'
import type { ConsensusInput, MainEvent, MemberState } from './consensus-interface.ts'
import type { DispatcherInput, DispatcherOutput } from './dispatcher/dispatcher.ts'
import type { Loop } from './leader.ts'
import type { Change } from './store/change.ts'
import type { Handled, HandlerContext } from './store/handler.ts'
import type { View } from './store/view.ts'

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

/** What a manager knows of the group: for `node ls`, `info` and metrics. */
export type ManagerStatus = {
  readonly term: number
  /** Raft id, 0 when unknown. */
  readonly leaderId: number
  readonly isLeading: boolean
  readonly members: readonly MemberState[]
  /** Of agents, held here. */
  readonly sessions: number
}
