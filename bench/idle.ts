/**
 * What an idle cluster costs, and how long a user waits for an answer: resident memory of daemon and
 * keeper on each of three managers that have nothing to do, and `tsswarm node ls` as a shell starts
 * it. As root on Linux the hosts run containerd, elsewhere processes and no keeper. Memory is read
 * from /proc. `-- --runs N --settle SECONDS --nice=-10`.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import {
  type Host,
  isContainers,
  newState,
  removeAll,
  type State,
  sleep,
  startDaemon,
  TSSWARM,
} from '../deploy/quickstart/cluster.ts'
import { findProcesses } from '../deploy/quickstart/processes.ts'
import { form, newBenchFolder, startLoopback, stopLoopback } from './cluster/loopback.ts'
import { raisePriority } from './cluster/priority.ts'
import { elapsedMs, printFigures } from './report.ts'

const MANAGERS = 3

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      runs: { type: 'string', default: '20' },
      settle: { type: 'string', default: '30' },
      nice: { type: 'string', default: '0' },
    },
  })
  const folder = newBenchFolder('idle')
  const place = { folder, net: { prefix: 'tsbi', number: 95 } }
  const state = isContainers
    ? newState(place, { hosts: MANAGERS, managers: MANAGERS })
    : await startLoopback(folder, MANAGERS)
  try {
    if (isContainers) {
      await Promise.all(state.hosts.map((host) => startDaemon(state, host)))
      await form(state)
    }
    await sleep(Number(values.settle) * 1_000)
    const daemons = state.hosts.map((host) => residentMb(host.pid))
    const keepers = listKeepers(state).map(residentMb)
    raisePriority(Number(values.nice), [process.pid, ...state.hosts.map((host) => host.pid)])
    const [first] = state.hosts
    const lists = first === undefined ? [] : timeNodeLs(first, Number(values.runs))
    printFigures('three managers with nothing to do', [
      { name: 'daemon, resident', unit: 'MB', samples: daemons },
      ...(keepers.length === 0 ? [] : [{ name: 'keeper, resident', unit: 'MB', samples: keepers }]),
      { name: 'tsswarm node ls', unit: 'ms', samples: lists },
    ])
  } finally {
    if (isContainers) removeAll(place)
    else stopLoopback(state)
  }
}

function timeNodeLs(host: Host, runs: number): readonly number[] {
  const env = { ...process.env, TSSWARM_HOST: `unix://${host.socket}` }
  const list = (): void => {
    execFileSync(TSSWARM, ['node', 'ls'], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  }
  list()
  return Array.from({ length: runs }, () => elapsedMs(list))
}

/** Not the shell that started it and waits for it. */
function listKeepers(state: State): readonly number[] {
  return findProcesses(state.hosts.map((host) => host.stateDirectory)).filter((pid) => {
    const [node = '', ...args] = commandOf(pid)
    return node.endsWith('/node') && args.some((word) => /\/keeper\/.*main\.[jt]s$/.test(word))
  })
}

function commandOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return []
  }
}

function residentMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) / 1024
}
