/**
 * Raft's transport over real TLS on loopback: who is let in, whose messages count, and when a
 * connection ends.
 */
import { connect, type TLSSocket } from 'node:tls'
import { afterEach, expect, test } from 'vitest'
import { silentLog } from '../../lib/log.ts'
import type { KeyAndCertificate } from '../../manager/ca/signer.ts'
import { emptyMessage, type Message } from '../../manager/raft/message.ts'
import { encodeMessage } from '../../proto/gen/raft.ts'
import type { Member } from '../../proto/gen/types.ts'
import { readClaims } from './certificate.ts'
import { RaftTransport, type TransportIdentity } from './raft-transport.ts'
import { newSigner } from './signer.ts'

const signer = newSigner()
const root: KeyAndCertificate = await signer.createRoot(Date.now())
const ends: (() => void)[] = []

afterEach(() => {
  for (const end of ends.splice(0)) end()
})

async function identityOf(
  nodeId: string,
  role: 'manager' | 'worker' = 'manager',
  issuer = root,
): Promise<TransportIdentity> {
  const { keyPem, csrPem } = await signer.createRequest()
  const life = { notBeforeMs: Date.now() - 60_000, notAfterMs: Date.now() + 3_600_000 }
  const claims = { nodeId, role, clusterId: 'c1', ...life }
  const certificatePem = await signer.sign(csrPem, claims, issuer)
  return { certificatePem, keyPem, rootPem: issuer.certificatePem }
}

class End {
  readonly raftId: number
  readonly got: Message[] = []
  readonly peers: string[] = []
  readonly snapshots: string[] = []
  /** Epochs that end this one's group. */
  readonly epochs: number[] = []
  readonly transport: RaftTransport
  port = 0

  constructor(
    raftId: number,
    identity: TransportIdentity,
    { epoch = 1, onMessage }: { readonly epoch?: number; readonly onMessage?: () => void } = {},
  ) {
    this.raftId = raftId
    this.transport = new RaftTransport({
      raftId,
      clusterId: 'c1',
      epoch,
      listen: '127.0.0.1:0',
      identity,
      readClaims,
      log: silentLog,
      onMessage: (message) => {
        this.got.push(message)
        onMessage?.()
      },
      onPeer: (id, state) => this.peers.push(`${id} ${state}`),
      onUnreachable: () => undefined,
      onSnapshotSent: (id, outcome) => this.snapshots.push(`${id} ${outcome}`),
      onShutOut: (later) => this.epochs.push(later),
    })
    ends.push(() => this.transport.close())
  }

  async listen(): Promise<this> {
    this.port = await this.transport.listen()
    return this
  }

  member(): Member {
    const addr = `127.0.0.1:${this.port}`
    return { raftId: this.raftId, nodeId: `n${this.raftId}`, raftAddr: addr, addr }
  }
}

async function newEnd(raftId: number): Promise<End> {
  return new End(raftId, await identityOf(`n${raftId}`)).listen()
}

function join(...group: readonly End[]): void {
  for (const end of group) end.transport.setMembers(group.map((other) => other.member()))
}

function message(from: number, to: number): Message {
  return { ...emptyMessage, type: 'heartbeat', from, to, term: 3 }
}

async function until(isDone: () => boolean): Promise<void> {
  for (let waited = 0; !isDone(); waited += 5) {
    if (waited > 8_000) throw new Error('it did not come about')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** A connection as a stranger to the transport's code would make it. */
async function dial(port: number, identity: TransportIdentity): Promise<TLSSocket> {
  const { certificatePem, keyPem, rootPem } = identity
  const socket = connect({
    host: '127.0.0.1',
    port,
    cert: certificatePem,
    key: keyPem,
    ca: rootPem,
    checkServerIdentity: () => undefined,
  })
  socket.on('error', () => undefined)
  ends.push(() => socket.destroy())
  await new Promise<void>((resolve) => {
    socket.once('secureConnect', () => resolve())
    socket.once('close', () => resolve())
  })
  return socket
}

function frame(kind: number, body: Uint8Array): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(body.length + 1)
  head[4] = kind
  return Buffer.concat([head, body])
}

function hello(from: number, cluster = 'c1'): Buffer {
  return frame(0, Buffer.from(JSON.stringify({ cluster, from })))
}

test('members exchange messages and know of each other', async () => {
  const [a, b] = [await newEnd(1), await newEnd(2)]

  join(a, b)
  await until(() => a.peers.includes('2 connected') && b.peers.includes('1 connected'))
  a.transport.send([message(1, 2)])
  b.transport.send([message(2, 1)])
  await until(() => a.got.length > 0 && b.got.length > 0)

  expect([a.got[0]?.from, b.got[0]?.from]).toEqual([2, 1])
})

test('a snapshot travels on a connection of its own and is reported', async () => {
  const [a, b] = [await newEnd(1), await newEnd(2)]
  join(a, b)
  const data = new Uint8Array(3_000_000).fill(5)

  a.transport.send([
    {
      ...message(1, 2),
      type: 'snapshot',
      snapshot: { index: 9, term: 3, confState: undefined, data },
    },
  ])
  await until(() => b.got.length > 0 && a.snapshots.length > 0)

  expect(b.got[0]?.snapshot?.data.length).toBe(data.length)
  expect(a.snapshots).toEqual(['2 finished'])
})

test('a snapshot that does not arrive is reported as well: else nothing is ever sent to that member again', async () => {
  const [a, gone, other] = [await newEnd(1), await newEnd(2), await newEnd(3)]
  const impostor = { ...other.member(), raftId: 4, nodeId: 'n4' }
  a.transport.setMembers([a.member(), gone.member(), other.member(), impostor])
  await gone.transport.close()
  const snapshot = { index: 9, term: 3, confState: undefined, data: new Uint8Array(3_000_000) }

  for (const to of [2, 4, 5]) a.transport.send([{ ...message(1, to), type: 'snapshot', snapshot }])
  await until(() => a.snapshots.length >= 3)

  expect([...a.snapshots].sort()).toEqual(['2 failed', '4 failed', '5 failed'])
})

test('who is called before it knows anybody answers on the same connection', async () => {
  const [a, joiner] = [await newEnd(1), await newEnd(2)]
  a.transport.setMembers([a.member(), joiner.member()])
  await until(() => a.peers.includes('2 connected'))

  a.transport.send([message(1, 2)])
  await until(() => joiner.got.length > 0)
  joiner.transport.send([message(2, 1)])
  await until(() => a.got.length > 0)

  expect(a.got[0]?.from).toBe(2)
})

test.for([
  ['a worker', () => identityOf('n2', 'worker')],
  ['another cluster', async () => identityOf('n2', 'manager', await signer.createRoot(Date.now()))],
  ['another node than the member', () => identityOf('n3')],
] as const)('a connection of %s is ended and nothing of it counts', async ([, identity]) => {
  const [a, b] = [await newEnd(1), await newEnd(2)]
  a.transport.setMembers([a.member(), b.member()])

  const socket = await dial(a.port, await identity())
  socket.write(hello(2))
  socket.write(frame(1, encodeMessage(message(2, 1))))
  await until(() => socket.destroyed)

  expect(a.got).toEqual([])
})

test('a message of another sender than the connection’s ends it', async () => {
  const [a, b, c] = [await newEnd(1), await newEnd(2), await newEnd(3)]
  a.transport.setMembers([a.member(), b.member(), c.member()])

  const socket = await dial(a.port, await identityOf('n2'))
  socket.write(hello(2))
  socket.write(frame(1, encodeMessage(message(3, 1))))
  await until(() => socket.destroyed)

  expect(a.got).toEqual([])
})

test('nothing large is taken before the greeting', async () => {
  const a = await newEnd(1)

  const socket = await dial(a.port, await identityOf('n2'))
  const head = Buffer.alloc(5)
  head.writeUInt32BE(1_000_000)
  socket.write(head)
  await until(() => socket.destroyed)

  expect(a.got).toEqual([])
})

test('the connections of a member that is removed end, and it does not get in again', async () => {
  const [a, b] = [await newEnd(1), await newEnd(2)]
  a.transport.setMembers([a.member(), b.member()])
  const identity = await identityOf('n2')
  const first = await dial(a.port, identity)
  first.write(hello(2))
  first.write(frame(1, encodeMessage(message(2, 1))))
  await until(() => a.got.length === 1)

  a.transport.setMembers([a.member()])
  await until(() => first.destroyed)
  const second = await dial(a.port, identity)
  second.write(hello(2))
  second.write(frame(1, encodeMessage(message(2, 1))))
  await until(() => second.destroyed)

  expect(a.got).toHaveLength(1)
})

test('a peer that went away is dialled again when it is back', async () => {
  const [a, b] = [await newEnd(1), await newEnd(2)]
  join(a, b)
  await until(() => a.peers.includes('2 connected'))

  b.transport.close()
  await until(() => a.peers.includes('2 closed'))
  const again = await newEnd(2)
  join(a, again)
  await until(() => a.peers.filter((peer) => peer === '2 connected').length === 2)

  a.transport.send([message(1, 2)])
  await until(() => again.got.length > 0)
})

test('a member of a group that was replaced is told so and not heard, however it calls', async () => {
  const old = await newEnd(1)
  const survivor = await new End(20, await identityOf('n2'), { epoch: 2 }).listen()
  survivor.transport.setMembers([survivor.member()])

  // As the old group knows it: the same node at the same address, under its former Raft id.
  old.transport.setMembers([old.member(), { ...survivor.member(), raftId: 2, nodeId: 'n2' }])
  await until(() => old.epochs.length > 0)
  old.transport.send([message(1, 2), message(1, 20)])
  await until(() => old.epochs.length > 1)

  expect(new Set(old.epochs)).toEqual(new Set([2]))
  expect(survivor.epochs).toEqual([])
  expect(survivor.got).toEqual([])
})

test('a member that is called by a later group knows that its own is over', async () => {
  const old = await newEnd(1)
  const later = await new End(20, await identityOf('n20'), { epoch: 3 }).listen()
  old.transport.setMembers([old.member()])

  later.transport.setMembers([later.member(), old.member()])
  await until(() => old.epochs.length > 0)

  expect(old.epochs[0]).toBe(3)
  expect(later.epochs).toEqual([])
})
