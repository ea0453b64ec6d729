/**
 * What remote calls look like to those who serve and make them: handlers, clients and streams, typed
 * by the service descriptors that `generate.ts` makes. Declarations only, so that a handler and its
 * tests need no transport. How calls travel, are bounded and fail is left to `grpc.ts`, which calls
 * the handlers and makes the clients.
 */
import type { Method, Service } from './wire.ts'

/** What a handler may know about its call. */
export interface CallContext {
  /** `ip:port`, or `unknown` over a unix socket. */
  readonly peerAddress: string
  /** DER of the certificate that the peer proved to own, if a CA of the listener signed it. */
  readonly certificate: Uint8Array | undefined
  /** Aborted when the call is over, for whatever reason: answered, cancelled or cut off. */
  readonly signal: AbortSignal
  /** What the caller sent beside the request. */
  findMetadata(name: string): string | undefined
}

export interface ServerStream<Out> {
  /** Queues the message; done when there is room for another. SwarmError when the call is over. */
  send(message: Out): Promise<void>
  /** Queues the message if there is room now; false when it did not. */
  trySend(message: Out): boolean
  readonly signal: AbortSignal
}

/**
 * Iterating gives the peer's messages, fetched as they are asked for, and throws why the call failed.
 * A server cannot always tell a caller that cancelled from one that has no more to say, for the end
 * of the requests may arrive before the reset: what must be whole has to say so itself.
 */
export interface BidiStream<In, Out> extends ServerStream<Out>, AsyncIterable<In> {}

/** The client's side. A call without streamed requests has nothing to send. */
export interface ClientStream<In, Out> extends BidiStream<In, Out> {
  /** No more requests. */
  end(): void
  cancel(): void
}

export type Handler<M> =
  M extends Method<infer Request, infer Response, infer RequestStream, infer ResponseStream>
    ? RequestStream extends true
      ? (stream: BidiStream<Request, Response>, call: CallContext) => Promise<void>
      : ResponseStream extends true
        ? (request: Request, stream: ServerStream<Response>, call: CallContext) => Promise<void>
        : (request: Request, call: CallContext) => Promise<Response>
    : never

export type Handlers<S extends Service> = {
  readonly [name in keyof S['methods']]: Handler<S['methods'][name]>
}

export interface ServiceOptions {
  /** Throws a SwarmError when the caller may not call the method. Nothing is decoded before. */
  readonly admit: (method: Method<unknown, unknown>, call: CallContext) => void | Promise<void>
  /** Told of every error that is no refusal: a bug, of which the caller learns nothing. */
  readonly onError: (error: unknown, method: Method<unknown, unknown>) => void
}

export interface CallOptions {
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
  readonly metadata?: Readonly<Record<string, string>>
}

export type ClientMethod<M> =
  M extends Method<infer Request, infer Response, infer RequestStream, infer ResponseStream>
    ? RequestStream extends true
      ? (options?: CallOptions) => ClientStream<Response, Request>
      : ResponseStream extends true
        ? (request: Request, options?: CallOptions) => ClientStream<Response, never>
        : (request: Request, options?: CallOptions) => Promise<Response>
    : never

export type Client<S extends Service> = {
  readonly [name in keyof S['methods']]: ClientMethod<S['methods'][name]>
}
