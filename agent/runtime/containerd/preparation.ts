/**
 * From a task to a container that could start at once: image, volumes, user, root, network, files, and
 * the record in containerd that comes last, so that whatever has a record is whole. Each step finds
 * what an earlier attempt made.
 */
import { join } from 'node:path'
import { SwarmError } from '../../../lib/errors.ts'
import { emptyContainer } from '../../../proto/gen/containerd/containers.ts'
import { emptyOptions, encodeOptions } from '../../../proto/gen/containerd/runc.ts'
import { type Any, emptyAny } from '../../../proto/gen/google/protobuf/any.ts'
import type { Task } from '../../../proto/gen/objects.ts'
import type { ContainerSpec, TaskSpec } from '../../../proto/gen/specs.ts'
import { withResourceEnv } from '../resource-env.ts'
import type { Cgroups } from './cgroup.ts'
import { type ContainerdClient, inNamespace } from './client.ts'
import type { Host, NetworkAttachment, NetworkOptions } from './host.ts'
import { isCode } from './image/content.ts'
import { throwIfAborted } from './image/flights.ts'
import type { Image, Images } from './image/images.ts'
import { formatImageCheck, IMAGE_CHECK_EXTENSION } from './image-check.ts'
import { LABELS_EXTENSION, newLabels, selectStorable } from './labels.ts'
import type { Rootfs } from './rootfs.ts'
import { type PlannedMount, planMounts, rootPropagation } from './spec/mounts.ts'
import { encodeSpec, type OciSpec } from './spec/oci.ts'
import { parseSignal } from './spec/signal.ts'
import { newSpec, type SpecHost } from './spec/spec.ts'
import { writeTaskFiles } from './task-files.ts'
import type { Volumes } from './volumes.ts'

export type PreparationOptions = {
  readonly client: ContainerdClient
  readonly host: Host
  readonly images: Images
  readonly rootfs: Rootfs
  readonly volumes: Volumes
  readonly cgroups: Cgroups
  readonly specHost: SpecHost
  /** A folder a task. */
  readonly taskDirectory: string
}

/** What a container's record is made of. */
type Parts = {
  readonly image: Image
  readonly stopSignal: string
  readonly mounts: readonly PlannedMount[]
  readonly network: NetworkAttachment
  readonly spec: OciSpec
}

const RUNTIME_NAME = 'io.containerd.runc.v2'
const SPEC_TYPE = 'types.containerd.io/opencontainers/runtime-spec/1/Spec'
const OPTIONS_TYPE = 'containerd.runc.v1.Options'
const HOSTNAME_LENGTH = 12

export class Preparation {
  readonly #options: PreparationOptions

  constructor(options: PreparationOptions) {
    this.#options = options
  }

  /** The container is there, and nothing of it runs. */
  async prepare(task: Task, signal: AbortSignal): Promise<void> {
    const { spec } = task
    if (spec?.container === undefined) {
      throw new SwarmError('invalid-argument', `task ${task.id} has no container to run`)
    }
    const container = withResourceEnv(spec.container, task)
    if (await this.#isPrepared(task.id)) return
    const network = { mode: networkMode(spec), hostname: hostnameOf(task, container) }
    const { images } = this.#options
    const image = await images.ensure(container.image, container.registryAuth, signal)
    const parts = await this.#assemble(task, { spec, container, image, network })
    throwIfAborted(signal)
    await this.#record(task, parts)
  }

  async #assemble(
    task: Task,
    wanted: {
      readonly spec: TaskSpec
      readonly container: ContainerSpec
      readonly image: Image
      readonly network: NetworkOptions
    },
  ): Promise<Parts> {
    const { spec, container, image } = wanted
    const { host, rootfs, volumes, cgroups, specHost, taskDirectory } = this.#options
    const { hostname } = wanted.network
    const mounts = planMounts(container.mounts, image.config.volumes)
    // Refused now, for a container that cannot be told to stop must not run.
    const stopSignal = container.stopSignal || image.config.stopSignal
    parseSignal(stopSignal)
    const user = await rootfs.resolveUser(image.chainId, container.user || image.config.user)
    const ociMounts = await volumes.prepare(task.id, mounts, image.chainId)
    await this.#prepareRoot(task.id, image)
    const network = await host.attachNetwork(task.id, wanted.network)
    const files = await writeTaskFiles(join(taskDirectory, task.id), hostname, network)
    const ociSpec = newSpec({
      ...{ task: spec, container, image: image.config, host: specHost, user, hostname, files },
      cgroupsPath: cgroups.specPath(task.id),
      netnsPath: network.netnsPath,
      mounts: ociMounts,
      rootPropagation: rootPropagation(mounts),
    })
    return { image, stopSignal, mounts, network, spec: ociSpec }
  }

  /** The container's root is as the image has it, whatever an earlier attempt left. */
  async #prepareRoot(taskId: string, image: Image): Promise<void> {
    const { client, host } = this.#options
    // Until the container's record names it, only this label keeps it.
    const labels = new Map([['containerd.io/gc.root', new Date().toISOString()]])
    const snapshot = { snapshotter: host.facts.snapshotter, key: taskId }
    const prepare = (): Promise<unknown> =>
      client.snapshots.prepare({ ...snapshot, parent: image.chainId, labels }, inNamespace())
    try {
      await prepare()
    } catch (error) {
      if (!isCode(error, 'already-exists')) throw error
      // Its tag may have meant another image then.
      await client.snapshots.remove(snapshot, inNamespace())
      await prepare()
    }
  }

  async #record(task: Task, parts: Parts): Promise<void> {
    const { client, host } = this.#options
    const { runtimeRoot: root, cgroupDriver, snapshotter } = host.facts
    const runc = { ...emptyOptions, root, systemdCgroup: cgroupDriver === 'systemd' }
    const volumes = parts.mounts.flatMap((mount) =>
      mount.kind === 'volume' && mount.name !== undefined ? [mount.name] : [],
    )
    const labels = newLabels(task, {
      stopSignal: parts.stopSignal,
      address: parts.network.address,
      volumes,
    })
    const container = {
      ...emptyContainer,
      id: task.id,
      labels: selectStorable(labels),
      extensions: new Map([
        [LABELS_EXTENSION, formatLabels(labels)],
        [IMAGE_CHECK_EXTENSION, formatImageCheck(parts.image.config)],
      ]),
      image: parts.image.name,
      runtime: {
        name: RUNTIME_NAME,
        options: { ...emptyAny, typeUrl: OPTIONS_TYPE, value: encodeOptions(runc) },
      },
      spec: { ...emptyAny, typeUrl: SPEC_TYPE, value: encodeSpec(parts.spec) },
      snapshotter,
      snapshotKey: task.id,
    }
    try {
      await client.containers.create({ container }, inNamespace())
    } catch (error) {
      if (!isCode(error, 'already-exists')) throw error
    }
  }

  async #isPrepared(taskId: string): Promise<boolean> {
    try {
      await this.#options.client.containers.get({ id: taskId }, inNamespace())
      return true
    } catch (error) {
      if (!isCode(error, 'not-found')) throw error
      return false
    }
  }
}

function formatLabels(labels: ReadonlyMap<string, string>): Any {
  const value = new TextEncoder().encode(JSON.stringify(Object.fromEntries(labels)))
  return { ...emptyAny, typeUrl: LABELS_EXTENSION, value }
}

function networkMode(spec: TaskSpec): NetworkOptions['mode'] {
  if (spec.networks.length === 0) return 'link'
  if (spec.networks.every((network) => network.target === 'host')) return 'host'
  const other = spec.networks.find((network) => network.target !== 'host')
  throw new SwarmError(
    'unimplemented',
    `network "${other?.target ?? ''}" cannot be joined: only "host" is supported`,
  )
}

function hostnameOf(task: Task, container: ContainerSpec): string {
  return container.hostname === '' ? task.id.slice(0, HOSTNAME_LENGTH) : container.hostname
}
