/**
 * Agent: the part of a node that runs tasks, as one machine. It composes the session with a manager
 * (`session.ts`), the tasks (`worker.ts`) and what must still be reported (`reporter.ts`); each
 * decides its own part. It calls nothing: the shell dials, sends, runs the operations on a Runtime
 * and keeps the state on disk, and reports back through `step()`. DESIGN section 7, docs/sessions.md.
 */
import type { SwarmError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { Random } from '../lib/random.ts'
import type {
  AgentCommand,
  AgentMessage,
  AssignmentMark,
  ManagerAddress,
  NodeChange,
  SessionMessage,
} from '../proto/gen/dispatcher.ts'
import type { NodeDescription, Task } from '../proto/gen/objects.ts'
import type { Container, Exit, Started } from './runtime/runtime.ts'

export type AgentInput =
  /** What the node has; no session is opened before the first. */
  | { readonly kind: 'described'; readonly description: NodeDescription }
  /** Every container of this node as the agent starts; once, and before any session. */
  | { readonly kind: 'containers'; readonly list: readonly Container[] }
  /** Managers to try: at start those of the configuration or the join, later as need be. */
  | { readonly kind: 'managers'; readonly managers: readonly ManagerAddress[] }
  | { readonly kind: 'connected'; readonly session: number }
  | { readonly kind: 'received'; readonly session: number; readonly message: SessionMessage }
  /** The stream ended, or was never opened; `error` is why, undefined for a clean end. */
  | {
      readonly kind: 'disconnected'
      readonly session: number
      readonly error: SwarmError | undefined
    }
  | { readonly kind: 'persisted'; readonly version: number }
  | { readonly kind: 'operation-done'; readonly id: number; readonly result: OperationResult }
  | { readonly kind: 'exited'; readonly exit: Exit }
  /** The daemon stops and is back within `returnMs`; tasks go on. Ends with the output `done`. */
  | { readonly kind: 'stop'; readonly returnMs: number }
  /** The node leaves: all tasks are stopped and removed. Ends with the output `done`. */
  | { readonly kind: 'leave' }

export type OperationResult =
  | { readonly kind: 'done' }
  /** Of a start. */
  | { readonly kind: 'started'; readonly started: Started }
  | { readonly kind: 'failed'; readonly error: SwarmError }

/** One call of a Runtime. */
export type Operation =
  | { readonly kind: 'prepare'; readonly task: Task }
  | { readonly kind: 'start'; readonly task: Task }
  | { readonly kind: 'stop'; readonly task: Task }
  | { readonly kind: 'remove'; readonly task: Task }

export type AgentOutput =
  /** Open a stream; answered by `connected` or `disconnected`. `session` is never used again. */
  | { readonly kind: 'dial'; readonly session: number; readonly addr: string }
  | { readonly kind: 'send'; readonly session: number; readonly message: AgentMessage }
  /** Close the stream, or give the dialing up; no `disconnected` is expected for it. */
  | { readonly kind: 'hangup'; readonly session: number }
  /** Answered by `operation-done` whatever happens. Operations of different tasks may overlap. */
  | { readonly kind: 'operation'; readonly id: number; readonly operation: Operation }
  /** Abort a `prepare`, which is then answered, most likely as failed. */
  | { readonly kind: 'cancel'; readonly id: number }
  /** Make `state` durable instead of what was before; answered by `persisted`. One at a time. */
  | { readonly kind: 'persist'; readonly version: number; readonly state: Uint8Array }
  | { readonly kind: 'command'; readonly command: AgentCommand }
  | { readonly kind: 'node-changed'; readonly change: NodeChange }
  | { readonly kind: 'managers-changed'; readonly managers: readonly ManagerAddress[] }
  /** After `stop` or `leave`: the machine does nothing any more. */
  | { readonly kind: 'done' }

export type AgentOptions = {
  readonly nodeId: string
  /** Of the host's kernel. */
  readonly bootId: string
  /** Drawn at random by each process. */
  readonly instance: string
  readonly random: Random
  readonly log: Log
  /** What the last `persist` of this node held; undefined when there is none. */
  readonly state: Uint8Array | undefined
  readonly now: Now
}

export type Now = {
  /** Monotonic, ms. */
  readonly nowMs: number
  /** Wall time, ms: for the stamps of statuses, which are only displayed. */
  readonly wallMs: number
}

export type AgentStatus = {
  readonly session: 'idle' | 'dialing' | 'hello' | 'running' | 'closing' | 'closed'
  /** The manager of the session, if there is one. */
  readonly manager: ManagerAddress | undefined
  readonly mark: AssignmentMark
  readonly tasks: number
  /** The metric agent_session_starts_total. */
  readonly sessionStarts: number
  /** Sets that were refused because they were older than one accepted before. */
  readonly setsRefused: number
}

export declare class Agent {
  constructor(options: AgentOptions)
  step(input: AgentInput): void
  /** To be called every 50 ms or so, and before the inputs of a round. */
  tick(now: Now): void
  ready(): readonly AgentOutput[] | undefined
  advance(outputs: readonly AgentOutput[]): void
  status(): AgentStatus
}
