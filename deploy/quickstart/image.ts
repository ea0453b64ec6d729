/**
 * Small images out of the host's busybox, for tests and the quickstart: as an OCI archive or as
 * what `docker save` writes for the airgap folder, or pushed to a registry. Bytes depend on the
 * description alone, so the same image has the same digest every time.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

export type ImageFile = {
  /** Without a leading slash; folders above it are made. */
  readonly path: string
  readonly kind: 'file' | 'folder' | 'link'
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Of a file: its content; of a link: where it leads. */
  readonly content: string | Uint8Array
}

export type ImageDescription = {
  /** As users write it: `web:1`. */
  readonly name: string
  /** Lowest first. Each becomes a gzipped layer. */
  readonly layers: readonly (readonly ImageFile[])[]
  /** As in an image's config: Cmd, Env, User, … */
  readonly config: Readonly<Record<string, unknown>>
}

export type BuiltImage = {
  readonly name: string
  readonly blobs: ReadonlyMap<string, Uint8Array>
  readonly manifest: Blob
  readonly config: Blob
  /** Uncompressed. */
  readonly layers: readonly Uint8Array[]
}

type Blob = { readonly digest: string; readonly bytes: Uint8Array }

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }
const BUSYBOX = '/bin/busybox'

/** A file of root, 0644 unless told. */
export function imageFile(path: string, content: string | Uint8Array, mode = 0o644): ImageFile {
  return { path, kind: 'file', mode, uid: 0, gid: 0, content }
}

export function imageFolder(path: string, mode = 0o755): ImageFile {
  return { path, kind: 'folder', mode, uid: 0, gid: 0, content: '' }
}

export function imageLink(path: string, target: string): ImageFile {
  return { path, kind: 'link', mode: 0o777, uid: 0, gid: 0, content: target }
}

/**
 * A layer that a shell can live in: busybox with all its commands, users and /tmp. Debian's
 * `busybox-static` needs nothing else; its `busybox`, which many machines have, needs libraries.
 */
export function busyboxLayer(path: string = BUSYBOX): readonly ImageFile[] {
  const commands = execFileSync(path, ['--list'], { encoding: 'utf8' }).split('\n')
  return [
    imageFolder('bin'),
    imageFile('bin/busybox', readFileSync(path), 0o755),
    ...listLibraries(path).map((library) =>
      imageFile(library.slice(1), readFileSync(library), 0o755),
    ),
    ...commands
      .filter((name) => name !== '' && name !== 'busybox')
      .map((name) => imageLink(`bin/${name}`, 'busybox')),
    imageFolder('etc'),
    imageFile('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/var/www:/bin/sh\n'),
    imageFile('etc/group', 'root:x:0:\nwheel:x:10:root\nwww:x:34:\naudio:x:11:web\n'),
    imageFolder('root', 0o700),
    imageFolder('tmp', 0o1777),
    imageFolder('dev'),
    imageFolder('proc'),
    imageFolder('sys'),
  ]
}

/** What the program is linked with, the loader included; nothing where it is static. */
function listLibraries(path: string): readonly string[] {
  const { status, stdout } = spawnSync('ldd', [path], { encoding: 'utf8' })
  if (status !== 0) return []
  return [...stdout.matchAll(/(?:=> |^\s+)(\/\S+)/gm)].map(([, library = '']) => library)
}

export function buildImage(description: ImageDescription): BuiltImage {
  const layers = description.layers.map(formatTar)
  const packed = layers.map((layer) => toBlob(gzipSync(layer)))
  const config = toBlob(
    json({
      architecture: ARCHITECTURES[process.arch] ?? process.arch,
      os: 'linux',
      created: '2026-01-01T00:00:00Z',
      config: description.config,
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => digest(layer)) },
    }),
  )
  const manifest = toBlob(
    json({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: descriptor('application/vnd.oci.image.config.v1+json', config),
      layers: packed.map((layer) =>
        descriptor('application/vnd.oci.image.layer.v1.tar+gzip', layer),
      ),
    }),
  )
  const blobs = new Map([config, manifest, ...packed].map((blob) => [blob.digest, blob.bytes]))
  return { name: description.name, blobs, manifest, config, layers }
}

/** An OCI layout in a tar, as `docker buildx --output type=oci` and `ctr images export` write it. */
export function formatOciArchive(images: readonly BuiltImage[]): Uint8Array {
  const blobs = new Map(images.flatMap((image) => [...image.blobs]))
  const manifests = images.map((image) => ({
    ...descriptor('application/vnd.oci.image.manifest.v1+json', image.manifest),
    annotations: { 'org.opencontainers.image.ref.name': image.name },
  }))
  return formatTar([
    imageFile('oci-layout', json({ imageLayoutVersion: '1.0.0' })),
    imageFile('index.json', json({ schemaVersion: 2, manifests })),
    ...[...blobs].map(([name, bytes]) => imageFile(`blobs/${name.replace(':', '/')}`, bytes)),
  ])
}

/** What `docker save` wrote before version 25: plain layers, and a list of names. */
export function formatDockerArchive(image: BuiltImage): Uint8Array {
  const config = `${image.config.digest.slice('sha256:'.length)}.json`
  const layers = image.layers.map((bytes, at) => ({ path: `layer-${at}/layer.tar`, bytes }))
  const manifest = [{ Config: config, RepoTags: [image.name], Layers: layers.map((l) => l.path) }]
  return formatTar([
    imageFile(config, image.config.bytes),
    ...layers.map((layer) => imageFile(layer.path, layer.bytes)),
    imageFile('manifest.json', json(manifest)),
  ])
}

/** The image is in the registry at `base` (`http://127.0.0.1:5000`) under its own name. */
export async function pushImage(
  base: string,
  image: BuiltImage,
  authorization = '',
): Promise<void> {
  const [repository = '', tag = 'latest'] = image.name.split(':')
  const headers = authorization === '' ? {} : { authorization }
  for (const [name, bytes] of image.blobs) {
    if (name === image.manifest.digest) continue
    const begun = await fetch(`${base}/v2/${repository}/blobs/uploads/`, {
      method: 'POST',
      headers,
    })
    const location = new URL(begun.headers.get('location') ?? '', base)
    location.searchParams.set('digest', name)
    await put(location, Buffer.from(bytes), {
      ...headers,
      'content-type': 'application/octet-stream',
    })
  }
  await put(
    new URL(`${base}/v2/${repository}/manifests/${tag}`),
    Buffer.from(image.manifest.bytes),
    {
      ...headers,
      'content-type': 'application/vnd.oci.image.manifest.v1+json',
    },
  )
}

/** A tar archive; folders above its files come by themselves. */
export function formatTar(files: readonly ImageFile[]): Uint8Array {
  const blocks = files.flatMap((file) => {
    const content = file.kind === 'file' ? Buffer.from(file.content) : Buffer.alloc(0)
    const padding = Buffer.alloc((512 - (content.length % 512)) % 512)
    return [formatHeader(file, content.length), content, padding]
  })
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

function formatHeader(file: ImageFile, size: number): Buffer {
  const header = Buffer.alloc(512)
  const name = file.kind === 'folder' ? `${file.path}/` : file.path
  const octal = (value: number, at: number, length: number): void => {
    header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at)
  }
  // Longer names are split at a slash, as ustar does it.
  const cut = name.length > 100 ? name.indexOf('/', name.length - 101) : -1
  header.write(cut === -1 ? name : name.slice(cut + 1), 0, 100)
  if (cut !== -1) header.write(name.slice(0, cut), 345, 155)
  octal(file.mode, 100, 8)
  octal(file.uid, 108, 8)
  octal(file.gid, 116, 8)
  octal(size, 124, 12)
  octal(0, 136, 12)
  header.write('        ', 148)
  header.write({ file: '0', folder: '5', link: '2' }[file.kind], 156)
  if (file.kind === 'link') header.write(Buffer.from(file.content).toString(), 157, 100)
  header.write('ustar\x0000', 257)
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  )
  return header
}

function descriptor(mediaType: string, blob: Blob): Readonly<Record<string, unknown>> {
  return { mediaType, digest: blob.digest, size: blob.bytes.length }
}

function toBlob(bytes: Uint8Array): Blob {
  return { digest: digest(bytes), bytes }
}

function digest(bytes: Uint8Array): string {
  return `sha256:${hash('sha256', bytes)}`
}

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

async function put(
  url: URL,
  body: Buffer<ArrayBuffer>,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const response = await fetch(url, { method: 'PUT', body, headers })
  if (!response.ok) throw new Error(`PUT ${url.pathname} answered ${response.status}`)
}
