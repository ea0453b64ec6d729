/**
 * Images on this node: from a reference to an unpacked root and the image's config. It decides when a
 * registry is asked (swarm-mode.md 3.3: a digest that is here needs none, an image of the airgap
 * folder neither, and any image that is here does when the registry fails), pulls each image once
 * however many tasks want it, and unpacks under a lease. Fetching is `registry.ts`' work, the bytes
 * are `content.ts`'.
 */
import { hash } from 'node:crypto'
import { SwarmError } from '../../../../lib/errors.ts'
import { formatReference, parseReference } from '../../../../lib/image-reference.ts'
import type { Log } from '../../../../lib/log.ts'
import { emptyDescriptor } from '../../../../proto/gen/containerd/types.ts'
import { type ContainerdClient, inNamespace } from '../client.ts'
import { Content, ignoreNotFound, isCode } from './content.ts'
import { parseRegistryAuth } from './credentials.ts'
import { Flights } from './flights.ts'
import {
  type Descriptor,
  digestOf,
  findManifest,
  type ImageConfig,
  type ImagePlatform,
  isIndexType,
  listChainIds,
  type Manifest,
  parseImageConfig,
  parseIndex,
  parseManifest,
  runsOn,
} from './manifest.ts'
import type { Fetch, Registry } from './registry.ts'
import type { Unpacker } from './unpack.ts'

export type Image = {
  /** The full reference, or the name of the image's record. */
  readonly name: string
  readonly config: ImageConfig
  /** The committed snapshot that holds the whole root; empty for an image without layers. */
  readonly chainId: string
}

export type ImagesOptions = {
  readonly snapshotter: string
  readonly platform: ImagePlatform
  readonly unpacker: Unpacker
  readonly log: Log
}

/** On an image's record: it came from the airgap folder, so no registry knows better. */
export const AIRGAP_LABEL = 'io.tsswarm.airgap'

const DOCUMENT_BYTES_MAX: number = 4 * 1024 * 1024
const LAYERS_AT_ONCE = 3
const LEASE_LIFE_MS: number = 24 * 3_600_000
const NO_LABELS: ReadonlyMap<string, string> = new Map()

type Pulled = { readonly manifest: Manifest; readonly config: ImageConfig }

export class Images {
  readonly #client: ContainerdClient
  readonly #registry: Registry
  readonly #options: ImagesOptions
  readonly #content: Content
  readonly #ensures = new Flights<Image>()
  /** Two images share layers: each blob is fetched once. */
  readonly #blobs = new Flights<void>()

  constructor(client: ContainerdClient, registry: Registry, options: ImagesOptions) {
    this.#client = client
    this.#registry = registry
    this.#options = options
    this.#content = new Content(client)
  }

  /** The image is here and unpacked. */
  async ensure(image: string, registryAuth: string, signal: AbortSignal): Promise<Image> {
    const reference = parseReference(image)
    const credentials = parseRegistryAuth(registryAuth)
    const fetch = { reference, credentials, signal }
    const settled = await this.#findSettled(fetch)
    if (settled !== undefined) return settled
    const key = hash('sha256', JSON.stringify([formatReference(reference), credentials]))
    return this.#ensures.join(key, signal, async (shared) => {
      const leaseId = await this.openLease(key)
      try {
        const found = await this.#pullOrFind({ ...fetch, signal: shared }, leaseId)
        await this.closeLease(leaseId)
        return found
      } catch (error) {
        // What there is no room for does not stay for another attempt.
        if (isCode(error, 'resource-exhausted')) await this.closeLease(leaseId)
        throw error
      }
    })
  }

  /**
   * A lease for work on the image called `key`. Work that failed leaves its lease, so that the next
   * attempt finds what is there already; it ends by itself within a day.
   */
  async openLease(key: string): Promise<string> {
    // A new one every half life: one that is found again has at least as long to live.
    const period = Math.floor(Date.now() / (LEASE_LIFE_MS / 2))
    const id = `tsswarm-${key}-${period}`
    const expires = new Date(Date.now() + LEASE_LIFE_MS).toISOString()
    const labels = new Map([['containerd.io/gc.expire', expires]])
    try {
      await this.#client.leases.create({ id, labels }, inNamespace())
    } catch (error) {
      if (!isCode(error, 'already-exists')) throw error
    }
    return id
  }

  async closeLease(leaseId: string): Promise<void> {
    await this.#client.leases
      .delete({ id: leaseId, sync: false }, inNamespace())
      .catch(ignoreNotFound)
  }

  /** The image that a manifest or index in the store means is unpacked and has the name. */
  async adopt(
    name: string,
    target: Descriptor,
    options: {
      readonly leaseId: string
      readonly labels: ReadonlyMap<string, string>
      readonly signal: AbortSignal
    },
  ): Promise<Image> {
    const pulled = await this.#findPulled(target, name)
    if (pulled === undefined) {
      throw new SwarmError('data-loss', `image ${name} is not whole: parts of it are missing`)
    }
    const image = await this.#unpack(name, pulled, options)
    await this.#record(name, target, options.labels)
    return image
  }

  get content(): Content {
    return this.#content
  }

  get platform(): ImagePlatform {
    return this.#options.platform
  }

  /** The image where it is here, unpacked, and no registry could say anything else. */
  async #findSettled(fetch: Fetch): Promise<Image | undefined> {
    const name = formatReference(fetch.reference)
    const record = await this.#findRecord(name)
    if (record === undefined) return undefined
    if (fetch.reference.digest === undefined && !record.isAirgap) return undefined
    return this.#findUnpacked(name, record.target)
  }

  async #pullOrFind(fetch: Fetch, leaseId: string): Promise<Image> {
    const name = formatReference(fetch.reference)
    const record = await this.#findRecord(name)
    try {
      return await this.#pull(name, fetch, { leaseId, known: record?.target })
    } catch (error) {
      if (record === undefined || fetch.signal.aborted) throw error
      const pulled = await this.#findPulled(record.target, name)
      if (pulled === undefined) throw error
      this.#options.log.warn(
        { image: name, error },
        'image could not be pulled, the local one is used',
      )
      return this.#unpack(name, pulled, { leaseId, signal: fetch.signal })
    }
  }

  async #pull(
    name: string,
    fetch: Fetch,
    { leaseId, known }: { readonly leaseId: string; readonly known: Descriptor | undefined },
  ): Promise<Image> {
    const { signal } = fetch
    const top = await this.#registry.fetchManifest(fetch)
    const unchanged =
      known?.digest === top.digest ? await this.#findUnpacked(name, known) : undefined
    if (unchanged !== undefined) return unchanged
    const target = { mediaType: top.mediaType, digest: top.digest, sizeBytes: top.bytes.length }
    const chosen = isIndexType(top.mediaType)
      ? await this.#fetchChosen(name, top.bytes, fetch)
      : { ...target, bytes: top.bytes }
    const manifest = parseManifest(chosen.bytes, `the manifest of ${name}`)
    await this.#fetchBlobs([manifest.config, ...manifest.layers], fetch, leaseId)
    const config = await this.#readConfig(manifest.config, name)
    await this.#content.writeBytes(chosen, chosen.bytes, {
      ...{ leaseId, signal },
      labels: manifestReferences(manifest),
    })
    if (chosen.digest !== target.digest) {
      const labels = new Map([['containerd.io/gc.ref.content.m.0', chosen.digest]])
      await this.#content.writeBytes(target, top.bytes, { leaseId, signal, labels })
    }
    const image = await this.#unpack(name, { manifest, config }, { leaseId, signal })
    await this.#record(name, target, NO_LABELS)
    this.#options.log.info({ image: name, digest: target.digest }, 'image pulled')
    return image
  }

  async #fetchChosen(
    name: string,
    index: Uint8Array,
    fetch: Fetch,
  ): Promise<Descriptor & { readonly bytes: Uint8Array }> {
    const chosen = this.#choose(name, index)
    const { bytes } = await this.#registry.fetchManifest(fetch, chosen.digest)
    return { ...chosen, sizeBytes: bytes.length, bytes }
  }

  #choose(name: string, index: Uint8Array): Descriptor {
    const { platform } = this.#options
    const entry = findManifest(parseIndex(index, `the index of ${name}`), platform)
    if (entry !== undefined) return entry
    const { os, architecture } = platform
    const message = `no matching manifest for ${os}/${architecture} in the manifest list entries`
    throw new SwarmError('not-found', `${message} of ${name}`, { facts: { image: name } })
  }

  /** A few at a time. One that fails ends the others, unless another image waits for them too. */
  async #fetchBlobs(blobs: readonly Descriptor[], fetch: Fetch, leaseId: string): Promise<void> {
    const waiting = [...new Map(blobs.map((blob) => [blob.digest, blob])).values()]
    const failed = new AbortController()
    const signal = AbortSignal.any([fetch.signal, failed.signal])
    const workers = Array.from({ length: LAYERS_AT_ONCE }, async () => {
      for (let blob = waiting.shift(); blob !== undefined; blob = waiting.shift()) {
        await this.#fetchBlob(blob, { ...fetch, signal }, leaseId)
      }
    })
    try {
      await Promise.all(workers)
    } catch (error) {
      failed.abort()
      await Promise.allSettled(workers)
      throw error
    }
  }

  async #fetchBlob(descriptor: Descriptor, fetch: Fetch, leaseId: string): Promise<void> {
    for (let isOurs = false; ; ) {
      try {
        await this.#blobs.join(descriptor.digest, fetch.signal, (signal) => {
          isOurs = true
          return this.#content.write({
            ...{ descriptor, leaseId, signal, labels: NO_LABELS },
            open: (offset) =>
              this.#registry.openBlob({ ...fetch, signal }, descriptor.digest, offset),
          })
        })
        break
      } catch (error) {
        // Somebody else's attempt, perhaps with credentials that were refused.
        if (isOurs || fetch.signal.aborted) throw error
      }
    }
    // It may have been written under another image's lease.
    const resource = { id: descriptor.digest, type: 'content' }
    await this.#client.leases.addResource({ id: leaseId, resource }, inNamespace())
  }

  async #unpack(
    name: string,
    pulled: Pulled,
    options: { readonly leaseId: string; readonly signal: AbortSignal },
  ): Promise<Image> {
    const { manifest, config } = pulled
    if (!runsOn(config.platform, this.#options.platform)) {
      const { architecture } = config.platform
      const message = `image ${name} is for ${architecture}, this node is ${this.#options.platform.architecture}`
      throw new SwarmError('failed-precondition', message, { facts: { image: name } })
    }
    if (config.diffIds.length !== manifest.layers.length) {
      throw new SwarmError('data-loss', `image ${name} has layers that its config does not know`)
    }
    const chainIds = listChainIds(config.diffIds)
    await this.#options.unpacker.unpack(
      name,
      { layers: manifest.layers, config, chainIds },
      options,
    )
    const chainId = chainIds.at(-1) ?? ''
    const key = `containerd.io/gc.ref.snapshot.${this.#options.snapshotter}`
    if (chainId !== '') await this.#labelContent(manifest.config.digest, key, chainId)
    return { name, config, chainId }
  }

  async #labelContent(digest: string, key: string, value: string): Promise<void> {
    const info = { digest, size: 0, labels: new Map([[key, value]]) }
    const updateMask = { paths: [`labels.${key}`] }
    await this.#client.content.update({ info, updateMask }, inNamespace())
  }

  async #findUnpacked(name: string, target: Descriptor): Promise<Image | undefined> {
    const pulled = await this.#findPulled(target, name)
    if (pulled === undefined) return undefined
    const chainId = listChainIds(pulled.config.diffIds).at(-1) ?? ''
    const isUnpacked = chainId === '' || (await this.#options.unpacker.has(chainId))
    return isUnpacked ? { name, config: pulled.config, chainId } : undefined
  }

  /** Undefined where something of it is missing in the store. */
  async #findPulled(target: Descriptor, name: string): Promise<Pulled | undefined> {
    const top = await this.#content.find(target.digest, DOCUMENT_BYTES_MAX)
    if (top === undefined) return undefined
    const bytes = isIndexType(target.mediaType)
      ? await this.#content.find(this.#choose(name, top).digest, DOCUMENT_BYTES_MAX)
      : top
    if (bytes === undefined) return undefined
    const manifest = parseManifest(bytes, `the manifest of ${name}`)
    const whole = await Promise.all(
      [manifest.config, ...manifest.layers].map(({ digest }) => this.#content.has(digest)),
    )
    if (whole.includes(false)) return undefined
    return { manifest, config: await this.#readConfig(manifest.config, name) }
  }

  async #readConfig(config: Descriptor, name: string): Promise<ImageConfig> {
    const bytes = await this.#content.find(config.digest, DOCUMENT_BYTES_MAX)
    if (bytes !== undefined) return parseImageConfig(bytes, `the config of ${name}`)
    throw new SwarmError('data-loss', `the config of ${name} is missing or larger than 4 MiB`)
  }

  async #findRecord(
    name: string,
  ): Promise<{ readonly target: Descriptor; readonly isAirgap: boolean } | undefined> {
    try {
      const { image } = await this.#client.images.get({ name }, inNamespace())
      if (image?.target === undefined) return undefined
      const { mediaType, digest, size } = image.target
      const isAirgap = image.labels.has(AIRGAP_LABEL)
      return { target: { mediaType, digest, sizeBytes: size }, isAirgap }
    } catch (error) {
      ignoreNotFound(error)
      return undefined
    }
  }

  async #record(
    name: string,
    descriptor: Descriptor,
    labels: ReadonlyMap<string, string>,
  ): Promise<void> {
    const { mediaType, digest, sizeBytes: size } = descriptor
    const image = { name, labels, target: { ...emptyDescriptor, mediaType, digest, size } }
    try {
      await this.#client.images.create({ image }, inNamespace())
    } catch (error) {
      if (!isCode(error, 'already-exists')) throw error
      await this.#client.images.update({ image, updateMask: undefined }, inNamespace())
    }
  }
}

/** What a manifest keeps from containerd's garbage collector. */
export function manifestReferences(manifest: Manifest): ReadonlyMap<string, string> {
  return new Map([
    ['containerd.io/gc.ref.content.config', manifest.config.digest],
    ...manifest.layers.map((layer, at): [string, string] => [
      `containerd.io/gc.ref.content.l.${at}`,
      layer.digest,
    ]),
  ])
}

/** For flights and leases: what is imported under this name. */
export function leaseKey(text: string): string {
  return digestOf(new TextEncoder().encode(text)).replace(':', '-')
}
