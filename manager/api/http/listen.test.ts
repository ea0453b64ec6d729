/**
 * How the HTTP API is reached: sockets and who may use them, what a dead daemon leaves, upgrades,
 * and client certificates.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLog } from '../../../lib/log.ts'
import { TestBackend } from '../../../test/backend.ts'
import { TestAuthority, type TestCertificate } from '../../../test/client-certificate.ts'
import { BODY_BYTES_MAX } from './body.ts'
import { type ApiServer, newApi } from './server.ts'

let folder = ''
let api: ApiServer

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tsswarm-api-'))
  api = newApi({ backend: new TestBackend(), log: silentLog })
})

afterEach(async () => {
  await api.close()
  rmSync(folder, { recursive: true })
})

describe('a socket', () => {
  test('is for its owner and group, and goes with the server', async () => {
    const path = join(folder, 'run', 'docker.sock')
    const umask = process.umask()

    await api.listen({ kind: 'unix', path })

    expect(statSync(path).mode & 0o777).toBe(0o660)
    expect(statSync(join(folder, 'run')).mode & 0o777).toBe(0o755)
    expect(process.umask()).toBe(umask)
    expect(await askUnix(path, '/_ping')).toEqual({ status: 200, text: 'OK' })
    await api.close()
    expect(() => statSync(path)).toThrow('ENOENT')
  })

  test('of a dead daemon is replaced, of a living one or another file is not', async () => {
    const path = join(folder, 'docker.sock')
    const dying = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
    await promisify(execFile)(process.execPath, ['-e', dying]).catch(() => undefined)
    expect(statSync(path).isSocket()).toBe(true)

    await api.listen({ kind: 'unix', path })

    expect((await askUnix(path, '/_ping')).status).toBe(200)
    const other = newApi({ backend: new TestBackend(), log: silentLog })
    await expect(other.listen({ kind: 'unix', path })).rejects.toThrow('is in use')
    writeFileSync(join(folder, 'file'), '')
    await expect(other.listen({ kind: 'unix', path: join(folder, 'file') })).rejects.toThrow(
      'is in use',
    )
    await other.close()
  })

  test('answers to an upgrade that there is none, and closes', async () => {
    const path = join(folder, 'docker.sock')
    await api.listen({ kind: 'unix', path })

    const reply = await new Promise<string>((resolve, reject) => {
      let text = ''
      const socket = connect(path, () =>
        socket.write(
          'POST /session HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
        ),
      )
      socket.on('data', (chunk) => {
        text += chunk.toString()
      })
      socket.on('end', () => resolve(text))
      socket.on('error', reject)
    })

    expect(reply).toMatch(/^HTTP\/1.1 501 /)
    expect(reply).toContain('"message":"POST /session: connections cannot be upgraded yet"')
  })
})

test.each([
  ['its length is said', true],
  ['it comes in chunks', false],
])('a request that is too large is answered with why, also when %s', async (_name, isSized) => {
  const path = join(folder, 'docker.sock')
  await api.listen({ kind: 'unix', path })
  const body = Buffer.alloc(16 * BODY_BYTES_MAX, 'x')

  const reply = await new Promise<Reply>((resolve, reject) => {
    const headers = isSized ? { 'content-length': body.length } : {}
    const options = { socketPath: path, path: '/configs/create', method: 'POST', headers }
    const request = httpRequest({ ...options, agent: false }, collect(resolve))
    request.on('error', reject)
    request.write(body.subarray(0, 1_000))
    request.end(body.subarray(1_000))
  })

  expect(reply).toMatchObject({ status: 413, text: expect.stringContaining('too large') })
})

test('a request without an end is not read for ever', async () => {
  const path = join(folder, 'docker.sock')
  await api.listen({ kind: 'unix', path })

  const sentBytes = await new Promise<number>((resolve) => {
    let count = 0
    const socket = connect(path, () => {
      socket.write(
        'POST /configs/create HTTP/1.1\r\nHost: x\r\nContent-Length: 900000000000\r\n\r\n',
      )
      const push = (): void => {
        count += BODY_BYTES_MAX
        socket.write(Buffer.alloc(BODY_BYTES_MAX), (error) => error ?? push())
      }
      push()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(count))
  })

  expect(sentBytes).toBeLessThan(40 * BODY_BYTES_MAX)
})

test('over TCP clients need a certificate of their own, and none of a node', async () => {
  const authority = await TestAuthority.create()
  const port = await findPort()
  const server = await authority.issue('CN=server')

  await api.listen({ kind: 'tcp', host: '127.0.0.1', port, tls: { ca: authority.cert, ...server } })

  const ask = (client: Partial<TestCertificate>) => askTls({ port, ca: authority.cert, ...client })
  const stranger = await (await TestAuthority.create()).issue('CN=client')
  expect(await ask(await authority.issue('CN=client'))).toEqual({ status: 200, text: 'OK' })
  for (const unit of ['swarm-worker', 'swarm-manager'])
    expect(await ask(await authority.issue(`OU=${unit}, CN=node1`))).toMatchObject({
      status: 403,
      text: expect.stringContaining('certificate of a node does not open the API'),
    })
  await expect(ask({})).rejects.toThrow()
  await expect(ask(stranger)).rejects.toThrow()
})

type Reply = { readonly status: number; readonly text: string }

function askUnix(socketPath: string, path: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ socketPath, path, agent: false }, collect(resolve))
    request.on('error', reject).end()
  })
}

function askTls(
  options: { readonly port: number; readonly ca: string } & Partial<TestCertificate>,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      { host: '127.0.0.1', path: '/_ping', agent: false, ...options },
      collect(resolve),
    )
    request.on('error', reject).end()
  })
}

function collect(
  resolve: (reply: Reply) => void,
): (response: import('node:http').IncomingMessage) => void {
  return (response) => {
    let text = ''
    response.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
  }
}

/** A port that was free a moment ago: what listens there is chosen by the caller, not by us. */
async function findPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  await new Promise((resolve) => server.close(resolve))
  return port satisfies AddressInfo['port']
}
