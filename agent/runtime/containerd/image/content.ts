/**
 * Blobs in containerd's content store. A download is written as it comes and goes on where it broke
 * off, also after a restart of the daemon; containerd hashes it in its own process and refuses what is
 * not the blob asked for. Everything is written under a lease.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { SwarmError } from '../../../../lib/errors.ts'
import {
  emptyWriteContentRequest,
  type WriteContentRequest,
  type WriteContentResponse,
} from '../../../../proto/gen/containerd/content.ts'
import type { ClientStream } from '../../../../proto/rpc.ts'
import { type ContainerdClient, inNamespace } from '../client.ts'
import type { Descriptor } from './manifest.ts'
import type { BlobStream } from './registry.ts'

export type BlobWrite = {
  readonly descriptor: Pick<Descriptor, 'digest' | 'sizeBytes'>
  /** `containerd.io/gc.ref.…`: what this blob keeps from the garbage collector. */
  readonly labels: ReadonlyMap<string, string>
  readonly leaseId: string
  /** The blob's bytes from an offset on; asked again where they break off. */
  readonly open: (offset: number) => Promise<BlobStream>
  readonly signal: AbortSignal
}

type Writer = ClientStream<WriteContentResponse, WriteContentRequest>

const PIECE_BYTES: number = 1024 * 1024
/** Of attempts that brought no byte. */
const ATTEMPTS_MAX = 5
const BACKOFF_MS = 300

export class Content {
  readonly #client: ContainerdClient

  constructor(client: ContainerdClient) {
    this.#client = client
  }

  /** Undefined where the store does not have it, or it has more than `bytesMax` bytes. */
  async find(digest: string, bytesMax: number): Promise<Uint8Array | undefined> {
    const size = await this.#findSize(digest)
    if (size === undefined || size > bytesMax) return undefined
    const pieces: Uint8Array[] = []
    const request = { digest, offset: 0, size: 0 }
    for await (const { data } of this.#client.content.read(request, inNamespace())) {
      pieces.push(data)
    }
    return Buffer.concat(pieces)
  }

  async has(digest: string): Promise<boolean> {
    return (await this.#findSize(digest)) !== undefined
  }

  /** The blob is in the store with these labels. */
  async write(blob: BlobWrite): Promise<void> {
    try {
      await this.#download(blob)
    } catch (error) {
      if (!isCode(error, 'already-exists')) throw error
      await this.#label(blob)
    }
  }

  /** The same for bytes at hand. */
  async writeBytes(
    descriptor: Descriptor,
    bytes: Uint8Array,
    options: Omit<BlobWrite, 'descriptor' | 'open'>,
  ): Promise<void> {
    await this.write({
      ...options,
      descriptor,
      open: async (offset) => ({ offset, chunks: pieces(bytes.subarray(offset)) }),
    })
  }

  /** Stores a stream whose digest nobody has told, and says which it is. `ref` was never used. */
  async writeUnknown(
    ref: string,
    chunks: AsyncIterable<Uint8Array>,
    options: { readonly leaseId: string; readonly signal: AbortSignal },
  ): Promise<string> {
    using session = new WriteSession(this.#client, ref, options)
    await session.begin({ sizeBytes: 0, digest: '' })
    for await (const piece of gather(chunks)) await session.write(piece)
    const { signal, leaseId } = options
    try {
      return await session.commit({ sizeBytes: session.offset, digest: '' }, new Map())
    } catch (error) {
      if (!isCode(error, 'already-exists')) throw error
      const digest = /sha256:[0-9a-f]{64}/.exec(error.message)?.[0]
      if (digest === undefined) throw error
      const id = leaseId
      const resource = { id: digest, type: 'content' }
      await this.#client.leases.addResource({ id, resource }, inNamespace({ signal }))
      return digest
    }
  }

  /** What an earlier attempt left may be damaged: then everything is fetched once more. */
  async #download(blob: BlobWrite): Promise<void> {
    const outcome = await this.#attempt(blob)
    if (outcome === 'stored') return
    if (outcome === 'old-part-damaged' && (await this.#attempt(blob)) === 'stored') return
    const { digest } = blob.descriptor
    throw new SwarmError('data-loss', `blob ${digest} has other content than its digest says`, {
      retriable: true,
      facts: { digest },
    })
  }

  async #attempt(blob: BlobWrite): Promise<'stored' | 'damaged' | 'old-part-damaged'> {
    const { descriptor } = blob
    using session = new WriteSession(this.#client, `blob-${descriptor.digest}`, blob)
    await session.begin(descriptor)
    const begunAt = session.offset
    await this.#fill(session, blob)
    try {
      await session.commit(descriptor, blob.labels)
      return 'stored'
    } catch (error) {
      if (!isCode(error, 'failed-precondition')) throw error
    }
    // The next attempt must not go on with it.
    await this.#client.content.abort({ ref: session.ref }, inNamespace()).catch(ignoreNotFound)
    return begunAt > 0 ? 'old-part-damaged' : 'damaged'
  }

  async #fill(session: WriteSession, blob: BlobWrite): Promise<void> {
    const { sizeBytes } = blob.descriptor
    let fruitless = 0
    while (session.offset < sizeBytes) {
      const before = session.offset
      try {
        await session.pump(await blob.open(before), sizeBytes)
      } catch (error) {
        fruitless = session.offset > before ? 0 : fruitless + 1
        if (!isRetriable(error) || blob.signal.aborted || fruitless === ATTEMPTS_MAX) throw error
        await delay(BACKOFF_MS * 2 ** fruitless, undefined, { signal: blob.signal })
      }
    }
  }

  async #label(blob: BlobWrite): Promise<void> {
    if (blob.labels.size === 0) return
    const info = { digest: blob.descriptor.digest, size: 0, labels: blob.labels }
    const paths = [...blob.labels.keys()].map((key) => `labels.${key}`)
    await this.#client.content.update({ info, updateMask: { paths } }, inNamespace(blob))
  }

  async #findSize(digest: string): Promise<number | undefined> {
    try {
      const { info } = await this.#client.content.info({ digest }, inNamespace())
      return info?.size
    } catch (error) {
      ignoreNotFound(error)
      return undefined
    }
  }
}

/** One stream of writes to one unfinished blob; each write is answered before the next. */
class WriteSession {
  readonly ref: string
  readonly #stream: Writer
  readonly #answers: AsyncIterator<WriteContentResponse>
  /** How many bytes containerd holds. */
  offset = 0

  constructor(
    client: ContainerdClient,
    ref: string,
    options: { readonly leaseId: string; readonly signal: AbortSignal },
  ) {
    this.ref = ref
    const { leaseId, signal } = options
    this.#stream = client.content.write(inNamespace({ leaseId, signal, deadlineMs: Infinity }))
    this.#answers = this.#stream[Symbol.asyncIterator]()
  }

  /** Finds out what an earlier attempt left. SwarmError 'already-exists' where the blob is there. */
  async begin(blob: Pick<Descriptor, 'digest' | 'sizeBytes'>): Promise<void> {
    await this.#ask({ action: 'stat', total: blob.sizeBytes, expected: blob.digest })
  }

  async write(data: Uint8Array): Promise<void> {
    await this.#ask({ action: 'write', offset: this.offset, data })
  }

  /** Everything of a stream, from where it begins; SwarmError 'data-loss' beyond `sizeMax`. */
  async pump(stream: BlobStream, sizeMax: number): Promise<void> {
    // containerd begins anew where a write says that it is at 0.
    this.offset = stream.offset
    for await (const piece of gather(stream.chunks)) {
      if (this.offset + piece.length > sizeMax) {
        throw new SwarmError('data-loss', `the registry sends more than ${sizeMax} bytes`)
      }
      await this.write(piece)
    }
  }

  /** The digest. The stream is over. */
  async commit(
    blob: Pick<Descriptor, 'digest' | 'sizeBytes'>,
    labels: ReadonlyMap<string, string>,
  ): Promise<string> {
    const answer = await this.#ask({
      action: 'commit',
      total: blob.sizeBytes,
      expected: blob.digest,
      offset: this.offset,
      labels,
    })
    return answer.digest
  }

  [Symbol.dispose](): void {
    this.#stream.cancel()
  }

  async #ask(request: Partial<WriteContentRequest>): Promise<WriteContentResponse> {
    await this.#stream.send({ ...emptyWriteContentRequest, ref: this.ref, ...request })
    const answer = await this.#answers.next()
    if (answer.done === true) {
      throw new SwarmError('unavailable', 'containerd ended a write', { retriable: true })
    }
    this.offset = answer.value.offset
    return answer.value
  }
}

/** Small pieces joined: each one is a round trip. */
async function* gather(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  let waiting: Uint8Array[] = []
  let length = 0
  for await (const chunk of chunks) {
    waiting.push(chunk)
    length += chunk.length
    if (length < PIECE_BYTES) continue
    yield Buffer.concat(waiting)
    waiting = []
    length = 0
  }
  if (length > 0) yield Buffer.concat(waiting)
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES)
}

export function isCode(error: unknown, code: SwarmError['code']): error is SwarmError {
  return error instanceof SwarmError && error.code === code
}

export function ignoreNotFound(error: unknown): void {
  if (!isCode(error, 'not-found')) throw error
}

function isRetriable(error: unknown): boolean {
  return error instanceof SwarmError && error.retriable
}
