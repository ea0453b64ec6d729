/**
 * RawNode: the Raft core as one machine. Its methods are what may happen to a node; what is to be
 * done because of it comes out of `ready()`. It persists, sends and applies nothing itself, knows
 * no clock, and is deterministic but for the election timeouts drawn from the given Random.
 * Semantics are those of etcd-io/raft's RawNode (docs/raft.md).
 */
import type { Random } from '../../lib/random.ts'
import type { ConfChangeV2, ConfState, Entry, HardState, Message, Snapshot } from './message.ts'
import type { Storage } from './storage.ts'

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader'

export type Config = {
  readonly id: number
  readonly electionTicks: number
  readonly heartbeatTicks: number
  readonly storage: Storage
  readonly random: Random
  readonly appliedIndex?: number
  readonly asyncStorageWrites?: boolean
  readonly preVote?: boolean
  readonly checkQuorum?: boolean
  readonly readOnly?: 'safe' | 'lease-based'
  readonly disableProposalForwarding?: boolean
  readonly disableConfChangeValidation?: boolean
  readonly stepDownOnRemoval?: boolean
  readonly messageBytesMax?: number
  readonly committedBytesPerReadyMax?: number
  readonly uncommittedBytesMax?: number
  readonly inflightMessagesMax?: number
  readonly inflightBytesMax?: number
}

export type SoftState = { readonly leader: number; readonly role: Role }
export type ReadState = { readonly index: number; readonly context: Uint8Array }

export type Ready = {
  readonly softState: SoftState | undefined
  readonly hardState: HardState | undefined
  readonly readStates: readonly ReadState[]
  readonly entries: readonly Entry[]
  readonly snapshot: Snapshot | undefined
  readonly committedEntries: readonly Entry[]
  readonly messages: readonly Message[]
  readonly mustSync: boolean
}

export type StepOutcome = 'ok' | 'proposal-dropped' | 'local-message' | 'peer-not-found'

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

export type ProgressStatus = {
  readonly state: 'probe' | 'replicate' | 'snapshot'
  readonly match: number
  readonly next: number
  readonly isLearner: boolean
  readonly isPaused: boolean
  readonly recentActive: boolean
  readonly pendingSnapshot: number
  readonly inflightCount: number
  readonly inflightFull: boolean
}

export type Status = BasicStatus & {
  readonly confState: ConfState
  /** By node id, ascending; empty unless this node leads. */
  readonly progress: ReadonlyMap<number, ProgressStatus>
}

export declare class RawNode {
  constructor(config: Config)
  step(message: Message): StepOutcome
  tick(): void
  campaign(): void
  propose(data: Uint8Array): StepOutcome
  proposeConfChange(change: ConfChangeV2, options?: { readonly v1: boolean }): StepOutcome
  applyConfChange(change: ConfChangeV2): ConfState
  readIndex(context: Uint8Array): void
  transferLeader(target: number): void
  forgetLeader(options?: { readonly electionTicks: number }): void
  reportUnreachable(id: number): void
  reportSnapshot(id: number, outcome: 'finished' | 'failed'): void
  hasReady(): boolean
  ready(): Ready | undefined
  advance(ready: Ready): void
  status(): Status
  basicStatus(): BasicStatus
}
