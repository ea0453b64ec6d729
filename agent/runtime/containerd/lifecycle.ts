/**
 * Which containers run, and how those that ended did. It follows containerd's events, looks at all
 * containers whenever events may have been missed (they have no replay), and winds up what has ended:
 * exit code and cause into the container's labels first, so that no crash loses them, then the process'
 * record, the logs, the network. A process whose shim died has no exit code: `runtime lost`.
 *
 *   created ──start──▶ starting ──▶ running ──exit, or shim lost──▶ winding up ──▶ exited
 */
import { setTimeout as delay } from 'node:timers/promises'
import { SwarmError } from '../../../lib/errors.ts'
import type { Log } from '../../../lib/log.ts'
import {
  type Container as ContainerRecord,
  emptyContainer,
} from '../../../proto/gen/containerd/containers.ts'
import type { Process } from '../../../proto/gen/containerd/process.ts'
import { decodeTaskExit } from '../../../proto/gen/containerd/task-events.ts'
import type { Timestamp } from '../../../proto/gen/google/protobuf/timestamp.ts'
import type { Container, Exit } from '../runtime.ts'
import type { Cgroups } from './cgroup.ts'
import { type ContainerdClient, inNamespace } from './client.ts'
import type { Host } from './host.ts'
import { ignoreNotFound, isCode } from './image/content.ts'
import { parseImageCheck } from './image-check.ts'
import {
  EXIT_LABEL,
  findExit,
  formatExit,
  PORTS_LABEL,
  parsePorts,
  STARTED_LABEL,
  TASK_ID_LABEL,
} from './labels.ts'

export type LifecycleOptions = {
  readonly client: ContainerdClient
  readonly host: Host
  readonly cgroups: Cgroups
  readonly log: Log
}

/** Of a process whose end nobody saw; no program ends with it. */
export const NO_EXIT_CODE = -1
const SIGKILL_EXIT_CODE = 137
const RESUBSCRIBE_MIN_MS = 100
const RESUBSCRIBE_MAX_MS = 2_000
/** A look at everything, in case an event went missing where nothing was seen to break. */
const LOOK_MS = 15_000
const GONE_ATTEMPTS = 20
const GONE_MS = 100

export class Lifecycle {
  readonly #options: LifecycleOptions
  readonly #closed = new AbortController()
  /** Containers that are running as far as is known, and who waits for their end. */
  readonly #running = new Map<string, PromiseWithResolvers<Exit>>()
  /** Starts under way: their containers look as if they had no process. */
  readonly #starting = new Map<string, Promise<unknown>>()
  /** Containers being wound up: once at a time. */
  readonly #ending = new Map<string, Promise<Exit | undefined>>()
  #onExit: ((exit: Exit) => void) | undefined

  constructor(options: LifecycleOptions) {
    this.#options = options
    void this.#follow()
  }

  watch(onExit: (exit: Exit) => void): void {
    this.#onExit = onExit
  }

  close(): void {
    this.#closed.abort()
  }

  /** The container's process is being made by `start`; it is running once that has resolved. */
  async start<T>(taskId: string, start: () => Promise<T>): Promise<T> {
    const started = start()
    this.#starting.set(taskId, started)
    try {
      const result = await started
      this.#markRunning(taskId)
      return result
    } finally {
      this.#starting.delete(taskId)
    }
  }

  /** Whether lines may still be written for it. */
  isLive(taskId: string): boolean {
    return this.#running.has(taskId) || this.#starting.has(taskId) || this.#ending.has(taskId)
  }

  /**
   * How it ended, or undefined where it still runs after `timeoutMs`. The caller saw it running; this
   * daemon may be so young that it has not.
   */
  async waitForExit(taskId: string, timeoutMs: number): Promise<Exit | undefined> {
    const running = this.#markRunning(taskId)
    const timer = new AbortController()
    const late = delay(timeoutMs, undefined, { signal: timer.signal }).catch(() => undefined)
    try {
      return await Promise.race([running.promise, late])
    } finally {
      timer.abort()
    }
  }

  /** A container that has ended is wound up. */
  async settle(taskId: string): Promise<void> {
    try {
      await this.#starting.get(taskId)?.catch(() => undefined)
      await this.#windUp(taskId)
    } catch (error) {
      // The next look finds it again, or the next daemon's.
      if (this.#closed.signal.aborted) return
      this.#options.log.warn({ task: taskId, error }, 'ended container could not be wound up')
    }
  }

  /** It is removed: nobody is told of it any more. */
  forget(taskId: string): void {
    this.#running.delete(taskId)
  }

  /** Every container of ours, after winding up those that ended unseen. */
  async list(): Promise<readonly Container[]> {
    const { client } = this.#options
    const filters = [`labels."${TASK_ID_LABEL}"`]
    const { containers } = await client.containers.list({ filters }, inNamespace())
    const { tasks } = await client.tasks.list({ filter: '' }, inNamespace())
    const processes = new Map(tasks.map((process) => [process.id, process]))
    return Promise.all(containers.map((record) => this.#look(record, processes.get(record.id))))
  }

  /** Undefined where the container has no process, running or ended. */
  async findProcess(taskId: string): Promise<Process | undefined> {
    try {
      const request = { containerId: taskId, execId: '' }
      return (await this.#options.client.tasks.get(request, inNamespace())).process
    } catch (error) {
      ignoreNotFound(error)
      return undefined
    }
  }

  /** The process' record, its pipes, ports and network are gone. What is left of it is killed. */
  async release(taskId: string): Promise<void> {
    const { client, host, cgroups } = this.#options
    await cgroups.killAll(taskId)
    await this.#deleteProcess(client, taskId)
    await host.closeLogs(taskId)
    await host.closePorts(taskId)
    await host.detachNetwork(taskId)
  }

  /** Waits until the output is copied. The shim takes a moment to see that a process was killed. */
  async #deleteProcess(client: ContainerdClient, taskId: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await client.tasks.delete({ containerId: taskId }, inNamespace())
        return
      } catch (error) {
        if (isCode(error, 'not-found')) return
        if (!isCode(error, 'failed-precondition') || attempt === GONE_ATTEMPTS) throw error
      }
      await delay(GONE_MS)
    }
  }

  async #look(record: ContainerRecord, process: Process | undefined): Promise<Container> {
    const { id, labels } = record
    const known = {
      taskId: id,
      containerId: id,
      pid: process?.pid ?? 0,
      hostPorts: parsePorts(labels.get(PORTS_LABEL) ?? ''),
      imageCheck: parseImageCheck(record).imageCheck,
    }
    if (process !== undefined && isAlive(process)) {
      this.#markRunning(id)
      return { ...known, state: 'running', exit: undefined }
    }
    // A start under way looks as if its process were lost.
    if (!labels.has(STARTED_LABEL) || this.#starting.has(id)) {
      return { ...known, state: 'created', exit: undefined }
    }
    const stored = process === undefined ? findExit(id, labels) : undefined
    const exit = stored ?? (await this.#windUp(id))
    if (exit === undefined) return { ...known, state: 'running', exit }
    return { ...known, pid: 0, state: 'exited', exit }
  }

  #markRunning(taskId: string): PromiseWithResolvers<Exit> {
    const known = this.#running.get(taskId)
    if (known !== undefined) return known
    const running = Promise.withResolvers<Exit>()
    this.#running.set(taskId, running)
    return running
  }

  /** Told once for each container that was running. */
  #markExited(exit: Exit): void {
    const running = this.#running.get(exit.taskId)
    if (running === undefined) return
    this.#running.delete(exit.taskId)
    running.resolve(exit)
    this.#onExit?.(exit)
  }

  #windUp(taskId: string): Promise<Exit | undefined> {
    const known = this.#ending.get(taskId)
    if (known !== undefined) return known
    const ending = this.#windUpOnce(taskId).finally(() => this.#ending.delete(taskId))
    this.#ending.set(taskId, ending)
    return ending.then((exit) => {
      if (exit !== undefined) this.#markExited(exit)
      return exit
    })
  }

  /** How it ended; undefined where it has not, or was never started. */
  async #windUpOnce(taskId: string): Promise<Exit | undefined> {
    const record = await this.#findRecord(taskId)
    if (record === undefined || !record.labels.has(STARTED_LABEL)) return undefined
    const known = findExit(taskId, record.labels)
    const process = await this.#findSettledProcess(taskId)
    if (known !== undefined) {
      if (process !== undefined) await this.#releaseQuietly(taskId)
      return known
    }
    if (process !== undefined && isAlive(process)) return undefined
    const exit =
      process?.status === 'stopped' ? await this.#readExit(taskId, process) : lostExit(taskId)
    await this.storeExit(exit)
    await this.#releaseQuietly(taskId)
    return exit
  }

  /** From now on every look at the container finds this. */
  async storeExit(exit: Exit): Promise<void> {
    const labels = new Map([[EXIT_LABEL, formatExit(exit)]])
    const container = { ...emptyContainer, id: exit.taskId, labels }
    const updateMask = { paths: [`labels.${EXIT_LABEL}`] }
    await this.#options.client.containers.update({ container, updateMask }, inNamespace())
  }

  async #readExit(taskId: string, process: Process): Promise<Exit> {
    const isKilled = process.exitStatus === SIGKILL_EXIT_CODE
    const oomKilled = isKilled && (await this.#options.cgroups.wasOomKilled(taskId))
    const atMs = timestampMs(process.exitedAt)
    return { taskId, exitCode: process.exitStatus, oomKilled, error: '', atMs }
  }

  /** A dead shim's process is listed for a moment longer, and answers with errors. */
  async #findSettledProcess(taskId: string): Promise<Process | undefined> {
    for (let attempt = 1; ; attempt++) {
      try {
        const process = await this.findProcess(taskId)
        if (process?.status !== 'unknown' || attempt === GONE_ATTEMPTS) return process
      } catch (error) {
        if (attempt === GONE_ATTEMPTS || this.#closed.signal.aborted) throw error
      }
      await delay(GONE_MS)
    }
  }

  async #releaseQuietly(taskId: string): Promise<void> {
    try {
      await this.release(taskId)
    } catch (error) {
      // `remove` does it again, and reports it if it fails then too.
      this.#options.log.warn({ task: taskId, error }, 'ended container could not be released')
    }
  }

  async #findRecord(taskId: string): Promise<ContainerRecord | undefined> {
    try {
      return (await this.#options.client.containers.get({ id: taskId }, inNamespace())).container
    } catch (error) {
      ignoreNotFound(error)
      return undefined
    }
  }

  async #follow(): Promise<void> {
    const { signal } = this.#closed
    let pauseMs = RESUBSCRIBE_MIN_MS
    while (!signal.aborted) {
      const begun = performance.now()
      try {
        await this.#followOnce()
      } catch (error) {
        if (!signal.aborted) this.#options.log.debug({ error }, 'events of containerd broke off')
      }
      const wasLong = performance.now() - begun > RESUBSCRIBE_MAX_MS
      pauseMs = wasLong ? RESUBSCRIBE_MIN_MS : Math.min(pauseMs * 2, RESUBSCRIBE_MAX_MS)
      await delay(pauseMs, undefined, { signal }).catch(() => undefined)
    }
  }

  async #followOnce(): Promise<void> {
    const broken = new AbortController()
    const signal = AbortSignal.any([this.#closed.signal, broken.signal])
    const events = this.#options.client.events.subscribe(
      { filters: ['topic=="/tasks/exit"'] },
      inNamespace({ signal, deadlineMs: Infinity }),
    )
    const looks = this.#lookAgainAndAgain(signal)
    try {
      for await (const { event } of events) {
        if (event === undefined) continue
        const exit = decodeTaskExit(event.value)
        if (exit.id === exit.containerId) void this.settle(exit.containerId)
      }
    } finally {
      broken.abort()
      await looks
    }
  }

  /** The first look comes after the subscription, so that no exit falls between the two. */
  async #lookAgainAndAgain(signal: AbortSignal): Promise<void> {
    await this.#try(() => this.list())
    while (!signal.aborted) {
      await delay(LOOK_MS, undefined, { signal }).catch(() => undefined)
      if (!signal.aborted) await this.#try(() => this.#lookAtRunning())
    }
  }

  async #lookAtRunning(): Promise<void> {
    if (this.#running.size === 0) return
    const { tasks } = await this.#options.client.tasks.list({ filter: '' }, inNamespace())
    const alive = new Set(tasks.filter(isAlive).map((process) => process.id))
    const ended = [...this.#running.keys()].filter((taskId) => !alive.has(taskId))
    await Promise.all(ended.map((taskId) => this.settle(taskId)))
  }

  async #try(look: () => Promise<unknown>): Promise<void> {
    try {
      await look()
    } catch (error) {
      // A containerd that is away ends the events too, and is looked at again when it is back.
      if (isCode(error, 'unavailable') || this.#closed.signal.aborted) return
      this.#options.log.warn({ error }, 'containers could not be listed')
    }
  }
}

function isAlive(process: Process): boolean {
  return process.status === 'running' || process.status === 'paused' || process.status === 'pausing'
}

function lostExit(taskId: string): Exit {
  const atMs = Date.now()
  return { taskId, exitCode: NO_EXIT_CODE, oomKilled: false, error: 'runtime lost', atMs }
}

function timestampMs(timestamp: Timestamp | undefined): number {
  if (timestamp === undefined) return Date.now()
  return timestamp.seconds * 1_000 + Math.floor(timestamp.nanos / 1_000_000)
}

/** For a container whose process could not be made. */
export function failedExit(taskId: string, cause: unknown): Exit {
  const error = cause instanceof SwarmError ? cause.message : String(cause)
  return { taskId, exitCode: NO_EXIT_CODE, oomKilled: false, error, atMs: Date.now() }
}
