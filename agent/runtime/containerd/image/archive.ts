/**
 * An image archive → containerd: an OCI layout in a tar (`index.json`), or what `docker save` writes
 * (`manifest.json`), plain or gzipped. The file is read by place, so a gzipped one is unpacked beside
 * first. Names come from the archive, or else from the file's name.
 */
import { randomUUID } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { SwarmError } from '../../../../lib/errors.ts'
import { formatReference, parseReference } from '../../../../lib/image-reference.ts'
import type { Images } from './images.ts'
import { manifestReferences } from './images.ts'
import { parseJsonObjects, stringAt, stringsAt } from './json.ts'
import {
  type Descriptor,
  digestOf,
  findManifest,
  type IndexEntry,
  isIndexType,
  MEDIA_TYPES,
  parseImageConfig,
  parseIndex,
  parseManifest,
} from './manifest.ts'
import { indexTar, readAt, type TarIndex, type TarPlace } from './tar.ts'

export type ImportOptions = {
  readonly leaseId: string
  /** For the images' records. */
  readonly labels: ReadonlyMap<string, string>
  /** Where a gzipped archive may be unpacked. */
  readonly directory: string
  readonly signal: AbortSignal
}

type Archive = {
  readonly images: Images
  readonly file: FileHandle
  readonly entries: TarIndex
  /** The file's name, for messages. */
  readonly what: string
  readonly options: ImportOptions
}

const PIECE_BYTES: number = 1024 * 1024
const DOCUMENT_BYTES_MAX: number = 4 * 1024 * 1024
const CONTAINERD_NAME = 'io.containerd.image.name'
const OCI_NAME = 'org.opencontainers.image.ref.name'
const NO_LABELS: ReadonlyMap<string, string> = new Map()

/** The names of the images that the archive held; each is here and unpacked. */
export async function importArchive(
  images: Images,
  path: string,
  options: ImportOptions,
): Promise<readonly string[]> {
  const isGzip = await startsWithGzip(path)
  const plain = isGzip ? join(options.directory, `import-${randomUUID()}.tar`) : path
  try {
    if (isGzip) {
      const { signal } = options
      await pipeline(createReadStream(path), createGunzip(), createWriteStream(plain), { signal })
    }
    await using file = await open(plain, 'r')
    const what = `archive ${basename(path)}`
    const entries = await indexTar(file, what)
    const archive = { images, file, entries, what, options }
    return await importEntries(archive, basename(path).replace(/\.(?:tar|tar\.gz|tgz)$/, ''))
  } finally {
    if (isGzip) await rm(plain, { force: true })
  }
}

async function importEntries(archive: Archive, baseName: string): Promise<readonly string[]> {
  const index = archive.entries.get('index.json')
  if (index !== undefined) {
    const found = parseIndex(await readDocument(archive, index), archive.what)
    const named = found.map((entry) => ({ entry, name: nameOf(entry, baseName) }))
    const isNamed = found.some((entry) => hasName(entry))
    // `docker save` writes both, and the names of untagged layouts stand in its own file only.
    if (isNamed || !archive.entries.has('manifest.json')) return importLayout(archive, named)
  }
  const manifest = archive.entries.get('manifest.json')
  if (manifest !== undefined) {
    return importDocker(archive, await readDocument(archive, manifest), baseName)
  }
  throw new SwarmError('invalid-argument', `${archive.what} is neither an OCI nor a docker archive`)
}

async function importLayout(
  archive: Archive,
  named: readonly { readonly entry: IndexEntry; readonly name: string }[],
): Promise<readonly string[]> {
  for (const { entry, name } of named) {
    await importTree(archive, entry)
    await archive.images.adopt(name, entry, archive.options)
  }
  return named.map(({ name }) => name)
}

/** A manifest or index with everything below it that is for this node. */
async function importTree(archive: Archive, descriptor: Descriptor): Promise<void> {
  const bytes = await readDocument(archive, placeOf(archive, descriptor.digest))
  let labels: ReadonlyMap<string, string>
  if (isIndexType(descriptor.mediaType)) {
    const chosen = findManifest(parseIndex(bytes, archive.what), archive.images.platform)
    if (chosen === undefined) {
      throw new SwarmError('not-found', `${archive.what} has nothing for this node's platform`)
    }
    await importTree(archive, chosen)
    labels = new Map([['containerd.io/gc.ref.content.m.0', chosen.digest]])
  } else {
    const manifest = parseManifest(bytes, archive.what)
    for (const blob of [manifest.config, ...manifest.layers]) await importBlob(archive, blob)
    labels = manifestReferences(manifest)
  }
  const { leaseId, signal } = archive.options
  const sized = { ...descriptor, sizeBytes: bytes.length }
  await archive.images.content.writeBytes(sized, bytes, { leaseId, signal, labels })
}

async function importBlob(archive: Archive, descriptor: Descriptor): Promise<void> {
  const { leaseId, signal } = archive.options
  const place = placeOf(archive, descriptor.digest)
  await archive.images.content.write({
    ...{ descriptor, leaseId, signal, labels: NO_LABELS },
    open: async (offset) => ({ offset, chunks: readPlace(archive.file, place, offset) }),
  })
}

/** The layers have no digests there, so containerd says what they are; then a manifest is made. */
async function importDocker(
  archive: Archive,
  manifest: Uint8Array,
  baseName: string,
): Promise<readonly string[]> {
  const names: string[] = []
  for (const image of parseJsonObjects(manifest, archive.what)) {
    const config = await readDocument(archive, entry(archive, stringAt(image, 'Config')))
    const descriptor = await writeConfig(archive, config)
    const layers: Descriptor[] = []
    for (const path of stringsAt(image, 'Layers')) {
      layers.push(await importLayer(archive, entry(archive, path)))
    }
    const target = await writeManifest(archive, descriptor, layers)
    const tags = stringsAt(image, 'RepoTags')
    for (const tag of tags.length === 0 ? [baseName] : tags) {
      const name = formatReference(parseReference(tag))
      await archive.images.adopt(name, target, archive.options)
      names.push(name)
    }
  }
  return names
}

async function writeConfig(archive: Archive, bytes: Uint8Array): Promise<Descriptor> {
  parseImageConfig(bytes, archive.what)
  const { leaseId, signal } = archive.options
  const digest = digestOf(bytes)
  const descriptor = { mediaType: MEDIA_TYPES.ociConfig, digest, sizeBytes: bytes.length }
  const options = { leaseId, signal, labels: NO_LABELS }
  await archive.images.content.writeBytes(descriptor, bytes, options)
  return descriptor
}

async function importLayer(archive: Archive, place: TarPlace): Promise<Descriptor> {
  const { leaseId, signal } = archive.options
  const magic = await readAt(archive.file, place.offset, 2)
  const mediaType = isGzip(magic) ? MEDIA_TYPES.ociLayerGzip : MEDIA_TYPES.ociLayer
  const chunks = readPlace(archive.file, place, 0)
  const ref = `import-${randomUUID()}`
  const digest = await archive.images.content.writeUnknown(ref, chunks, { leaseId, signal })
  return { mediaType, digest, sizeBytes: place.sizeBytes }
}

async function writeManifest(
  archive: Archive,
  config: Descriptor,
  layers: readonly Descriptor[],
): Promise<Descriptor> {
  const format = ({ mediaType, digest, sizeBytes: size }: Descriptor): unknown => ({
    ...{ mediaType, digest, size },
  })
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: format(config),
    layers: layers.map(format),
  }
  const bytes = new TextEncoder().encode(JSON.stringify(document))
  const { leaseId, signal } = archive.options
  const target = {
    mediaType: MEDIA_TYPES.ociManifest,
    digest: digestOf(bytes),
    sizeBytes: bytes.length,
  }
  const labels = manifestReferences({ config, layers })
  await archive.images.content.writeBytes(target, bytes, { leaseId, signal, labels })
  return target
}

function hasName(entry: IndexEntry): boolean {
  return entry.annotations.has(CONTAINERD_NAME) || entry.annotations.has(OCI_NAME)
}

/** A reference that names only a tag belongs to the image that the file is called after. */
function nameOf(entry: IndexEntry, baseName: string): string {
  const full = entry.annotations.get(CONTAINERD_NAME)
  if (full !== undefined) return formatReference(parseReference(full))
  const short = entry.annotations.get(OCI_NAME)
  if (short === undefined) return formatReference(parseReference(baseName))
  const isTag = !/[/:]/.test(short)
  return formatReference(parseReference(isTag ? `${baseName}:${short}` : short))
}

function placeOf(archive: Archive, digest: string): TarPlace {
  return entry(archive, `blobs/${digest.replace(':', '/')}`)
}

function entry(archive: Archive, path: string): TarPlace {
  const place = archive.entries.get(path)
  if (place !== undefined) return place
  throw new SwarmError('data-loss', `${archive.what} has no "${path}", which it names itself`)
}

async function readDocument(archive: Archive, place: TarPlace): Promise<Uint8Array> {
  if (place.sizeBytes <= DOCUMENT_BYTES_MAX) {
    return readAt(archive.file, place.offset, place.sizeBytes)
  }
  throw new SwarmError('resource-exhausted', `${archive.what} has a document of more than 4 MiB`)
}

async function* readPlace(
  file: FileHandle,
  place: TarPlace,
  from: number,
): AsyncGenerator<Uint8Array, void> {
  for (let at = from; at < place.sizeBytes; at += PIECE_BYTES) {
    yield await readAt(file, place.offset + at, Math.min(PIECE_BYTES, place.sizeBytes - at))
  }
}

async function startsWithGzip(path: string): Promise<boolean> {
  await using file = await open(path, 'r')
  return isGzip(await readAt(file, 0, 2))
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b
}
