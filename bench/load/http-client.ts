/**
 * One keep-alive HTTP/1.1 connection of a load generator: one request at a time, written in one
 * piece, and of the answer only the status and the body's bytes. It parses as little as that needs,
 * so that the generator costs a fraction of the server, the same for whoever is measured.
 */
import { connect, type NetConnectOpts, type Socket } from 'node:net'

export type Reply = { readonly status: number; readonly body: string }

type Waiter = { readonly resolve: (reply: Reply) => void; readonly reject: (error: Error) => void }

export class HttpClient {
  #socket: Socket
  #waiter: Waiter | undefined
  #received = ''

  constructor(target: NetConnectOpts) {
    this.#socket = connect(target)
    this.#socket.setNoDelay(true)
    this.#socket.setEncoding('latin1')
    this.#socket.on('data', (text: string) => this.#data(text))
    this.#socket.on('error', (error) => this.#fail(error))
    this.#socket.on('close', () => this.#fail(new Error('the connection was closed')))
  }

  send(method: string, path: string, body: string): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject }
      this.#socket.write(
        `${method} ${path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      )
    })
  }

  close(): void {
    this.#waiter = undefined
    this.#socket.destroy()
  }

  #fail(error: Error): void {
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.reject(error)
  }

  #data(text: string): void {
    this.#received = this.#received === '' ? text : this.#received + text
    const end = this.#received.indexOf('\r\n\r\n')
    if (end < 0) return
    const head = this.#received.slice(0, end).toLowerCase()
    const rest = this.#received.slice(end + 4)
    const body = head.includes('transfer-encoding: chunked')
      ? findChunked(rest)
      : findSized(rest, Number(/\r\ncontent-length: (\d+)/.exec(head)?.[1] ?? 0))
    if (body === undefined) return
    this.#received = ''
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.resolve({ status: Number(head.slice(9, 12)), body })
  }
}

function findSized(rest: string, length: number): string | undefined {
  return rest.length < length ? undefined : rest.slice(0, length)
}

function findChunked(rest: string): string | undefined {
  if (!rest.endsWith('0\r\n\r\n')) return undefined
  let body = ''
  for (let at = 0; ; ) {
    const lineEnd = rest.indexOf('\r\n', at)
    const size = Number.parseInt(rest.slice(at, lineEnd), 16)
    if (lineEnd < 0 || !(size >= 0)) return undefined
    if (size === 0) return body
    body += rest.slice(lineEnd + 2, lineEnd + 2 + size)
    at = lineEnd + 2 + size + 2
  }
}
