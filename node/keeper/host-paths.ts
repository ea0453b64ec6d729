/**
 * Where a host keeps what lives outside its state directory, and the short hash that marks
 * everything of it that is global on one kernel: run directory, network namespaces, links, nftables
 * table, cgroups. So several hosts fit on one machine and a leftover is recognised (host.md 3).
 * Daemon and keeper come to the same result from the same state directory.
 */
import { mkdirSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { SwarmError } from '../../lib/errors.ts'

/** sun_path holds 107 bytes and a zero; containerd appends `.ttrpc` to its own socket's path. */
const SOCKET_PATH_BYTES_MAX = 107
const LONGEST_SOCKET_NAME = 'containerd.sock.ttrpc'
const HASH_LENGTH = 7

export type HostPaths = {
  /** Seven letters and digits made of the state directory's real path. */
  readonly hash: string
  /** The real path. */
  readonly stateDirectory: string
  /** Sockets, pipes, locks and what a new keeper takes over; gone after a boot where it is in /run. */
  readonly runDirectory: string
  readonly keeperSocket: string
  /** Held by the living keeper (flock). */
  readonly keeperLock: string
  readonly keeperLog: string
  readonly containerdSocket: string
  readonly containerdRoot: string
  readonly runtimeRoot: string
  /** A folder of log files a task. */
  readonly logDirectory: string
  /** A folder of FIFOs a task. */
  readonly pipeDirectory: string
  /** A folder a task of the process runtime. */
  readonly processDirectory: string
}

/**
 * The paths of the host with this state directory; it and the run directory exist afterwards,
 * closed to other users. `runDirectory` is for tests. Throws SwarmError 'invalid-argument' where
 * the run directory's path is too long for sockets.
 */
export function openHostPaths(stateDirectory: string, runDirectory?: string): HostPaths {
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 })
  const state = realpathSync(stateDirectory)
  const hash = newHostHash(state)
  const run = runDirectory ?? defaultRunDirectory(state, hash)
  if (Buffer.byteLength(join(run, LONGEST_SOCKET_NAME)) > SOCKET_PATH_BYTES_MAX) {
    throw new SwarmError(
      'invalid-argument',
      `the path "${run}" is too long for sockets; set XDG_RUNTIME_DIR or a shorter state directory`,
    )
  }
  // The parent is shared with the API's socket, which a group may reach.
  mkdirSync(dirname(run), { recursive: true, mode: 0o755 })
  mkdirSync(run, { recursive: true, mode: 0o700 })
  return {
    hash,
    stateDirectory: state,
    runDirectory: run,
    keeperSocket: join(run, 'keeper.sock'),
    keeperLock: join(run, 'keeper.lock'),
    keeperLog: join(state, 'keeper.log'),
    containerdSocket: join(run, 'containerd.sock'),
    containerdRoot: join(state, 'containerd'),
    runtimeRoot: join(run, 'runc'),
    logDirectory: join(state, 'logs'),
    pipeDirectory: join(run, 'pipes'),
    processDirectory: join(run, 'processes'),
  }
}

/**
 * The hash of a state directory, by its real path: FNV-1a, 32 bits. It guards against accidents only,
 * and costs no library: even the tables of a checksum would be felt in the keeper's memory.
 */
export function newHostHash(realPath: string): string {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(realPath)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash.toString(36).padStart(HASH_LENGTH, '0')
}

function defaultRunDirectory(state: string, hash: string): string {
  if (process.getuid?.() === 0) return join('/run/tsswarm', hash)
  const { XDG_RUNTIME_DIR: own } = process.env
  return own === undefined || own === '' ? join(state, 'run') : join(own, 'tsswarm', hash)
}
