/**
 * Daemon and keeper over a real socket: answers, a keeper that dies, one of another version.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { SwarmError } from '../../lib/errors.ts'
import { silentLog } from '../../lib/log.ts'
import { KeeperConnection } from './connection.ts'
import { type HostPaths, openHostPaths } from './host-paths.ts'
import { PROTOCOL_VERSION } from './protocol.ts'
import { type Handler, KeeperServer } from './server.ts'

let folder = ''
let paths: HostPaths
const open: { close(): void }[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keeper-'))
  paths = openHostPaths(join(folder, 'state'), join(folder, 'run'))
})

afterEach(() => {
  for (const each of open.splice(0)) each.close()
  rmSync(folder, { recursive: true })
})

async function serve(handler: Handler): Promise<KeeperServer> {
  const server = new KeeperServer(handler, silentLog)
  open.push(server)
  await server.listen(paths.keeperSocket)
  return server
}

const hello = { protocol: PROTOCOL_VERSION, pid: 1 }

function dial(launch: () => void = () => undefined): KeeperConnection {
  const connection = new KeeperConnection({ paths, log: silentLog, launch })
  open.push(connection)
  return connection
}

test('requests made before there is a keeper are answered when it was launched', async () => {
  const launch = vi.fn(() => void serve((request) => Promise.resolve({ ...hello, ...request })))

  const answer = await dial(launch).call({ kind: 'list-ports' })

  expect(answer.text('kind')).toBe('list-ports')
  expect(launch).toHaveBeenCalledTimes(1)
})

test('answers find their requests in any order, errors keep their code', async () => {
  const held: (() => void)[] = []
  await serve((request) => {
    if (request.kind === 'hello') return Promise.resolve(hello)
    if (request.kind !== 'open-logs') {
      for (const release of held) release()
      return Promise.reject(new SwarmError('already-exists', 'taken'))
    }
    return new Promise((resolve) => {
      held.push(() => resolve({ of: request.taskId }))
    })
  })
  const connection = dial()

  const [first, second, third] = await Promise.allSettled([
    connection.call({ kind: 'open-logs', taskId: 'a' }),
    connection.call({ kind: 'open-logs', taskId: 'b' }),
    connection.call({ kind: 'probe' }),
  ])

  expect(first.status === 'fulfilled' && first.value.text('of')).toBe('a')
  expect(second.status === 'fulfilled' && second.value.text('of')).toBe('b')
  expect(third).toMatchObject({ reason: { code: 'already-exists', message: 'taken' } })
})

test('a request under way when the keeper dies is unavailable, the next one is answered', async () => {
  let arrived = (): void => undefined
  const arrival = new Promise<void>((resolve) => {
    arrived = resolve
  })
  const dying = await serve((request) => {
    if (request.kind === 'hello') return Promise.resolve(hello)
    arrived()
    return new Promise(() => undefined)
  })
  const connection = dial(() => void serve(() => Promise.resolve(hello)))
  const connected = vi.fn()
  connection.onConnect(connected)

  const lost = connection.call({ kind: 'probe' })
  await arrival
  dying.close()

  await expect(lost).rejects.toMatchObject({ code: 'unavailable', retriable: true })
  expect((await connection.call({ kind: 'probe' })).integer('pid')).toBe(1)
  expect(connected).toHaveBeenCalledTimes(2)
})

test('a keeper of another version is asked to end, keeping what it holds, and is replaced', async () => {
  const asked: unknown[] = []
  const old = await serve((request) => {
    asked.push(request)
    if (request.kind === 'end') setImmediate(() => old.close())
    return Promise.resolve({ protocol: PROTOCOL_VERSION + 1, pid: 1 })
  })
  const connection = dial(() => void serve(() => Promise.resolve({ ...hello, pid: 2 })))

  const answer = await connection.call({ kind: 'probe' })

  expect(answer.integer('pid')).toBe(2)
  expect(asked).toContainEqual({ kind: 'end', forget: false })
  expect(asked).not.toContainEqual({ kind: 'probe' })
})

test('events reach every listener', async () => {
  const server = await serve(() => Promise.resolve(hello))
  const connection = dial()
  const process = {
    ...{ taskId: 't', label: '', pid: 7, state: 'exited' as const },
    ...{ exitCode: 3, error: '', exitedAtMs: 9 },
  }
  const told = new Promise((resolve) => {
    connection.onProcessExit(resolve)
  })
  await connection.call({ kind: 'probe' })

  server.send({ kind: 'process-exited', process })

  expect(await told).toEqual(process)
})

test('bytes that are no request end their connection and no other', async () => {
  await serve(() => Promise.resolve(hello))
  const connection = dial()
  await connection.call({ kind: 'probe' })

  const closed = new Promise<boolean>((resolve) => {
    const stranger = connect(paths.keeperSocket, () => stranger.write('GET / HTTP/1.1\r\n\r\n'))
    stranger.on('close', () => resolve(true))
    stranger.on('error', () => undefined)
  })

  expect(await closed).toBe(true)
  expect((await connection.call({ kind: 'probe' })).integer('pid')).toBe(1)
})

test('a closed connection refuses what waits and what comes', async () => {
  const connection = dial()

  const waiting = connection.call({ kind: 'probe' })
  connection.close()

  await expect(waiting).rejects.toMatchObject({ code: 'unavailable' })
  await expect(connection.call({ kind: 'probe' })).rejects.toMatchObject({ code: 'unavailable' })
})
