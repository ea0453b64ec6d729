/**
 * Health checks inside of containers: each is a further process of the container, with the user, the
 * environment and the confinement of its first one. When it has ended, or has taken too long, nothing
 * is left of it: whatever it started goes as well, unless it made a session of its own, as does a
 * check that an earlier daemon left behind. When checks are run and what they mean is the agent's.
 */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { SwarmError } from '../../../lib/errors.ts'
import type { Container as ContainerRecord } from '../../../proto/gen/containerd/containers.ts'
import { emptyExecProcessRequest } from '../../../proto/gen/containerd/tasks.ts'
import { emptyAny } from '../../../proto/gen/google/protobuf/any.ts'
import type { Probe, ProbeOutcome } from '../runtime.ts'
import type { Cgroups } from './cgroup.ts'
import { type ContainerdClient, inNamespace } from './client.ts'
import type { Host } from './host.ts'
import { isCode } from './image/content.ts'
import { parseImageCheck } from './image-check.ts'
import type { Lifecycle } from './lifecycle.ts'
import { openProbeOutput } from './probe-output.ts'
import { decodeProcess, encodeProcess } from './spec/oci.ts'
import { SIGKILL } from './spec/signal.ts'

export type ProbesOptions = {
  readonly client: ContainerdClient
  readonly host: Host
  readonly cgroups: Cgroups
  readonly lifecycle: Lifecycle
  readonly taskDirectory: string
}

/** One at a time in a container, so that a later daemon knows what to look for. */
const EXEC_ID = 'health'
const FIFO = 'health'
const PROCESS_TYPE = 'types.containerd.io/opencontainers/runtime-spec/1/Process'
/** For containerd and runc to bring the process up; it does not count as the check's own time. */
const START_MS = 30_000
/** From SIGKILL to the end. */
const KILLED_MS = 5_000
const SIGKILL_EXIT_CODE = 137
const GONE_ATTEMPTS = 50
const GONE_MS = 100

export class Probes {
  readonly #options: ProbesOptions

  constructor(options: ProbesOptions) {
    this.#options = options
  }

  /** What the check found; SwarmError, retriable, where the container ended meanwhile. */
  async run(taskId: string, probe: Probe, signal: AbortSignal): Promise<ProbeOutcome> {
    const outcome = await this.#run(taskId, probe, signal).catch(async (error: unknown) => {
      await this.#refuseEnded(taskId, undefined)
      throw error
    })
    const exitCode = outcome.kind === 'exited' ? outcome.exitCode : undefined
    if (exitCode !== 0) await this.#refuseEnded(taskId, exitCode)
    return outcome
  }

  /**
   * A container that ends takes its checks with it, and is not unhealthy for that. Its first process
   * is seen to have ended last: the kernel ends all others before.
   */
  async #refuseEnded(taskId: string, exitCode: number | undefined): Promise<void> {
    const attempts = exitCode === SIGKILL_EXIT_CODE ? GONE_ATTEMPTS / 5 : 1
    for (let attempt = 1; ; attempt++) {
      const process = await this.#options.lifecycle.findProcess(taskId)
      if (process === undefined || process.status === 'stopped') {
        const message = `task ${taskId} has ended, its health is not looked at any more`
        throw new SwarmError('unavailable', message, { retriable: true })
      }
      if (attempt >= attempts) return
      await delay(GONE_MS)
    }
  }

  async #run(taskId: string, probe: Probe, signal: AbortSignal): Promise<ProbeOutcome> {
    const { host, taskDirectory } = this.#options
    const record = await this.#getRecord(taskId)
    const output = await openProbeOutput(join(taskDirectory, taskId, FIFO), host)
    try {
      if (signal.aborted) return { kind: 'late', output: '' }
      await this.#make(taskId, newRequest(record, probe, join(taskDirectory, taskId, FIFO)))
      const exitCode = await this.#runMade(taskId, probe.timeoutMs, signal)
      const said = output.finish()
      return exitCode === undefined
        ? { kind: 'late', output: said }
        : { kind: 'exited', exitCode, output: said }
    } finally {
      output.close()
    }
  }

  /** What an earlier daemon may have left is out of the way first. */
  async #make(taskId: string, request: typeof emptyExecProcessRequest): Promise<void> {
    const { client } = this.#options
    try {
      await client.tasks.exec(request, inNamespace())
    } catch (error) {
      if (!isCode(error, 'already-exists')) throw error
      await this.#clear(taskId, await this.#findPid(taskId))
      await client.tasks.exec(request, inNamespace())
    }
  }

  /** Its exit code; undefined where it took too long or was given up. Nothing is left of it. */
  async #runMade(
    taskId: string,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    let pid = 0
    try {
      pid = await this.#start(taskId)
      return await this.#waitForExit(
        taskId,
        AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      )
    } finally {
      await this.#clear(taskId, pid)
    }
  }

  /** Its number. A container in which nothing can be started in time does not work. */
  async #start(taskId: string): Promise<number> {
    const names = { containerId: taskId, execId: EXEC_ID }
    const call = inNamespace({ deadlineMs: START_MS })
    try {
      return (await this.#options.client.tasks.start(names, call)).pid
    } catch (cause) {
      if (!isCode(cause, 'deadline-exceeded')) throw cause
      const message = `timed out starting health check for container ${taskId}`
      throw new SwarmError('internal', message, { cause })
    }
  }

  /** Undefined where `signal` came first. */
  async #waitForExit(taskId: string, signal: AbortSignal): Promise<number | undefined> {
    const names = { containerId: taskId, execId: EXEC_ID }
    const call = inNamespace({ signal, deadlineMs: Infinity })
    try {
      return (await this.#options.client.tasks.wait(names, call)).exitStatus
    } catch (error) {
      if (signal.aborted) return undefined
      throw error
    }
  }

  /** The check's process and its session are ended, its output is copied, its record is gone. */
  async #clear(taskId: string, pid: number): Promise<void> {
    const { client, cgroups } = this.#options
    const names = { containerId: taskId, execId: EXEC_ID }
    await client.tasks
      .kill({ ...names, signal: SIGKILL, all: false }, inNamespace())
      .catch(() => undefined)
    if (pid > 0) await cgroups.killSession(taskId, pid, KILLED_MS)
    for (let attempt = 1; ; attempt++) {
      try {
        await client.tasks.deleteProcess(names, inNamespace())
        return
      } catch (error) {
        // With the container its processes are gone.
        if (isCode(error, 'not-found')) return
        if (attempt === GONE_ATTEMPTS) throw error
      }
      await delay(GONE_MS)
    }
  }

  async #findPid(taskId: string): Promise<number> {
    const names = { containerId: taskId, execId: EXEC_ID }
    const found = await this.#options.client.tasks.get(names, inNamespace()).catch(() => undefined)
    return found?.process?.pid ?? 0
  }

  async #getRecord(taskId: string): Promise<ContainerRecord> {
    const { container } = await this.#options.client.containers.get({ id: taskId }, inNamespace())
    if (container !== undefined) return container
    throw new SwarmError('not-found', `task ${taskId} has no container`)
  }
}

function newRequest(
  record: ContainerRecord,
  { test }: Probe,
  fifo: string,
): typeof emptyExecProcessRequest {
  const [kind, ...words] = test
  const args = kind === 'CMD-SHELL' ? [...parseImageCheck(record).shell, ...words] : words
  const process = { ...decodeProcess(record.spec?.value ?? new Uint8Array()), args }
  return {
    ...emptyExecProcessRequest,
    containerId: record.id,
    execId: EXEC_ID,
    stdout: fifo,
    stderr: fifo,
    spec: { ...emptyAny, typeUrl: PROCESS_TYPE, value: encodeProcess(process) },
  }
}
