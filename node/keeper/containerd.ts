/**
 * The host's private containerd: adopted where one of ours lives, else started, and started again
 * when it dies; it outlives the keeper, and containers outlive it (host.md 8). A second instance on
 * the same root would hang silently on the database's lock, so a living one of ours that does not
 * answer yet is waited for. Where the host was told an external containerd, it is left alone.
 */
import { spawn } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { SwarmError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { enterCgroup } from './cgroup.ts'
import { Fields } from './fields.ts'
import type { HostPaths } from './host-paths.ts'
import { identityOf, isAlive, type ProcessIdentity } from './process-identity.ts'
import { tryConnect } from './try-connect.ts'

const START_TIMEOUT_MS = 20_000
const ATTEMPT_MS = 50
const RETRY_MS = 1_000
const STOP_TIMEOUT_MS = 10_000
const LOG_BYTES_MAX: number = 10 * 1024 * 1024

export class Containerd {
  readonly #paths: HostPaths
  readonly #log: Log
  /** Held open so that its end tells of containerd's; undefined until it answered. */
  #watch: Socket | undefined
  #starting: Promise<void> | undefined
  #hasEnded = false

  constructor(paths: HostPaths, log: Log) {
    this.#paths = paths
    this.#log = log
  }

  /** Whether a predecessor took care of a containerd. */
  isWanted(): boolean {
    return existsSync(this.#pidFile())
  }

  /** It answers on its socket. Throws SwarmError 'unavailable' with the reason when it does not. */
  ensure(): Promise<void> {
    if (this.#watch !== undefined) return Promise.resolve()
    this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined
    })
    return this.#starting
  }

  /** It is tried until it answers, for a caller that does not wait. */
  keep(): void {
    if (this.#hasEnded) return
    void this.ensure().catch((error: unknown) => {
      this.#log.error({ error }, 'containerd could not be started')
      setTimeout(() => this.keep(), RETRY_MS)
    })
  }

  /** It is watched no more, and goes on. */
  end(): void {
    this.#hasEnded = true
    this.#watch?.destroy()
  }

  /** It has ended. The caller has removed the containers. */
  async stop(): Promise<void> {
    this.end()
    const identity = this.#readIdentity()
    if (identity === undefined) return
    if (isAlive(identity)) process.kill(identity.pid, 'SIGTERM')
    const deadline = performance.now() + STOP_TIMEOUT_MS
    while (isAlive(identity) && performance.now() < deadline) await rest()
    if (isAlive(identity)) process.kill(identity.pid, 'SIGKILL')
    rmSync(this.#pidFile(), { force: true })
  }

  async #start(): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS
    let socket = await tryConnect(this.#paths.containerdSocket)
    if (socket === undefined) this.#spawnUnlessAlive()
    while (socket === undefined && performance.now() < deadline) {
      await rest()
      socket = await tryConnect(this.#paths.containerdSocket)
      // It died while it started: its log says why, and there is nothing to wait for.
      const identity = this.#readIdentity()
      if (socket === undefined && (identity === undefined || !isAlive(identity))) break
    }
    if (socket === undefined) throw this.#newFailure()
    this.#watchOver(socket)
  }

  /**
   * grpc servers close a connection on which nobody speaks, so its end asks only for a look: the
   * next connection succeeds, or containerd is dead and started again.
   */
  #watchOver(socket: Socket): void {
    this.#watch = socket
    socket.on('error', () => undefined)
    socket.resume()
    socket.on('close', () => {
      this.#watch = undefined
      this.keep()
    })
  }

  #spawnUnlessAlive(): void {
    const known = this.#readIdentity()
    if (known !== undefined && isAlive(known)) return
    const config = join(this.#paths.runDirectory, 'containerd.toml')
    writeFileSync(config, formatConfig(this.#paths), { mode: 0o600 })
    mkdirSync(this.#paths.containerdRoot, { recursive: true, mode: 0o711 })
    rmSync(this.#paths.containerdSocket, { force: true })
    const log = openLog(join(this.#paths.stateDirectory, 'containerd.log'))
    const child = spawn('containerd', ['--config', config], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    child.on('error', (error) => this.#log.error({ error }, 'containerd could not be started'))
    child.unref()
    if (child.pid === undefined) {
      throw new SwarmError('not-found', 'program "containerd" is not installed; install containerd')
    }
    writeFileSync(`${this.#pidFile()}.new`, JSON.stringify(identityOf(child.pid)))
    renameSync(`${this.#pidFile()}.new`, this.#pidFile())
    enterCgroup(`tsswarm/containerd-${this.#paths.hash}`, child.pid)
    this.#log.info({ pid: child.pid }, 'containerd started')
  }

  #readIdentity(): ProcessIdentity | undefined {
    if (!existsSync(this.#pidFile())) return undefined
    const fields = new Fields(JSON.parse(readFileSync(this.#pidFile(), 'utf8')))
    return {
      pid: fields.integer('pid'),
      startTime: fields.text('startTime'),
      bootId: fields.text('bootId'),
    }
  }

  #newFailure(): SwarmError {
    const path = join(this.#paths.stateDirectory, 'containerd.log')
    const lastLine = readFileSync(path, 'utf8').trimEnd().split('\n').at(-1) ?? ''
    return new SwarmError(
      'unavailable',
      `containerd does not answer on ${this.#paths.containerdSocket}; its log ${path} ends with: ${lastLine}`,
      { retriable: true },
    )
  }

  #pidFile(): string {
    return join(this.#paths.runDirectory, 'containerd.json')
  }
}

function openLog(path: string): number {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  if (size > LOG_BYTES_MAX) renameSync(path, `${path}.1`)
  return openSync(path, 'a', 0o600)
}

function rest(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ATTEMPT_MS)
  })
}

/** Without the parts for Kubernetes, and without /opt, which every instance would share. */
function formatConfig(paths: HostPaths): string {
  return `version = 2
root = ${JSON.stringify(paths.containerdRoot)}
state = ${JSON.stringify(join(paths.runDirectory, 'containerd'))}
oom_score = -500
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.cri.v1.images",
  "io.containerd.cri.v1.runtime",
  "io.containerd.nri.v1.nri",
  "io.containerd.internal.v1.opt",
]

[grpc]
  address = ${JSON.stringify(paths.containerdSocket)}
`
}
