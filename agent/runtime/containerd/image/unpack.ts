/**
 * Layers → committed snapshots, one on top of the other, by containerd's applier. The applier has no
 * size limit, and a small layer may hold much, so this watches what is left on the disk and how much
 * came out, cancels and takes away what was made (`docs/containers.md`).
 */
import { randomUUID } from 'node:crypto'
import { statfs } from 'node:fs/promises'
import { SwarmError } from '../../../../lib/errors.ts'
import { emptyDescriptor, type Mount } from '../../../../proto/gen/containerd/types.ts'
import { type ContainerdClient, inNamespace } from '../client.ts'
import { ignoreNotFound, isCode } from './content.ts'
import type { Descriptor, ImageConfig } from './manifest.ts'

export type UnpackerOptions = {
  readonly snapshotter: string
  /** Left free for everybody else. */
  readonly freeBytesMin: number
  /** Of one image, all layers together. */
  readonly unpackedBytesMax: number
}

export type Layers = {
  readonly layers: readonly Descriptor[]
  readonly chainIds: readonly string[]
  readonly config: ImageConfig
}

type Step = {
  readonly image: string
  readonly layer: Descriptor
  readonly diffId: string
  readonly chainId: string
  readonly parent: string
}

/** The snapshot that a layer is unpacked into, and what came out of those below it. */
type Work = {
  readonly key: string
  readonly mounts: readonly Mount[]
  readonly unpackedBytes: number
  readonly leaseId: string
  readonly signal: AbortSignal
}

const WATCH_MS = 500

export class Unpacker {
  readonly #client: ContainerdClient
  readonly #options: UnpackerOptions

  constructor(client: ContainerdClient, options: UnpackerOptions) {
    this.#client = client
    this.#options = options
  }

  /** Every layer's chain id names a committed snapshot, held by the lease. */
  async unpack(
    image: string,
    { layers, chainIds, config }: Layers,
    options: { readonly leaseId: string; readonly signal: AbortSignal },
  ): Promise<void> {
    let unpackedBytes = 0
    for (const [at, layer] of layers.entries()) {
      const step: Step = {
        ...{ image, layer, diffId: config.diffIds[at] ?? '', chainId: chainIds[at] ?? '' },
        parent: at === 0 ? '' : (chainIds[at - 1] ?? ''),
      }
      if (!(await this.#hold(step.chainId, options.leaseId))) {
        await this.#unpackLayer(step, unpackedBytes, options)
      }
      unpackedBytes += await this.#usageBytes(step.chainId)
    }
  }

  async has(chainId: string): Promise<boolean> {
    const { snapshotter } = this.#options
    try {
      await this.#client.snapshots.stat({ snapshotter, key: chainId }, inNamespace())
      return true
    } catch (error) {
      ignoreNotFound(error)
      return false
    }
  }

  async #unpackLayer(
    step: Step,
    unpackedBytes: number,
    options: { readonly leaseId: string; readonly signal: AbortSignal },
  ): Promise<void> {
    const { snapshotter } = this.#options
    const key = `unpack-${randomUUID()}`
    const { leaseId } = options
    const request = { snapshotter, key, parent: step.parent, labels: new Map() }
    const { mounts } = await this.#client.snapshots.prepare(request, inNamespace({ leaseId }))
    try {
      await this.#apply(step, { key, mounts, unpackedBytes, ...options })
      await this.#client.snapshots.commit(
        { snapshotter, name: step.chainId, key, labels: new Map() },
        inNamespace({ leaseId }),
      )
    } catch (error) {
      await this.#client.snapshots.remove({ snapshotter, key }, inNamespace()).catch(ignoreNotFound)
      // Another image with the same layers was faster.
      if (!isCode(error, 'already-exists') || !(await this.#hold(step.chainId, leaseId)))
        throw error
    }
  }

  async #apply(step: Step, work: Work): Promise<void> {
    const { mediaType, digest, sizeBytes: size } = step.layer
    const full = new AbortController()
    const signal = AbortSignal.any([work.signal, full.signal])
    const refuse = async (): Promise<void> => {
      const reason = await this.#refusal(step.image, work)
      if (reason !== undefined) full.abort(reason)
    }
    await refuse()
    const watch = setInterval(() => void refuse().catch(() => undefined), WATCH_MS)
    try {
      full.signal.throwIfAborted()
      const { applied } = await this.#client.diff.apply(
        { diff: { ...emptyDescriptor, mediaType, digest, size }, mounts: work.mounts },
        inNamespace({ leaseId: work.leaseId, signal, deadlineMs: Infinity }),
      )
      // It may all have come between two looks.
      await refuse()
      full.signal.throwIfAborted()
      if (applied?.digest !== step.diffId) {
        throw new SwarmError('data-loss', `a layer of ${step.image} is not what its config says`)
      }
    } catch (error) {
      throw full.signal.aborted ? full.signal.reason : error
    } finally {
      clearInterval(watch)
    }
  }

  /** Why unpacking must not go on; undefined while it may. */
  async #refusal(image: string, work: Work): Promise<SwarmError | undefined> {
    const { freeBytesMin, unpackedBytesMax } = this.#options
    const folder = folderOf(work.mounts)
    const { bavail, bsize } = await statfs(folder)
    const freeBytes = bavail * bsize
    const facts = { image, freeBytes }
    if (freeBytes < freeBytesMin) {
      const message = `no space left to unpack ${image}: ${freeBytes} bytes are free in ${folder}`
      return new SwarmError('resource-exhausted', message, { facts, retriable: true })
    }
    const bytes = work.unpackedBytes + (await this.#usageBytes(work.key))
    if (bytes <= unpackedBytesMax) return undefined
    const message = `image ${image} is larger than ${unpackedBytesMax} bytes when unpacked`
    return new SwarmError('resource-exhausted', message, { facts })
  }

  /** Whether the snapshot is there; then the lease keeps it. */
  async #hold(chainId: string, leaseId: string): Promise<boolean> {
    const { snapshotter } = this.#options
    const resource = { id: chainId, type: `snapshots/${snapshotter}` }
    await this.#client.leases.addResource({ id: leaseId, resource }, inNamespace())
    return this.has(chainId)
  }

  async #usageBytes(key: string): Promise<number> {
    const { snapshotter } = this.#options
    const { size } = await this.#client.snapshots.usage({ snapshotter, key }, inNamespace())
    return size
  }
}

/** A folder of the snapshot itself, on whatever disk containerd keeps it. */
function folderOf(mounts: readonly Mount[]): string {
  const [mount] = mounts
  const upper = mount?.options.find((option) => option.startsWith('upperdir='))
  return upper === undefined ? (mount?.source ?? '/') : upper.slice('upperdir='.length)
}
