/**
 * Published ports of mode host: binds each one on all addresses, IPv4 and IPv6, which reserves it
 * against everybody else, and passes on what the kernel's rules did not redirect: connections to
 * 127.0.0.1, to ::1 and over IPv6 (host.md 26). UDP is reserved only. What is open stands in files,
 * one a task, so that a new keeper opens the same ports again.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { SwarmError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { Fields } from './fields.ts'
import { type HostPort, readTaskPorts, type TaskPorts } from './protocol.ts'

/** Proxied connections a port; the next ones are closed at once. */
const CONNECTIONS_MAX = 1_024
const REOPEN_MS = 1_000

type OpenPort = { readonly port: HostPort; readonly close: () => void }

export class PortHolder {
  readonly #directory: string
  readonly #log: Log
  readonly #tasks: Map<string, readonly OpenPort[]> = new Map()
  /** The end of the work on a task that is under way: calls for one task do not overlap. */
  readonly #turns: Map<string, Promise<unknown>> = new Map()

  constructor(directory: string, log: Log) {
    this.#directory = directory
    this.#log = log
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  }

  /** The ports that a predecessor held are open again, or will be as soon as they are free. */
  async reopen(): Promise<void> {
    for (const name of this.#names()) await this.#reopen(name)
  }

  /**
   * All ports are open, with `publishedPort` filled; the same list again for a task that has them.
   * Throws SwarmError 'already-exists' naming the port that is taken; then none is open.
   */
  open(request: TaskPorts): Promise<readonly HostPort[]> {
    return this.#inTurn(request.taskId, async () => {
      const ports = await this.#open(request)
      this.#save({ ...request, ports })
      return ports
    })
  }

  /** The task's ports are closed, proxied connections included. */
  close(taskId: string): Promise<void> {
    return this.#inTurn(taskId, () => {
      rmSync(join(this.#directory, `${taskId}.json`), { force: true })
      this.#closeAll(this.#tasks.get(taskId) ?? [])
      this.#tasks.delete(taskId)
      return Promise.resolve()
    })
  }

  /** What is open, or will be as soon as it is free. */
  list(): readonly TaskPorts[] {
    return this.#names().map((name) => this.#read(name))
  }

  /** All ports are free; the files stay for a successor. */
  end(): void {
    for (const ports of this.#tasks.values()) this.#closeAll(ports)
    this.#tasks.clear()
  }

  async #open(request: TaskPorts): Promise<readonly HostPort[]> {
    const known = this.#tasks.get(request.taskId)
    if (known !== undefined) return known.map(({ port }) => port)
    const opened: OpenPort[] = []
    try {
      for (const port of request.ports) opened.push(await openPort(port, request.address))
    } catch (error) {
      this.#closeAll(opened)
      throw error
    }
    this.#tasks.set(request.taskId, opened)
    return opened.map(({ port }) => port)
  }

  async #reopen(name: string): Promise<void> {
    const request = this.#read(name)
    try {
      await this.#inTurn(request.taskId, () => this.#open(request))
    } catch (error) {
      // Taken while there was no keeper. Redirected traffic goes on; the rest waits for the port.
      this.#log.warn({ task: request.taskId, error }, 'published port could not be held')
      setTimeout(() => {
        if (this.#names().includes(name)) void this.#reopen(name)
      }, REOPEN_MS)
    }
  }

  #names(): readonly string[] {
    return readdirSync(this.#directory).filter((name) => name.endsWith('.json'))
  }

  #read(name: string): TaskPorts {
    const text = readFileSync(join(this.#directory, name), 'utf8')
    return readTaskPorts(new Fields(JSON.parse(text)))
  }

  #save(request: TaskPorts): void {
    const path = join(this.#directory, `${request.taskId}.json`)
    writeFileSync(`${path}.new`, JSON.stringify(request), { mode: 0o600 })
    renameSync(`${path}.new`, path)
  }

  #closeAll(ports: readonly OpenPort[]): void {
    for (const port of ports) port.close()
  }

  async #inTurn<T>(taskId: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(taskId) ?? Promise.resolve()
    const turn = before.then(work, work)
    this.#turns.set(taskId, turn)
    try {
      return await turn
    } finally {
      if (this.#turns.get(taskId) === turn) this.#turns.delete(taskId)
    }
  }
}

function openPort(port: HostPort, address: string): Promise<OpenPort> {
  return port.protocol === 'tcp' ? openTcpPort(port, address) : openUdpPort(port)
}

async function openTcpPort(port: HostPort, address: string): Promise<OpenPort> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const onward = connect({ host: address, port: port.targetPort, allowHalfOpen: true })
    joinSockets(socket, onward, sockets)
  })
  server.maxConnections = CONNECTIONS_MAX
  const publishedPort = await listenDualStack(server, port)
  const close = (): void => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  return { port: { ...port, publishedPort }, close }
}

/** What one side sends or ends reaches the other; a failure of one ends both. */
function joinSockets(left: Socket, right: Socket, sockets: Set<Socket>): void {
  for (const [socket, other] of [
    [left, right],
    [right, left],
  ] as const) {
    sockets.add(socket)
    socket.on('error', () => other.destroy())
    socket.on('close', () => {
      sockets.delete(socket)
      other.destroySoon()
    })
  }
  left.pipe(right)
  right.pipe(left)
}

/** The port it listens on: over both families, or over IPv4 where the kernel has no IPv6. */
async function listenDualStack(server: Server, port: HostPort): Promise<number> {
  try {
    return await listen(server, port, '::')
  } catch (error) {
    if (!hasCode(error, 'EAFNOSUPPORT', 'EADDRNOTAVAIL')) throw newBindError(port, error)
  }
  try {
    return await listen(server, port, '0.0.0.0')
  } catch (error) {
    throw newBindError(port, error)
  }
}

function listen(server: Server, port: HostPort, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port: port.publishedPort, host }, () => {
      server.off('error', reject)
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : port.publishedPort)
    })
  })
}

async function openUdpPort(port: HostPort): Promise<OpenPort> {
  let socket: UdpSocket
  try {
    socket = await bindUdp(port, 'udp6')
  } catch (error) {
    if (!hasCode(error, 'EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL')) throw newBindError(port, error)
    socket = await bindUdp(port, 'udp4').catch((cause: unknown) => {
      throw newBindError(port, cause)
    })
  }
  return {
    port: { ...port, publishedPort: socket.address().port },
    close: () => void socket.close(),
  }
}

function bindUdp(port: HostPort, type: 'udp4' | 'udp6'): Promise<UdpSocket> {
  const socket = createSocket(type)
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(port.publishedPort, () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

function newBindError(port: HostPort, cause: unknown): SwarmError {
  const name = `port ${port.publishedPort}/${port.protocol}`
  return hasCode(cause, 'EADDRINUSE')
    ? new SwarmError('already-exists', `${name} is in use on this node`, { cause })
    : new SwarmError('failed-precondition', `${name} cannot be opened: ${String(cause)}`, { cause })
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    codes.includes(error.code)
  )
}
