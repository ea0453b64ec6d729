/**
 * A prepared container's process: started once, stopped with its signal, a grace and then SIGKILL to
 * everything in its cgroup, and removed with all that was made for it. What happens in between is
 * `lifecycle.ts`' to see.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { SwarmError } from '../../../lib/errors.ts'
import {
  type Container as ContainerRecord,
  emptyContainer,
} from '../../../proto/gen/containerd/containers.ts'
import { emptyCreateTaskRequest } from '../../../proto/gen/containerd/tasks.ts'
import type { Task } from '../../../proto/gen/objects.ts'
import type { PortConfig } from '../../../proto/gen/types.ts'
import type { Started } from '../runtime.ts'
import type { Cgroups } from './cgroup.ts'
import { type ContainerdClient, inNamespace } from './client.ts'
import type { Host } from './host.ts'
import { ignoreNotFound, isCode } from './image/content.ts'
import { parseImageCheck } from './image-check.ts'
import {
  ADDRESS_LABEL,
  formatPorts,
  PORTS_LABEL,
  STARTED_LABEL,
  STOP_SIGNAL_LABEL,
} from './labels.ts'
import { failedExit, type Lifecycle } from './lifecycle.ts'
import { parseSignal, SIGKILL } from './spec/signal.ts'
import { removeTaskFiles } from './task-files.ts'
import type { Volumes } from './volumes.ts'

export type ProcessesOptions = {
  readonly client: ContainerdClient
  readonly host: Host
  readonly cgroups: Cgroups
  readonly lifecycle: Lifecycle
  readonly volumes: Volumes
  readonly taskDirectory: string
}

const GRACE_MS = 10_000
const CREATE_MS = 120_000
/** From SIGKILL to the end of everything. */
const KILLED_MS = 5_000

export class Processes {
  readonly #options: ProcessesOptions

  constructor(options: ProcessesOptions) {
    this.#options = options
  }

  /** The container's process runs, or has ended already. */
  async start(task: Task): Promise<Started> {
    const { client, lifecycle } = this.#options
    const record = await this.#findRecord(task.id)
    if (record === undefined) {
      throw new SwarmError('failed-precondition', `task ${task.id} is not prepared`)
    }
    if (record.labels.has(STARTED_LABEL)) {
      throw new SwarmError('failed-precondition', `task ${task.id} was started before`)
    }
    return lifecycle.start(task.id, async () => {
      const hostPorts = await this.#openPorts(task, record)
      await this.#markStarted(task.id, hostPorts)
      try {
        await this.#create(task.id, record)
        const { pid } = await client.tasks.start(
          { containerId: task.id, execId: '' },
          inNamespace({ deadlineMs: CREATE_MS }),
        )
        const { imageCheck } = parseImageCheck(record)
        return { containerId: task.id, pid, hostPorts, imageCheck }
      } catch (error) {
        await this.#giveUp(task.id, error)
        throw error
      }
    })
  }

  /** Nothing of the container runs. */
  async stop(task: Task): Promise<void> {
    const { id } = task
    const record = await this.#findRecord(id)
    if (record === undefined || !(await this.#runs(id))) return
    const signal = parseSignal(record.labels.get(STOP_SIGNAL_LABEL) ?? '')
    await this.#kill(id, { signal, all: false })
    const graceMs = task.spec?.container?.stopGraceMs ?? GRACE_MS
    if (await this.#endsWithin(id, graceMs)) return
    await this.#kill(id, { signal: SIGKILL, all: true })
    if (await this.#endsWithin(id, KILLED_MS)) return
    await this.#options.cgroups.killAll(id)
    if (await this.#endsWithin(id, KILLED_MS)) return
    throw new SwarmError('unavailable', `task ${id} does not end`, { retriable: true })
  }

  /** Of the container nothing is left: process, record, root, pipes, logs, network, volumes. */
  async remove(taskId: string): Promise<void> {
    const { client, host, lifecycle, volumes, taskDirectory } = this.#options
    if (await this.#runs(taskId)) {
      await this.#kill(taskId, { signal: SIGKILL, all: true })
      await this.#endsWithin(taskId, KILLED_MS)
    }
    await lifecycle.release(taskId)
    await client.containers.delete({ id: taskId }, inNamespace()).catch(ignoreNotFound)
    lifecycle.forget(taskId)
    const snapshot = { snapshotter: host.facts.snapshotter, key: taskId }
    await client.snapshots.remove(snapshot, inNamespace()).catch(ignoreNotFound)
    await rm(join(host.facts.logDirectory, taskId), { recursive: true, force: true })
    await removeTaskFiles(join(taskDirectory, taskId))
    await volumes.removeAnonymous(taskId)
  }

  async #openPorts(task: Task, record: ContainerRecord): Promise<readonly PortConfig[]> {
    const ports = (task.endpoint?.ports ?? []).filter((port) => port.publishMode === 'host')
    const address = record.labels.get(ADDRESS_LABEL) ?? ''
    // On the host's own network a port is what the process listens on, as in Docker.
    if (ports.length === 0 || address === '') return []
    return this.#options.host.openPorts(task.id, { address, ports })
  }

  async #markStarted(taskId: string, hostPorts: readonly PortConfig[]): Promise<void> {
    const labels = new Map([
      [STARTED_LABEL, new Date().toISOString()],
      [PORTS_LABEL, formatPorts(hostPorts)],
    ])
    const container = { ...emptyContainer, id: taskId, labels }
    const updateMask = { paths: [...labels.keys()].map((key) => `labels.${key}`) }
    await this.#options.client.containers.update({ container, updateMask }, inNamespace())
  }

  async #create(taskId: string, record: ContainerRecord): Promise<void> {
    const { client, host } = this.#options
    const { stdoutFifo: stdout, stderrFifo: stderr } = await host.openLogs(taskId)
    const { snapshotter, snapshotKey: key } = record
    const { mounts: rootfs } = await client.snapshots.mounts({ snapshotter, key }, inNamespace())
    await client.tasks.create(
      { ...emptyCreateTaskRequest, containerId: taskId, rootfs, stdout, stderr },
      inNamespace({ deadlineMs: CREATE_MS }),
    )
  }

  /** The container counts as ended, with the reason; the failure itself is told by `start`. */
  async #giveUp(taskId: string, error: unknown): Promise<void> {
    const { lifecycle } = this.#options
    await lifecycle.storeExit(failedExit(taskId, error)).catch(() => undefined)
    await lifecycle.release(taskId).catch(() => undefined)
  }

  async #runs(taskId: string): Promise<boolean> {
    const { lifecycle } = this.#options
    const process = await lifecycle.findProcess(taskId)
    if (process === undefined || process.status === 'stopped') {
      await lifecycle.settle(taskId)
      return false
    }
    return true
  }

  async #endsWithin(taskId: string, timeoutMs: number): Promise<boolean> {
    const { lifecycle } = this.#options
    if ((await lifecycle.waitForExit(taskId, timeoutMs)) !== undefined) return true
    // An event may be late or lost: what counts is the process itself.
    return !(await this.#runs(taskId))
  }

  async #kill(
    taskId: string,
    { signal, all }: { readonly signal: number; readonly all: boolean },
  ): Promise<void> {
    const request = { containerId: taskId, execId: '', signal, all }
    try {
      await this.#options.client.tasks.kill(request, inNamespace())
    } catch (error) {
      // It has ended meanwhile.
      if (!isCode(error, 'not-found')) throw error
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
}
