/**
 * The keeper's door: a unix socket that only its user may open, on which requests are answered one
 * by one and events go to every connection. What a request does is left to the handler; a request
 * that fails is answered with its error and harms nobody else.
 */
import { rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import type { Log } from '../../lib/log.ts'
import {
  decodeRequest,
  encodeError,
  encodeFrame,
  FrameReader,
  type KeeperEvent,
  type KeeperRequest,
} from './protocol.ts'

/** A daemon has one connection, an operator's tool another; more are a fault. */
const CONNECTIONS_MAX = 16

/** The plain value that answers a request. */
export type Handler = (request: KeeperRequest) => Promise<object>

export class KeeperServer {
  readonly #server: Server
  readonly #connections: Set<Socket> = new Set()
  readonly #handler: Handler
  readonly #log: Log

  constructor(handler: Handler, log: Log) {
    this.#handler = handler
    this.#log = log
    this.#server = createServer((socket) => this.#accept(socket))
    this.#server.maxConnections = CONNECTIONS_MAX
  }

  /** Requests are taken at `path`. The caller knows that no other keeper lives: it replaces the file. */
  listen(path: string): Promise<void> {
    rmSync(path, { force: true })
    const mask = process.umask(0o177)
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(path, () => {
        process.umask(mask)
        resolve()
      })
    })
  }

  /** Every connection is told. */
  send(event: KeeperEvent): void {
    const frame = encodeFrame({ event })
    for (const socket of this.#connections) socket.write(frame)
  }

  /** No more requests are taken; answers on their way are sent. */
  close(): void {
    this.#server.close()
    for (const socket of this.#connections) socket.end()
  }

  #accept(socket: Socket): void {
    const reader = new FrameReader()
    this.#connections.add(socket)
    socket.on('close', () => this.#connections.delete(socket))
    socket.on('error', (error) => this.#log.warn({ error }, 'connection failed'))
    socket.on('data', (bytes) => {
      try {
        for (const fields of reader.push(bytes)) {
          void this.#answer(socket, fields.integer('id'), () =>
            this.#handler(fields.object('request', decodeRequest)),
          )
        }
      } catch (error) {
        this.#log.warn({ error }, 'connection ended over bytes that are no request')
        socket.destroy()
      }
    })
  }

  async #answer(socket: Socket, id: number, handle: () => Promise<object>): Promise<void> {
    let answer: object
    try {
      answer = { id, result: await handle() }
    } catch (error) {
      answer = { id, error: encodeError(error) }
    }
    if (socket.writable) socket.write(encodeFrame(answer))
  }
}
