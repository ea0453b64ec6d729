/**
 * The control listener over real TLS on loopback: who is let in, how many strangers, and when a
 * member's connection ends. What is served behind it is tested with the services.
 */
import { connect, type TLSSocket } from 'node:tls'
import { afterEach, expect, test } from 'vitest'
import { silentLog } from '../lib/log.ts'
import type { KeyAndCertificate } from '../manager/ca/signer.ts'
import type { NodeRole } from '../proto/gen/types.ts'
import { readClaims } from './io/certificate.ts'
import type { TransportIdentity } from './io/raft-transport.ts'
import { newSigner } from './io/signer.ts'
import { Listener } from './listener.ts'

const signer = newSigner()
const root: KeyAndCertificate = await signer.createRoot(Date.now())
const own = await identityOf('m1', 'manager')
const ends: (() => unknown)[] = []

afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

async function identityOf(
  nodeId: string,
  role: NodeRole,
  lifeMs = 3_600_000,
): Promise<TransportIdentity> {
  const { keyPem, csrPem } = await signer.createRequest()
  const life = { notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + lifeMs }
  const claims = { nodeId, role, clusterId: 'c1', ...life }
  const certificatePem = await signer.sign(csrPem, claims, root)
  return { certificatePem, keyPem, rootPem: root.certificatePem }
}

/** The roles that the cluster says the nodes have; who is not there was removed. */
async function listening(
  roles: Map<string, NodeRole>,
): Promise<{ listener: Listener; port: number }> {
  const listener = new Listener({
    listen: '127.0.0.1:0',
    identity: () => own,
    readClaims,
    findRole: ({ nodeId }) => roles.get(nodeId),
    log: silentLog,
  })
  ends.push(() => listener.close())
  return { listener, port: await listener.listen() }
}

async function dial(port: number, identity?: TransportIdentity): Promise<TLSSocket> {
  const socket = connect({
    host: '127.0.0.1',
    port,
    ALPNProtocols: ['h2'],
    ca: root.certificatePem,
    ...(identity === undefined ? {} : { cert: identity.certificatePem, key: identity.keyPem }),
    checkServerIdentity: () => undefined,
  })
  socket.on('error', () => undefined)
  socket.resume()
  ends.push(() => socket.destroy())
  // The listener sends its HTTP/2 settings to whom it lets in.
  await new Promise<void>((resolve) => {
    socket.once('data', () => resolve())
    socket.once('close', () => resolve())
  })
  return socket
}

async function until(isDone: () => boolean): Promise<void> {
  for (let waited = 0; !isDone(); waited += 5) {
    if (waited > 8_000) throw new Error('it did not come about')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

test('the connection of a node that is removed ends, and the others’ go on', async () => {
  const roles = new Map<string, NodeRole>([
    ['n1', 'worker'],
    ['n2', 'worker'],
  ])
  const { listener, port } = await listening(roles)
  const [removed, other] = [
    await dial(port, await identityOf('n1', 'worker')),
    await dial(port, await identityOf('n2', 'worker')),
  ]

  roles.delete('n1')
  listener.recheck()
  await until(() => removed.destroyed)

  expect(other.destroyed).toBe(false)
})

test('the connection of a manager that is demoted ends, that of a worker stays', async () => {
  const roles = new Map<string, NodeRole>([
    ['n1', 'manager'],
    ['n2', 'worker'],
  ])
  const { listener, port } = await listening(roles)
  const [demoted, worker] = [
    await dial(port, await identityOf('n1', 'manager')),
    await dial(port, await identityOf('n2', 'worker')),
  ]

  roles.set('n1', 'worker')
  roles.set('n2', 'manager')
  listener.recheck()
  await until(() => demoted.destroyed)

  expect(worker.destroyed).toBe(false)
})

test('a removed node is not let in', async () => {
  const { port } = await listening(new Map())

  const socket = await dial(port, await identityOf('n1', 'worker'))
  await until(() => socket.destroyed)

  expect(socket.bytesRead).toBe(0)
})

test('a connection ends with its certificate', async () => {
  const { port } = await listening(new Map([['n1', 'worker']]))

  const socket = await dial(port, await identityOf('n1', 'worker', 2_000))
  const wasOpen = !socket.destroyed
  await until(() => socket.destroyed)

  expect(wasOpen).toBe(true)
})

test('strangers are at most four an address, and each has its time', async () => {
  const { port } = await listening(new Map())

  const strangers = await Promise.all(Array.from({ length: 6 }, () => dial(port)))
  await until(() => strangers.filter((socket) => socket.destroyed).length === 2)
  strangers.find((socket) => !socket.destroyed)?.destroy()
  await until(() => strangers.filter((socket) => socket.destroyed).length === 3)
  const next = await dial(port)

  expect(next.destroyed).toBe(false)
  await until(() => strangers.every((socket) => socket.destroyed) && next.destroyed)
})

test('a stranger that sends too much is ended', async () => {
  const { port } = await listening(new Map())

  const socket = await dial(port)
  socket.write(new Uint8Array(200_000))
  await until(() => socket.destroyed)

  expect(socket.destroyed).toBe(true)
})
