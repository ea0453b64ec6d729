/**
 * Services as generated, on grpc-js: callbacks and node streams become promises and async iterables,
 * gRPC statuses become SwarmErrors and back. It decides how a call is admitted, bounded and ended:
 * nothing is decoded before `admit` agrees, messages have a limit, an error that is not a refusal
 * tells the caller nothing. Who may call what, and what an answer is, is left to the handlers. The
 * only home of grpc-js beside `node/io/network.ts`. From DESIGN section 10.
 */
import { Buffer } from 'node:buffer'
import type { Duplex } from 'node:stream'
import { createSecureContext } from 'node:tls'
import * as grpc from '@grpc/grpc-js'
import { assert } from '../lib/assert.ts'
import { CODES, SwarmError } from '../lib/errors.ts'
import type {
  CallContext,
  CallOptions,
  Client,
  ClientStream,
  Handlers,
  ServiceOptions,
} from './rpc.ts'
import { CALL_OVER, RpcStream } from './rpc-stream.ts'
import type { Method, Service } from './wire.ts'

const MESSAGE_BYTES_MAX = 4 * 1024 * 1024
/** A status travels in one header, of which http2 takes 64 KiB. */
const DETAILS_LENGTH_MAX = 2_048
const RETRIABLE_KEY = 'tsswarm-retriable'
const RECONNECT_MIN_MS = 100
const RECONNECT_MAX_MS = 2_000

export interface ServerOptions {
  readonly messageBytesMax?: number
  /** Of one connection. */
  readonly streamsMax?: number
  readonly keepaliveTimeMs?: number
  readonly keepaliveTimeoutMs?: number
}

export interface RpcServer {
  /** For `addService` alone. */
  readonly native: grpc.Server
  /** The address in grpc's form, `unix:/path` or `ip:port`; gives the port. Without TLS. */
  listen(address: string): Promise<number>
  /** Takes no more calls; done when those that are running are. */
  close(): Promise<void>
  /** Cuts everything off. */
  destroy(): void
}

export interface ChannelOptions {
  readonly credentials: ChannelCredentials
  readonly messageBytesMax?: number
  readonly keepaliveTimeMs?: number
  readonly keepaliveTimeoutMs?: number
}

/** PEM throughout. TLS is 1.3 only. */
export type ChannelCredentials =
  | { readonly kind: 'insecure' }
  | {
      readonly kind: 'tls'
      /** Undefined trusts any server: for fetching the root, whose digest the caller compares. */
      readonly ca: string | undefined
      readonly identity: { readonly cert: string; readonly key: string } | undefined
      /** The name in the server's certificate, where it is not the address. */
      readonly serverName: string | undefined
    }

/** Connects at the first call, and again after it lost the connection. */
export interface Channel {
  /** For `newClient` alone. */
  readonly native: grpc.Client
  close(): void
}

// What it would write to stderr comes to the callers as statuses.
grpc.setLogVerbosity(grpc.logVerbosity.NONE)

/** What a handler looks like where its types are not known. */
type AnyHandler = (...parts: readonly unknown[]) => Promise<unknown>
type AnyMethod = Method<unknown, unknown>
type UnaryCall = grpc.ServerUnaryCall<Buffer, Uint8Array>
type StreamCall = grpc.ServerDuplexStream<Buffer, Uint8Array>

/** A server without services and without connections yet. */
export function newServer(options: ServerOptions = {}): RpcServer {
  const native = new grpc.Server({
    ...commonOptions(options),
    ...(options.streamsMax === undefined
      ? {}
      : { 'grpc.max_concurrent_streams': options.streamsMax }),
  })
  return {
    native,
    listen: (address) =>
      new Promise((resolve, reject) => {
        native.bindAsync(address, grpc.ServerCredentials.createInsecure(), (cause, port) => {
          if (cause === null) resolve(port)
          else reject(new SwarmError('unavailable', `cannot listen on ${address}`, { cause }))
        })
      }),
    close: () =>
      new Promise((resolve, reject) => {
        native.tryShutdown((error) => (error === undefined ? resolve() : reject(error)))
      }),
    destroy: () => native.forceShutdown(),
  }
}

/** A server whose connections are accepted elsewhere: `inject` gives it one, TLS already done. */
export function newInjectedServer(options: ServerOptions = {}): {
  readonly server: RpcServer
  inject(socket: Duplex): void
} {
  const server = newServer(options)
  const injector = server.native.createConnectionInjector(grpc.ServerCredentials.createInsecure())
  return {
    server,
    inject: (socket) => {
      // A connection that breaks closes its session, which ends its calls: nothing else to do.
      socket.on('error', () => undefined)
      injector.injectConnection(socket)
    },
  }
}

/** The server answers the methods of the service with `handlers`. */
export function addService<S extends Service>(
  server: RpcServer,
  service: S,
  handlers: Handlers<S>,
  options: ServiceOptions,
): void {
  const byName = new Map<string, unknown>(Object.entries(handlers))
  for (const [name, method] of Object.entries(service.methods)) {
    const handler = byName.get(name)
    assert(typeof handler === 'function', 'every method has a handler', { path: method.path })
    const served = { method, handler: handler as AnyHandler, options }
    const added =
      method.requestStream || method.responseStream
        ? server.native.register(
            method.path,
            (call: StreamCall) => void serveStream(served, call),
            toBuffer,
            same,
            'bidi',
          )
        : server.native.register(
            method.path,
            (call: UnaryCall, reply: grpc.sendUnaryData<Uint8Array>) =>
              void serveUnary(served, call, reply),
            toBuffer,
            same,
            'unary',
          )
    assert(added, 'no method is added twice', { path: method.path })
  }
}

interface Served {
  readonly method: AnyMethod
  readonly handler: AnyHandler
  readonly options: ServiceOptions
}

async function serveUnary(
  served: Served,
  call: UnaryCall,
  reply: grpc.sendUnaryData<Uint8Array>,
): Promise<void> {
  const { method, handler, options } = served
  const context = newCallContext(call)
  let response: Uint8Array
  try {
    await options.admit(method, context)
    const value = await handler(method.decodeRequest(call.request), context)
    response = method.encodeResponse(value)
  } catch (error) {
    reply(toStatus(error, served))
    return
  }
  reply(null, response)
}

async function serveStream(served: Served, call: StreamCall): Promise<void> {
  const { method, handler, options } = served
  const context = newCallContext(call)
  const stream = new RpcStream<unknown, unknown>({
    transport: call,
    signal: context.signal,
    encode: (value) => method.encodeResponse(value),
    decode: (bytes) => method.decodeRequest(bytes),
    failure: async () => (context.signal.aborted ? CALL_OVER : undefined),
    cancel: () => call.destroy(),
  })
  try {
    await options.admit(method, context)
    if (method.requestStream) await handler(stream, context)
    else await handler(await firstMessage(stream, method), stream, context)
    call.end()
  } catch (error) {
    call.emit('error', toStatus(error, served))
  }
}

function newCallContext(call: UnaryCall | StreamCall): CallContext {
  const controller = new AbortController()
  call.on('cancelled', () => controller.abort(CALL_OVER))
  return {
    peerAddress: call.getPeer(),
    certificate: call.getAuthContext().sslPeerCertificate?.raw,
    signal: controller.signal,
    findMetadata: (name) => call.metadata.get(name)[0]?.toString(),
  }
}

async function firstMessage(stream: AsyncIterable<unknown>, method: AnyMethod): Promise<unknown> {
  for await (const message of stream) return message
  throw new SwarmError('invalid-argument', `call of ${method.path} without a request`)
}

/** A channel to `unix:/path` or `host:port`. It holds no connection until a call needs one. */
export function newChannel(address: string, options: ChannelOptions): Channel {
  const { credentials } = options
  const serverName = credentials.kind === 'tls' ? credentials.serverName : undefined
  const native = new grpc.Client(address, toNativeCredentials(credentials), {
    ...commonOptions(options),
    ...(serverName === undefined ? {} : { 'grpc.ssl_target_name_override': serverName }),
    'grpc.initial_reconnect_backoff_ms': RECONNECT_MIN_MS,
    'grpc.max_reconnect_backoff_ms': RECONNECT_MAX_MS,
    // Retrying is the caller's, who knows what may be done twice.
    'grpc.enable_retries': 0,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    // Closing a channel closes its connection, and another identity never uses it.
    'grpc.use_local_subchannel_pool': 1,
  })
  return { native, close: () => native.close() }
}

/** The methods of the service as functions over the channel. */
export function newClient<S extends Service>(channel: Channel, service: S): Client<S> {
  const methods = Object.entries(service.methods).map(([name, method]) => {
    if (method.requestStream) {
      return [name, (options?: CallOptions) => openStream(channel.native, method, options)] as const
    }
    const call = method.responseStream ? requestStream : requestUnary
    return [
      name,
      (request: unknown, options?: CallOptions) => call(channel.native, method, request, options),
    ] as const
  })
  // Each entry was made by the two booleans that ClientMethod goes by.
  return Object.fromEntries(methods) as Client<S>
}

function requestUnary(
  client: grpc.Client,
  method: AnyMethod,
  request: unknown,
  options: CallOptions = {},
): Promise<unknown> {
  const { signal } = options
  return new Promise((resolve, reject) => {
    const call = client.makeUnaryRequest(
      method.path,
      toBuffer,
      same,
      method.encodeRequest(request),
      toMetadata(options.metadata),
      toNativeCallOptions(options),
      (error, bytes) => {
        signal?.removeEventListener('abort', cancel)
        if (error !== null) reject(toSwarmError(error))
        else resolve(bytes)
      },
    )
    const cancel = (): void => call.cancel()
    onAbort(signal, cancel)
  }).then((bytes) => decodeResponse(method, bytes))
}

function requestStream(
  client: grpc.Client,
  method: AnyMethod,
  request: unknown,
  options?: CallOptions,
): ClientStream<unknown, unknown> {
  const bytes = method.encodeRequest(request)
  const stream = openStream(client, { ...method, encodeRequest: () => bytes }, options)
  stream.trySend(request)
  stream.end()
  return stream
}

function openStream(
  client: grpc.Client,
  method: AnyMethod,
  options: CallOptions = {},
): ClientStream<unknown, unknown> {
  const call = client.makeBidiStreamRequest(
    method.path,
    toBuffer,
    same,
    toMetadata(options.metadata),
    toNativeCallOptions(options),
  )
  const cancel = (): void => call.cancel()
  const controller = new AbortController()
  const failure = new Promise<SwarmError | undefined>((resolve) => {
    call.on('status', (status: grpc.StatusObject) => {
      const error = status.code === grpc.status.OK ? undefined : toSwarmError(status)
      options.signal?.removeEventListener('abort', cancel)
      controller.abort(error ?? CALL_OVER)
      resolve(error)
    })
  })
  // The status says the same, and comes also when nobody iterates.
  call.on('error', () => undefined)
  onAbort(options.signal, cancel)
  return new RpcStream<unknown, unknown>({
    transport: call,
    signal: controller.signal,
    encode: (value) => method.encodeRequest(value),
    decode: (bytes) => decodeResponse(method, bytes),
    failure: () => failure,
    cancel,
  })
}

/** A refusal as it is; anything else is told to `onError`, and to the caller only that it was. */
function toStatus(error: unknown, { method, options }: Served): Partial<grpc.StatusObject> {
  if (error instanceof SwarmError && error.code !== 'ok') {
    const metadata = new grpc.Metadata()
    if (error.retriable) metadata.set(RETRIABLE_KEY, 'true')
    // grpc-js writes the text as a URI, which half a surrogate pair makes it throw at.
    const details = error.message.slice(0, DETAILS_LENGTH_MAX).toWellFormed()
    return { code: CODES.indexOf(error.code), details, metadata }
  }
  options.onError(error, method)
  return { code: grpc.status.INTERNAL, details: 'internal error' }
}

function toSwarmError(status: grpc.StatusObject): SwarmError {
  return new SwarmError(CODES[status.code] ?? 'unknown', status.details, {
    retriable: status.metadata.get(RETRIABLE_KEY)[0] === 'true',
    ...(status instanceof Error ? { cause: status } : {}),
  })
}

/** An answer that cannot be read is not the caller's mistake. */
function decodeResponse(method: AnyMethod, bytes: unknown): unknown {
  assert(bytes instanceof Uint8Array, 'the transport gives bytes')
  try {
    return method.decodeResponse(bytes)
  } catch (cause) {
    if (!(cause instanceof SwarmError) || cause.code !== 'invalid-argument') throw cause
    throw new SwarmError('internal', `answer of ${method.path}: ${cause.message}`, { cause })
  }
}

function toNativeCredentials(credentials: ChannelCredentials): grpc.ChannelCredentials {
  if (credentials.kind === 'insecure') return grpc.credentials.createInsecure()
  const { ca, identity } = credentials
  const context = createSecureContext({
    minVersion: 'TLSv1.3',
    ...(ca === undefined ? {} : { ca }),
    ...(identity === undefined ? {} : { cert: identity.cert, key: identity.key }),
  })
  return grpc.credentials.createFromSecureContext(context, {
    rejectUnauthorized: ca !== undefined,
  })
}

function commonOptions(options: ServerOptions | ChannelOptions): grpc.ChannelOptions {
  const { messageBytesMax = MESSAGE_BYTES_MAX, keepaliveTimeMs, keepaliveTimeoutMs } = options
  return {
    'grpc.enable_channelz': 0,
    'grpc.max_send_message_length': messageBytesMax,
    'grpc.max_receive_message_length': messageBytesMax,
    ...(keepaliveTimeMs === undefined ? {} : { 'grpc.keepalive_time_ms': keepaliveTimeMs }),
    ...(keepaliveTimeoutMs === undefined
      ? {}
      : { 'grpc.keepalive_timeout_ms': keepaliveTimeoutMs }),
  }
}

function toNativeCallOptions({ deadlineMs }: CallOptions): grpc.CallOptions {
  return deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs }
}

function toMetadata(entries: CallOptions['metadata'] = {}): grpc.Metadata {
  const metadata = new grpc.Metadata()
  for (const [name, value] of Object.entries(entries)) metadata.set(name, value)
  return metadata
}

/** Calls `act` when the signal is aborted, at once if it is already. */
function onAbort(signal: AbortSignal | undefined, act: () => void): void {
  if (signal?.aborted) act()
  else signal?.addEventListener('abort', act, { once: true })
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** Messages go to and from grpc-js as bytes, so that what they hold is decoded and refused here. */
function same(bytes: Buffer): Buffer {
  return bytes
}
