/**
 * Processes of many agents each (`bench/load/agents.ts`) beside a cluster on loopback: they are
 * started, watched and ended here, and what they report is added up.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { mustTsswarm, type State, waitFor } from '../../deploy/quickstart/cluster.ts'
import type { AgentsOrder, AgentsReport } from '../load/agents.ts'
import { raisePriority } from './priority.ts'

export type AgentsOptions = {
  readonly agents: number
  readonly processes: number
  readonly roundMs: number
  /** For all of them to have joined and to hold a session. */
  readonly waitMs: number
  /** Of their sessions, as in `priority.ts`. */
  readonly nice: number
}

export type SimulatedAgents = {
  readonly pids: readonly number[]
  /** What all of them reported last, added up. */
  total(): AgentsReport
  stop(): void
}

const HEAP_MIB = 4_096

/** All of them hold a session. */
export async function startAgents(state: State, options: AgentsOptions): Promise<SimulatedAgents> {
  const [first] = state.hosts
  if (first === undefined) throw new Error('agents need managers')
  const token = (await mustTsswarm(first, 'join-token', '-q', 'worker')).trim()
  const managers = state.hosts.map(
    ({ flags }) => flags[flags.indexOf('--advertise-addr') + 1] ?? '',
  )
  const reports: (AgentsReport | undefined)[] = []
  const children = Array.from({ length: options.processes }, (_, at) => {
    const count = Math.floor(
      (options.agents * (at + 1)) / options.processes -
        Math.floor((options.agents * at) / options.processes),
    )
    const order: AgentsOrder = {
      ...{ prefix: `p${at}n`, agents: count, managers, token },
      roundMs: options.roundMs,
    }
    return spawnAgents(order, (report) => {
      reports[at] = report
    })
  })
  const pids = children.map((child) => child.pid ?? 0)
  raisePriority(options.nice, pids)
  const total = (): AgentsReport => {
    const sum = (of: (report: AgentsReport) => number): number =>
      reports.reduce((all, report) => all + (report === undefined ? 0 : of(report)), 0)
    return {
      ...{ joined: sum(({ joined }) => joined), ready: sum(({ ready }) => ready) },
      ...{ started: sum(({ started }) => started), rssMb: sum(({ rssMb }) => rssMb) },
    }
  }
  const stop = (): void => {
    for (const child of children) child.kill('SIGKILL')
  }
  try {
    await waitFor('sessions of all agents', options.waitMs, () =>
      Promise.resolve(total().ready >= options.agents ? true : undefined),
    )
  } catch (error) {
    stop()
    throw error
  }
  return { pids, total, stop }
}

function spawnAgents(order: AgentsOrder, onReport: (report: AgentsReport) => void): ChildProcess {
  const script = join(import.meta.dirname, '..', 'load', 'agents.ts')
  const child = spawn(
    process.execPath,
    [`--max-old-space-size=${HEAP_MIB}`, script, JSON.stringify(order)],
    // A session of its own, as each daemon has: the kernel shares the processor between sessions.
    { detached: true, stdio: ['ignore', 'pipe', 'inherit'] },
  )
  if (child.stdout !== null)
    createInterface({ input: child.stdout }).on('line', (line) => {
      const report: AgentsReport = JSON.parse(line)
      onReport(report)
    })
  return child
}
