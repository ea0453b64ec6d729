/**
 * How long writes stop when the leader is lost: three managers, a writer on another one, and from
 * the loss to the first write that was sent after it and acknowledged there. The leader's daemon is
 * killed, and, as root on Linux where hosts are namespaces, its host is cut off silently and its
 * main thread stalled for 20 s. Every write that was ever acknowledged must be there at the end.
 * `-- --kills N --cuts N --stalls N --nice=-10`.
 */
import { parseArgs } from 'node:util'
import { callApi } from '../deploy/quickstart/api.ts'
import {
  type Host,
  isContainers,
  newState,
  removeAll,
  type State,
  sleep,
  startDaemon,
  stopDaemon,
  waitFor,
} from '../deploy/quickstart/cluster.ts'
import { setLink } from '../deploy/quickstart/hosts.ts'
import { kill } from '../deploy/quickstart/processes.ts'
import {
  findLeader,
  form,
  listNodes,
  newBenchFolder,
  startLoopback,
  stopLoopback,
} from './cluster/loopback.ts'
import { raisePriority } from './cluster/priority.ts'
import { printFigures } from './report.ts'

const MANAGERS = 3
const WRITE_EVERY_MS = 20
const STALL_MS = 20_000
const WAIT_MS = 30_000
/** Of quiet between two losses, so that each meets a settled cluster. */
const SETTLE_MS = 2_000

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      kills: { type: 'string', default: '10' },
      cuts: { type: 'string', default: '5' },
      stalls: { type: 'string', default: '1' },
      nice: { type: 'string', default: '0' },
    },
  })
  const nice = Number(values.nice)
  const folder = newBenchFolder('failover')
  const place = { folder, net: { prefix: 'tsbf', number: 93 } }
  const state = isContainers
    ? newState(place, {
        hosts: MANAGERS,
        managers: MANAGERS,
        environment: { TSSWARM_DEBUG_STALL_MS: String(STALL_MS) },
      })
    : await startLoopback(folder, MANAGERS)
  try {
    if (isContainers) {
      await Promise.all(state.hosts.map((host) => startDaemon(state, host)))
      await form(state)
    }
    raisePriority(nice, [process.pid])
    const acknowledged: string[] = []
    const death = { name: 'kill', lose: stopDaemon, restore: startDaemon }
    const cut = {
      name: 'cut',
      lose: async (_: State, host: Host) => setLink(place.net, host.name, false),
      restore: async (_: State, host: Host) => setLink(place.net, host.name, true),
    }
    const stall = {
      name: 'stall',
      lose: async (_: State, host: Host) => kill(host.pid, 'SIGUSR2'),
      restore: () => sleep(STALL_MS),
    }
    const rounds = { state, acknowledged, nice }
    const kills = await measure(death, Number(values.kills), rounds)
    const cuts = isContainers ? await measure(cut, Number(values.cuts), rounds) : []
    const stalls = isContainers ? await measure(stall, Number(values.stalls), rounds) : []
    const missing = await countMissing(state, acknowledged)
    printFigures('from the loss of the leader to the next write', [
      { name: 'daemon killed', unit: 'ms', samples: kills },
      ...(cuts.length === 0 ? [] : [{ name: 'host cut off', unit: 'ms', samples: cuts }]),
      ...(stalls.length === 0
        ? []
        : [{ name: 'main thread stalled', unit: 'ms', samples: stalls }]),
    ])
    process.stdout.write(`${acknowledged.length} writes acknowledged, ${missing} missing\n`)
    if (!isContainers)
      process.stdout.write('no host was cut off or stalled: that needs root on Linux\n')
    if (missing > 0) process.exitCode = 1
  } finally {
    if (isContainers) removeAll(place)
    else stopLoopback(state)
  }
}

type Loss = {
  readonly name: string
  readonly lose: (state: State, host: Host) => Promise<void>
  readonly restore: (state: State, host: Host) => Promise<void>
}

type Rounds = { readonly state: State; readonly acknowledged: string[]; readonly nice: number }

async function measure(loss: Loss, count: number, rounds: Rounds): Promise<readonly number[]> {
  const { state, acknowledged, nice } = rounds
  const samples: number[] = []
  for (let round = 0; round < count; round++) {
    raisePriority(
      nice,
      state.hosts.map((host) => host.pid),
    )
    const leader = await waitFor('all managers', WAIT_MS, () => findSettledLeader(state))
    await sleep(SETTLE_MS)
    const asked = state.hosts[(state.hosts.indexOf(leader) + 1) % state.hosts.length] ?? leader
    const writer = new Writer(asked, `${loss.name}${round}`, acknowledged)
    await writer.untilWritten(performance.now())
    const lostMs = performance.now()
    await loss.lose(state, leader)
    samples.push((await writer.untilWritten(lostMs)) - lostMs)
    await writer.stop()
    await loss.restore(state, leader)
  }
  return samples
}

/** The leader, once every manager is known to be reachable. */
async function findSettledLeader(state: State): Promise<Host | undefined> {
  for (const host of state.hosts) {
    const nodes = await listNodes(host).catch(() => [])
    const reachable = nodes.filter((node) => node.ManagerStatus?.Reachability === 'reachable')
    if (reachable.length < state.managers) return undefined
  }
  const [first] = state.hosts
  return first === undefined ? undefined : findLeader(state, first)
}

/** Writes to one manager at a steady pace, whatever becomes of the ones before. */
class Writer {
  readonly #host: Host
  readonly #prefix: string
  readonly #acknowledged: string[]
  #timer: NodeJS.Timeout
  #pending = new Set<Promise<void>>()
  #count = 0
  #onWritten: (sentMs: number, doneMs: number) => void = () => undefined

  constructor(host: Host, prefix: string, acknowledged: string[]) {
    this.#host = host
    this.#prefix = prefix
    this.#acknowledged = acknowledged
    this.#timer = setInterval(() => this.#write(), WRITE_EVERY_MS)
  }

  /** When the first write that was sent at or after `fromMs` was acknowledged. */
  untilWritten(fromMs: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no write succeeds any more')), WAIT_MS)
      this.#onWritten = (sentMs, doneMs) => {
        if (sentMs < fromMs) return
        clearTimeout(timer)
        resolve(doneMs)
      }
    })
  }

  /** Writes under way may still end. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#pending)
  }

  #write(): void {
    const name = `${this.#prefix}-${this.#count++}`
    const sentMs = performance.now()
    const body = { Name: name, Labels: {}, Data: 'eA==' }
    const writing = callApi({
      socket: this.#host.socket,
      method: 'POST',
      path: '/configs/create',
      body,
    })
      .then(({ status }) => {
        if (status !== 201) return
        this.#acknowledged.push(name)
        this.#onWritten(sentMs, performance.now())
      })
      // A write that fails is what is being measured.
      .catch(() => undefined)
      .finally(() => this.#pending.delete(writing))
    this.#pending.add(writing)
  }
}

async function countMissing(state: State, acknowledged: readonly string[]): Promise<number> {
  const [first] = state.hosts
  if (first === undefined) return acknowledged.length
  await waitFor('all managers', WAIT_MS, () => findSettledLeader(state))
  const { body } = await callApi({ socket: first.socket, path: '/configs' })
  const configs: readonly { readonly Spec?: { readonly Name?: string } }[] = Array.isArray(body)
    ? body
    : []
  const names = new Set(configs.map((config) => config.Spec?.Name))
  return acknowledged.filter((name) => !names.has(name)).length
}
