/**
 * Real ports on loopback: reserved, passed on, freed, and opened again by a successor.
 */
import { createSocket } from 'node:dgram'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLog } from '../../lib/log.ts'
import { PortHolder } from './port-holder.ts'
import type { HostPort, TaskPorts } from './protocol.ts'

let folder = ''
let backend: Server
let backendPort = 0
const holders: PortHolder[] = []

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'keeper-'))
  backend = createServer((socket) => socket.end(`you are ${socket.remoteAddress ?? ''}`))
  backendPort = await listen(backend)
})

afterEach(() => {
  for (const holder of holders.splice(0)) holder.end()
  backend.close()
  rmSync(folder, { recursive: true })
})

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
}

function newHolder(): PortHolder {
  const holder = new PortHolder(join(folder, 'ports'), silentLog)
  holders.push(holder)
  return holder
}

const tcp = (publishedPort = 0): HostPort => ({
  protocol: 'tcp',
  publishedPort,
  targetPort: backendPort,
})

const of = (taskId: string, ...ports: readonly HostPort[]): TaskPorts => ({
  taskId,
  address: '127.0.0.1',
  ports,
})

/** What the port answers, or the error's code. */
function ask(port: number, host: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = ''
    const socket = connect({ port, host })
    socket.on('data', (bytes) => {
      answer += bytes.toString()
    })
    socket.on('end', () => resolve(answer))
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'))
  })
}

test('a published port is passed on over IPv4 and IPv6 loopback until it is closed', async () => {
  const holder = newHolder()

  const [port] = await holder.open(of('t1', tcp()))
  const published = port?.publishedPort ?? 0

  expect(published).toBeGreaterThan(0)
  expect(await ask(published, '127.0.0.1')).toBe('you are 127.0.0.1')
  expect(await ask(published, '::1')).toBe('you are 127.0.0.1')
  await holder.close('t1')
  expect(await ask(published, '127.0.0.1')).toBe('ECONNREFUSED')
})

test('a task that has its ports gets the same ones again', async () => {
  const holder = newHolder()

  const first = await holder.open(of('t1', tcp()))

  expect(await holder.open(of('t1', tcp()))).toEqual(first)
})

test('a taken port is named, and the task gets none of its ports', async () => {
  const holder = newHolder()
  const [taken] = await holder.open(of('t1', tcp()))
  const [free] = await holder.open(of('t2', tcp()))
  await holder.close('t2')
  const ports = [tcp(free?.publishedPort), tcp(taken?.publishedPort)]

  await expect(holder.open(of('t3', ...ports))).rejects.toMatchObject({
    code: 'already-exists',
    message: `port ${taken?.publishedPort}/tcp is in use on this node`,
  })

  expect(await ask(free?.publishedPort ?? 0, '127.0.0.1')).toBe('ECONNREFUSED')
})

test('a UDP port is reserved', async () => {
  const [port] = await newHolder().open(
    of('t1', { protocol: 'udp', publishedPort: 0, targetPort: 53 }),
  )

  const code = await new Promise((resolve) => {
    const other = createSocket('udp4')
    other.on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
    other.bind(port?.publishedPort ?? 0, () => other.close(() => resolve('bound')))
  })

  expect(code).toBe('EADDRINUSE')
})

test('a successor opens the same ports, and closes them for good', async () => {
  const first = newHolder()
  const [port] = await first.open(of('t1', tcp()))
  const published = port?.publishedPort ?? 0
  first.end()
  const second = newHolder()

  await second.reopen()

  expect(second.list()).toEqual([of('t1', tcp(published))])
  expect(await ask(published, '127.0.0.1')).toBe('you are 127.0.0.1')
  await second.close('t1')
  expect(newHolder().list()).toEqual([])
})
