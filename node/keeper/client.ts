/**
 * The keeper's calls as the daemon makes them, with their types. It decides nothing: each method is
 * one request (`protocol.ts`), and throws the SwarmError that answered it, or 'unavailable' and
 * retriable where no keeper could be reached (`connection.ts`).
 */

import type { ProcessProbe, ProcessStatus } from '../../agent/runtime/process.ts'
import type { ProbeOutcome } from '../../agent/runtime/runtime.ts'
import { type ConnectionOptions, KeeperConnection } from './connection.ts'
import {
  type CommandResult,
  type HostPort,
  PROTOCOL_VERSION,
  readHostPort,
  readProbeOutcome,
  readProcessStatus,
  readTaskPorts,
  type StartProcessRequest,
  type TaskPorts,
} from './protocol.ts'

const COMMAND_TIMEOUT_MS = 30_000

export type ProbeReport = {
  readonly snapshotter: 'overlayfs' | 'native'
  readonly cgroupDriver: 'cgroupfs' | 'systemd'
  /** What the host lacks, each with its remedy. */
  readonly warnings: readonly string[]
}

export type CommandOptions = {
  /** Commands of one key run one after another, in order. Absent: this one waits for none. */
  readonly key?: string
  readonly input?: string
  readonly timeoutMs?: number
}

export class KeeperClient {
  readonly #connection: KeeperConnection
  #nextKey = 1

  /** Connects, and starts a keeper where there is none; calls may be made at once. */
  constructor(options: ConnectionOptions) {
    this.#connection = new KeeperConnection(options)
  }

  /** The keeper's process id. */
  async pid(): Promise<number> {
    const result = await this.#connection.call({ kind: 'hello', protocol: PROTOCOL_VERSION })
    return result.integer('pid')
  }

  /** What the host can do, each feature tried by use; found out once a keeper. */
  async probe(): Promise<ProbeReport> {
    const result = await this.#connection.call({ kind: 'probe' })
    return {
      snapshotter: result.choice('snapshotter', ['overlayfs', 'native']),
      cgroupDriver: result.choice('cgroupDriver', ['cgroupfs', 'systemd']),
      warnings: result.texts('warnings'),
    }
  }

  /** The private containerd answers on `paths.containerdSocket`, and is kept so. */
  async ensureContainerd(): Promise<void> {
    await this.#connection.call({ kind: 'containerd' })
  }

  /** How the command ended, whatever its exit code. Never through a shell. */
  async run(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const result = await this.#connection.call({
      kind: 'run',
      key: options.key ?? `own-${this.#nextKey++}`,
      argv,
      input: options.input ?? '',
      timeoutMs: options.timeoutMs ?? COMMAND_TIMEOUT_MS,
    })
    return {
      exitCode: result.integer('exitCode'),
      stdout: result.text('stdout'),
      stderr: result.text('stderr'),
    }
  }

  /** The setting below /proc/sys, e.g. `net/ipv4/ip_forward`, has this value. */
  async writeSysctl(path: string, value: string): Promise<void> {
    await this.#connection.call({ kind: 'sysctl', path, value })
  }

  /** The task's FIFOs, which exist and are read into its log files. */
  async openLogs(taskId: string): Promise<{ readonly stdout: string; readonly stderr: string }> {
    const result = await this.#connection.call({ kind: 'open-logs', taskId })
    return { stdout: result.text('stdout'), stderr: result.text('stderr') }
  }

  /** What was in the FIFOs stands in the log files, and they are gone. */
  async closeLogs(taskId: string): Promise<void> {
    await this.#connection.call({ kind: 'close-logs', taskId })
  }

  /** The ports are reserved and proxied to the address; 'already-exists' names one that is taken. */
  async openPorts(request: TaskPorts): Promise<readonly HostPort[]> {
    const result = await this.#connection.call({ kind: 'open-ports', ...request })
    return result.objects('ports', readHostPort)
  }

  async closePorts(taskId: string): Promise<void> {
    await this.#connection.call({ kind: 'close-ports', taskId })
  }

  /** The open ports of every task. */
  async listPorts(): Promise<readonly TaskPorts[]> {
    const result = await this.#connection.call({ kind: 'list-ports' })
    return result.objects('tasks', readTaskPorts)
  }

  /** The process runs or ran; it is never started twice. */
  async startProcess(request: Omit<StartProcessRequest, 'kind'>): Promise<ProcessStatus> {
    return readProcessStatus(await this.#connection.call({ kind: 'start-process', ...request }))
  }

  /** The signal, by its number, went to the task's process group, if there is one still. */
  async signalProcess(taskId: string, signal: number): Promise<void> {
    await this.#connection.call({ kind: 'signal-process', taskId, signal })
  }

  /** An ended process is forgotten. */
  async removeProcess(taskId: string): Promise<void> {
    await this.#connection.call({ kind: 'remove-process', taskId })
  }

  /** The health check has ended, and so has all that it started. */
  async probeProcess(probe: ProcessProbe): Promise<ProbeOutcome> {
    return readProbeOutcome(await this.#connection.call({ kind: 'probe-process', ...probe }))
  }

  /** The task's health check under way is given up. */
  async endProbe(taskId: string): Promise<void> {
    await this.#connection.call({ kind: 'end-probe', taskId })
  }

  /** Every process that was not removed, ended or not. */
  async listProcesses(): Promise<readonly ProcessStatus[]> {
    const result = await this.#connection.call({ kind: 'list-processes' })
    return result.objects('processes', readProcessStatus)
  }

  /** Told of each process that ends while connected; after a connection, `listProcesses` tells. */
  onProcessExit(listener: (process: ProcessStatus) => void): void {
    this.#connection.onProcessExit(listener)
  }

  /** Told after every connection, the first one included if it is still to come. */
  onConnect(listener: () => void): void {
    this.#connection.onConnect(listener)
  }

  /** The keeper ends; with `forget` its containerd and processes do too. The client is closed. */
  async end(forget: boolean): Promise<void> {
    await this.#connection.call({ kind: 'end', forget })
    this.close()
  }

  /** The connection ends; the keeper goes on. */
  close(): void {
    this.#connection.close()
  }
}
