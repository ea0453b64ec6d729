/**
 * Many agents and nothing to do, then the leader is lost: three managers as daemons on loopback, agents
 * in processes of their own, each with a certificate, a connection and a session of its own. When all
 * tasks run the cluster is left alone; what each manager takes of a core, and its memory, is taken
 * then. Then the leader's daemon is killed, and until a while after the agents of the dead manager are
 * back with another one nobody may be Down.
 * `-- --agents N --tasks N --services N --processes N --steady SECONDS --after SECONDS --nice=-10`.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { callApi } from '../deploy/quickstart/api.ts'
import { type Host, sleep, stopDaemon, waitFor } from '../deploy/quickstart/cluster.ts'
import {
  findLeader,
  listNodes,
  newBenchFolder,
  startLoopback,
  stopLoopback,
} from './cluster/loopback.ts'
import { raisePriority } from './cluster/priority.ts'
import { cpuSince, cpuTimeOf, residentMb } from './cluster/processes.ts'
import { countRunning, createServices, drainManagers } from './cluster/services.ts'
import { type SimulatedAgents, startAgents } from './cluster/simulated-agents.ts'
import { printFigures } from './report.ts'

const MANAGERS = 3
/** Joining is three handshakes and a signature for each agent, and a write. */
const JOIN_MS_EACH = 500
const WAIT_MS = 600_000
const POLL_MS = 500
/** An agent looks at its clock so often: a heartbeat comes every two seconds. */
const ROUND_MS = 500
const MUST_CORES = 0.5
const MUST_MB = 1_024

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      agents: { type: 'string', default: '5000' },
      tasks: { type: 'string', default: '50000' },
      services: { type: 'string', default: '500' },
      processes: { type: 'string', default: '4' },
      steady: { type: 'string', default: '60' },
      after: { type: 'string', default: '60' },
      nice: { type: 'string', default: '0' },
    },
  })
  const count = Number(values.agents)
  const tasks = Number(values.tasks)
  // Each connection takes a descriptor here and there.
  process.stdout.write(`descriptors a process may have: ${descriptorsMax()}\n`)
  const folder = newBenchFolder('agents')
  const state = await startLoopback(folder, MANAGERS)
  let agents: SimulatedAgents | undefined
  try {
    await drainManagers(state)
    raisePriority(Number(values.nice), [process.pid, ...state.hosts.map(({ pid }) => pid)])
    const joinFrom = performance.now()
    agents = await startAgents(state, {
      ...{ agents: count, processes: Number(values.processes), roundMs: ROUND_MS },
      ...{ waitMs: WAIT_MS + count * JOIN_MS_EACH, nice: Number(values.nice) },
    })
    const joinMs = performance.now() - joinFrom
    const [first] = state.hosts
    const leader = first && (await findLeader(state, first))
    if (leader === undefined) throw new Error('no manager leads')
    const runFrom = performance.now()
    await createServices(leader, { tasks, services: Number(values.services) }, 's')
    await waitFor('all tasks to run', WAIT_MS, async () => {
      await sleep(POLL_MS)
      return (await countRunning(leader)) >= tasks ? true : undefined
    })
    const runMs = performance.now() - runFrom
    const steady = await measureSteady(state.hosts, Number(values.steady))
    printFigures(
      `${count} agents, ${tasks} tasks, steady for ${values.steady} s; must ${MUST_CORES} core, ${MUST_MB} MB a manager`,
      [
        { name: 'all agents joined', unit: 's', samples: [joinMs / 1_000] },
        { name: 'all tasks running', unit: 's', samples: [runMs / 1_000] },
        ...state.hosts.flatMap((host, at) => [
          { name: `${nameOf(host, leader)}, cores`, unit: '', samples: [steady[at]?.cores ?? 0] },
          {
            name: `${nameOf(host, leader)}, resident`,
            unit: 'MB',
            samples: [residentMb(host.pid)],
          },
        ]),
        { name: 'agents, resident', unit: 'MB', samples: [agents.total().rssMb] },
      ],
    )
    await stopDaemon(state, leader)
    const others = state.hosts.filter((host) => host !== leader)
    const loss = await watchLoss(others, agents, { count, afterMs: Number(values.after) * 1_000 })
    printFigures('the leader was killed; must: none down', [
      { name: 'all agents have a session again', unit: 's', samples: [loss.backMs / 1_000] },
      { name: 'most simulated nodes down at any look', unit: '', samples: [loss.downMax] },
      { name: 'looks', unit: '', samples: [loss.looks] },
    ])
    if (loss.downMax > 0) process.exitCode = 1
  } finally {
    agents?.stop()
    stopLoopback(state)
  }
}

async function measureSteady(
  hosts: readonly Host[],
  seconds: number,
): Promise<readonly { readonly cores: number }[]> {
  const before = hosts.map(({ pid }) => cpuTimeOf(pid))
  const from = performance.now()
  await sleep(seconds * 1_000)
  const passedMs = performance.now() - from
  return hosts.map(({ pid }, at) => {
    const { allMs } = cpuSince(pid, before[at] ?? { allMs: 0, mainMs: 0 })
    return { cores: allMs / passedMs }
  })
}

type Watch = { readonly count: number; readonly afterMs: number }

/** Looks at the nodes until all agents are back and `afterMs` have passed. */
async function watchLoss(
  managers: readonly Host[],
  agents: SimulatedAgents,
  { count, afterMs }: Watch,
): Promise<{ readonly backMs: number; readonly downMax: number; readonly looks: number }> {
  const from = performance.now()
  let backMs: number | undefined
  let wasCut = false
  let downMax = 0
  let looks = 0
  for (let passedMs = 0; passedMs < afterMs || backMs === undefined; ) {
    await sleep(POLL_MS)
    passedMs = performance.now() - from
    const ready = agents.total().ready
    wasCut ||= ready < count
    if (wasCut && ready >= count) backMs ??= passedMs
    if (passedMs > WAIT_MS) throw new Error(`only ${ready} of ${count} agents came back`)
    const [asked] = managers
    const down = asked === undefined ? undefined : await countDown(asked).catch(() => undefined)
    if (down === undefined) continue
    looks += 1
    downMax = Math.max(downMax, down)
  }
  return { backMs: backMs ?? 0, downMax, looks }
}

/** Of the simulated ones: the dead manager's own node is down, as it should be. */
async function countDown(host: Host): Promise<number> {
  const { status } = await callApi({ socket: host.socket, path: '/_ping' })
  if (status !== 200) throw new Error('no answer')
  const nodes = await listNodes(host)
  if (nodes.length === 0) throw new Error('no answer')
  return nodes.filter(
    ({ Description, Status }) =>
      /^p\d+n\d+$/.test(Description?.Hostname ?? '') && Status?.State === 'down',
  ).length
}

function nameOf(host: Host, leader: Host): string {
  return `${host.name}${host === leader ? ' (leader)' : ''}`
}

function descriptorsMax(): string {
  const limits = readFileSync('/proc/self/limits', 'utf8')
  return /^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 'unknown'
}
