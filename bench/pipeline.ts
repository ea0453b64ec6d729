/**
 * From services to running tasks: three managers as daemons on loopback, with their logs on disk and
 * mutual TLS everywhere, and agents in processes of their own whose runtime succeeds at once. Services
 * are created over HTTP; the time ends when the leader's store says of all tasks that they run.
 * Main-loop slices of the managers are those of the same time (`load/slices.ts`). Others at work on
 * the machine make slices longer than the daemon's own work: their processor time stands beside. A first
 * round, in which V8 compiles what is then fast, is told apart; the last table is of all others.
 * `-- --agents N --tasks N --services N --rounds N --nice=-10`.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { callApi } from '../deploy/quickstart/api.ts'
import { type Host, type State, sleep, waitFor } from '../deploy/quickstart/cluster.ts'
import { findLeader, newBenchFolder, startLoopback, stopLoopback } from './cluster/loopback.ts'
import { raisePriority } from './cluster/priority.ts'
import { cpuSince, cpuTimeOf, quantile, readSlices, residentMb } from './cluster/processes.ts'
import { countRunning, createServices, drainManagers, type Services } from './cluster/services.ts'
import { type SimulatedAgents, startAgents } from './cluster/simulated-agents.ts'
import { printFigures } from './report.ts'

const MANAGERS = 3
const PROCESSES = 2
const WAIT_MS = 300_000
const POLL_MS = 20
/** Seldom: the answer lists all of them, and what it takes is left to the next round to collect. */
const REMOVED_POLL_MS = 1_000
/** The slices of the time measured are written by then. */
const SETTLE_MS = 1_500
const MUST_PER_S = 3_000
const MUST_SLICE_MS = 50

type Size = Services & { readonly agents: number }

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      agents: { type: 'string', default: '200' },
      tasks: { type: 'string', default: '20000' },
      services: { type: 'string', default: '200' },
      rounds: { type: 'string', default: '5' },
      nice: { type: 'string', default: '0' },
      profile: { type: 'string' },
    },
  })
  const size = {
    ...{ agents: Number(values.agents), tasks: Number(values.tasks) },
    services: Number(values.services),
  }
  const nice = Number(values.nice)
  const folder = newBenchFolder('pipeline')
  const probe = join(import.meta.dirname, 'load', 'slices.ts')
  const state = await startLoopback(folder, MANAGERS, [], {
    TSSWARM_BENCH_SLICES: folder,
    NODE_OPTIONS: [
      `--import=${probe}`,
      ...(values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`]),
    ].join(' '),
  })
  let agents: SimulatedAgents | undefined
  try {
    raisePriority(nice, [process.pid, ...state.hosts.map(({ pid }) => pid)])
    await drainManagers(state)
    agents = await startAgents(state, {
      ...{ agents: size.agents, processes: PROCESSES, roundMs: 50, waitMs: WAIT_MS },
      nice,
    })
    const found: Found[] = []
    for (let round = 0; round <= Number(values.rounds); round++)
      found.push(await measure({ state, agents, folder, size, round }))
    const rounds = found.slice(1)
    printFigures(
      `${rounds.length} rounds; must ${MUST_PER_S}/s, p99.9 of slices ${MUST_SLICE_MS} ms`,
      [
        { name: 'tasks', unit: '/s', samples: rounds.map(({ perSecond }) => perSecond) },
        ...(['leader', 'others'] as const).map((who) => ({
          name: `slice, processor, p99.9, ${who}`,
          unit: 'ms',
          samples: rounds.flatMap((each) => each.sliceMs[who]),
        })),
      ],
    )
    if (values.profile !== undefined)
      for (const { pid } of state.hosts) process.kill(pid, 'SIGTERM')
    if (values.profile !== undefined) await sleep(10_000)
  } finally {
    agents?.stop()
    stopLoopback(state)
  }
}

type Round = {
  readonly state: State
  readonly agents: SimulatedAgents
  readonly folder: string
  readonly size: Size
  readonly round: number
}

/** What one round found. */
type Found = {
  /** Tasks. */
  readonly perSecond: number
  /** Processor time of a manager's slices, p99.9. */
  readonly sliceMs: { readonly leader: readonly number[]; readonly others: readonly number[] }
}

async function measure({ state, agents, folder, size, round }: Round): Promise<Found> {
  const [first] = state.hosts
  const leader = first && (await findLeader(state, first))
  if (leader === undefined) throw new Error('no manager leads')
  const pids = [...state.hosts.map(({ pid }) => pid), ...agents.pids]
  const before = pids.map(cpuTimeOf)
  const startedBefore = agents.total().started
  const fromMs = Date.now()
  const began = performance.now()
  const ids = await createServices(leader, size, `r${round}-`)
  const createdMs = performance.now() - began
  await waitFor('all tasks to be started', WAIT_MS, () =>
    Promise.resolve(agents.total().started - startedBefore >= size.tasks ? true : undefined),
  )
  while ((await countRunning(leader)) < size.tasks) await sleep(POLL_MS)
  const seconds = (performance.now() - began) / 1_000
  const used = pids.map((pid, at) => cpuSince(pid, before[at] ?? { allMs: 0, mainMs: 0 }))
  await sleep(SETTLE_MS)
  const span = { fromMs, toMs: fromMs + seconds * 1_000 + SETTLE_MS / 2 }
  const name = round === 0 ? 'warming up' : `round ${round}`
  printFigures(
    `${name}: ${size.tasks} tasks of ${size.services} services on ${size.agents} agents; must ${MUST_PER_S}/s, p99.9 of slices ${MUST_SLICE_MS} ms`,
    [
      { name: 'created → all running', unit: 's', samples: [seconds] },
      { name: 'services created', unit: 's', samples: [createdMs / 1_000] },
      { name: 'tasks', unit: '/s', samples: [size.tasks / seconds] },
      ...state.hosts.flatMap((host, at) =>
        managerFigures(host, { folder, span, isLeader: host === leader, used: used[at] }),
      ),
      ...agents.pids.map((_, at) => ({
        name: `agents ${at + 1}, processor`,
        unit: 's',
        samples: [(used[state.hosts.length + at]?.allMs ?? 0) / 1_000],
      })),
    ],
  )
  await removeServices(leader, ids)
  const p999 = (host: Host): number => quantile(readSlices(folder, host.pid, span).cpuMs, 0.999)
  return {
    perSecond: size.tasks / seconds,
    sliceMs: {
      leader: [p999(leader)],
      others: state.hosts.filter((host) => host !== leader).map(p999),
    },
  }
}

type ManagerPart = {
  readonly folder: string
  readonly span: Parameters<typeof readSlices>[2]
  readonly isLeader: boolean
  readonly used: ReturnType<typeof cpuSince> | undefined
}

function managerFigures(host: Host, { folder, span, isLeader, used }: ManagerPart) {
  const name = `${host.name}${isLeader ? ' (leader)' : ''}`
  const { passedMs, cpuMs } = readSlices(folder, host.pid, span)
  const slice = (kind: string, samples: readonly number[]) =>
    ([0.5, 0.99, 0.999, 1] as const).map((share) => ({
      name: `${name}, slice, ${kind}, ${share === 1 ? 'max' : `p${share * 100}`}`,
      unit: 'ms',
      samples: [quantile(samples, share)],
    }))
  return [
    ...slice('passed', passedMs),
    ...slice('processor', cpuMs),
    { name: `${name}, processor`, unit: 's', samples: [(used?.allMs ?? 0) / 1_000] },
    { name: `${name}, main thread`, unit: 's', samples: [(used?.mainMs ?? 0) / 1_000] },
    { name: `${name}, resident`, unit: 'MB', samples: [residentMb(host.pid)] },
  ]
}

async function removeServices(leader: Host, ids: readonly string[]): Promise<void> {
  for (const id of ids)
    await callApi({ socket: leader.socket, method: 'DELETE', path: `/services/${id}` })
  await waitFor('all tasks to be removed', WAIT_MS, async () => {
    await sleep(REMOVED_POLL_MS)
    const { body } = await callApi({ socket: leader.socket, path: '/tasks' })
    return Array.isArray(body) && body.length === 0 ? true : undefined
  })
}
