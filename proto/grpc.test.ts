/**
 * Calls over real connections: unix sockets, and one TLS listener that hands its connections to two
 * servers. Besides what a call is for: what ends it, how it waits, what is refused before it is
 * read, and that nothing a peer sends stops the process.
 */
import { webcrypto } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect as connectHttp2, constants } from 'node:http2'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import 'reflect-metadata'
import * as x509 from '@peculiar/x509'
import { afterEach, describe, expect, test } from 'vitest'
import { assert } from '../lib/assert.ts'
import { CODES, SwarmError } from '../lib/errors.ts'
import {
  addService,
  type Channel,
  type ChannelCredentials,
  newChannel,
  newClient,
  newInjectedServer,
  newServer,
  type RpcServer,
} from './grpc.ts'
import type { CallContext, Client, Handlers } from './rpc.ts'
import type { Method } from './wire.ts'

const BAD = 'not decodable'

/** Strings as messages; BAD is one that no decoder takes. */
function textMethod<Q extends boolean, R extends boolean>(
  name: string,
  requestStream: Q,
  responseStream: R,
): Method<string, string, Q, R> {
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
  const decode = (bytes: Uint8Array): string => {
    const text = new TextDecoder().decode(bytes)
    if (text === BAD) throw new SwarmError('invalid-argument', 'malformed test.Text')
    return text
  }
  return {
    path: `/test.Text/${name}`,
    requestStream,
    responseStream,
    roles: ['worker'],
    encodeRequest: encode,
    decodeRequest: decode,
    encodeResponse: encode,
    decodeResponse: decode,
  }
}

const textService = {
  name: 'test.Text',
  methods: {
    ask: textMethod('Ask', false, false),
    watch: textMethod('Watch', false, true),
    upload: textMethod('Upload', true, false),
    talk: textMethod('Talk', true, true),
  },
} as const

type Text = typeof textService

const defaults: Handlers<Text> = {
  ask: async (request) => `${request}!`,
  watch: async (request, stream) => {
    for (const letter of request) await stream.send(letter)
  },
  upload: async (stream) => {
    const parts: string[] = []
    for await (const part of stream) parts.push(part)
    await stream.send(parts.join(''))
  },
  talk: async (stream) => {
    for await (const message of stream) await stream.send(message.toUpperCase())
  },
}

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0).reverse()) close()
})

interface World {
  readonly client: Client<Text>
  readonly address: string
  readonly server: RpcServer
  readonly errors: unknown[]
}

async function serve(
  handlers: Partial<Handlers<Text>> = {},
  admit: (method: Method<unknown, unknown>, call: CallContext) => void | Promise<void> = () => {},
): Promise<World> {
  const address = newAddress()
  const errors: unknown[] = []
  const server = newServer()
  const onError = (error: unknown): void => void errors.push(error)
  addService(server, textService, { ...defaults, ...handlers }, { admit, onError })
  await server.listen(address)
  closing.push(() => server.destroy())
  const client = newClient(open(address, { kind: 'insecure' }), textService)
  return { client, address, server, errors }
}

function newAddress(): string {
  const dir = mkdtempSync(join(tmpdir(), 'tsswarm-grpc-'))
  closing.push(() => rmSync(dir, { recursive: true, force: true }))
  return `unix:${join(dir, 'socket')}`
}

function open(address: string, credentials: ChannelCredentials): Channel {
  const channel = newChannel(address, { credentials })
  closing.push(() => channel.close())
  return channel
}

async function collect<T>(messages: AsyncIterable<T>): Promise<readonly T[]> {
  const all: T[] = []
  for await (const message of messages) all.push(message)
  return all
}

const deferred = <T>(): PromiseWithResolvers<T> => Promise.withResolvers<T>()

describe('calls', () => {
  test('a unary call answers', async () => {
    const { client } = await serve()

    expect(await client.ask('hello')).toBe('hello!')
    expect(await client.ask('')).toBe('!')
  })

  test('a server stream gives every message, then ends', async () => {
    const { client } = await serve()

    expect(await collect(client.watch('abc'))).toEqual(['a', 'b', 'c'])
    expect(await collect(client.watch(''))).toEqual([])
  })

  test('a client stream gives one answer', async () => {
    const { client } = await serve()
    const stream = client.upload()

    for (const part of ['x', 'y', 'z']) await stream.send(part)
    stream.end()

    expect(await collect(stream)).toEqual(['xyz'])
  })

  test('both sides of a stream talk in turn', async () => {
    const { client } = await serve()
    const stream = client.talk()
    const answers = stream[Symbol.asyncIterator]()

    await stream.send('a')
    const first = await answers.next()
    await stream.send('b')
    const second = await answers.next()
    stream.end()

    expect([first.value, second.value]).toEqual(['A', 'B'])
    expect(await answers.next()).toEqual({ done: true, value: undefined })
  })

  test('a handler may stop reading and answer', async () => {
    const { client } = await serve({
      talk: async (stream) => {
        for await (const message of stream) {
          await stream.send(message)
          return
        }
      },
    })
    const stream = client.talk()

    expect(stream.trySend('one')).toBe(true)
    expect(stream.trySend('two')).toBe(true)

    expect(await collect(stream)).toEqual(['one'])
    expect(stream.trySend('three')).toBe(false)
    await expect(stream.send('three')).rejects.toThrow(SwarmError)
  })

  test('metadata of the caller reaches the handler', async () => {
    const { client } = await serve({
      ask: async (_, call) => `${call.findMetadata('x-node')} ${call.findMetadata('x-other')}`,
    })

    expect(await client.ask('', { metadata: { 'x-node': 'n1' } })).toBe('n1 undefined')
  })

  test('over a unix socket there is no address and no certificate', async () => {
    const { client } = await serve({
      ask: async (_, call) => `${call.peerAddress} ${call.certificate}`,
    })

    expect(await client.ask('')).toBe('unknown undefined')
  })

  test('listen() gives the port, and refuses one that is taken', async () => {
    const { server } = await serve()
    const other = newServer()
    closing.push(() => other.destroy())

    const port = await server.listen('127.0.0.1:0')

    const client = newClient(open(`127.0.0.1:${port}`, { kind: 'insecure' }), textService)
    expect(await client.ask('tcp')).toBe('tcp!')
    await expect(other.listen(`127.0.0.1:${port}`)).rejects.toMatchObject({
      name: 'SwarmError',
      code: 'unavailable',
    })
  })
})

describe('errors', () => {
  test.each(CODES.filter((code) => code !== 'ok'))('%s travels with its message', async (code) => {
    const refuse = async (): Promise<never> => {
      throw new SwarmError(code, 'network "front" is in use, größer: 100%', { retriable: true })
    }
    const { client, errors } = await serve({ ask: refuse, watch: refuse, talk: refuse })

    const expected = {
      name: 'SwarmError',
      code,
      message: 'network "front" is in use, größer: 100%',
      retriable: true,
    }
    await expect(client.ask('')).rejects.toMatchObject(expected)
    await expect(collect(client.watch(''))).rejects.toMatchObject(expected)
    await expect(collect(client.talk())).rejects.toMatchObject(expected)
    expect(errors).toEqual([])
  })

  test('is not retriable unless the server says so', async () => {
    const { client } = await serve({
      ask: async () => {
        throw new SwarmError('aborted', 'changed in between')
      },
    })

    await expect(client.ask('')).rejects.toMatchObject({ retriable: false })
  })

  test('a bug tells the caller nothing, and onError everything', async () => {
    const bug = new TypeError('secret is undefined')
    const fail = async (): Promise<never> => {
      throw bug
    }
    const { client, errors } = await serve({ ask: fail, upload: fail })

    await expect(client.ask('')).rejects.toMatchObject({
      code: 'internal',
      message: 'internal error',
    })
    await expect(collect(client.upload())).rejects.toMatchObject({
      code: 'internal',
      message: 'internal error',
    })
    expect(errors).toEqual([bug, bug])
  })

  test('a failure in the middle comes after the messages before it', async () => {
    const { client } = await serve({
      watch: async (_, stream) => {
        await stream.send('a')
        await stream.send('b')
        throw new SwarmError('data-loss', 'gone')
      },
    })
    const seen: string[] = []

    const act = async (): Promise<void> => {
      for await (const message of client.watch('')) seen.push(message)
    }

    await expect(act()).rejects.toMatchObject({ code: 'data-loss' })
    expect(seen).toEqual(['a', 'b'])
  })

  test.each([
    ['half a surrogate pair', 'bad \ud800 text', 'bad \ufffd text'],
    ['nothing', '', ''],
    ['a line break', 'a\r\nb', 'a\r\nb'],
    ['too much', 'ä'.repeat(100_000), 'ä'.repeat(2_048)],
  ])('a message with %s arrives', async (_, message, expected) => {
    const { client } = await serve({
      ask: async () => {
        throw new SwarmError('not-found', message)
      },
    })

    await expect(client.ask('')).rejects.toMatchObject({ code: 'not-found', message: expected })
  })

  test("a malformed request is the caller's fault, for every kind of call", async () => {
    const { client, errors } = await serve()
    const upload = client.upload()
    await upload.send(BAD)
    const talk = client.talk()
    await talk.send('good')
    await talk.send(BAD)

    const expected = { code: 'invalid-argument', message: 'malformed test.Text' }
    await expect(client.ask(BAD)).rejects.toMatchObject(expected)
    await expect(collect(client.watch(BAD))).rejects.toMatchObject(expected)
    await expect(collect(upload)).rejects.toMatchObject(expected)
    await expect(collect(talk)).rejects.toMatchObject(expected)
    expect(errors).toEqual([])
  })

  test("a malformed answer is not the caller's fault", async () => {
    const { client } = await serve({
      ask: async () => BAD,
      watch: async (_, stream) => stream.send(BAD),
    })

    await expect(client.ask('')).rejects.toMatchObject({ code: 'internal' })
    await expect(collect(client.watch(''))).rejects.toMatchObject({ code: 'internal' })
  })

  test('a message beyond the limit is refused on both sides', async () => {
    const { client } = await serve({ ask: async () => 'x'.repeat(5_000_000) })

    await expect(client.ask('x'.repeat(5_000_000))).rejects.toMatchObject({
      code: 'resource-exhausted',
    })
    await expect(client.ask('')).rejects.toMatchObject({ code: 'resource-exhausted' })
    expect(await collect(client.watch('ab'))).toEqual(['a', 'b'])
  })

  test('a method without handler is unimplemented', async () => {
    const { address } = await serve()
    const other = {
      name: 'test.Other',
      methods: { ask: { ...textService.methods.ask, path: '/x/Y' } },
    }

    const client = newClient(open(address, { kind: 'insecure' }), other)

    await expect(client.ask('')).rejects.toMatchObject({ code: 'unimplemented' })
  })

  test('nobody listening is unavailable', async () => {
    const client = newClient(open(newAddress(), { kind: 'insecure' }), textService)

    await expect(client.ask('')).rejects.toMatchObject({ name: 'SwarmError', code: 'unavailable' })
  })
})

describe('admit()', () => {
  test('sees method and call, and refuses before anything is decoded', async () => {
    const seen: string[] = []
    const { client } = await serve({}, async (method, call) => {
      seen.push(`${method.path} ${method.roles} ${call.findMetadata('x-role')}`)
      throw new SwarmError('permission-denied', 'not for you')
    })
    const talk = client.talk()
    await talk.send(BAD)

    const expected = { code: 'permission-denied', message: 'not for you' }
    await expect(client.ask(BAD, { metadata: { 'x-role': 'x' } })).rejects.toMatchObject(expected)
    await expect(collect(client.watch(BAD))).rejects.toMatchObject(expected)
    await expect(collect(talk)).rejects.toMatchObject(expected)
    expect(seen.toSorted()).toEqual([
      '/test.Text/Ask worker x',
      '/test.Text/Talk worker undefined',
      '/test.Text/Watch worker undefined',
    ])
  })
})

describe('ends', () => {
  test('of a call abort its signal, on both sides', async () => {
    const signals: AbortSignal[] = []
    const { client } = await serve({
      ask: async (_, call) => {
        signals.push(call.signal)
        return ''
      },
      talk: async (stream, call) => {
        signals.push(call.signal, stream.signal)
      },
    })
    const stream = client.talk()

    await client.ask('')
    await collect(stream)

    expect(stream.signal.aborted).toBe(true)
    await Promise.all(signals.map((signal) => aborted(signal)))
    expect(signals).toHaveLength(3)
  })

  test.each([
    ['by its signal', (abort: () => void) => abort()],
    ['by cancel()', (_: () => void, cancel: () => void) => cancel()],
  ])('a stream cancelled %s ends on both sides', async (_, end) => {
    const started = deferred<void>()
    const refused = deferred<unknown>()
    const { client } = await serve({
      talk: async (stream, { signal }) => {
        started.resolve()
        await collect(stream).catch(() => {})
        await aborted(signal)
        await stream.send('too late').catch(refused.resolve)
      },
    })
    const controller = new AbortController()
    const stream = client.talk({ signal: controller.signal })
    await stream.send('a')
    await started.promise

    end(
      () => controller.abort(),
      () => stream.cancel(),
    )

    await expect(collect(stream)).rejects.toMatchObject({ code: 'cancelled' })
    await expect(stream.send('b')).rejects.toMatchObject({ code: 'cancelled' })
    expect(stream.trySend('b')).toBe(false)
    expect(await refused.promise).toMatchObject({ code: 'cancelled' })
  })

  test('a unary call is cancelled by its signal, on both sides', async () => {
    const started = deferred<AbortSignal>()
    const { client } = await serve({
      ask: async (_, { signal }) => {
        started.resolve(signal)
        await aborted(signal)
        return 'too late'
      },
    })
    const controller = new AbortController()

    const answer = client.ask('', { signal: controller.signal })
    const signal = await started.promise
    controller.abort()

    await expect(answer).rejects.toMatchObject({ code: 'cancelled' })
    await aborted(signal)
  })

  test('a call with an aborted signal is not made', async () => {
    const { client } = await serve()
    const signal = AbortSignal.abort()

    await expect(client.ask('', { signal })).rejects.toMatchObject({ code: 'cancelled' })
    await expect(collect(client.watch('', { signal }))).rejects.toMatchObject({ code: 'cancelled' })
  })

  test('a deadline ends every kind of call', async () => {
    const wait = async (_: unknown, ...rest: readonly unknown[]): Promise<never> => {
      const call = rest.at(-1) as CallContext
      await aborted(call.signal)
      throw new SwarmError('aborted', 'the caller is gone')
    }
    const { client, errors } = await serve({ ask: wait, watch: wait, talk: wait })

    const expected = { name: 'SwarmError', code: 'deadline-exceeded' }
    await expect(client.ask('', { deadlineMs: 30 })).rejects.toMatchObject(expected)
    await expect(collect(client.watch('', { deadlineMs: 30 }))).rejects.toMatchObject(expected)
    await expect(collect(client.talk({ deadlineMs: 30 }))).rejects.toMatchObject(expected)
    expect(errors).toEqual([])
  })

  test('a stream that nobody reads fails quietly', async () => {
    const { client } = await serve({
      talk: async () => {
        throw new SwarmError('not-found', 'nothing here')
      },
    })
    const stream = client.talk()

    await aborted(stream.signal)

    expect(stream.signal.reason).toMatchObject({ code: 'not-found' })
  })

  test('close() waits for the calls that run; destroy() does not', async () => {
    const running = deferred<void>()
    const answer = deferred<string>()
    const { client, server } = await serve({
      ask: () => {
        running.resolve()
        return answer.promise
      },
    })
    const first = client.ask('')
    await running.promise

    const closed = server.close()
    answer.resolve('done')

    expect(await first).toBe('done')
    await closed
    await expect(client.ask('')).rejects.toMatchObject({ code: 'unavailable' })
  })

  test('a channel connects again when the server is back', async () => {
    const { client, server, address } = await serve()
    await client.ask('')
    server.destroy()
    await expect(client.ask('')).rejects.toMatchObject({ code: 'unavailable' })

    const next = newServer()
    closing.push(() => next.destroy())
    addService(next, textService, defaults, { admit: () => {}, onError: () => {} })
    await next.listen(address)

    await expect.poll(() => client.ask('again').catch(() => ''), { timeout: 5_000 }).toBe('again!')
  })
})

describe('back-pressure', () => {
  const MESSAGE = 'x'.repeat(50_000)

  test('trySend() refuses when a slow reader has enough, and takes more after it read', async () => {
    const accepted: number[] = []
    const refused = deferred<void>()
    const { client } = await serve({
      watch: async (_, stream) => {
        while (accepted.length < 2_000) {
          if (stream.trySend(MESSAGE)) {
            accepted.push(accepted.length)
            continue
          }
          refused.resolve()
          await stream.send(MESSAGE)
          accepted.push(accepted.length)
        }
      },
    })

    const stream = client.watch('')
    await refused.promise
    const acceptedUnread = accepted.length
    const messages = await collect(stream)

    expect(acceptedUnread).toBeLessThan(200)
    expect(messages).toHaveLength(2_000)
    expect(messages.every((message) => message === MESSAGE)).toBe(true)
  })

  test('send() of the client waits for the server to read', async () => {
    const read = deferred<void>()
    const { client } = await serve({
      upload: async (stream) => {
        await read.promise
        let count = 0
        for await (const message of stream) count += message.length
        await stream.send(String(count))
      },
    })
    const stream = client.upload()
    let sent = 0
    const sending = (async () => {
      for (; sent < 1_000; sent++) await stream.send(MESSAGE)
      stream.end()
    })()

    await expect.poll(() => stream.trySend('')).toBe(false)
    const sentUnread = sent
    read.resolve()
    await sending

    expect(sentUnread).toBeLessThan(200)
    expect(await collect(stream)).toEqual([String(1_000 * MESSAGE.length)])
  })

  test('a send() that waits is refused when the call ends', async () => {
    const waiting = deferred<unknown>()
    const { client } = await serve({
      watch: async (_, stream) => {
        for (;;)
          await stream
            .send(MESSAGE)
            .catch((error) => Promise.reject(waiting.resolve(error) ?? error))
      },
    })

    const stream = client.watch('')
    await stream[Symbol.asyncIterator]().next()
    stream.cancel()

    expect(await waiting.promise).toMatchObject({ code: 'cancelled' })
  })
})

describe('one TLS listener for two servers', () => {
  test('hands a connection on by its certificate, which the handler sees', async () => {
    const world = await newTlsWorld()

    const member = newClient(
      open(world.address, tls(world, { identity: world.member })),
      textService,
    )
    const stranger = newClient(open(world.address, tls(world, {})), textService)
    const outsider = newClient(
      open(world.address, tls(world, { identity: world.outsider })),
      textService,
    )

    expect(await member.ask('')).toMatch(/^member CN=worker-1 127\.0\.0\.1:\d+$/)
    expect(await collect(member.watch(''))).toEqual(['CN=worker-1'])
    expect(await stranger.ask('')).toMatch(/^stranger none/)
    expect(await outsider.ask('')).toMatch(/^stranger none/)
  })

  test('is TLS 1.3, and a client that knows the root refuses another server', async () => {
    const world = await newTlsWorld()
    const other = await newTlsWorld()

    const wrongRoot = newClient(open(world.address, tls(other, {})), textService)
    const wrongName = newClient(
      open(world.address, tls(world, { serverName: 'swarm-worker' })),
      textService,
    )
    const anyRoot = newClient(
      open(world.address, { ...tls(world, {}), ca: undefined }),
      textService,
    )

    await expect(wrongRoot.ask('')).rejects.toMatchObject({ code: 'unavailable' })
    await expect(wrongName.ask('')).rejects.toMatchObject({ code: 'unavailable' })
    expect(await anyRoot.ask('')).toMatch(/^stranger/)
    expect(new Set(world.protocols)).toEqual(new Set(['TLSv1.3']))
  })
})

describe('nothing a peer sends stops the process:', () => {
  test('bytes that are no HTTP/2', async () => {
    const { client, address } = await serve()

    for (const bytes of [
      'GET / HTTP/1.1\r\n\r\n',
      '\0\0\0',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0',
    ]) {
      const socket = connect(address.replace('unix:', ''))
      socket.on('error', () => {})
      socket.end(bytes)
      await closed(socket.resume())
    }

    expect(await client.ask('alive')).toBe('alive!')
  })

  test.each([
    ['no content type', {}, ''],
    ['an unknown path', { ':path': '/nowhere/\u00e9%ff"' }, grpcFrame('a')],
    ['an empty path', { ':path': '' }, grpcFrame('a')],
    ['no message at all', {}, ''],
    ['two messages for a unary call', {}, grpcFrame('a') + grpcFrame('b')],
    ['half a frame', {}, '\0\0\0'],
    ['a frame of 4 GiB', {}, '\0\xff\xff\xff\xff'],
    ['a message marked as compressed', {}, grpcFrame('a').replace('\0', '\x01')],
    [
      'an encoding that nobody knows',
      { 'grpc-encoding': 'x' },
      grpcFrame('a').replace('\0', '\x01'),
    ],
    ['gzip that is none', { 'grpc-encoding': 'gzip' }, grpcFrame('a').replace('\0', '\x01')],
    ['a wrong timeout', { 'grpc-timeout': 'soon' }, grpcFrame('a')],
    ['a wrong binary header', { 'x-bin': '!!!' }, grpcFrame('a')],
    ['a huge header', { 'x-large': 'x'.repeat(60_000) }, grpcFrame('a')],
  ])('%s', async (name, headers, body) => {
    const { client, address } = await serve()
    const session = connectHttp2('http://localhost', {
      createConnection: () => connect(address.replace('unix:', '')),
    })
    session.on('error', () => {})

    for (const path of ['/test.Text/Ask', '/test.Text/Talk', '/test.Text/Watch']) {
      const stream = session.request({
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_PATH]: path,
        ...(name === 'no content type' ? {} : { 'content-type': 'application/grpc' }),
        ...headers,
      })
      stream.on('error', () => {})
      stream.end(Buffer.from(body, 'latin1'))
      await closed(stream.resume())
    }
    session.destroy()

    expect(await client.ask('alive')).toBe('alive!')
  })

  test('a connection that breaks in the middle of calls', async () => {
    const started = deferred<void>()
    const signals: AbortSignal[] = []
    const { client, address } = await serve({
      talk: async (stream, call) => {
        signals.push(call.signal)
        started.resolve()
        await collect(stream)
      },
    })
    const socket = connect(address.replace('unix:', ''))
    const session = connectHttp2('http://localhost', { createConnection: () => socket })
    session.on('error', () => {})
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: '/test.Text/Talk',
      'content-type': 'application/grpc',
    })
    stream.on('error', () => {})
    stream.write(Buffer.from(grpcFrame('a'), 'latin1'))
    await started.promise

    socket.destroy()

    await Promise.all(signals.map((signal) => aborted(signal)))
    expect(await client.ask('alive')).toBe('alive!')
  })
})

/** A gRPC message as it stands in a DATA frame; each character is a byte. */
function grpcFrame(text: string): string {
  return `\0\0\0\0${String.fromCharCode(text.length)}${text}`
}

function closed(stream: Readable): Promise<void> {
  return new Promise((resolve) => stream.once('close', resolve))
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort')
}

interface Identity {
  readonly cert: string
  readonly key: string
}

interface TlsWorld {
  readonly address: string
  readonly ca: string
  readonly member: Identity
  /** Of another CA. */
  readonly outsider: Identity
  readonly protocols: (string | null)[]
}

function tls(
  world: TlsWorld,
  options: { readonly identity?: Identity; readonly serverName?: string },
): ChannelCredentials & { readonly kind: 'tls' } {
  return {
    kind: 'tls',
    ca: world.ca,
    identity: options.identity,
    serverName: options.serverName ?? 'swarm-manager',
  }
}

async function newTlsWorld(): Promise<TlsWorld> {
  const [ca, otherCa] = [await newCa(), await newCa()]
  const server = await ca.issue('CN=manager-1', 'swarm-manager')
  const servers = { member: newTextServer('member'), stranger: newTextServer('stranger') }
  const protocols: (string | null)[] = []
  const listener = createTlsServer({
    ...server,
    ca: ca.pem,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    ALPNProtocols: ['h2'],
  })
  listener.on('secureConnection', (socket: TLSSocket) => {
    protocols.push(socket.getProtocol())
    servers[socket.authorized ? 'member' : 'stranger'].inject(socket)
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  closing.push(() => listener.close())
  const bound = listener.address()
  assert(typeof bound === 'object' && bound !== null, 'bound')
  return {
    address: `127.0.0.1:${bound.port}`,
    ca: ca.pem,
    member: await ca.issue('CN=worker-1', 'swarm-worker'),
    outsider: await otherCa.issue('CN=worker-1', 'swarm-worker'),
    protocols,
  }
}

function newTextServer(name: string): ReturnType<typeof newInjectedServer> {
  const injected = newInjectedServer()
  const subject = (call: CallContext): string =>
    call.certificate === undefined ? 'none' : new x509.X509Certificate(call.certificate).subject
  addService(
    injected.server,
    textService,
    {
      ...defaults,
      ask: async (_, call) => `${name} ${subject(call)} ${call.peerAddress}`,
      watch: async (_, stream, call) => stream.send(subject(call)),
    },
    { admit: () => {}, onError: () => {} },
  )
  closing.push(() => injected.server.destroy())
  return injected
}

async function newCa(): Promise<{
  readonly pem: string
  issue(subject: string, dnsName: string): Promise<Identity>
}> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const newKeys = (): Promise<webcrypto.CryptoKeyPair> =>
    webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const dates = { notBefore: new Date('2020-01-01'), notAfter: new Date('2100-01-01') }
  const caKeys = await newKeys()
  const root = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: `CN=ca ${webcrypto.randomUUID()}`,
      keys: caKeys,
      signingAlgorithm: algorithm,
      ...dates,
      extensions: [new x509.BasicConstraintsExtension(true, 1, true)],
    },
    webcrypto,
  )
  return {
    pem: root.toString('pem'),
    issue: async (subject, dnsName) => {
      const keys = await newKeys()
      const certificate = await x509.X509CertificateGenerator.create(
        {
          subject,
          issuer: root.subject,
          publicKey: keys.publicKey,
          signingKey: caKeys.privateKey,
          signingAlgorithm: algorithm,
          ...dates,
          extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: dnsName }])],
        },
        webcrypto,
      )
      const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey))
      return {
        cert: certificate.toString('pem'),
        key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.toString('base64')}\n-----END PRIVATE KEY-----\n`,
      }
    },
  }
}
