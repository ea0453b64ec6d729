/**
 * Port Runtime: what the agent needs of whatever runs containers. Real sides: `containerd/`,
 * `process.ts`; the simulator's twin scripts behaviour. Every call is for one task, may be repeated
 * after a failure or a restart of the daemon, and finds its earlier work again by the task's id.
 * The agent's machine (`agent/task.ts`) decides which call is next; a Runtime only carries it out.
 */

import type { Plugin, Task } from '../../proto/gen/objects.ts'
import type { Healthcheck } from '../../proto/gen/specs.ts'
import type { Platform, PortConfig, Resources } from '../../proto/gen/types.ts'

export interface Runtime {
  readonly name: 'containerd' | 'process'
  /** What the host offers; `warnings` name what is missing, with the remedy. */
  describe(): Promise<RuntimeDescription>
  /** Every container of this node, running or not, also those of an earlier daemon. */
  list(): Promise<readonly Container[]>
  /**
   * Fetches the image, makes volumes and the container; nothing runs afterwards. A SwarmError
   * says why not (state rejected); with `retriable` the same call may succeed later.
   */
  prepare(task: Task, signal: AbortSignal): Promise<void>
  /** Starts the prepared container. Never called twice for a task (DESIGN section 7). */
  start(task: Task): Promise<Started>
  /**
   * Runs a health check once in the container, which runs. Resolves when the check and all that it
   * started has ended: soon after its timeout or `signal` at the latest. A SwarmError says why it
   * could not be run; with `retriable` that is not the container's fault.
   */
  probe(task: Task, probe: Probe, signal: AbortSignal): Promise<ProbeOutcome>
  /** Stop signal, then SIGKILL to the whole cgroup after the grace. Resolves when nothing runs. */
  stop(task: Task): Promise<void>
  /** Removes the container, its files and anonymous volumes. Resolves also when there is none. */
  remove(taskId: string): Promise<void>
  /** Calls `onExit` once for each container that ends, also for those adopted by `list`. */
  watch(onExit: (exit: Exit) => void): void
  /** Lines of a container, running or kept. Ends after the last line unless `follow`. */
  logs(taskId: string, options: LogOptions): AsyncIterable<ContainerLine>
  /** Releases connections; containers go on. */
  close(): Promise<void>
}

export type RuntimeDescription = {
  readonly platform: Platform
  readonly resources: Resources
  readonly engineVersion: string
  readonly plugins: readonly Plugin[]
  readonly warnings: readonly string[]
}

export type Container = {
  readonly taskId: string
  readonly containerId: string
  /** `created`: prepared, never started. */
  readonly state: 'created' | 'running' | 'exited'
  readonly pid: number
  /** Meaningful in state `exited`. */
  readonly exit: Exit | undefined
  readonly hostPorts: readonly PortConfig[]
  /** What the image says, where it says something. */
  readonly imageCheck?: Healthcheck
}

export type Started = {
  readonly containerId: string
  readonly pid: number
  /** Ports in mode host as they were opened (published_port 0 is filled). */
  readonly hostPorts: readonly PortConfig[]
  /** What the image says, where it says something. */
  readonly imageCheck?: Healthcheck
}

export type Probe = {
  /** Docker's: CMD and a command, or CMD-SHELL and a line for the image's shell. */
  readonly test: readonly string[]
  /** From the start of the check's process on. */
  readonly timeoutMs: number
}

export type ProbeOutcome =
  | { readonly kind: 'exited'; readonly exitCode: number; readonly output: string }
  /** It took too long, or was given up. */
  | { readonly kind: 'late'; readonly output: string }

export type Exit = {
  readonly taskId: string
  readonly exitCode: number
  readonly oomKilled: boolean
  /** Why there is no exit code, e.g. `runtime lost`; empty when there is one. */
  readonly error: string
  readonly atMs: number
}

export type LogOptions = {
  readonly follow: boolean
  readonly stdout: boolean
  readonly stderr: boolean
  /** Lines from the end; -1 is all. */
  readonly tail: number
  /** Wall time, ms; 0 is the beginning. */
  readonly sinceMs: number
  readonly signal: AbortSignal
}

export type ContainerLine = {
  readonly stream: 'stdout' | 'stderr'
  /** Wall time at which it was read: milliseconds, and the nanoseconds below one. */
  readonly timestampMs: number
  readonly timestampNs: number
  /** Without the newline. */
  readonly data: Uint8Array
  /** The line goes on in the next one. */
  readonly partial: boolean
}
