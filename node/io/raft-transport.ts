/**
 * Raft's messages between managers: mutual TLS on the Raft port, length-prefixed frames, one
 * connection a direction and peer, and a further one for a snapshot, so that it delays no
 * heartbeat; who is called before it knows the caller's address answers on the same connection. It
 * runs in the consensus thread and decides nothing about messages; it checks that certificate,
 * member id and each message's sender belong together, drops what a slow peer does not take (Raft
 * sends again), and says when a peer is connected or gone. Not gRPC: a second copy of grpc-js in
 * this thread would cost 10 MB and twice the time a message (docs/raft.md).
 */
import { connect, createServer, type Server, type TLSSocket } from 'node:tls'
import type { Log } from '../../lib/log.ts'
import type { CertificateClaims } from '../../manager/ca/signer.ts'
import type { Message } from '../../manager/raft/message.ts'
import { decodeMessage, encodeMessage } from '../../proto/gen/raft.ts'
import type { Member } from '../../proto/gen/types.ts'
import { parseAddress } from '../address.ts'
import { EPOCH_FIRST } from '../identity.ts'

/** A frame of ordinary messages; larger ones end the connection. */
const FRAME_BYTES_MAX = 64 * 1024 * 1024
const SNAPSHOT_BYTES_MAX = 1024 * 1024 * 1024
/** Bytes waiting for one peer's socket; more messages are dropped until it drains. */
const QUEUE_BYTES_MAX = 32 * 1024 * 1024
const RECONNECT_MIN_MS = 50
const RECONNECT_MAX_MS = 1_000
const PING_MS = 500
/** A connection without an answer for this long is ended. */
const SILENCE_MS = 2_000
const HELLO_BYTES_MAX = 1_024
const HANDSHAKE_MS = 5_000
/** How long a removed member is still talked to. */
const FAREWELL_MS = 500
/** Connections at once: a few from each member, and some room for those that are refused. */
const CONNECTIONS_MAX = 256

export type TransportIdentity = {
  readonly certificatePem: string
  readonly keyPem: string
  readonly rootPem: string
}

export type TransportConfig = {
  readonly raftId: number
  readonly clusterId: string
  /** Of this member's group: force-new-cluster begins the next one. */
  readonly epoch: number
  readonly listen: string
  readonly identity: TransportIdentity
  readonly readClaims: (certificate: Uint8Array) => CertificateClaims
  readonly log: Log
  readonly onMessage: (message: Message) => void
  readonly onPeer: (raftId: number, state: 'connected' | 'closed') => void
  readonly onUnreachable: (raftId: number) => void
  readonly onSnapshotSent: (raftId: number, outcome: 'finished' | 'failed') => void
  /** A manager of this cluster is in a later epoch: this member's group was replaced. */
  readonly onShutOut: (epoch: number) => void
}

type Peer = {
  readonly raftId: number
  addr: string
  socket: TLSSocket | undefined
  isReady: boolean
  retryMs: number
  retryTimer: NodeJS.Timeout | undefined
  heardMs: number
}

/** Frames: length of the rest (4 bytes, big-endian), kind (1 byte), body. */
const KIND = { hello: 0, message: 1, ping: 2, pong: 3, snapshot: 4, epoch: 5 } as const

export class RaftTransport {
  #config: TransportConfig
  #identity: TransportIdentity
  #server: Server | undefined
  #peers = new Map<number, Peer>()
  /** Which node each Raft id belongs to; empty until this member knows its group. */
  #nodeOf = new Map<number, string>()
  /** Ids that were members in this process's life: they never come back (DESIGN section 5). */
  #removed = new Set<number>()
  /** Accepted connections, with the Raft id that was said; 0 before. */
  #incoming = new Map<TLSSocket, number>()
  #farewells = new Set<NodeJS.Timeout>()
  /** Connections over which a snapshot goes out. */
  #snapshots = new Set<TLSSocket>()
  /** Who called last, by Raft id: the way back to a member whose address is not known yet. */
  #callers = new Map<number, TLSSocket>()
  #pingTimer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(config: TransportConfig) {
    this.#config = config
    this.#identity = config.identity
  }

  /** Resolves with the port that is listened on. */
  async listen(): Promise<number> {
    const server = createServer(
      { ...this.#tlsOptions(), requestCert: true, handshakeTimeout: HANDSHAKE_MS },
      (socket) => this.#accept(socket),
    )
    server.maxConnections = CONNECTIONS_MAX
    this.#server = server
    server.on('tlsClientError', (error) => {
      this.#config.log.debug({ error: error.message }, 'raft connection refused')
    })
    const { host, port } = parseAddress(this.#config.listen)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port }, () => {
        server.off('error', reject)
        resolve()
      })
    })
    // No more files, for example: those that are connected go on.
    server.on('error', (error) => {
      this.#config.log.warn({ error: error.message }, 'raft connection not accepted')
    })
    this.#pingTimer = setInterval(() => this.#ping(), PING_MS)
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : port
  }

  /** The group changed: peers are dialled, moved or dropped. */
  setMembers(members: readonly Member[]): void {
    const before = [...this.#nodeOf.keys()]
    this.#nodeOf = new Map(members.map((member) => [member.raftId, member.nodeId]))
    const gone = before.filter((raftId) => !this.#nodeOf.has(raftId))
    for (const raftId of gone) this.#removed.add(raftId)
    if (gone.length > 0) this.#endLater()
    for (const member of members) {
      if (member.raftId === this.#config.raftId) continue
      const known = this.#peers.get(member.raftId)
      if (known === undefined) this.#dial(this.#addPeer(member.raftId, member.raftAddr))
      else if (known.addr !== member.raftAddr) {
        known.addr = member.raftAddr
        known.socket?.destroy()
      }
    }
  }

  /** A renewed certificate: used for new connections; those of the old one go on. */
  setIdentity(identity: TransportIdentity): void {
    this.#identity = identity
    this.#server?.setSecureContext(this.#tlsOptions())
  }

  /** Each message is on its way or dropped; a dropped one is reported as unreachable. */
  send(messages: readonly Message[]): void {
    const frames = new Map<number, Buffer[]>()
    for (const message of messages) {
      if (message.type === 'snapshot') {
        this.#sendSnapshot(message)
        continue
      }
      const list = frames.get(message.to)
      const frame = frameOf(KIND.message, encodeMessage(message))
      if (list === undefined) frames.set(message.to, [frame])
      else list.push(frame)
    }
    for (const [to, list] of frames) {
      const peer = this.#peers.get(to)
      // A member that has just joined knows nobody's address before its first snapshot.
      const socket = peer?.isReady ? peer.socket : this.#callers.get(to)
      if (socket === undefined || socket.writableLength > QUEUE_BYTES_MAX) {
        this.#config.onUnreachable(to)
        continue
      }
      socket.write(list.length === 1 && list[0] !== undefined ? list[0] : Buffer.concat(list))
    }
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#pingTimer)
    for (const timer of this.#farewells) clearTimeout(timer)
    this.#server?.close()
    for (const socket of [...this.#incoming.keys(), ...this.#snapshots]) socket.destroy()
    for (const peer of [...this.#peers.values()]) this.#dropPeer(peer)
  }

  /** The last that a removed member is told is that it was removed; then its connections end. */
  #endLater(): void {
    const timer = setTimeout(() => {
      this.#farewells.delete(timer)
      for (const [socket, from] of this.#incoming) if (this.#removed.has(from)) socket.destroy()
      for (const peer of [...this.#peers.values()])
        if (this.#removed.has(peer.raftId)) this.#dropPeer(peer)
    }, FAREWELL_MS)
    this.#farewells.add(timer)
  }

  #tlsOptions(): { cert: string; key: string; ca: string; minVersion: 'TLSv1.3' } {
    const { certificatePem, keyPem, rootPem } = this.#identity
    return { cert: certificatePem, key: keyPem, ca: rootPem, minVersion: 'TLSv1.3' }
  }

  #addPeer(raftId: number, addr: string): Peer {
    const peer: Peer = {
      raftId,
      addr,
      socket: undefined,
      isReady: false,
      retryMs: RECONNECT_MIN_MS,
      retryTimer: undefined,
      heardMs: 0,
    }
    this.#peers.set(raftId, peer)
    return peer
  }

  #dropPeer(peer: Peer): void {
    this.#peers.delete(peer.raftId)
    clearTimeout(peer.retryTimer)
    peer.socket?.destroy()
  }

  #dial(peer: Peer): void {
    if (this.#isClosed) return
    const socket = this.#connect(peer.addr)
    peer.socket = socket
    peer.heardMs = performance.now()
    // Else a dial into a host without power waits for minutes, also when the host is back.
    const timer = setTimeout(() => socket.destroy(), SILENCE_MS)
    socket.on('secureConnect', () => {
      clearTimeout(timer)
      const refusal = this.#refusalOf(socket, peer.raftId)
      if (refusal !== undefined) {
        this.#config.log.warn({ peer: peer.raftId, addr: peer.addr, refusal }, 'raft peer refused')
        socket.destroy()
        return
      }
      socket.write(frameOf(KIND.hello, this.#hello()))
      peer.isReady = true
      peer.heardMs = performance.now()
      this.#config.onPeer(peer.raftId, 'connected')
    })
    readFrames(
      socket,
      () => FRAME_BYTES_MAX,
      (kind, body) => {
        peer.heardMs = performance.now()
        // Only now: who is refused after the handshake must not dial without end.
        peer.retryMs = RECONNECT_MIN_MS
        if (kind === KIND.message && peer.isReady) this.#deliver(socket, peer.raftId, body)
        if (kind === KIND.epoch && peer.isReady) this.#noteEpoch(parseHello(body)?.epoch ?? 0)
      },
    )
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      clearTimeout(timer)
      const wasReady = peer.isReady
      peer.isReady = false
      peer.socket = undefined
      if (wasReady) this.#config.onPeer(peer.raftId, 'closed')
      if (this.#isClosed || this.#peers.get(peer.raftId) !== peer) return
      peer.retryTimer = setTimeout(() => this.#dial(peer), peer.retryMs)
      peer.retryMs = Math.min(peer.retryMs * 2, RECONNECT_MAX_MS)
    })
  }

  #connect(addr: string): TLSSocket {
    const { host, port } = parseAddress(addr)
    const socket = connect({
      ...this.#tlsOptions(),
      host,
      port,
      servername: 'swarm-manager',
      // The name is checked against the member's node id in `#refusalOf`, not against the address.
      checkServerIdentity: () => undefined,
    })
    socket.setNoDelay(true)
    socket.setTimeout(SILENCE_MS * 5)
    return socket
  }

  /** Why the other side is not who it should be; undefined when it is. */
  #refusalOf(socket: TLSSocket, raftId: number | undefined): string | undefined {
    if (!socket.authorized) return `not authorized: ${String(socket.authorizationError)}`
    const claims = this.#claimsOf(socket)
    if (claims === undefined) return 'no certificate of a node'
    if (claims.clusterId !== this.#config.clusterId) return 'certificate of another cluster'
    if (claims.role !== 'manager') return 'certificate of a worker'
    if (raftId === undefined) return undefined
    if (this.#removed.has(raftId)) return `member ${raftId} was removed`
    const nodeId = this.#nodeOf.get(raftId)
    if (nodeId !== undefined && nodeId !== claims.nodeId)
      return `member ${raftId} is node ${nodeId}, not ${claims.nodeId}`
    return undefined
  }

  #claimsOf(socket: TLSSocket): CertificateClaims | undefined {
    const certificate = socket.getPeerX509Certificate()
    if (certificate === undefined) return undefined
    try {
      return this.#config.readClaims(certificate.raw)
    } catch {
      return undefined
    }
  }

  #hello(): Uint8Array {
    const { clusterId, raftId, epoch } = this.#config
    return Buffer.from(JSON.stringify({ cluster: clusterId, from: raftId, epoch }))
  }

  /** What another manager's group is in; a later epoch than this one's ends this member. */
  #noteEpoch(epoch: number): void {
    if (epoch > this.#config.epoch && !this.#isClosed) this.#config.onShutOut(epoch)
  }

  #accept(socket: TLSSocket): void {
    // Its handshake was under way at the close.
    if (this.#isClosed) {
      socket.destroy()
      return
    }
    const claims = this.#claimsOf(socket)
    if (claims === undefined || this.#refusalOf(socket, undefined) !== undefined) {
      this.#config.log.warn(
        { addr: socket.remoteAddress, refusal: this.#refusalOf(socket, undefined) },
        'raft connection refused',
      )
      socket.destroy()
      return
    }
    this.#incoming.set(socket, 0)
    socket.setNoDelay(true)
    socket.setTimeout(SILENCE_MS * 5, () => socket.destroy())
    socket.on('error', () => socket.destroy())
    const fromOf = (): number => this.#incoming.get(socket) ?? 0
    // The connection ends with its certificate; the next one shows the renewed one.
    const expiry = setTimeout(
      () => socket.destroy(),
      Math.min(claims.notAfterMs - Date.now(), 2 ** 31 - 1),
    )
    socket.on('close', () => {
      clearTimeout(expiry)
      if (this.#callers.get(fromOf()) === socket) this.#callers.delete(fromOf())
      this.#incoming.delete(socket)
    })
    const bytesMax = (): number => (fromOf() === 0 ? HELLO_BYTES_MAX : SNAPSHOT_BYTES_MAX)
    readFrames(socket, bytesMax, (kind, body) => this.#receive(socket, kind, body))
  }

  #receive(socket: TLSSocket, kind: number, body: Buffer): void {
    const from = this.#incoming.get(socket) ?? 0
    if (from === 0) {
      const said = kind === KIND.hello ? this.#greet(socket, body) : undefined
      // What was written to it is sent first.
      if (said === undefined) socket.destroySoon()
      else this.#incoming.set(socket, said)
      return
    }
    // A snapshot's connection ends with it, so nothing is answered there.
    if (kind !== KIND.snapshot) this.#callers.set(from, socket)
    if (kind === KIND.ping) socket.write(frameOf(KIND.pong, NO_BODY))
    if (kind === KIND.message || kind === KIND.snapshot) this.#deliver(socket, from, body)
  }

  /** The Raft id behind a connection, or undefined when it is refused. */
  #greet(socket: TLSSocket, body: Buffer): number | undefined {
    const hello = parseHello(body)
    const isOwn = hello?.cluster === this.#config.clusterId
    const from = isOwn ? hello.from : undefined
    const refusal =
      from === undefined
        ? 'not a greeting of this cluster'
        : (this.#refusalOf(socket, from) ?? this.#compareEpochs(socket, hello?.epoch ?? 0))
    if (refusal === undefined) return from
    const isRemoved = from !== undefined && this.#removed.has(from)
    this.#config.log[isRemoved ? 'debug' : 'warn'](
      { addr: socket.remoteAddress, refusal },
      'raft connection refused',
    )
    return undefined
  }

  /** Who belongs to a group that was replaced is told so, and refused. */
  #compareEpochs(socket: TLSSocket, epoch: number): string | undefined {
    this.#noteEpoch(epoch)
    if (epoch === this.#config.epoch) return undefined
    if (epoch < this.#config.epoch) socket.write(frameOf(KIND.epoch, this.#hello()))
    return `of epoch ${epoch}, and this group is in epoch ${this.#config.epoch}`
  }

  #deliver(socket: TLSSocket, from: number, body: Buffer): void {
    const message = this.#decode(from, body)
    if (message === undefined || message.from !== from || message.to !== this.#config.raftId) {
      this.#config.log.warn(
        { from, claimed: message?.from, to: message?.to },
        'raft message unreadable or misaddressed',
      )
      socket.destroy()
      return
    }
    // What Raft makes of it is not caught here: an assertion of its ends the node.
    this.#config.onMessage(message)
  }

  #decode(from: number, body: Buffer): Message | undefined {
    try {
      return decodeMessage(body)
    } catch (error) {
      this.#config.log.warn({ from, error: String(error) }, 'raft message unreadable')
      return undefined
    }
  }

  /** On a connection of its own, which ends with it. */
  #sendSnapshot(message: Message): void {
    const peer = this.#peers.get(message.to)
    if (peer === undefined) {
      this.#config.onSnapshotSent(message.to, 'failed')
      return
    }
    let isDone = false
    const done = (outcome: 'finished' | 'failed'): void => {
      if (isDone) return
      isDone = true
      if (!this.#isClosed) this.#config.onSnapshotSent(message.to, outcome)
    }
    const socket = this.#connect(peer.addr)
    this.#snapshots.add(socket)
    socket.on('timeout', () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      this.#snapshots.delete(socket)
      done('failed')
    })
    socket.on('secureConnect', () => {
      if (this.#refusalOf(socket, peer.raftId) !== undefined) {
        socket.destroy()
        return
      }
      socket.write(frameOf(KIND.hello, this.#hello()))
      socket.write(frameOf(KIND.snapshot, encodeMessage(message)), () => {
        done('finished')
        socket.end()
      })
    })
  }

  #ping(): void {
    const now = performance.now()
    for (const peer of this.#peers.values()) {
      if (!peer.isReady || peer.socket === undefined) continue
      if (now - peer.heardMs > SILENCE_MS) peer.socket.destroy()
      else peer.socket.write(frameOf(KIND.ping, NO_BODY))
    }
  }
}

const NO_BODY = new Uint8Array(0)

function frameOf(kind: number, body: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(5 + body.length)
  frame.writeUInt32BE(body.length + 1, 0)
  frame[4] = kind
  frame.set(body, 5)
  return frame
}

/** Calls `onFrame` for each whole frame; a too large one ends the connection. */
function readFrames(
  socket: TLSSocket,
  bytesMax: () => number,
  onFrame: (kind: number, body: Buffer) => void,
): void {
  let chunks: Buffer[] = []
  let length = 0
  const peekLength = (): number => {
    if (length < 4) return Number.POSITIVE_INFINITY
    if ((chunks[0]?.length ?? 0) < 4) chunks = [Buffer.concat(chunks)]
    return chunks[0]?.readUInt32BE(0) ?? Number.POSITIVE_INFINITY
  }
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    length += chunk.length
    let size = peekLength()
    if (size !== Number.POSITIVE_INFINITY && size > bytesMax()) {
      socket.destroy()
      return
    }
    if (length < 4 + size) return
    let buffer = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)
    while (buffer.length >= 4) {
      size = buffer.readUInt32BE(0)
      if (size < 1 || size > bytesMax()) {
        socket.destroy()
        return
      }
      if (buffer.length < 4 + size) break
      onFrame(buffer[4] ?? 0, buffer.subarray(5, 4 + size))
      if (socket.destroyed) return
      buffer = buffer.subarray(4 + size)
    }
    chunks = buffer.length === 0 ? [] : [buffer]
    length = buffer.length
  })
}

type Hello = { readonly cluster: string; readonly from: number; readonly epoch: number }

function parseHello(body: Buffer): Hello | undefined {
  try {
    const hello: unknown = JSON.parse(body.toString('utf8'))
    if (typeof hello !== 'object' || hello === null) return undefined
    const fields = new Map<string, unknown>(Object.entries(hello))
    const [cluster, from] = [fields.get('cluster'), fields.get('from')]
    // Versions that knew no other do not say it.
    const epoch = fields.get('epoch') ?? EPOCH_FIRST
    return typeof cluster === 'string' && isPositive(from) && isPositive(epoch)
      ? { cluster, from, epoch }
      : undefined
  } catch {
    return undefined
  }
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0
}
