/**
 * What is done to managers while clients are at work: one fault a round, each with its end, so that
 * afterwards the cluster is whole. Durations and victims are drawn. A fault throws where a node did
 * what it must not: started with a damaged log, or ended by itself. Power cuts of hosts with
 * containers are `cluster.test.ts`'s, faults of the disk below the file system the simulator's.
 */
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { callApi } from '../../../deploy/quickstart/api.ts'
import { type Host, startDaemon, waitFor } from '../../../deploy/quickstart/cluster.ts'
import { kill } from '../../../deploy/quickstart/processes.ts'
import type { SeededRandom } from '../../../lib/random.ts'
import { type Cluster, isGone } from '../cluster.ts'
import type { Clients } from './clients.ts'
import { setWallClock } from './wall-clock.ts'

const WAIT_MS = 60_000
const TABLE = 'e2e-kill'
/** Of the file system of each host; a segment of the log is 16 MiB, and one is kept spare. */
export const DISK_MIB = 320
const FILLER = 'filler'
/** Together more than two segments, so that a host with a full disk must stop taking them. */
const BULK_COUNT = 60
const BULK_BYTES = 700_000
const BULK_MS = 12_000
const SECTOR_BYTES = 512

export type World = {
  readonly cluster: Cluster
  readonly clients: Clients
  readonly random: SeededRandom
  readonly leader: Host
  readonly round: number
}

export type Fault = {
  readonly name: string
  /** What was done, to whom, in a few words, when it is over. */
  readonly inject: (world: World) => Promise<string>
}

export const FAULTS: readonly Fault[] = [
  { name: 'kill', inject: killOne },
  { name: 'kill all', inject: killAll },
  { name: 'pause', inject: pauseLeader },
  { name: 'cut', inject: (world) => cut(world, ['input', 'output']) },
  { name: 'cut in', inject: (world) => cut(world, ['input']) },
  { name: 'cut out', inject: (world) => cut(world, ['output']) },
  { name: 'full disk', inject: fillDisk },
  { name: 'clock', inject: jumpClock },
  { name: 'bit flip', inject: (world) => damage(world, flipBit) },
  { name: 'truncation', inject: (world) => damage(world, truncate) },
]

/** The leader as often as not. */
function drawHost({ cluster, random, leader }: World): Host {
  const other = cluster.hosts[random.integer(cluster.hosts.length)]
  return random.integer(2) === 0 || other === undefined ? leader : other
}

function drawMs({ random }: World, leastMs: number, mostMs: number): number {
  return leastMs + random.integer(mostMs - leastMs)
}

function describe(world: World, host: Host): string {
  return host === world.leader ? `the leader ${host.name}` : host.name
}

async function killOne(world: World): Promise<string> {
  const host = drawHost(world)
  const awayMs = drawMs(world, 100, 4_000)
  await world.cluster.end(host, 'SIGKILL')
  await delay(awayMs)
  await world.cluster.start(host)
  return `${describe(world, host)} was dead for ${awayMs} ms`
}

async function killAll(world: World): Promise<string> {
  const { cluster, random } = world
  for (const host of cluster.hosts) {
    kill(host.pid)
    await delay(random.integer(50))
  }
  await Promise.all(cluster.hosts.map((host) => cluster.end(host, 'SIGKILL')))
  await Promise.all(cluster.hosts.map((host) => cluster.start(host)))
  return 'all were dead at once'
}

/** Once others write, reads are asked of the stopped leader; it answers them when it goes on. */
async function pauseLeader(world: World): Promise<string> {
  const { clients, leader } = world
  const longerMs = drawMs(world, 0, 3_000)
  const stoppedMs = performance.now()
  // More than can have been on their way when it was stopped.
  const enough = clients.writes + 20
  kill(leader.pid, 'SIGSTOP')
  try {
    await waitFor('others to write', WAIT_MS, async () =>
      clients.writes > enough ? true : undefined,
    )
    const reading = clients.readAll(leader)
    await delay(longerMs)
    kill(leader.pid, 'SIGCONT')
    const isAnswered = await reading
    const pausedMs = Math.round(performance.now() - stoppedMs)
    return `the leader ${leader.name} was stopped for ${pausedMs} ms and ${isAnswered ? 'then answered' : 'refused'}`
  } finally {
    kill(leader.pid, 'SIGCONT')
  }
}

type Direction = 'input' | 'output'

/** By the host's own firewall; its clients are on the host and reach it. */
async function cut(world: World, directions: readonly Direction[]): Promise<string> {
  const host = drawHost(world)
  const cutMs = drawMs(world, 1_000, 6_000)
  const chains = directions.map((hook) => {
    const end = hook === 'input' ? 'iifname' : 'oifname'
    return `chain ${hook} { type filter hook ${hook} priority -300; ${end} eth0 drop; };`
  })
  nft(host, `table inet ${TABLE} { ${chains.join(' ')} }`)
  await delay(cutMs)
  nft(host, `delete table inet ${TABLE}`)
  return `${describe(world, host)} had no ${directions.join(' and ')} for ${cutMs} ms`
}

function nft(host: Host, text: string): void {
  execFileSync('nsenter', [`--net=/run/netns/${host.netns}`, 'nft', '-f', '-'], { input: text })
}

async function fillDisk(world: World): Promise<string> {
  const host = drawHost(world)
  const filler = join(host.stateDirectory, FILLER)
  fill(filler)
  const names = Array.from({ length: BULK_COUNT }, (_, at) => `bulk-${world.round}-${at}`)
  const taken = await writeBulk(world, names)
  const isDead = isGone(host.pid)
  rmSync(filler)
  if (isDead) host.pid = 0
  if (isDead) await world.cluster.start(host)
  await Promise.all(taken.map((name) => removeConfig(host, name)))
  return `${describe(world, host)} had no space for ${taken.length} large writes${isDead ? ', and ended' : ''}`
}

/** No byte is free any more. */
function fill(path: string): void {
  const file = openSync(path, 'w')
  const block = Buffer.alloc(65_536)
  try {
    for (;;) writeSync(file, block)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
  } finally {
    closeSync(file)
  }
}

/** Names of those that were taken, by one host after another at a time; every one may fail. */
async function writeBulk({ cluster }: World, names: readonly string[]): Promise<readonly string[]> {
  const taken: string[] = []
  const left = [...names]
  const endMs = performance.now() + BULK_MS
  const body = Buffer.alloc(BULK_BYTES, 'bulk').toString('base64')
  const write = async (host: Host): Promise<void> => {
    while (performance.now() < endMs) {
      const name = left.pop()
      if (name === undefined) return
      await cluster.call(host, 'POST', '/configs/create', { Name: name, Data: body }).then(
        () => taken.push(name),
        () => undefined,
      )
    }
  }
  await Promise.all(cluster.hosts.map(write))
  return taken
}

/** It is gone; an attempt whose answer was lost may have removed it. */
async function removeConfig({ socket }: Host, name: string): Promise<void> {
  await waitFor(`config ${name} to be removed`, WAIT_MS, async () => {
    const path = `/configs/${name}`
    const answer = await callApi({ socket, method: 'DELETE', path }).catch(() => undefined)
    return answer !== undefined && (answer.status < 300 || answer.status === 404) ? true : undefined
  })
}

/** By seconds to a day, forward or back, and back again. */
async function jumpClock(world: World): Promise<string> {
  const host = drawHost(world)
  const forMs = drawMs(world, 1_000, 4_000)
  const size = [5_000, 60_000, 3_600_000, 86_400_000][world.random.integer(4)] ?? 0
  const offsetMs = world.random.integer(2) === 0 ? size : -size
  setWallClock(host, offsetMs)
  await delay(forMs)
  setWallClock(host, 0)
  return `the clock of ${describe(world, host)} was off by ${offsetMs / 1_000} s for ${forMs} ms`
}

type Damage = (path: string, endBytes: number, random: SeededRandom) => string

/** The manager must refuse to start and name the file; then its log is got anew from the others. */
async function damage(world: World, spoil: Damage): Promise<string> {
  const { cluster, random } = world
  const host = drawHost(world)
  await cluster.end(host, 'SIGKILL')
  const path = findLastSegment(host)
  const done = spoil(path, findEnd(path), random)
  const said = await startRefused(world, host)
  if (!said.includes(path) || !/byte \d+/.test(said))
    throw new Error(`${host.name} does not say where its log is damaged (${done}): ${said}`)
  await startWith(world, host, '--rebuild')
  removeSetAside(host)
  return `${describe(world, host)}: ${done}, refused and rebuilt`
}

function flipBit(path: string, endBytes: number, random: SeededRandom): string {
  const at = random.integer(endBytes)
  const bit = random.integer(8)
  const bytes = readFileSync(path)
  bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << bit), at)
  writeFileSync(path, bytes)
  return `bit ${bit} of byte ${at} was flipped`
}

function truncate(path: string, endBytes: number, random: SeededRandom): string {
  const length = random.integer(endBytes)
  truncateSync(path, length)
  return `the log was cut off at ${length} of ${endBytes} bytes`
}

function findLastSegment({ stateDirectory }: Host): string {
  const folder = join(stateDirectory, 'raft')
  const segments = readdirSync(folder).filter((name) => name.endsWith('.segment'))
  return join(folder, segments.sort().at(-1) ?? '')
}

/** Where the last record ends: zeros follow it, and no sector of a record is all zero. */
function findEnd(path: string): number {
  const bytes = readFileSync(path)
  let at = bytes.length
  const zeros = Buffer.alloc(SECTOR_BYTES)
  while (at > 0 && bytes.subarray(at - SECTOR_BYTES, at).equals(zeros)) at -= SECTOR_BYTES
  return at
}

/** What the daemon said before it ended by itself. */
async function startRefused({ cluster }: World, host: Host): Promise<string> {
  const logFile = join(cluster.state.place.folder, `${host.name}.log`)
  const before = readFileSync(logFile, 'utf8').length
  await cluster.start(host).catch(() => undefined)
  await waitFor(`${host.name} to refuse its damaged log`, WAIT_MS, async () =>
    isGone(host.pid) ? true : undefined,
  )
  host.pid = 0
  return readFileSync(logFile, 'utf8').slice(before)
}

/** The old log, kept by the rebuild for whoever wants to look at it: the disk is small. */
function removeSetAside({ stateDirectory }: Host): void {
  for (const name of readdirSync(stateDirectory))
    if (name.startsWith('raft.set-aside-')) rmSync(join(stateDirectory, name), { recursive: true })
}

async function startWith({ cluster }: World, host: Host, flag: string): Promise<void> {
  const flagged = { ...host, pid: 0, flags: [...host.flags, flag] }
  await startDaemon(cluster.state, flagged)
  host.pid = flagged.pid
}
