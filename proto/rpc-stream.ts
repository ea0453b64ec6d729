/**
 * One call's stream of messages, the same for server and client: sending with back-pressure, and
 * reading as an async iterable. It decides how much may wait to be sent (WINDOW_BYTES and one
 * message more) and that a call which is over refuses to send. Reading fetches one message at a time
 * from a transport that buffers a few. Codecs, statuses and the transport are `grpc.ts`'s.
 */
import { assert } from '../lib/assert.ts'
import { SwarmError } from '../lib/errors.ts'
import type { ClientStream } from './rpc.ts'

/** What may wait to be sent on one stream before `send` waits and `trySend` refuses. */
const WINDOW_BYTES = 262_144

export const CALL_OVER: SwarmError = new SwarmError('cancelled', 'the call is over')

/** A stream of byte arrays, as node has them in object mode. */
interface Transport {
  readonly writable: boolean
  write(bytes: Uint8Array, taken: () => void): unknown
  end(): unknown
  iterator(options: { readonly destroyOnReturn: false }): AsyncIterator<unknown>
}

export interface StreamParts<In, Out> {
  readonly transport: Transport
  /** Aborted when the call is over. */
  readonly signal: AbortSignal
  readonly encode: (message: Out) => Uint8Array
  readonly decode: (bytes: Uint8Array) => In
  /** Why the call failed, if it did; asked when there is nothing more to read. */
  readonly failure: () => Promise<SwarmError | undefined>
  readonly cancel: () => void
}

export class RpcStream<In, Out> implements ClientStream<In, Out> {
  readonly signal: AbortSignal
  readonly #parts: StreamParts<In, Out>
  /** Bytes handed to the transport and not yet taken by it. */
  #waitingBytes = 0
  #waiters: { readonly resolve: () => void; readonly reject: (reason: unknown) => void }[] = []

  constructor(parts: StreamParts<In, Out>) {
    this.#parts = parts
    this.signal = parts.signal
    this.signal.addEventListener('abort', () => this.#wake(), { once: true })
  }

  async send(message: Out): Promise<void> {
    if (!this.#isOpen()) throw this.signal.aborted ? this.signal.reason : CALL_OVER
    this.#write(message)
    if (this.#waitingBytes < WINDOW_BYTES) return
    await new Promise<void>((resolve, reject) => this.#waiters.push({ resolve, reject }))
  }

  trySend(message: Out): boolean {
    if (!this.#isOpen() || this.#waitingBytes >= WINDOW_BYTES) return false
    this.#write(message)
    return true
  }

  end(): void {
    this.#parts.transport.end()
  }

  cancel(): void {
    this.#parts.cancel()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<In, void> {
    const { transport, decode } = this.#parts
    const iterator: AsyncIterator<unknown> = transport.iterator({ destroyOnReturn: false })
    for (;;) {
      const bytes = await iterator.next().then(
        (next) => (next.done === true ? undefined : next.value),
        () => undefined,
      )
      if (bytes === undefined) break
      assert(bytes instanceof Uint8Array, 'the transport gives bytes')
      yield decode(bytes)
    }
    const failure = await this.#parts.failure()
    if (failure !== undefined) throw failure
  }

  #isOpen(): boolean {
    return !this.signal.aborted && this.#parts.transport.writable
  }

  #write(message: Out): void {
    const bytes = this.#parts.encode(message)
    this.#waitingBytes += bytes.length
    this.#parts.transport.write(bytes, () => {
      this.#waitingBytes -= bytes.length
      if (this.#waitingBytes < WINDOW_BYTES) this.#wake()
    })
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const { resolve, reject } of waiters) {
      if (this.signal.aborted) reject(this.signal.reason)
      else resolve()
    }
  }
}
