/**
 * The daemon's connection to the keeper: made, and made again within a second whenever it ends; a
 * keeper is started where none answers. Requests wait for a connection; one that was under way when
 * it broke fails as 'unavailable' and retriable, because every request may be repeated. A keeper
 * that speaks another version of the protocol is ended and replaced; what it held goes on.
 */
import type { Socket } from 'node:net'
import type { ProcessStatus } from '../../agent/runtime/process.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import type { Fields } from './fields.ts'
import type { HostPaths } from './host-paths.ts'
import { launchKeeper } from './launch.ts'
import {
  decodeError,
  encodeFrame,
  FrameReader,
  type KeeperRequest,
  PROTOCOL_VERSION,
  readProcessStatus,
} from './protocol.ts'
import { tryConnect } from './try-connect.ts'

const ATTEMPT_MS = 50
/** Its supervisor starts a dead keeper again in less; after this the supervisor is dead as well. */
const LAUNCH_AFTER_MS = 500
/** A keeper that was launched and does not answer for this long is launched again. */
const LAUNCH_PATIENCE_MS = 5_000
/** How long a request waits for a connection. */
const SEND_PATIENCE_MS = 15_000
const REQUESTS_MAX = 20_000

export type ConnectionOptions = {
  readonly paths: HostPaths
  readonly log: Log
  /** Starts the keeper. Absent: `launchKeeper`; tests give their own. */
  readonly launch?: (paths: HostPaths) => void
}

type Pending = {
  readonly resolve: (result: Fields) => void
  readonly reject: (error: SwarmError) => void
  /** What is to be sent, until it is. */
  frame: Uint8Array | undefined
}

export class KeeperConnection {
  readonly #options: ConnectionOptions
  readonly #pending: Map<number, Pending> = new Map()
  readonly #exitListeners: Set<(process: ProcessStatus) => void> = new Set()
  readonly #connectListeners: Set<() => void> = new Set()
  /** Undefined until the keeper said hello. */
  #socket: Socket | undefined
  #nextId = 1
  #isClosed = false

  constructor(options: ConnectionOptions) {
    this.#options = options
    void this.#stayConnected()
  }

  /** The keeper's answer. Throws its SwarmError, or 'unavailable' where it cannot be reached. */
  call(request: KeeperRequest): Promise<Fields> {
    if (this.#isClosed) return Promise.reject(newUnavailable('the connection to it was closed'))
    if (this.#pending.size >= REQUESTS_MAX) {
      return Promise.reject(newUnavailable(`${REQUESTS_MAX} requests are waiting already`))
    }
    const id = this.#nextId++
    const frame = encodeFrame({ id, request })
    return new Promise((resolve, reject) => {
      if (this.#socket !== undefined) {
        this.#pending.set(id, { resolve, reject, frame: undefined })
        this.#socket.write(frame)
        return
      }
      const timer = setTimeout(() => {
        if (this.#pending.get(id)?.frame === undefined) return
        this.#pending.delete(id)
        reject(newUnavailable(`it does not answer; see ${this.#options.paths.keeperLog}`))
      }, SEND_PATIENCE_MS)
      this.#pending.set(id, {
        resolve: (result) => {
          clearTimeout(timer)
          resolve(result)
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
        frame,
      })
    })
  }

  /** Told of each process that ends while connected; after a connection, look for earlier ends. */
  onProcessExit(listener: (process: ProcessStatus) => void): void {
    this.#exitListeners.add(listener)
  }

  /** Told after every connection, the first one included if it is still to come. */
  onConnect(listener: () => void): void {
    this.#connectListeners.add(listener)
  }

  /** The connection ends for good; the keeper goes on. */
  close(): void {
    this.#isClosed = true
    this.#socket?.destroy()
    this.#fail([...this.#pending.keys()], 'the connection to it was closed')
  }

  async #stayConnected(): Promise<void> {
    let launchAfterMs = performance.now()
    while (!this.#isClosed) {
      const socket = await tryConnect(this.#options.paths.keeperSocket)
      if (socket !== undefined) {
        await this.#use(socket)
        launchAfterMs = performance.now() + LAUNCH_AFTER_MS
      } else if (performance.now() >= launchAfterMs) {
        this.#options.log.info({ hash: this.#options.paths.hash }, 'keeper started')
        const launch = this.#options.launch ?? launchKeeper
        launch(this.#options.paths)
        launchAfterMs = performance.now() + LAUNCH_PATIENCE_MS
      }
      await new Promise((resolve) => {
        setTimeout(resolve, ATTEMPT_MS)
      })
    }
  }

  /** Resolves when the connection has ended. */
  #use(socket: Socket): Promise<void> {
    const reader = new FrameReader()
    const helloId = this.#nextId++
    socket.write(
      encodeFrame({ id: helloId, request: { kind: 'hello', protocol: PROTOCOL_VERSION } }),
    )
    socket.on('data', (bytes) => {
      try {
        for (const fields of reader.push(bytes)) {
          if (fields.has('event')) this.#takeEvent(fields)
          else if (fields.integer('id') === helloId) this.#takeHello(socket, fields)
          else this.#takeAnswer(fields)
        }
      } catch (error) {
        this.#options.log.error({ error }, 'keeper answered with nonsense')
        socket.destroy()
      }
    })
    socket.on('error', () => undefined)
    return new Promise((resolve) => {
      socket.on('close', () => {
        this.#socket = undefined
        const sent = [...this.#pending].filter(([, pending]) => pending.frame === undefined)
        this.#fail(
          sent.map(([id]) => id),
          'it went away before it answered',
        )
        resolve()
      })
    })
  }

  #takeHello(socket: Socket, fields: Fields): void {
    const protocol = fields.object('result', (result) => result.integer('protocol'))
    if (protocol !== PROTOCOL_VERSION) {
      this.#options.log.info({ protocol }, 'keeper of another version replaced')
      socket.write(encodeFrame({ id: this.#nextId++, request: { kind: 'end', forget: false } }))
      return
    }
    this.#socket = socket
    for (const pending of this.#pending.values()) {
      if (pending.frame !== undefined) socket.write(pending.frame)
      pending.frame = undefined
    }
    for (const listener of this.#connectListeners) listener()
  }

  #takeEvent(fields: Fields): void {
    const process = fields.object('event', (event) => event.object('process', readProcessStatus))
    for (const listener of this.#exitListeners) listener(process)
  }

  #takeAnswer(fields: Fields): void {
    const id = fields.integer('id')
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    if (fields.has('error')) pending?.reject(fields.object('error', decodeError))
    else fields.object('result', (result) => pending?.resolve(result))
  }

  #fail(ids: readonly number[], reason: string): void {
    for (const id of ids) {
      this.#pending.get(id)?.reject(newUnavailable(reason))
      this.#pending.delete(id)
    }
  }
}

function newUnavailable(reason: string): SwarmError {
  return new SwarmError('unavailable', `the keeper cannot be asked: ${reason}`, { retriable: true })
}
