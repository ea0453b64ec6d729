/**
 * Port Backend: what the HTTP API needs of the daemon that serves it, whatever the node's role is.
 * The daemon's side is `node/backend.ts`. Handlers behind `write` run on the leader wherever it is;
 * `read` waits until this manager's state is as new as any acknowledged write. On a worker, or
 * before a swarm, both refuse with Docker's words (swarm-mode.md 6.1).
 */
import type { WriteReply, WriteRequest } from '../../proto/gen/control.ts'
import type { LogLine } from '../../proto/gen/logs.ts'
import type { Health } from '../../proto/gen/objects.ts'
import type { ClusterSpec } from '../../proto/gen/specs.ts'
import type { Availability } from '../../proto/gen/types.ts'
import type { Change } from '../store/change.ts'
import type { View } from '../store/view.ts'

export interface Backend {
  /** What this node is now; never waits and never needs a quorum. */
  local(): LocalNode
  /**
   * The state for a read: linearizable, or with `stale` whatever this manager has. Refuses with
   * `unavailable` on a worker, outside of a swarm, or without a leader.
   */
  read(consistency: 'linearizable' | 'stale'): Promise<View>
  /** The request is committed; refusals are the handlers' (`manager/api/*.ts`). */
  write(body: NonNullable<WriteRequest['body']>): Promise<WriteReply>
  /** A new cluster with this node as its only manager; the node's id. */
  init(request: InitRequest): Promise<string>
  /** This node is part of the cluster. */
  join(request: JoinRequest): Promise<void>
  /** This node is part of no cluster any more, its tasks are stopped and its state is gone. */
  leave(options: { readonly force: boolean }): Promise<void>
  /** Lines of tasks on any node, merged as they come; ends by itself unless `follow`. */
  logs(request: LogsRequest): AsyncIterable<LogEvent>
  /** Calls `onChanges` for each step of the applied state; `undefined` says that steps are missing. */
  watch(onChanges: (changes: readonly Change[] | undefined, view: View) => void): () => void
  /** Health of a container of this very node, with all that its checks said; undefined for any other. */
  findHealth(taskId: string): Health | undefined
  /** Prometheus text. */
  metrics(): string
}

export type LocalNode = {
  /** Empty outside of a swarm. */
  readonly nodeId: string
  readonly clusterId: string
  /** Docker's LocalNodeState. */
  readonly state: 'inactive' | 'pending' | 'active' | 'error' | 'locked'
  readonly error: string
  /** Whether this node is a manager that can serve. */
  readonly isManager: boolean
  /** IP under which the others know this node. */
  readonly addr: string
  readonly hostname: string
  readonly version: string
  readonly platform: { readonly architecture: string; readonly os: string }
  readonly kernelVersion: string
  readonly operatingSystem: string
  readonly nanoCpus: number
  readonly memoryBytes: number
  readonly engineLabels: ReadonlyMap<string, string>
  /** containerd or process. */
  readonly runtime: string
  readonly stateDirectory: string
  readonly warnings: readonly string[]
  readonly runningContainers: number
  readonly stoppedContainers: number
  /** Managers as this node knows them; on a manager also who leads and who can be reached. */
  readonly managers: readonly KnownManager[]
}

export type KnownManager = {
  readonly nodeId: string
  /** host:port of the control listener. */
  readonly addr: string
  readonly isLeader: boolean
  readonly isReachable: boolean
}

export type InitRequest = {
  /** host:port, empty for the daemon's own. */
  readonly listenAddr: string
  readonly advertiseAddr: string
  readonly availability: Availability
  /** Defaults filled by the caller (`manager/ca/ca.ts`, defaultClusterSpec). */
  readonly spec: ClusterSpec
  /** This manager goes on alone with what it has; addresses apart, the rest of the request is not used. */
  readonly forceNewCluster: boolean
}

export type JoinRequest = {
  readonly listenAddr: string
  readonly advertiseAddr: string
  readonly remoteAddrs: readonly string[]
  readonly joinToken: string
  readonly availability: Availability
}

export type LogsRequest = {
  readonly taskIds: readonly string[]
  /** Tasks of this service that come later are followed too; empty for tasks alone. */
  readonly serviceId: string
  readonly follow: boolean
  readonly stdout: boolean
  readonly stderr: boolean
  /** Lines from the end of each task's log; -1 is all. */
  readonly tail: number
  /** Wall time, ms. */
  readonly sinceMs: number
  readonly signal: AbortSignal
}

export type LogEvent =
  | {
      readonly kind: 'line'
      readonly nodeId: string
      readonly taskId: string
      readonly line: LogLine
    }
  /** What could not be read, as a sentence for the user. */
  | { readonly kind: 'gap'; readonly message: string }
