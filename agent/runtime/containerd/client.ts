/**
 * The way to containerd: one channel, its services as generated, and what every call says besides:
 * the namespace, the lease that protects what it makes, and when to give up. Containers of every
 * tsswarm on a host are in the same namespace of different containerds.
 */

import { containersService } from '../../../proto/gen/containerd/containers.ts'
import { contentService } from '../../../proto/gen/containerd/content.ts'
import { diffService } from '../../../proto/gen/containerd/diff.ts'
import { eventsService } from '../../../proto/gen/containerd/events.ts'
import { imagesService } from '../../../proto/gen/containerd/images.ts'
import { leasesService } from '../../../proto/gen/containerd/leases.ts'
import { namespacesService } from '../../../proto/gen/containerd/namespaces.ts'
import { snapshotsService } from '../../../proto/gen/containerd/snapshots.ts'
import { tasksService } from '../../../proto/gen/containerd/tasks.ts'
import { versionService } from '../../../proto/gen/containerd/version.ts'
import { type Channel, newChannel, newClient } from '../../../proto/grpc.ts'
import type { CallOptions, Client } from '../../../proto/rpc.ts'

export const NAMESPACE = 'tsswarm'

const DEADLINE_MS = 30_000
/** A list of some thousand containers, each with its spec. */
const MESSAGE_BYTES_MAX: number = 64 * 1024 ** 2

export type ContainerdClient = {
  readonly containers: Client<typeof containersService>
  readonly content: Client<typeof contentService>
  readonly diff: Client<typeof diffService>
  readonly events: Client<typeof eventsService>
  readonly images: Client<typeof imagesService>
  readonly leases: Client<typeof leasesService>
  readonly namespaces: Client<typeof namespacesService>
  readonly snapshots: Client<typeof snapshotsService>
  readonly tasks: Client<typeof tasksService>
  readonly version: Client<typeof versionService>
  close(): void
}

export type ContainerdCall = {
  /** What the call makes is safe from the garbage collector while this lease lives. */
  readonly leaseId?: string
  readonly signal?: AbortSignal
  /** Infinity: as long as it takes. 30 s unless told. */
  readonly deadlineMs?: number
}

/** Connects when first used, and again whenever it has to. */
export function newContainerdClient(address: string): ContainerdClient {
  const channel: Channel = newChannel(address, {
    credentials: { kind: 'insecure' },
    messageBytesMax: MESSAGE_BYTES_MAX,
  })
  return {
    containers: newClient(channel, containersService),
    content: newClient(channel, contentService),
    diff: newClient(channel, diffService),
    events: newClient(channel, eventsService),
    images: newClient(channel, imagesService),
    leases: newClient(channel, leasesService),
    namespaces: newClient(channel, namespacesService),
    snapshots: newClient(channel, snapshotsService),
    tasks: newClient(channel, tasksService),
    version: newClient(channel, versionService),
    close: () => channel.close(),
  }
}

/** The options of one call in our namespace. */
export function inNamespace(call: ContainerdCall = {}): CallOptions {
  const { leaseId, signal, deadlineMs = DEADLINE_MS } = call
  return {
    metadata: {
      'containerd-namespace': NAMESPACE,
      ...(leaseId === undefined ? {} : { 'containerd-lease': leaseId }),
    },
    ...(signal === undefined ? {} : { signal }),
    ...(deadlineMs === Infinity ? {} : { deadlineMs }),
  }
}
