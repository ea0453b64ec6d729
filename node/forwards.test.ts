/**
 * Both ends of a forward over a real connection: every request has one outcome, whatever becomes of
 * the call, the leader or the time; and neither end keeps more than it should.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { SwarmError } from '../lib/errors.ts'
import {
  controlService,
  emptyWriteReply,
  emptyWriteRequest,
  type WriteReply,
  type WriteRequest,
} from '../proto/gen/control.ts'
import { addService, newChannel, newClient, newInjectedServer } from '../proto/grpc.ts'
import type { Client } from '../proto/rpc.ts'
import { ForwardCall, serveForwards } from './forwards.ts'

const service = {
  name: 'test.Forward',
  methods: { forward: controlService.methods.forward },
} as const

type Outcome = WriteReply | SwarmError
type Stream = ReturnType<Client<typeof service>['forward']>
type World = {
  readonly stream: Stream
  readonly call: ForwardCall
  /** In the order in which they came. */
  readonly outcomes: [number, Outcome][]
  readonly bugs: unknown[]
  readonly stopServer: () => void
  readonly isEnded: () => boolean
}

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0).reverse()) close()
})

/** A leader that does `write`, and a call to it. */
async function passOnTo(write: (request: WriteRequest) => Promise<WriteReply>): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'tsswarm-forwards-'))
  const bugs: unknown[] = []
  const { server, inject } = newInjectedServer()
  const onBug = (error: unknown): void => void bugs.push(error)
  const forward = (stream: Parameters<typeof serveForwards>[0]): Promise<void> =>
    serveForwards(stream, { write, onBug })
  addService(server, service, { forward }, { admit: () => undefined, onError: onBug })
  const sockets: Socket[] = []
  const listener = createServer((socket) => {
    sockets.push(socket)
    inject(socket)
  })
  await once(listener.listen(join(folder, 'socket')), 'listening')
  const stopServer = (): void => {
    listener.close()
    for (const socket of sockets) socket.destroy()
  }
  const channel = newChannel(`unix:${folder}/socket`, { credentials: { kind: 'insecure' } })
  closing.push(() => {
    channel.close()
    stopServer()
    rmSync(folder, { recursive: true })
  })
  const outcomes: [number, Outcome][] = []
  let isEnded = false
  const stream = newClient(channel, service).forward()
  const call = new ForwardCall({
    to: 1,
    stream,
    onDone: (id, outcome) => void outcomes.push([id, outcome]),
    onEnd: () => {
      isEnded = true
    },
  })
  return { stream, call, outcomes, bugs, stopServer, isEnded: () => isEnded }
}

/** Told apart by what it is to remove. */
const removalOf = (id: string): WriteRequest => ({
  ...emptyWriteRequest,
  body: { kind: 'serviceRemove', serviceRemove: { id } },
})
const idOf = ({ body }: WriteRequest): string =>
  body?.kind === 'serviceRemove' ? body.serviceRemove.id : ''
const replyTo = (id: string): WriteReply => ({ ...emptyWriteReply, id })
const never = (): Promise<WriteReply> => new Promise(() => undefined)

test('answers come to whom they are for, in the order of the answers', async () => {
  const slow = Promise.withResolvers<WriteReply>()
  const { call, outcomes } = await passOnTo(async (request) =>
    idOf(request) === 'slow' ? slow.promise : replyTo(idOf(request)),
  )

  call.send(1, removalOf('slow'), 0)
  call.send(2, removalOf('quick'), 0)
  await vi.waitFor(() => expect(outcomes).toHaveLength(1))
  slow.resolve(replyTo('slow'))
  await vi.waitFor(() => expect(outcomes).toHaveLength(2))

  expect(outcomes).toEqual([
    [2, replyTo('quick')],
    [1, replyTo('slow')],
  ])
})

test.each<[string, Error, Partial<SwarmError>, number]>([
  [
    'a refusal is one there too',
    new SwarmError('not-found', 'service web not found'),
    { code: 'not-found', message: 'service web not found', retriable: false },
    0,
  ],
  [
    'that nothing was evaluated is known',
    new SwarmError('unavailable', 'not the leader', { retriable: true }),
    { code: 'unavailable', retriable: true },
    0,
  ],
  [
    'of a bug only the leader knows',
    new Error('secret'),
    { code: 'internal', message: 'internal error' },
    1,
  ],
])('%s', async (_name, error, expected, bugsExpected) => {
  const { call, outcomes, bugs } = await passOnTo(async () => {
    throw error
  })

  call.send(7, removalOf('web'), 0)
  await vi.waitFor(() => expect(outcomes).toHaveLength(1))

  expect(outcomes).toMatchObject([[7, expected]])
  expect(bugs).toHaveLength(bugsExpected)
})

test('a leader that is gone leaves every outcome unknown, and the call is over', async () => {
  const begun: string[] = []
  const { call, outcomes, stopServer, isEnded } = await passOnTo((request) => {
    begun.push(idOf(request))
    return never()
  })

  call.send(1, removalOf('a'), 0)
  call.send(2, removalOf('b'), 0)
  await vi.waitFor(() => expect(begun).toEqual(['a', 'b']))
  stopServer()
  await vi.waitFor(() => expect(isEnded()).toBe(true))

  expect(outcomes.map(([id]) => id)).toEqual([1, 2])
  for (const [, outcome] of outcomes)
    expect(outcome).toMatchObject({ code: 'unavailable', retriable: false })
  expect(call.isOpen).toBe(false)
})

test('a leader that does not listen leaves the outcome unknown', async () => {
  const { call, outcomes, stopServer } = await passOnTo(never)

  stopServer()
  call.send(1, removalOf('a'), 0)
  await vi.waitFor(() => expect(outcomes).toHaveLength(1))

  expect(outcomes).toMatchObject([[1, { code: 'unavailable', retriable: false }]])
})

test('what is given up is done for the reason given', async () => {
  const { call, outcomes, isEnded } = await passOnTo(never)
  const reason = new SwarmError('unavailable', 'another one leads')

  call.send(1, removalOf('a'), 0)
  call.cancel(reason)
  expect(call.isOpen).toBe(false)
  await vi.waitFor(() => expect(isEnded()).toBe(true))

  expect(outcomes).toEqual([[1, reason]])
})

test('an answer that comes too late is none', async () => {
  const slow = Promise.withResolvers<WriteReply>()
  const { call, outcomes } = await passOnTo(async (request) =>
    idOf(request) === 'slow' ? slow.promise : replyTo(idOf(request)),
  )

  call.send(1, removalOf('slow'), 0)
  call.send(2, removalOf('late'), 5_000)
  call.tick(9_999)
  await vi.waitFor(() => expect(outcomes).toEqual([[2, replyTo('late')]]))
  call.tick(10_000)
  slow.resolve(replyTo('slow'))
  call.send(3, removalOf('after'), 10_000)
  await vi.waitFor(() => expect(outcomes).toHaveLength(3))

  expect(outcomes.slice(1)).toMatchObject([
    [1, { code: 'deadline-exceeded', retriable: false }],
    [3, replyTo('after')],
  ])
})

test('a call that takes no more ends when what is on its way is answered', async () => {
  const slow = Promise.withResolvers<WriteReply>()
  const { call, outcomes, isEnded } = await passOnTo(() => slow.promise)

  call.send(1, removalOf('slow'), 0)
  call.end()
  expect(call.isOpen).toBe(false)
  expect(isEnded()).toBe(false)
  slow.resolve(replyTo('slow'))
  await vi.waitFor(() => expect(isEnded()).toBe(true))

  expect(outcomes).toEqual([[1, replyTo('slow')]])
})

test('a leader begins no more than 1,024 requests of a call at a time', async () => {
  const begun: PromiseWithResolvers<WriteReply>[] = []
  const { call, outcomes } = await passOnTo(() => {
    const result = Promise.withResolvers<WriteReply>()
    begun.push(result)
    return result.promise
  })

  for (let id = 1; id <= 1_100; id++) call.send(id, removalOf(`s${id}`), 0)
  await vi.waitFor(() => expect(begun).toHaveLength(1_024))
  begun[0]?.resolve(replyTo('s1'))
  await vi.waitFor(() => expect(begun).toHaveLength(1_025))
  expect(outcomes).toEqual([[1, replyTo('s1')]])
  for (let at = 1; at < 1_100; at++) {
    await vi.waitFor(() => expect(begun.length).toBeGreaterThan(at))
    begun[at]?.resolve(replyTo('more'))
  }
  await vi.waitFor(() => expect(outcomes).toHaveLength(1_100))
})

test('more than a stream has room for arrives whole, in order', async () => {
  const came: string[] = []
  const { call, outcomes } = await passOnTo(async (request) => {
    came.push(idOf(request))
    return replyTo('')
  })
  const sent = Array.from({ length: 30 }, (_, at) => `${at}`.padEnd(100_000, '.'))

  for (const [at, id] of sent.entries()) call.send(at, removalOf(id), 0)
  await vi.waitFor(() => expect(outcomes).toHaveLength(sent.length))

  expect(came).toEqual(sent)
})

test('a message without a request is refused, and the call goes on', async () => {
  const { stream, call, outcomes } = await passOnTo(async (request) => replyTo(idOf(request)))

  await stream.send({ id: 1, request: undefined })
  call.send(2, removalOf('web'), 0)
  await vi.waitFor(() => expect(outcomes).toEqual([[2, replyTo('web')]]))
})
