/**
 * One HTTP/1.1 exchange over a socket: the request goes out, the reply comes back with its body as a
 * stream, the connection ends. Node's own client would do more and take longer to load than a whole
 * command lasts (`docs/cli.md` has the figures); what is here is what a client that makes one
 * request a connection needs of RFC 9112: lengths, chunks, and bodies that last until the end.
 */
import type { Duplex } from 'node:stream'

const HEAD_BYTES_MAX = 65_536
const NEWLINE = 10

export type HttpRequest = {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

export type HttpReply = {
  readonly status: number
  /** Ends with the connection; throws where the connection ends first. */
  readonly body: AsyncIterable<Buffer>
}

/** The reply to the request; what goes wrong with the connection is thrown as it is. */
export async function exchange(socket: Duplex, request: HttpRequest): Promise<HttpReply> {
  const source = new ByteSource(socket)
  socket.write(encodeHead(request))
  if (request.body !== undefined) socket.write(request.body)
  try {
    for (;;) {
      const { status, headers } = await readHead(source)
      // Interim replies only say that one will come.
      if (status >= 200) return { status, body: untilEnd(socket, bodyOf(source, status, headers)) }
    }
  } catch (error) {
    socket.destroy()
    throw error
  }
}

function encodeHead({ method, target, headers, body }: HttpRequest): string {
  const all = {
    ...headers,
    Connection: 'close',
    ...(body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }),
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`
}

async function readHead(
  source: ByteSource,
): Promise<{ readonly status: number; readonly headers: ReadonlyMap<string, string> }> {
  const first = await source.line()
  const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first)?.[1]
  if (status === undefined) throw new Error(`the answer is not HTTP: ${first.slice(0, 80)}`)
  const headers = new Map<string, string>()
  for (let line = await source.line(); line !== ''; line = await source.line()) {
    const at = line.indexOf(':')
    headers.set(line.slice(0, at).toLowerCase(), line.slice(at + 1).trim())
  }
  return { status: Number(status), headers }
}

async function* bodyOf(
  source: ByteSource,
  status: number,
  headers: ReadonlyMap<string, string>,
): AsyncGenerator<Buffer> {
  if (status === 204 || status === 304) return
  if (headers.get('transfer-encoding')?.toLowerCase() === 'chunked') yield* readChunks(source)
  else if (headers.has('content-length')) yield* source.take(Number(headers.get('content-length')))
  else yield* source.rest()
}

async function* readChunks(source: ByteSource): AsyncGenerator<Buffer> {
  for (;;) {
    const line = await source.line()
    const size = /^[0-9a-f]+/i.exec(line)?.[0]
    if (size === undefined) throw new Error('the answer is not HTTP: a chunk has no size')
    const length = Number.parseInt(size, 16)
    if (length === 0) return
    yield* source.take(length)
    await source.line()
  }
}

/** The body, after which the connection is gone, also where nobody reads on. */
async function* untilEnd(socket: Duplex, body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* body
  } finally {
    socket.destroy()
  }
}

/** The bytes of a connection, by lines and by counts. */
class ByteSource {
  readonly #chunks: AsyncIterator<Buffer>
  /** Read and not yet taken. */
  #pending: Buffer = Buffer.alloc(0)

  constructor(socket: Duplex) {
    this.#chunks = socket[Symbol.asyncIterator]()
  }

  /** The next line without its end. */
  async line(): Promise<string> {
    let end = this.#pending.indexOf(NEWLINE)
    while (end < 0) {
      if (this.#pending.length > HEAD_BYTES_MAX)
        throw new Error('the answer is not HTTP: a line has no end')
      await this.#require()
      end = this.#pending.indexOf(NEWLINE)
    }
    const line = this.#pending.toString('latin1', 0, end).replace(/\r$/, '')
    this.#pending = this.#pending.subarray(end + 1)
    return line
  }

  /** The next `count` bytes as they come. */
  async *take(count: number): AsyncGenerator<Buffer> {
    for (let left = count; left > 0; ) {
      if (this.#pending.length === 0) await this.#require()
      const part = this.#pending.subarray(0, left)
      this.#pending = this.#pending.subarray(part.length)
      left -= part.length
      yield part
    }
  }

  /** All bytes up to the end of the connection. */
  async *rest(): AsyncGenerator<Buffer> {
    do {
      const part = this.#pending
      this.#pending = Buffer.alloc(0)
      if (part.length > 0) yield part
    } while (await this.#more())
  }

  async #require(): Promise<void> {
    if (!(await this.#more())) throw new Error('the connection ended before the answer did')
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#chunks.next()
    if (done) return false
    this.#pending = this.#pending.length === 0 ? value : Buffer.concat([this.#pending, value])
    return true
  }
}
