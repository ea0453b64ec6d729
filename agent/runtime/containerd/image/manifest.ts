/**
 * The documents that make an image: index, manifest and config, in OCI's and Docker's media types.
 * It reads them, chooses the manifest for a platform, and computes the chain ids by which containerd
 * names unpacked layers (image-spec, "Layer ChainID").
 */
import { hash } from 'node:crypto'
import { SwarmError } from '../../../../lib/errors.ts'
import type { Healthcheck } from '../../../../proto/gen/specs.ts'
import {
  type JsonObject,
  numberAt,
  objectAt,
  objectsAt,
  parseJsonObject,
  stringAt,
  stringEntriesAt,
  stringsAt,
} from './json.ts'

export const MEDIA_TYPES = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
} as const

/** What a registry is told that we can read, best first. */
export const MANIFEST_TYPES: readonly string[] = [
  MEDIA_TYPES.ociIndex,
  MEDIA_TYPES.dockerList,
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.dockerManifest,
]

export type Descriptor = {
  readonly mediaType: string
  readonly digest: string
  readonly sizeBytes: number
}

export type IndexEntry = Descriptor & {
  readonly platform: ImagePlatform | undefined
  readonly annotations: ReadonlyMap<string, string>
}

/** As images name it: architecture amd64, arm64, …; variant v7, v8 or empty. */
export type ImagePlatform = {
  readonly os: string
  readonly architecture: string
  readonly variant: string
}

export type Manifest = { readonly config: Descriptor; readonly layers: readonly Descriptor[] }

/** What an image says about the container that runs it. */
export type ImageConfig = {
  readonly platform: ImagePlatform
  readonly env: readonly string[]
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
  readonly directory: string
  readonly user: string
  readonly volumes: readonly string[]
  readonly stopSignal: string
  /** What runs a line of shell; empty: the usual one. */
  readonly shell: readonly string[]
  /** Undefined where it has none. */
  readonly healthcheck: Healthcheck | undefined
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly string[]
}

/** What 32 bits hold. */
const RETRIES_MAX = 2 ** 32 - 1
const DIGEST = /^sha256:[0-9a-f]{64}$|^sha512:[0-9a-f]{128}$/

export function isIndexType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPES.ociIndex || mediaType === MEDIA_TYPES.dockerList
}

/** `sha256:…` of bytes that are small enough to hash at once. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${hash('sha256', bytes)}`
}

/** Whether `bytes` are what `digest` names. */
export function matchesDigest(bytes: Uint8Array, digest: string): boolean {
  const [algorithm = '', expected = ''] = digest.split(':')
  return (algorithm === 'sha256' || algorithm === 'sha512') && hash(algorithm, bytes) === expected
}

export function parseIndex(bytes: Uint8Array, what: string): readonly IndexEntry[] {
  return objectsAt(parseJsonObject(bytes, what), 'manifests').map((entry) => {
    const platform = objectAt(entry, 'platform')
    return {
      ...parseDescriptor(entry, what),
      annotations: stringEntriesAt(entry, 'annotations'),
      platform: Object.keys(platform).length === 0 ? undefined : parsePlatform(platform),
    }
  })
}

export function parseManifest(bytes: Uint8Array, what: string): Manifest {
  const document = parseJsonObject(bytes, what)
  return {
    config: parseDescriptor(objectAt(document, 'config'), what),
    layers: objectsAt(document, 'layers').map((layer) => parseDescriptor(layer, what)),
  }
}

/** The media type that a manifest or index states, or else shows by its fields. */
export function mediaTypeOf(bytes: Uint8Array, what: string): string {
  const document = parseJsonObject(bytes, what)
  const stated = stringAt(document, 'mediaType')
  if (stated !== '') return stated
  return 'manifests' in document ? MEDIA_TYPES.ociIndex : MEDIA_TYPES.ociManifest
}

export function parseImageConfig(bytes: Uint8Array, what: string): ImageConfig {
  const document = parseJsonObject(bytes, what)
  const config = objectAt(document, 'config')
  const diffIds = stringsAt(objectAt(document, 'rootfs'), 'diff_ids')
  if (!diffIds.every((digest) => DIGEST.test(digest))) {
    throw new SwarmError('data-loss', `${what} names a layer that is no digest`)
  }
  return {
    platform: parsePlatform(document),
    env: stringsAt(config, 'Env'),
    entrypoint: stringsAt(config, 'Entrypoint'),
    command: stringsAt(config, 'Cmd'),
    directory: stringAt(config, 'WorkingDir'),
    user: stringAt(config, 'User'),
    volumes: Object.keys(objectAt(config, 'Volumes')).sort(),
    stopSignal: stringAt(config, 'StopSignal'),
    shell: stringsAt(config, 'Shell'),
    healthcheck: parseHealthcheck(objectAt(config, 'Healthcheck')),
    diffIds,
  }
}

/** Docker's member, which OCI left out: times are nanoseconds. What makes no sense counts as not said. */
function parseHealthcheck(json: JsonObject): Healthcheck | undefined {
  const test = stringsAt(json, 'Test')
  if (Object.keys(json).length === 0) return undefined
  const msAt = (key: string): number => Math.max(0, Math.ceil(numberAt(json, key) / 1e6))
  return {
    test,
    intervalMs: msAt('Interval'),
    timeoutMs: msAt('Timeout'),
    retries: Math.min(Math.max(0, numberAt(json, 'Retries')), RETRIES_MAX),
    startPeriodMs: msAt('StartPeriod'),
    startIntervalMs: msAt('StartInterval'),
  }
}

/** The name of each layer unpacked on top of those below it; the last one is the whole root. */
export function listChainIds(diffIds: readonly string[]): readonly string[] {
  const chain: string[] = []
  for (const diffId of diffIds) {
    const below = chain.at(-1)
    chain.push(
      below === undefined ? diffId : digestOf(new TextEncoder().encode(`${below} ${diffId}`)),
    )
  }
  return chain
}

/** The entry that runs on `host`, best variant first; undefined where none does. */
export function findManifest(
  entries: readonly IndexEntry[],
  host: ImagePlatform,
): IndexEntry | undefined {
  for (const wanted of platformsRunBy(host)) {
    const found = entries.find(({ platform }) => platform !== undefined && equals(platform, wanted))
    if (found !== undefined) return found
  }
  // An index of a single image often leaves its platform out; the config says it again.
  return entries.length === 1 && entries[0]?.platform === undefined ? entries[0] : undefined
}

/** Whether a container of `image` runs on `host`. Images that name no platform are taken. */
export function runsOn(image: ImagePlatform, host: ImagePlatform): boolean {
  if (image.architecture === '') return true
  return platformsRunBy(host).some((each) => equals(each, image))
}

function platformsRunBy(host: ImagePlatform): readonly ImagePlatform[] {
  const arm = ['v8', 'v7', 'v6', 'v5', ''].map((variant) => ({
    ...host,
    architecture: 'arm',
    variant,
  }))
  if (host.architecture === 'arm64') {
    return [{ ...host, variant: 'v8' }, { ...host, variant: '' }, ...arm]
  }
  if (host.architecture === 'arm') return arm.slice(1)
  return [
    { ...host, variant: '' },
    { ...host, variant: 'v1' },
  ]
}

function equals(left: ImagePlatform, right: ImagePlatform): boolean {
  return (
    left.os === right.os &&
    left.architecture === right.architecture &&
    left.variant === right.variant
  )
}

function parsePlatform(object: JsonObject): ImagePlatform {
  return {
    os: stringAt(object, 'os'),
    architecture: stringAt(object, 'architecture'),
    variant: stringAt(object, 'variant'),
  }
}

function parseDescriptor(object: JsonObject, what: string): Descriptor {
  const digest = stringAt(object, 'digest')
  const sizeBytes = numberAt(object, 'size')
  if (!DIGEST.test(digest) || sizeBytes < 0) {
    throw new SwarmError('data-loss', `${what} has a descriptor without a valid digest and size`)
  }
  return { mediaType: stringAt(object, 'mediaType'), digest, sizeBytes }
}
