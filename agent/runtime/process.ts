/**
 * Runtime `process`: a task's command as a process group of the daemon's user, without image and
 * without isolation; for a laptop or where there is no root (DESIGN section 8). The keeper starts
 * and holds the processes, so that they outlive the daemon. What a task asks for and a plain
 * process cannot have (mounts, limits, another user, …) is refused, never left out; only the name of
 * the image is not looked at. Its network is the host's: a port in mode host is one that the
 * process itself opens.
 */
import { accessSync, constants as fileConstants, rmSync, statSync } from 'node:fs'
import { availableParallelism, constants, machine, totalmem, userInfo } from 'node:os'
import { join } from 'node:path'
import { SwarmError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import {
  decodeTaskStatus,
  emptyTaskStatus,
  encodeTaskStatus,
  type Task,
} from '../../proto/gen/objects.ts'
import { type ContainerSpec, emptyContainerSpec } from '../../proto/gen/specs.ts'
import { emptyResources, type PortConfig } from '../../proto/gen/types.ts'
import { readLogs } from './containerd/logs.ts'
import { parseSignal } from './containerd/spec/signal.ts'
import { withResourceEnv } from './resource-env.ts'
import type {
  Container,
  ContainerLine,
  Exit,
  LogOptions,
  Probe,
  ProbeOutcome,
  Runtime,
  RuntimeDescription,
  Started,
} from './runtime.ts'

const GRACE_MS_DEFAULT = 10_000
const NANO = 1_000_000_000
const SHELL = ['/bin/sh', '-c']
const PATH_DEFAULT = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** What the runtime needs of the keeper (`node/keeper/client.ts`). */
export interface ProcessKeeper {
  /** The process runs, or did: it is never started twice. */
  startProcess(command: ProcessCommand): Promise<ProcessStatus>
  /** The signal, by its number, went to the task's process group, if there is one still. */
  signalProcess(taskId: string, signal: number): Promise<void>
  /** An ended process is forgotten; no effect twice. */
  removeProcess(taskId: string): Promise<void>
  /** A health check has ended, and so has all that it started; one at a time for a task. */
  probeProcess(probe: ProcessProbe): Promise<ProbeOutcome>
  /** The task's health check under way is given up. */
  endProbe(taskId: string): Promise<void>
  /** Every process that was not removed. */
  listProcesses(): Promise<readonly ProcessStatus[]>
  /** Told of each end while the keeper can be reached. */
  onProcessExit(listener: (process: ProcessStatus) => void): void
  /** Told each time it can be reached again. */
  onConnect(listener: () => void): void
}

export type ProcessCommand = {
  readonly taskId: string
  readonly argv: readonly string[]
  /** K=V; the process gets nothing else. */
  readonly env: readonly string[]
  readonly directory: string
  /** Comes back with the status: what the daemon wants to know again after a restart. */
  readonly label: string
}

export type ProcessProbe = {
  readonly taskId: string
  readonly argv: readonly string[]
  /** K=V; it gets nothing else. */
  readonly env: readonly string[]
  readonly directory: string
  readonly timeoutMs: number
}

export type ProcessStatus = {
  readonly taskId: string
  readonly label: string
  readonly pid: number
  readonly state: 'running' | 'exited'
  readonly exitCode: number
  /** Why there is no exit code; empty when there is one. */
  readonly error: string
  /** Wall time of the end; 0 while it runs. */
  readonly exitedAtMs: number
}

export type ProcessRuntimeOptions = {
  readonly keeper: ProcessKeeper
  /** A folder of log files a task, which the keeper writes. */
  readonly paths: { readonly logDirectory: string }
  readonly log: Log
}

/** The keeper answers, and the processes of an earlier daemon are known. */
export async function openProcessRuntime(options: ProcessRuntimeOptions): Promise<Runtime> {
  const runtime = new ProcessRuntime(options)
  await runtime.list()
  return runtime
}

class ProcessRuntime implements Runtime {
  readonly name = 'process'
  readonly #options: ProcessRuntimeOptions
  readonly #prepared: Set<string> = new Set()
  /** Tasks whose end has not been told. */
  readonly #running: Set<string> = new Set()
  readonly #waiters: Set<() => void> = new Set()
  #onExit: (exit: Exit) => void = () => undefined

  constructor(options: ProcessRuntimeOptions) {
    this.#options = options
    options.keeper.onProcessExit((process) => this.#noteExit(process))
    // Ends are not told again: what happened while the keeper was away is looked up.
    options.keeper.onConnect(() => void this.#noteMissedExits())
  }

  describe(): Promise<RuntimeDescription> {
    return Promise.resolve({
      platform: { os: process.platform, architecture: machine() },
      resources: {
        ...emptyResources,
        nanoCpus: availableParallelism() * NANO,
        memoryBytes: totalmem(),
      },
      engineVersion: '',
      plugins: [],
      warnings: [
        `tasks are plain processes of user ${userInfo().username}, without image and isolation; ` +
          'start the daemon as root with --runtime containerd for containers',
      ],
    })
  }

  async list(): Promise<readonly Container[]> {
    const processes = await this.#options.keeper.listProcesses()
    for (const process of processes) {
      if (process.state === 'running') this.#running.add(process.taskId)
    }
    const known = new Set(processes.map((process) => process.taskId))
    const waiting = [...this.#prepared].filter((taskId) => !known.has(taskId))
    return [...processes.map(toContainer), ...waiting.map(newCreated)]
  }

  async prepare(task: Task): Promise<void> {
    const spec = containerOf(task)
    refuseUnsupported(task, spec)
    listHostPorts(task)
    parseSignal(spec.stopSignal)
    refuseMissing(argvOf(spec)[0] ?? '', spec.dir, this.#environment(spec))
    this.#prepared.add(task.id)
  }

  async start(task: Task): Promise<Started> {
    const spec = containerOf(task)
    const hostPorts = listHostPorts(task)
    this.#running.add(task.id)
    const status = await this.#options.keeper.startProcess({
      taskId: task.id,
      argv: argvOf(spec),
      env: this.#environment(spec),
      directory: spec.dir === '' ? '/' : spec.dir,
      label: formatLabel(hostPorts),
    })
    if (status.state === 'exited') this.#noteExit(status)
    return { containerId: task.id, pid: status.pid, hostPorts }
  }

  async probe(task: Task, probe: Probe, signal: AbortSignal): Promise<ProbeOutcome> {
    const { keeper } = this.#options
    const spec = containerOf(task)
    const [kind, ...words] = probe.test
    const giveUp = (): void => {
      // A keeper that is away has given it up by itself, or does when it is asked again.
      keeper.endProbe(task.id).catch(() => undefined)
    }
    if (signal.aborted) return { kind: 'late', output: '' }
    signal.addEventListener('abort', giveUp, { once: true })
    try {
      const outcome = await keeper.probeProcess({
        taskId: task.id,
        argv: kind === 'CMD-SHELL' ? [...SHELL, ...words] : words,
        env: this.#environment(spec),
        directory: spec.dir === '' ? '/' : spec.dir,
        timeoutMs: probe.timeoutMs,
      })
      const isGood = outcome.kind === 'exited' && outcome.exitCode === 0
      if (isGood || (await this.#isRunning(task.id))) return outcome
      // It ended while its health was looked at, and is not unhealthy for that.
      throw new SwarmError('unavailable', `task ${task.id} has ended`, { retriable: true })
    } finally {
      signal.removeEventListener('abort', giveUp)
    }
  }

  async stop(task: Task): Promise<void> {
    const spec = containerOf(task)
    const graceMs = spec.stopGraceMs ?? GRACE_MS_DEFAULT
    await this.#options.keeper.signalProcess(task.id, parseSignal(spec.stopSignal))
    if (await this.#hasEndedWithin(task.id, graceMs)) return
    await this.#options.keeper.signalProcess(task.id, constants.signals.SIGKILL)
    while (!(await this.#hasEndedWithin(task.id, GRACE_MS_DEFAULT))) {
      // A process in the kernel's hands cannot be killed; nor may it be said to be gone.
    }
  }

  async remove(taskId: string): Promise<void> {
    this.#prepared.delete(taskId)
    await this.#options.keeper.removeProcess(taskId)
    rmSync(join(this.#options.paths.logDirectory, taskId), { recursive: true, force: true })
  }

  watch(onExit: (exit: Exit) => void): void {
    this.#onExit = onExit
  }

  logs(taskId: string, options: LogOptions): AsyncIterable<ContainerLine> {
    const folder = join(this.#options.paths.logDirectory, taskId)
    const isOver = async (): Promise<boolean> => !(await this.#isRunning(taskId))
    return readLogs({ folder, isOver }, options)
  }

  close(): Promise<void> {
    this.#onExit = () => undefined
    return Promise.resolve()
  }

  #noteExit(process: ProcessStatus): void {
    if (this.#running.delete(process.taskId)) this.#onExit(toExit(process))
    for (const waiter of this.#waiters) waiter()
  }

  async #noteMissedExits(): Promise<void> {
    try {
      for (const process of await this.#options.keeper.listProcesses()) {
        if (process.state === 'exited') this.#noteExit(process)
      }
    } catch (error) {
      // It went away again; the next connection asks again.
      this.#options.log.warn({ error }, 'processes could not be looked up')
    }
  }

  async #isRunning(taskId: string): Promise<boolean> {
    const processes = await this.#options.keeper.listProcesses()
    return processes.some((each) => each.taskId === taskId && each.state === 'running')
  }

  /** Waits for an end to be told, and asks besides: it may have been missed. */
  async #hasEndedWithin(taskId: string, timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs
    while (await this.#isRunning(taskId)) {
      const leftMs = deadline - performance.now()
      if (leftMs <= 0) return false
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer)
          this.#waiters.delete(done)
          resolve()
        }
        const timer = setTimeout(done, Math.min(leftMs, 1_000))
        this.#waiters.add(done)
      })
    }
    return true
  }

  #environment(spec: ContainerSpec): readonly string[] {
    const { PATH = PATH_DEFAULT, HOME = '/' } = process.env
    const variables = new Map([
      ['PATH', PATH],
      ['HOME', HOME],
    ])
    for (const each of spec.env) {
      const at = each.indexOf('=')
      if (at < 0) variables.delete(each)
      else variables.set(each.slice(0, at), each.slice(at + 1))
    }
    return [...variables].map(([name, value]) => `${name}=${value}`)
  }
}

function containerOf(task: Task): ContainerSpec {
  return withResourceEnv(task.spec?.container ?? emptyContainerSpec, task)
}

function argvOf(spec: ContainerSpec): readonly string[] {
  return [...spec.command, ...spec.args]
}

/** Throws SwarmError naming the first thing that only a container can have. */
function refuseUnsupported(task: Task, spec: ContainerSpec): void {
  const limits = task.spec?.resources
  const asked: readonly (readonly [boolean, string])[] = [
    [spec.mounts.length > 0, 'mounts'],
    [spec.user !== '', 'another user'],
    [spec.hostname !== '', 'a host name of their own'],
    [spec.readOnly, 'a read-only root'],
    [spec.capabilityAdd.length > 0, 'added capabilities'],
    [spec.capabilityDrop.length > 0, 'dropped capabilities'],
    [(limits?.limits?.memoryBytes ?? 0) > 0, 'a memory limit'],
    [(limits?.limits?.nanoCpus ?? 0) > 0, 'a CPU limit'],
    [(limits?.pidsLimit ?? 0) > 0, 'a limit of processes'],
  ]
  const found = asked.find(([isAsked]) => isAsked)
  if (found !== undefined) {
    throw new SwarmError(
      'invalid-argument',
      `this node runs tasks as plain processes, which cannot have ${found[1]}; ` +
        'place the service on nodes with runtime containerd',
    )
  }
  if (argvOf(spec).length === 0) {
    throw new SwarmError(
      'invalid-argument',
      `this node runs tasks as plain processes and does not read image "${spec.image}": ` +
        'the service must name its command',
    )
  }
}

/** The ports that the process opens itself. Throws SwarmError where they would need redirecting. */
function listHostPorts(task: Task): readonly PortConfig[] {
  const ports = (task.endpoint?.ports ?? []).filter((port) => port.publishMode === 'host')
  return ports.map((port) => {
    if (port.publishedPort !== 0 && port.publishedPort !== port.targetPort) {
      throw new SwarmError(
        'invalid-argument',
        `this node runs tasks as plain processes: port ${port.targetPort} cannot be published ` +
          `as ${port.publishedPort}; publish it under its own number`,
      )
    }
    return { ...port, publishedPort: port.targetPort }
  })
}

/** Throws SwarmError where the directory or the program is missing, before anything is started. */
function refuseMissing(program: string, directory: string, environment: readonly string[]): void {
  if (directory !== '' && !statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw new SwarmError('failed-precondition', `working directory "${directory}" does not exist`)
  }
  const path = environment.find((each) => each.startsWith('PATH='))?.slice('PATH='.length) ?? ''
  const candidates = program.includes('/')
    ? [join(program.startsWith('/') ? '' : directory || '/', program)]
    : path.split(':').map((folder) => join(folder, program))
  if (!candidates.some(isExecutable)) {
    throw new SwarmError('failed-precondition', `program "${program}" is not found on this node`)
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, fileConstants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

function toContainer(process: ProcessStatus): Container {
  return {
    taskId: process.taskId,
    containerId: process.taskId,
    state: process.state,
    pid: process.pid,
    exit: process.state === 'exited' ? toExit(process) : undefined,
    hostPorts: parseLabel(process.label),
  }
}

/** A daemon that adopts the process learns its ports again. */
function formatLabel(hostPorts: readonly PortConfig[]): string {
  return Buffer.from(encodeTaskStatus({ ...emptyTaskStatus, hostPorts })).toString('base64')
}

function parseLabel(label: string): readonly PortConfig[] {
  return decodeTaskStatus(Buffer.from(label, 'base64')).hostPorts
}

function newCreated(taskId: string): Container {
  return { taskId, containerId: taskId, state: 'created', pid: 0, exit: undefined, hostPorts: [] }
}

function toExit(process: ProcessStatus): Exit {
  return {
    taskId: process.taskId,
    exitCode: process.exitCode,
    oomKilled: false,
    error: process.error,
    atMs: process.exitedAtMs,
  }
}
