/**
 * Where the API is reached: a socket that its group may use, or TCP with mutual TLS (host.md 33). A
 * client's certificate comes from a CA of its own; one that names a node's role is refused even so,
 * or whoever owns a worker would own the cluster. A socket that a dead daemon left is taken away,
 * one that is answered is not.
 */
import { chmodSync, chownSync, mkdirSync, readFileSync } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { TLSSocket } from 'node:tls'
import { SwarmError } from '../../../lib/errors.ts'

export type ApiListener =
  | { readonly kind: 'unix'; readonly path: string }
  | {
      readonly kind: 'tcp'
      readonly host: string
      readonly port: number
      /** PEM. `ca` signs the clients' certificates. */
      readonly tls: { readonly ca: string; readonly cert: string; readonly key: string }
    }

const SOCKET_GROUP = 'tsswarm'
const SOCKET_MODE = 0o660
const SOCKET_UMASK = 0o177
/** Open for the group to get through; the socket's own mode is what keeps others out. */
const FOLDER_MODE = 0o755
/** Longer than clients keep idle connections, so that they end them, not we under their request. */
const KEEP_ALIVE_MS = 120_000
const NODE_UNITS = ['swarm-manager', 'swarm-worker', 'swarm-ca']

/** A server that listens there; SwarmError `failed-precondition` where somebody else does. */
export async function listen(listener: ApiListener, onRequest: RequestListener): Promise<Server> {
  switch (listener.kind) {
    case 'unix': {
      const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, onRequest)
      await listenUnix(server, listener.path)
      return server
    }
    case 'tcp': {
      const server = createTlsServer(
        {
          ...listener.tls,
          requestCert: true,
          rejectUnauthorized: true,
          minVersion: 'TLSv1.2',
          keepAliveTimeout: KEEP_ALIVE_MS,
        },
        onRequest,
      )
      await begin(server, () => server.listen(listener.port, listener.host))
      return server
    }
    default:
      return listener satisfies never
  }
}

/** Why a connection's requests are not served; undefined where they are. */
export function findAdmissionError(socket: Socket): SwarmError | undefined {
  if (!(socket instanceof TLSSocket)) return undefined
  const unit = socket.getPeerCertificate().subject?.OU
  const units = typeof unit === 'string' ? [unit] : (unit ?? [])
  if (!units.some((name) => NODE_UNITS.includes(name))) return undefined
  return new SwarmError(
    'permission-denied',
    'the certificate of a node does not open the API: use a client certificate',
  )
}

async function listenUnix(server: Server, path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE })
  await removeDeadSocket(path)
  await begin(server, () => {
    // The socket is bound before `listen` returns, so nobody else's files get this mask.
    const umask = process.umask(SOCKET_UMASK)
    server.listen(path)
    process.umask(umask)
  })
  const group = findGroup(SOCKET_GROUP)
  if (group !== undefined) chownSync(path, process.getuid?.() ?? 0, group)
  chmodSync(path, SOCKET_MODE)
}

function begin(server: Server, start: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.once('listening', () => {
      server.off('error', reject)
      resolve()
    })
    start()
  })
}

async function removeDeadSocket(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) return
  if (!found.isSocket() || (await isAnswered(path)))
    throw new SwarmError(
      'failed-precondition',
      `${path} is in use: another daemon serves it, or it is no socket`,
      { facts: { path } },
    )
  await rm(path)
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
}

/** The number of a group of this host, where there is one and we may give files to it. */
function findGroup(name: string): number | undefined {
  let text: string
  try {
    text = readFileSync('/etc/group', 'utf8')
  } catch {
    // A host without the file has no such group.
    return undefined
  }
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name}:`))
  const group = Number(line?.split(':')[2] ?? Number.NaN)
  if (!Number.isSafeInteger(group)) return undefined
  const isOurs = process.getuid?.() === 0 || (process.getgroups?.() ?? []).includes(group)
  return isOurs ? group : undefined
}
