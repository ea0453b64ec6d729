/**
 * The quickstart's cluster: starts a daemon on each host and speaks to it through `cli/tsswarm`, as
 * a user would. What exists is kept in one file, so that every command finds it again. Two sides:
 * `containers` (root on Linux) and `processes` on loopback.
 */
import { execFile, spawn } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { addressOf, makeHosts, netnsOf, removeHosts } from './hosts.ts'
import { buildImage, busyboxLayer, formatOciArchive, imageFile, imageFolder } from './image.ts'
import {
  isAlive,
  kill,
  killAll,
  removeCgroups,
  removeFolder,
  removeTaskNetns,
  unmountBelow,
} from './processes.ts'

const ROOT = join(import.meta.dirname, '..', '..')
export const TSSWARM: string = join(ROOT, 'cli', 'tsswarm')
export const IMAGE = 'hello:1'
/** On each host, for the replica that runs there. */
export const PORT = 8080
const START_MS = 30_000

export type Host = {
  readonly name: string
  readonly address: string
  /** Empty where hosts are processes. */
  readonly netns: string
  pid: number
  readonly socket: string
  readonly stateDirectory: string
  readonly metrics: string
  readonly flags: readonly string[]
}

export type State = {
  readonly kind: 'containers' | 'processes'
  readonly managers: number
  readonly hosts: Host[]
}

export const isContainers: boolean = process.platform === 'linux' && process.getuid?.() === 0

/** Everything the quickstart keeps, sockets and state directories included. */
export const FOLDER: string =
  process.env['TSSWARM_QUICKSTART_DIR'] ??
  (isContainers
    ? '/var/lib/tsswarm-quickstart'
    : join(homedir(), '.local/state/tsswarm-quickstart'))
const STATE_FILE = join(FOLDER, 'hosts.json')

/** The hosts that were made, or undefined. */
export function findState(): State | undefined {
  if (!existsSync(STATE_FILE)) return undefined
  return JSON.parse(readFileSync(STATE_FILE, 'utf8'))
}

export function saveState(state: State): void {
  writeFileSync(STATE_FILE, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 })
}

/** Hosts without daemons yet. */
export function newState(count: number, managers: number): State {
  mkdirSync(FOLDER, { recursive: true, mode: 0o700 })
  const hosts = Array.from({ length: count }, (_, at) => newHost(at + 1))
  const state: State = { kind: isContainers ? 'containers' : 'processes', managers, hosts }
  if (isContainers) {
    makeHosts(hosts)
    buildHello(join(FOLDER, 'images'))
  }
  saveState(state)
  return state
}

function newHost(number: number): Host {
  const name = `h${number}`
  const stateDirectory = join(FOLDER, name)
  const port = (base: number): number => (isContainers ? base : base + 10_000 + number * 10)
  const address = isContainers ? addressOf(number) : '127.0.0.1'
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 })
  return {
    name,
    address,
    netns: isContainers ? netnsOf(name) : '',
    pid: 0,
    socket: join(FOLDER, `${name}.sock`),
    stateDirectory: realpathSync(stateDirectory),
    metrics: `${address}:${port(9090)}`,
    flags: [
      ...['--listen', `${isContainers ? '0.0.0.0' : address}:${port(2377)}`],
      ...['--raft-listen', `${isContainers ? '0.0.0.0' : address}:${port(7946)}`],
      ...['--advertise-addr', `${address}:${port(2377)}`],
      ...['--metrics', `${address}:${port(9090)}`],
      ...['--runtime', isContainers ? 'containerd' : 'process'],
      ...(isContainers ? ['--images', join(FOLDER, 'images')] : []),
    ],
  }
}

/** The image of the example: busybox's web server, saying which replica answers. */
function buildHello(folder: string): void {
  mkdirSync(folder, { recursive: true })
  const script = [
    '#!/bin/sh',
    'echo "hello from task $(hostname), replica ${SLOT:-?}" > /www/index.html',
    'exec httpd -f -p 80 -h /www',
    '',
  ].join('\n')
  const image = buildImage({
    name: IMAGE,
    layers: [[...busyboxLayer(), imageFolder('www', 0o777), imageFile('bin/serve', script, 0o755)]],
    config: { Cmd: ['/bin/serve'], Env: ['PATH=/bin'] },
  })
  writeFileSync(join(folder, 'hello.tar'), formatOciArchive([image]))
}

export function isRunning(host: Host): boolean {
  return isAlive(host.pid)
}

/** The daemon of the host runs and answers. */
export async function startDaemon(state: State, host: Host): Promise<void> {
  if (isRunning(host)) return
  const output = openSync(join(FOLDER, `${host.name}.log`), 'a', 0o600)
  const daemon = [
    TSSWARM,
    'daemon',
    ...['--state-dir', host.stateDirectory],
    ...['--api', `unix://${host.socket}`],
    ...host.flags,
  ]
  const [command = '', ...args] =
    host.netns === '' ? daemon : ['nsenter', `--net=/run/netns/${host.netns}`, ...daemon]
  const child = spawn(command, args, { detached: true, stdio: ['ignore', output, output] })
  closeSync(output)
  child.unref()
  host.pid = child.pid ?? 0
  saveState(state)
  for (let waited = 0; waited < START_MS; waited += 50) {
    const answer = await tsswarm(host, ['info', '--format', '{{.Swarm.LocalNodeState}}'])
    if (answer.exitCode === 0) return
    if (!isRunning(host)) break
    await sleep(50)
  }
  throw new Error(
    `the daemon of ${host.name} did not start, see ${join(FOLDER, `${host.name}.log`)}`,
  )
}

/** SIGKILL to the daemon alone: keeper, containerd and containers go on. */
export async function stopDaemon(state: State, host: Host): Promise<void> {
  kill(host.pid)
  while (isRunning(host)) await sleep(20)
  host.pid = 0
  saveState(state)
}

/** A power cut: everything of the host ends at once, and what was in memory is gone. */
export function cutPower(state: State, host: Host): void {
  const { hash, folders } = traces(host)
  killAll(folders)
  unmountBelow(folders)
  removeTaskNetns(hash)
  removeCgroups(hash)
  for (const folder of folders.slice(1)) removeFolder(folder)
  host.pid = 0
  saveState(state)
}

/** No trace is left but installed packages. */
export function removeAll(state: State | undefined): void {
  for (const host of state?.hosts ?? []) if (state !== undefined) cutPower(state, host)
  if (isContainers) removeHosts()
  removeFolder(FOLDER)
}

/** State directory first, then what is outside of it. */
function traces(host: Host): { readonly hash: string; readonly folders: readonly string[] } {
  const hash = hostHash(host.stateDirectory)
  const own = process.env['XDG_RUNTIME_DIR']
  const run = isContainers
    ? `/run/tsswarm/${hash}`
    : own === undefined || own === ''
      ? join(host.stateDirectory, 'run')
      : join(own, 'tsswarm', hash)
  return { hash, folders: [host.stateDirectory, run] }
}

/** The mark of a host on everything that is global on one kernel (docs/keeper.md). */
function hostHash(stateDirectory: string): string {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(stateDirectory)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash.toString(36).padStart(7, '0')
}

export type Answer = { readonly exitCode: number; readonly stdout: string; readonly stderr: string }

/** `tsswarm` on a host, as its user would call it. */
export async function tsswarm(host: Host, args: readonly string[]): Promise<Answer> {
  try {
    const { stdout, stderr } = await promisify(execFile)(TSSWARM, args, {
      env: { ...process.env, TSSWARM_HOST: `unix://${host.socket}` },
      maxBuffer: 16 * 1024 * 1024,
    })
    return { exitCode: 0, stdout, stderr }
  } catch (error) {
    const { code, stdout, stderr } = {
      code: 1,
      stdout: '',
      stderr: String(error),
      ...Object(error),
    }
    return { exitCode: typeof code === 'number' ? code : 1, stdout, stderr }
  }
}

/** The same, where failing is not expected. */
export async function mustTsswarm(host: Host, ...args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await tsswarm(host, args)
  if (exitCode !== 0) throw new Error(`tsswarm ${args.join(' ')} on ${host.name}: ${stderr.trim()}`)
  return stdout
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Polls until `look` gives something, or says what it waited for. */
export async function waitFor<T>(
  what: string,
  ms: number,
  look: () => Promise<T | undefined>,
): Promise<T> {
  const until = performance.now() + ms
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (performance.now() > until) throw new Error(`waited ${ms / 1000} s in vain for ${what}`)
    await sleep(100)
  }
}
