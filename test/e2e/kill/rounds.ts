/**
 * Rounds of faults against a real cluster of managers: hosts are network namespaces, each with a
 * daemon of its own on a small file system of its own. Clients work through every round; at its end
 * the cluster must be whole again, and the round's history is judged. Everything is drawn from a
 * seed, though processes of a real machine do not repeat what they did.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Host, waitFor } from '../../../deploy/quickstart/cluster.ts'
import { unmountBelow } from '../../../deploy/quickstart/processes.ts'
import { newSeededRandom, type SeededRandom } from '../../../lib/random.ts'
import { type Cluster, isGone, openCluster } from '../cluster.ts'
import { Clients, listNames } from './clients.ts'
import { DISK_MIB, FAULTS, type Fault } from './faults.ts'
import { judgeHistory } from './judgement.ts'
import { CLOCK_ENVIRONMENT } from './wall-clock.ts'

const MANAGERS = 3
const SETTLE_MS = 90_000
/** Acknowledged before the fault and after it, so that every round has something to lose. */
const WRITES_AROUND = 20
/** Of a daemon's log, told when the cluster is broken. */
const LOG_END_CHARACTERS = 1_500

export type Round = {
  readonly fault: string
  readonly what: string
  /** Acknowledged, creations included. */
  readonly writes: number
  readonly reads: number
  /** The longest time without an acknowledged write. */
  readonly gapMs: number
  readonly lost: readonly string[]
  /** Of the rules: not linearizable, or a node that did what it must not. */
  readonly violations: readonly string[]
  /** The cluster did not become whole again, and no round can follow. */
  readonly isEnd: boolean
}

export type Plan = {
  readonly rounds: number
  readonly seed: number
  /** Names of faults to draw from. */
  readonly faults?: readonly string[] | undefined
  readonly tell: (number: number, round: Round) => void
  /** Keeps clusters of several runs apart, as `openCluster`'s. */
  readonly number: number
}

/** The rounds as they went; the last one holds what is missing of all of them at the end. */
export async function runRounds(plan: Plan): Promise<readonly Round[]> {
  const random = newSeededRandom(plan.seed)
  const cluster = await openManagers(plan.number)
  try {
    const rounds: Round[] = []
    const created: string[] = []
    for (const [at, fault] of drawFaults(plan, random).entries()) {
      const round = await runRound({ cluster, fault, random, created, number: at + 1 })
      rounds.push(round)
      plan.tell(at + 1, round)
      // What is broken now would fail every later round too.
      if (round.isEnd) break
    }
    return rounds
  } finally {
    cluster.close()
    unmountBelow([cluster.state.place.folder])
  }
}

async function openManagers(number: number): Promise<Cluster> {
  return openCluster(number, {
    ...{ hosts: MANAGERS, managers: MANAGERS, runtime: 'process' },
    environment: CLOCK_ENVIRONMENT,
    prepare: async ({ stateDirectory }) => {
      const options = `size=${DISK_MIB}m,mode=0700`
      execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', stateDirectory])
    },
  })
}

/** Each fault as often as any other, in an order that is drawn anew each time all had their turn. */
function drawFaults({ rounds, faults }: Plan, random: SeededRandom): readonly Fault[] {
  const known = FAULTS.filter(({ name }) => faults === undefined || faults.includes(name))
  if (known.length === 0)
    throw new Error(`no such fault; there are: ${FAULTS.map(({ name }) => name).join(', ')}`)
  const drawn: Fault[] = []
  while (drawn.length < rounds) {
    const deck = [...known]
    while (deck.length > 0) drawn.push(...deck.splice(random.integer(deck.length), 1))
  }
  return drawn.slice(0, rounds)
}

type Setting = {
  readonly cluster: Cluster
  readonly fault: Fault
  readonly random: SeededRandom
  /** Acknowledged in any round so far. */
  readonly created: string[]
  readonly number: number
}

async function runRound(setting: Setting): Promise<Round> {
  const { cluster, fault, random, created, number } = setting
  const clients = new Clients(cluster, `r${number}`)
  const violations: string[] = []
  const note = (error: unknown): void => {
    violations.push(error instanceof Error ? error.message : String(error))
  }
  await clients.start()
  await untilWritten(clients)
  const world = { cluster, clients, random, leader: await cluster.leader(), round: number }
  const what = await fault.inject(world).catch((error: unknown) => {
    note(error)
    return 'broke off'
  })
  const isWhole = await becomeWhole(cluster, clients, note)
  await clients.stop()
  if (isWhole) await readEverywhere(cluster, clients).catch(note)
  created.push(...clients.created)
  const judgement = judgeHistory(clients.history)
  const lost = isWhole ? [...judgement.lost, ...(await listMissing(cluster, created))] : []
  const gapMs = longestGap(clients.acknowledgedMs)
  return {
    ...{ fault: fault.name, what, gapMs, lost, reads: judgement.reads, writes: clients.writes },
    violations: [...violations, ...judgement.violations],
    isEnd: !isWhole,
  }
}

/** Whether all managers are there and take writes; what is against it is noted. */
async function becomeWhole(
  cluster: Cluster,
  clients: Clients,
  note: (error: unknown) => void,
): Promise<boolean> {
  try {
    for (const ended of await settle(cluster)) note(ended)
    await untilWritten(clients)
    return true
  } catch (error) {
    note(error)
    for (const host of cluster.hosts) note(`${host.name} said last: ${readLogEnd(cluster, host)}`)
    return false
  }
}

async function readEverywhere(cluster: Cluster, clients: Clients): Promise<void> {
  for (const host of cluster.hosts)
    await waitFor(`${host.name} to be read`, SETTLE_MS, async () =>
      (await clients.readAll(host)) ? true : undefined,
    )
}

function readLogEnd({ state }: Cluster, { name }: Host): string {
  return readFileSync(join(state.place.folder, `${name}.log`), 'utf8').slice(-LOG_END_CHARACTERS)
}

function untilWritten(clients: Clients): Promise<true> {
  const enough = clients.writes + WRITES_AROUND
  return waitFor('acknowledged writes', SETTLE_MS, async () =>
    clients.writes >= enough ? true : undefined,
  )
}

/** Every manager is there and known to be by all; who ended without being told to. */
async function settle(cluster: Cluster): Promise<readonly string[]> {
  const ended: string[] = []
  for (const host of cluster.hosts) {
    if (!isGone(host.pid)) continue
    ended.push(`${host.name} ended by itself`)
    host.pid = 0
    await cluster.start(host)
  }
  for (const host of cluster.hosts)
    await cluster.untilNodes(host, `all managers, as ${host.name} sees them`, (nodes) => {
      const whole = nodes.filter((node) => node.isReachable && node.state === 'ready')
      return whole.length === MANAGERS && nodes.some((node) => node.isLeader)
    })
  return ended
}

function longestGap(atMs: readonly number[]): number {
  const sorted = [...atMs].sort((a, b) => a - b)
  return Math.round(Math.max(0, ...sorted.map((at, i) => at - (sorted[i - 1] ?? at))))
}

async function listMissing(
  cluster: Cluster,
  created: readonly string[],
): Promise<readonly string[]> {
  const missing: string[] = []
  for (const host of cluster.hosts) {
    const found = await listNames(host)
    missing.push(
      ...created.filter((name) => !found.has(name)).map((name) => `${name} on ${host.name}`),
    )
  }
  return missing
}
