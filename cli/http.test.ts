/** Replies in every form that HTTP/1.1 has, however they are cut into pieces, and broken ones. */
import { Duplex } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { exchange } from './http.ts'

/** A connection on which the reply comes in pieces of `size` bytes, and what was sent on it. */
function connection(reply: string, size: number): { socket: Duplex; sent: () => string } {
  const sent: Buffer[] = []
  let at = 0
  const bytes = Buffer.from(reply)
  const socket = new Duplex({
    read() {
      const piece = bytes.subarray(at, at + size)
      at += size
      this.push(piece.length === 0 ? null : piece)
    },
    write(chunk: Buffer, _encoding, done) {
      sent.push(chunk)
      done()
    },
  })
  return { socket, sent: () => Buffer.concat(sent).toString() }
}

async function bodyOf(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

const GET = { method: 'GET', target: '/info?a=1', headers: { Host: 'tsswarm' }, body: undefined }

describe('exchange()', () => {
  test.each([
    ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello rest', 'hello'],
    [
      'chunks',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n',
      'hello',
    ],
    ['an end', 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello', 'hello'],
    ['nothing', 'HTTP/1.1 204 No Content\r\n\r\n', ''],
    [
      'an interim reply before',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
      'ok',
    ],
  ])('reads a body with %s, in pieces of any size', async (_, text, body) => {
    for (const size of [1, 2, 3, 7, 1000]) {
      const { socket } = connection(text, size)
      const reply = await exchange(socket, GET)
      expect(await bodyOf(reply.body)).toBe(body)
      expect(socket.destroyed).toBe(true)
    }
  })

  test('sends method, target, headers and body', async () => {
    const { socket, sent } = connection('HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n', 100)

    const reply = await exchange(socket, { ...GET, method: 'POST', body: '{"ä":1}' })

    expect(reply.status).toBe(201)
    expect(sent()).toBe(
      'POST /info?a=1 HTTP/1.1\r\nHost: tsswarm\r\nConnection: close\r\nContent-Length: 8\r\n\r\n{"ä":1}',
    )
  })

  test.each([
    ['', /ended before/],
    ['HTTP/1.1 200 OK\r\nContent-Len', /ended before/],
    ['SSH-2.0-OpenSSH\r\n\r\n', /is not HTTP/],
    ['x'.repeat(70_000), /is not HTTP/],
  ])('refuses the reply %#', async (text, message) => {
    await expect(exchange(connection(text, 1000).socket, GET)).rejects.toThrow(message)
  })

  test.each([
    'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n',
  ])('does not take the broken body %# for whole', async (text) => {
    const reply = await exchange(connection(text, 4).socket, GET)

    await expect(bodyOf(reply.body)).rejects.toThrow(/ended before|is not HTTP/)
  })
})
