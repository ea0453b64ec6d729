/**
 * Port Host: what the containerd runtime needs of the machine around it, and cannot do itself because
 * the daemon must neither spawn (`docs/containers.md`) nor take a container's pipes with it when it
 * dies. Real side: the keeper's client (`node/keeper/`). Every call is for one task, may be repeated,
 * and finds its earlier work again by the task's id, also after a restart of daemon or keeper.
 */
import type { PortConfig } from '../../../proto/gen/types.ts'

export interface Host {
  readonly facts: HostFacts
  /** Both FIFOs exist and are being read into `facts.logDirectory`; see `agent/runtime/log-file.ts`. */
  openLogs(taskId: string): Promise<LogPipes>
  /**
   * Everything written to the FIFOs before this call stands in the task's log files, and the FIFOs
   * are gone. The files stay. Called after the container's process has ended; no effect twice.
   */
  closeLogs(taskId: string): Promise<void>
  /** The network namespace that the container is going to join, and how it looks from inside. */
  attachNetwork(taskId: string, options: NetworkOptions): Promise<NetworkAttachment>
  /** What `attachNetwork` made is gone; no effect twice. */
  detachNetwork(taskId: string): Promise<void>
  /**
   * The ports are reserved and lead to the task; the same list with `publishedPort` filled. Throws
   * SwarmError 'already-exists' naming the port that somebody else holds; then none of them is open.
   */
  openPorts(taskId: string, options: PortOptions): Promise<readonly PortConfig[]>
  /** What `openPorts` opened is closed; no effect twice. */
  closePorts(taskId: string): Promise<void>
  /** The command has ended, whatever its exit code. Never through a shell. */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>
}

/** Found out once, when the keeper started containerd or was adopted. */
export type HostFacts = {
  /** The address of containerd for gRPC: `unix:///run/tsswarm/HASH/containerd.sock`. */
  readonly containerdAddress: string
  /** Where runc keeps its state: below `/run/tsswarm/HASH`. */
  readonly runtimeRoot: string
  /** A folder a task in it: `log-file.ts` says which files. */
  readonly logDirectory: string
  /** `native` where an overlay mount in the state directory was tried and failed. */
  readonly snapshotter: 'overlayfs' | 'native'
  /** `systemd` only where it is PID 1 and the host has cgroup v2 alone. */
  readonly cgroupDriver: 'cgroupfs' | 'systemd'
  /**
   * The containers' parent cgroup. cgroupfs: a path below each hierarchy, `/tsswarm/HASH`. systemd:
   * slice and prefix joined by a colon, `tsswarm.slice:tsswarm-HASH`.
   */
  readonly cgroupParent: string
  /** What the host lacks, each with its remedy; part of the node's description. */
  readonly warnings: readonly string[]
}

export type LogPipes = { readonly stdoutFifo: string; readonly stderrFifo: string }

export type NetworkOptions = {
  /** `host`: the host's own namespace. `link`: a namespace with one routed link to the outside. */
  readonly mode: 'host' | 'link'
  /** The container's host name. */
  readonly hostname: string
}

export type NetworkAttachment = {
  /** A path that stays until `detachNetwork`; undefined in mode host. */
  readonly netnsPath: string | undefined
  /** The task's own address without prefix length; undefined in mode host. */
  readonly address: string | undefined
  /** The text of the container's /etc/resolv.conf. */
  readonly resolvConf: string
}

export type PortOptions = {
  /** Where the task listens: what `attachNetwork` answered. */
  readonly address: string
  readonly ports: readonly PortConfig[]
}

export type RunOptions = { readonly timeoutMs?: number }

export type RunResult = {
  /** 128 + signal number where a signal ended it, as shells count. */
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}
