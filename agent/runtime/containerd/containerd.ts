/**
 * Runtime containerd: tasks as containers of a containerd that the keeper looks after. This is where
 * its parts are put together; each has its own file. Errors of the file system become refusals here,
 * so that the agent sees nothing but SwarmErrors. From DESIGN section 8 and `docs/containers.md`.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { SwarmError } from '../../../lib/errors.ts'
import type { Log } from '../../../lib/log.ts'
import type { Task } from '../../../proto/gen/objects.ts'
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
} from '../runtime.ts'
import { type AppArmor, loadAppArmor } from './apparmor.ts'
import { Cgroups } from './cgroup.ts'
import { type ContainerdClient, inNamespace, NAMESPACE, newContainerdClient } from './client.ts'
import type { Host } from './host.ts'
import { AirgapFolder } from './image/airgap.ts'
import { isCode } from './image/content.ts'
import { Images } from './image/images.ts'
import { Registry } from './image/registry.ts'
import { Unpacker } from './image/unpack.ts'
import { EXIT_LABEL, STARTED_LABEL, VOLUMES_LABEL } from './labels.ts'
import { Lifecycle } from './lifecycle.ts'
import { readLogs } from './logs.ts'
import { type Machine, readMachine } from './machine.ts'
import { Preparation } from './preparation.ts'
import { Probes } from './probes.ts'
import { Processes } from './processes.ts'
import { Rootfs } from './rootfs.ts'
import { Volumes } from './volumes.ts'

export type ContainerdOptions = {
  readonly host: Host
  /** Of this node: volumes and the tasks' files are kept below it. */
  readonly stateDirectory: string
  readonly log: Log
  /** Registry as in references (`docker.io`) → base addresses of its mirrors, tried in order. */
  readonly mirrors?: ReadonlyMap<string, readonly string[]>
  /** Registries whose certificate is not checked, and which may speak plain HTTP. */
  readonly insecureRegistries?: readonly string[]
  /** The airgap folder: OCI and docker archives in it are images of this node. */
  readonly imagesDirectory?: string
  /** Left free when an image is unpacked. */
  readonly freeBytesMin?: number
  /** Of one image. */
  readonly unpackedBytesMax?: number
  /** Mount point of the cgroup file systems. */
  readonly cgroupRoot?: string
}

const FREE_BYTES_MIN: number = 512 * 1024 ** 2
const UNPACKED_BYTES_MAX: number = 64 * 1024 ** 3
const READY_MS = 30_000
const TASK_ID = /^[A-Za-z0-9]{1,64}$/

export class ContainerdRuntime implements Runtime {
  readonly name = 'containerd'
  readonly #options: ContainerdOptions
  readonly #client: ContainerdClient
  readonly #machine: Machine
  readonly #apparmor: AppArmor
  readonly #preparation: Preparation
  readonly #processes: Processes
  readonly #lifecycle: Lifecycle
  readonly #probes: Probes
  readonly #airgap: AirgapFolder | undefined

  /** Use `openContainerd`, which makes what this expects. */
  constructor(options: ContainerdOptions, client: ContainerdClient, apparmor: AppArmor) {
    const { host, stateDirectory, log } = options
    const { snapshotter, cgroupDriver: driver, cgroupParent: parent } = host.facts
    const root = options.cgroupRoot ?? '/sys/fs/cgroup'
    const cgroups = new Cgroups({ root, driver, parent })
    const machine = readMachine(cgroups, apparmor.profile)
    const unpacker = new Unpacker(client, {
      snapshotter,
      freeBytesMin: options.freeBytesMin ?? FREE_BYTES_MIN,
      unpackedBytesMax: options.unpackedBytesMax ?? UNPACKED_BYTES_MAX,
    })
    const registry = new Registry({
      mirrors: options.mirrors ?? new Map(),
      insecureRegistries: options.insecureRegistries ?? [],
    })
    const platform = machine.imagePlatform
    const images = new Images(client, registry, { snapshotter, platform, unpacker, log })
    const views = join(stateDirectory, 'views')
    const rootfs = new Rootfs(client, host, { snapshotter, directory: views })
    const volumes = new Volumes(host, rootfs, {
      directory: join(stateDirectory, 'volumes'),
      isInUse: (name) => this.#isVolumeInUse(name),
    })
    const taskDirectory = join(stateDirectory, 'tasks')
    const lifecycle = new Lifecycle({ client, host, cgroups, log })
    this.#options = options
    this.#apparmor = apparmor
    this.#client = client
    this.#machine = machine
    this.#lifecycle = lifecycle
    this.#preparation = new Preparation({
      ...{ client, host, images, rootfs, volumes, cgroups, taskDirectory },
      specHost: machine.specHost,
    })
    this.#processes = new Processes({ client, host, cgroups, lifecycle, volumes, taskDirectory })
    this.#probes = new Probes({ client, host, cgroups, lifecycle, taskDirectory })
    const folder = options.imagesDirectory
    this.#airgap =
      folder === undefined
        ? undefined
        : new AirgapFolder(client, images, { folder, stateDirectory, log })
  }

  async describe(): Promise<RuntimeDescription> {
    const { version } = await this.#client.version.version({}, inNamespace())
    const { platform, resources, warnings } = this.#machine
    return {
      platform,
      resources,
      engineVersion: version,
      plugins: [
        { type: 'Log', name: 'local' },
        { type: 'Network', name: 'host' },
        { type: 'Volume', name: 'local' },
      ],
      warnings: [...this.#options.host.facts.warnings, ...this.#apparmor.warnings, ...warnings],
    }
  }

  list(): Promise<readonly Container[]> {
    return refusing('list containers', () => this.#lifecycle.list())
  }

  prepare(task: Task, signal: AbortSignal): Promise<void> {
    return refusing(`prepare task ${task.id}`, async () => {
      requireTaskId(task.id)
      // Its images come first: what is in the folder at the start needs no registry.
      await this.#airgap?.imported(signal)
      await this.#preparation.prepare(task, signal)
    })
  }

  start(task: Task): Promise<Started> {
    return this.#processes.start(task)
  }

  probe(task: Task, probe: Probe, signal: AbortSignal): Promise<ProbeOutcome> {
    return refusing(`check the health of task ${task.id}`, () => {
      requireTaskId(task.id)
      return this.#probes.run(task.id, probe, signal)
    })
  }

  stop(task: Task): Promise<void> {
    return refusing(`stop task ${task.id}`, () => this.#processes.stop(task))
  }

  remove(taskId: string): Promise<void> {
    return refusing(`remove task ${taskId}`, async () => {
      requireTaskId(taskId)
      await this.#processes.remove(taskId)
    })
  }

  watch(onExit: (exit: Exit) => void): void {
    this.#lifecycle.watch(onExit)
  }

  logs(taskId: string, options: LogOptions): AsyncIterable<ContainerLine> {
    const folder = join(this.#options.host.facts.logDirectory, taskId)
    return readLogs({ folder, isOver: () => this.#isOver(taskId) }, options)
  }

  async close(): Promise<void> {
    this.#airgap?.close()
    this.#lifecycle.close()
    this.#client.close()
  }

  /** Whether its last line is written: it has ended, or there is none. */
  async #isOver(taskId: string): Promise<boolean> {
    if (this.#lifecycle.isLive(taskId)) return false
    try {
      const { container } = await this.#client.containers.get({ id: taskId }, inNamespace())
      return container === undefined || container.labels.has(EXIT_LABEL)
    } catch (error) {
      return isCode(error, 'not-found')
    }
  }

  async #isVolumeInUse(name: string): Promise<boolean> {
    const filters = [`labels."${STARTED_LABEL}"`]
    const { containers } = await this.#client.containers.list({ filters }, inNamespace())
    return containers.some(({ labels }) => {
      const names = labels.get(VOLUMES_LABEL) ?? ''
      return !labels.has(EXIT_LABEL) && names.split(' ').includes(name)
    })
  }
}

/** The runtime over the containerd of `host`, once that answers; SwarmError 'unavailable' if not. */
export async function openContainerd(options: ContainerdOptions): Promise<ContainerdRuntime> {
  const { stateDirectory } = options
  for (const name of ['tasks', 'views', 'volumes']) {
    // Containers of other users reach their files through these, but may list none of them.
    await mkdir(join(stateDirectory, name), { recursive: true, mode: 0o711 })
  }
  const client = newContainerdClient(options.host.facts.containerdAddress)
  try {
    const namespace = { name: NAMESPACE, labels: new Map() }
    await client.namespaces.create({ namespace }, inNamespace({ deadlineMs: READY_MS }))
  } catch (error) {
    if (!isCode(error, 'already-exists')) {
      client.close()
      throw error
    }
  }
  const apparmor = await loadAppArmor(options.host, stateDirectory)
  return new ContainerdRuntime(options, client, apparmor)
}

/** Folders are named by it, and removed by it. */
function requireTaskId(taskId: string): void {
  if (TASK_ID.test(taskId)) return
  throw new SwarmError('invalid-argument', `invalid task id "${taskId}"`)
}

/**
 * What the system or a containerd that is away says no to may work another time; a bug stays what it
 * is. A start is never repeated, whatever it failed of.
 */
async function refusing<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    const isSystem = cause instanceof Error && 'syscall' in cause
    const isAway = isCode(cause, 'unavailable') || isCode(cause, 'deadline-exceeded')
    if (!(isSystem || isAway) || (cause instanceof SwarmError && cause.retriable)) throw cause
    const message = `cannot ${what}: ${cause.message}`
    throw new SwarmError('unavailable', message, { cause, retriable: true })
  }
}
