/**
 * The control listener, 2377/tcp (DESIGN section 10): one TLS 1.3 port that asks for a
 * certificate. A connection with a valid one of a node reaches the gRPC server with all services;
 * one without reaches a second server that has the CA's bootstrap calls and nothing else. Such
 * strangers are few, quick and small: at most 64, 4 an address, 5 s and 64 KiB each.
 */
import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import type { Log } from '../lib/log.ts'
import type { CertificateClaims } from '../manager/ca/signer.ts'
import type { NodeRole } from '../proto/gen/types.ts'
import { newInjectedServer, type RpcServer } from '../proto/grpc.ts'
import { parseAddress } from './address.ts'
import type { TransportIdentity } from './io/raft-transport.ts'

const STRANGERS_MAX = 64
const STRANGERS_PER_ADDRESS_MAX = 4
const STRANGER_MS = 5_000
const STRANGER_BYTES_MAX = 64 * 1024
const HANDSHAKE_MS = 5_000
/** Connections whose handshake is not done; more are dropped, and who is a member comes again. */
const HANDSHAKES_MAX = 1_024
/** Streams of one member: agents have one or two, managers a few hundred calls. */
const STREAMS_MAX = 1_024

export type ListenerOptions = {
  readonly listen: string
  readonly identity: () => TransportIdentity
  readonly readClaims: (certificate: Uint8Array) => CertificateClaims
  /** The role that a node has now; undefined when it was removed. */
  readonly findRole: (claims: CertificateClaims) => NodeRole | undefined
  readonly log: Log
}

/** A member's connection, and the role it had when it came. */
type Member = { readonly claims: CertificateClaims; readonly role: NodeRole }

export class Listener {
  /** For services that a node's certificate is needed for. */
  readonly members: RpcServer
  /** For the bootstrap calls. */
  readonly strangers: RpcServer
  #options: ListenerOptions
  #injectMember: (socket: TLSSocket) => void
  #injectStranger: (socket: TLSSocket) => void
  #server: Server | undefined
  #sockets = new Set<TLSSocket>()
  #membersOf = new Map<TLSSocket, Member>()
  /** By the other end's address and port. */
  #handshakes = new Map<string, Socket>()
  #strangersOf = new Map<string, number>()
  #strangerCount = 0

  constructor(options: ListenerOptions) {
    this.#options = options
    const members = newInjectedServer({
      streamsMax: STREAMS_MAX,
      keepaliveTimeMs: 10_000,
      keepaliveTimeoutMs: 5_000,
    })
    const strangers = newInjectedServer({ messageBytesMax: STRANGER_BYTES_MAX, streamsMax: 4 })
    this.members = members.server
    this.strangers = strangers.server
    this.#injectMember = members.inject
    this.#injectStranger = strangers.inject
  }

  /** Resolves with the port that is listened on. */
  async listen(): Promise<number> {
    const server = createServer(
      {
        ...this.#context(),
        requestCert: true,
        // Who has no certificate is not refused, but led to the strangers' server.
        rejectUnauthorized: false,
        ALPNProtocols: ['h2'],
        handshakeTimeout: HANDSHAKE_MS,
        sessionTimeout: 1,
      },
      (socket) => this.#accept(socket),
    )
    this.#server = server
    server.on('connection', (socket: Socket) => this.#begin(socket))
    server.on('tlsClientError', (error) => {
      this.#options.log.debug({ error: error.message }, 'control connection refused')
    })
    const { host, port } = parseAddress(this.#options.listen)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port }, () => {
        server.off('error', reject)
        resolve()
      })
    })
    // No more files, for example: those that are connected go on.
    server.on('error', (error) => {
      this.#options.log.warn({ error: error.message }, 'control connection not accepted')
    })
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : port
  }

  /** A renewed certificate is used for new connections. */
  renewed(): void {
    this.#server?.setSecureContext(this.#context())
  }

  /** Nodes or their roles changed: connections of removed nodes and of lost roles end. */
  recheck(): void {
    for (const [socket, { claims, role }] of this.#membersOf) {
      const now = this.#options.findRole(claims)
      if (now === undefined || (role === 'manager' && now === 'worker')) socket.destroy()
    }
  }

  /** Every connection ends. */
  async close(): Promise<void> {
    this.members.destroy()
    this.strangers.destroy()
    for (const socket of [...this.#sockets, ...this.#handshakes.values()]) socket.destroy()
    const server = this.#server
    this.#server = undefined
    if (server !== undefined) await new Promise<void>((resolve) => server.close(() => resolve()))
  }

  #context(): { cert: string; key: string; ca: string; minVersion: 'TLSv1.3' } {
    const { certificatePem, keyPem, rootPem } = this.#options.identity()
    return { cert: certificatePem, key: keyPem, ca: rootPem, minVersion: 'TLSv1.3' }
  }

  /** A connection counts until its handshake is done or given up. */
  #begin(socket: Socket): void {
    if (this.#handshakes.size >= HANDSHAKES_MAX) {
      socket.destroy()
      return
    }
    const end = endOf(socket)
    this.#handshakes.set(end, socket)
    socket.once('close', () => {
      if (this.#handshakes.get(end) === socket) this.#handshakes.delete(end)
    })
  }

  #accept(socket: TLSSocket): void {
    this.#sockets.add(socket)
    this.#handshakes.delete(endOf(socket))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#sockets.delete(socket))
    const certificate = socket.getPeerX509Certificate()
    if (certificate === undefined) this.#acceptStranger(socket)
    else this.#acceptMember(socket, certificate)
  }

  #acceptMember(socket: TLSSocket, certificate: X509Certificate): void {
    const member = socket.authorized ? this.#findMember(certificate) : undefined
    if (member === undefined) {
      this.#options.log.warn(
        { addr: socket.remoteAddress, reason: String(socket.authorizationError ?? 'no such node') },
        'certificate refused',
      )
      socket.destroy()
      return
    }
    this.#membersOf.set(socket, member)
    // The connection ends with its certificate.
    const leftMs = certificate.validToDate.getTime() - Date.now()
    const timer = setTimeout(() => socket.destroy(), Math.min(leftMs, 2 ** 31 - 1))
    timer.unref()
    socket.on('close', () => {
      clearTimeout(timer)
      this.#membersOf.delete(socket)
    })
    this.#injectMember(socket)
  }

  /** Undefined when the certificate is no node's, or that of a removed one. */
  #findMember(certificate: X509Certificate): Member | undefined {
    try {
      const claims = this.#options.readClaims(certificate.raw)
      const role = this.#options.findRole(claims)
      return role === undefined ? undefined : { claims, role }
    } catch {
      return undefined
    }
  }

  #acceptStranger(socket: TLSSocket): void {
    const addr = socket.remoteAddress ?? ''
    const ofAddress = this.#strangersOf.get(addr) ?? 0
    if (this.#strangerCount >= STRANGERS_MAX || ofAddress >= STRANGERS_PER_ADDRESS_MAX) {
      socket.destroy()
      return
    }
    this.#strangerCount++
    this.#strangersOf.set(addr, ofAddress + 1)
    const timer = setTimeout(() => socket.destroy(), STRANGER_MS)
    timer.unref()
    const meter = setInterval(() => {
      if (socket.bytesRead > STRANGER_BYTES_MAX) socket.destroy()
    }, 50)
    meter.unref()
    socket.on('close', () => {
      clearTimeout(timer)
      clearInterval(meter)
      this.#strangerCount--
      const left = (this.#strangersOf.get(addr) ?? 1) - 1
      if (left === 0) this.#strangersOf.delete(addr)
      else this.#strangersOf.set(addr, left)
    })
    this.#injectStranger(socket)
  }
}

function endOf(socket: Socket): string {
  return `${socket.remoteAddress}/${socket.remotePort}`
}
