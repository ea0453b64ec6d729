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
import { callApi } from './api.ts'
import { addressOf, makeHosts, type Net, netnsOf, removeHosts } from './hosts.ts'
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
const STATE_FILE = 'hosts.json'
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
  readonly place: Place
  readonly managers: number
  readonly environment?: Readonly<Record<string, string>>
  readonly hosts: Host[]
}

export const isContainers: boolean = process.platform === 'linux' && process.getuid?.() === 0

/** Where a cluster of this machine keeps everything, and what its names begin with. */
export type Place = { readonly folder: string; readonly net: Net }

/** Of `./quickstart`; TSSWARM_QUICKSTART_DIR makes another one beside it. */
export const QUICKSTART: Place = findPlace(process.env['TSSWARM_QUICKSTART_DIR'])

function findPlace(folder: string | undefined): Place {
  if (folder === undefined)
    return {
      folder: isContainers
        ? '/var/lib/tsswarm-quickstart'
        : join(homedir(), '.local/state/tsswarm-quickstart'),
      net: { prefix: 'tsq', number: 77 },
    }
  const hash = hashOf(folder)
  // Tests have the numbers below 100; two of a kind would refuse each other's addresses.
  return {
    folder,
    net: { prefix: `tsq${hash.slice(-4)}`, number: 101 + 2 * (hashNumber(folder) % 70) },
  }
}

/** The hosts that were made, or undefined. */
export function findState(place: Place): State | undefined {
  const path = join(place.folder, STATE_FILE)
  if (!existsSync(path)) return undefined
  return JSON.parse(readFileSync(path, 'utf8'))
}

function saveState(state: State): void {
  const path = join(state.place.folder, STATE_FILE)
  writeFileSync(path, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 })
}

export type Size = {
  readonly hosts: number
  readonly managers: number
  /** More of the daemons' environment. */
  readonly environment?: Readonly<Record<string, string>>
}

/** Hosts without daemons yet. */
export function newState(place: Place, size: Size): State {
  mkdirSync(place.folder, { recursive: true, mode: 0o700 })
  const hosts = Array.from({ length: size.hosts }, (_, at) => newHost(place, at + 1))
  const state: State = {
    kind: isContainers ? 'containers' : 'processes',
    place,
    managers: size.managers,
    environment: size.environment ?? {},
    hosts,
  }
  saveState(state)
  if (isContainers) {
    makeHosts(place.net, hosts)
    buildHello(join(place.folder, 'images'))
  }
  return state
}

function newHost({ folder, net }: Place, number: number): Host {
  const name = `h${number}`
  const stateDirectory = join(folder, name)
  const port = (base: number): number => (isContainers ? base : base + 10_000 + number * 10)
  const address = isContainers ? addressOf(net, number) : '127.0.0.1'
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 })
  return {
    name,
    address,
    netns: isContainers ? netnsOf(net, name) : '',
    pid: 0,
    socket: join(folder, `${name}.sock`),
    stateDirectory: realpathSync(stateDirectory),
    metrics: `${address}:${port(9090)}`,
    flags: [
      ...['--listen', `${isContainers ? '0.0.0.0' : address}:${port(2377)}`],
      ...['--raft-listen', `${isContainers ? '0.0.0.0' : address}:${port(7946)}`],
      ...['--advertise-addr', `${address}:${port(2377)}`],
      ...['--metrics', `${address}:${port(9090)}`],
      ...['--runtime', isContainers ? 'containerd' : 'process'],
      ...(isContainers ? ['--images', join(folder, 'images')] : []),
    ],
  }
}

/** The image of the example: busybox's web server, saying which replica answers. */
function buildHello(folder: string): void {
  mkdirSync(folder, { recursive: true })
  const script = [
    '#!/bin/sh',
    'echo "hello from task $(hostname)" > /www/index.html',
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
  const logFile = join(state.place.folder, `${host.name}.log`)
  const output = openSync(logFile, 'a', 0o600)
  const daemon = [
    TSSWARM,
    'daemon',
    ...['--state-dir', host.stateDirectory],
    ...['--api', `unix://${host.socket}`],
    ...host.flags,
  ]
  const [command = '', ...args] = host.netns === '' ? daemon : [...entering(host), ...daemon]
  const child = spawn(command, args, {
    detached: true,
    stdio: ['ignore', output, output],
    env: { ...process.env, ...state.environment },
  })
  closeSync(output)
  child.unref()
  host.pid = child.pid ?? 0
  saveState(state)
  await waitFor(`the daemon of ${host.name}, see ${logFile}`, START_MS, async () => {
    if (!isRunning(host)) throw new Error(`the daemon of ${host.name} ended, see ${logFile}`)
    const answer = await callApi({ socket: host.socket, path: '/_ping' }).catch(() => undefined)
    return answer?.status === 200 ? true : undefined
  })
}

/** Into the host's network namespace, and under its name. */
function entering({ name, netns }: Host): readonly string[] {
  const script = 'echo "$0" > /proc/sys/kernel/hostname && exec "$@"'
  return ['nsenter', `--net=/run/netns/${netns}`, 'unshare', '--uts', 'sh', '-c', script, name]
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
export function removeAll(place: Place): void {
  const state = findState(place)
  for (const host of state?.hosts ?? []) if (state !== undefined) cutPower(state, host)
  if (isContainers) removeHosts(place.net)
  removeFolder(place.folder)
}

/** State directory first, then what is outside of it. */
function traces(host: Host): { readonly hash: string; readonly folders: readonly string[] } {
  const hash = hashOf(host.stateDirectory)
  const own = process.env['XDG_RUNTIME_DIR']
  const run = isContainers
    ? `/run/tsswarm/${hash}`
    : own === undefined || own === ''
      ? join(host.stateDirectory, 'run')
      : join(own, 'tsswarm', hash)
  return { hash, folders: [host.stateDirectory, run] }
}

/** The mark of a host on everything that is global on one kernel (docs/keeper.md). */
function hashOf(path: string): string {
  return hashNumber(path).toString(36).padStart(7, '0')
}

function hashNumber(path: string): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(path)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash
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
