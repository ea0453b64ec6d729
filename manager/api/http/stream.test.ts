/** Streams to real clients: as fast as they read, and no longer than they stay. */

import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, get, type IncomingMessage, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { sendStream } from './stream.ts'

const CHUNK = Buffer.alloc(64 * 1024)
/** More than sockets and buffers between two processes of one host hold. */
const CHUNKS_MAX = 2_000

let folder = ''
let server: Server
let sent = 0
let isEnded = false

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tsswarm-stream-'))
  sent = 0
  isEnded = false
  server = createServer((_request, response) => {
    sendStream(response, { 'Content-Type': 'text/plain' }, endless).catch(() => undefined)
  })
  await new Promise<void>((resolve) => server.listen(join(folder, 's'), resolve))
})

afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  rmSync(folder, { recursive: true })
})

async function* endless(signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    for (; sent < CHUNKS_MAX && !signal.aborted; sent++) yield CHUNK
  } finally {
    isEnded = true
  }
}

test('a client that does not read holds the source, and one that leaves ends it', async () => {
  const response = await open()
  response.pause()
  await vi.waitFor(() => expect(sent).toBeGreaterThan(0))
  let before = -1
  await vi.waitFor(() => {
    const isStill = before === sent
    before = sent
    expect(isStill).toBe(true)
  })
  expect(sent).toBeLessThan(CHUNKS_MAX)
  expect(isEnded).toBe(false)

  response.destroy()

  await vi.waitFor(() => expect(isEnded).toBe(true))
  expect(sent).toBeLessThan(CHUNKS_MAX)
})

test('a client that reads gets everything', async () => {
  const response = await open()
  let bytes = 0

  for await (const chunk of response) bytes += chunk.length

  expect(bytes).toBe(CHUNKS_MAX * CHUNK.length)
})

function open(): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get({ socketPath: join(folder, 's'), agent: false }, resolve).on('error', reject)
  })
}
