/**
 * Managers as daemons on loopback with runtime `process`, for benches of consensus and of the API:
 * no containerd, no namespaces, everything in one temporary folder. Starting and ending a daemon is
 * the quickstart's (`deploy/quickstart/cluster.ts`), whose hosts these are; only ports and flags
 * differ, so that several such clusters and a quickstart exist beside each other.
 */
import { mkdirSync, mkdtempSync, realpathSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { callApi } from '../../deploy/quickstart/api.ts'
import {
  cutPower,
  type Host,
  mustTsswarm,
  type State,
  startDaemon,
  waitFor,
} from '../../deploy/quickstart/cluster.ts'
import { removeFolder } from '../../deploy/quickstart/processes.ts'

const FORM_MS = 30_000

/** A temporary folder for a bench, on the disk that is measured. */
export function newBenchFolder(name: string): string {
  return mkdtempSync(join(process.env['TSSWARM_BENCH_DIR'] ?? tmpdir(), `tsswarm-bench-${name}-`))
}

/** A port that nothing listened on a moment ago. */
export function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}

/** A cluster of managers that know each other; the first one leads. */
export async function startLoopback(
  folder: string,
  managers: number,
  flags: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): Promise<State> {
  const hosts: Host[] = []
  for (let number = 1; number <= managers; number++)
    hosts.push(await newLoopbackHost(folder, number, flags))
  // Hosts of a place of their own: no namespaces are made, so the net is only a name.
  const place = { folder, net: { prefix: 'tsb', number: 0 } }
  const state: State = { kind: 'processes', place, managers, environment, hosts }
  await Promise.all(hosts.map((host) => startDaemon(state, host)))
  await form(state)
  return state
}

/** `init` on the first host and `join` as a manager or a worker on the others. */
export async function form(state: State): Promise<void> {
  const [first, ...others] = state.hosts
  if (first === undefined) return
  await mustTsswarm(first, 'init')
  const at = first.flags[first.flags.indexOf('--advertise-addr') + 1] ?? ''
  for (const [index, host] of others.entries()) {
    const role = index + 1 < state.managers ? 'manager' : 'worker'
    const token = (await mustTsswarm(first, 'join-token', '-q', role)).trim()
    await mustTsswarm(host, 'join', '--token', token, at)
  }
  await waitFor('every manager to be reachable', FORM_MS, async () => {
    const nodes = await listNodes(first)
    const reachable = nodes.filter((node) => node.ManagerStatus?.Reachability === 'reachable')
    return reachable.length === state.managers ? true : undefined
  })
}

export type ApiNode = {
  readonly ID: string
  readonly Description?: { readonly Hostname?: string }
  readonly Status?: { readonly State?: string; readonly Addr?: string }
  readonly ManagerStatus?: {
    readonly Leader?: boolean
    readonly Reachability?: string
    readonly Addr?: string
  }
}

export async function listNodes(host: Host): Promise<readonly ApiNode[]> {
  const { status, body } = await callApi({ socket: host.socket, path: '/nodes' })
  return status === 200 && Array.isArray(body) ? body : []
}

/** The host whose daemon leads, as one that is asked sees it. */
export async function findLeader(state: State, asked: Host): Promise<Host | undefined> {
  const leader = (await listNodes(asked)).find((node) => node.ManagerStatus?.Leader === true)
  if (leader === undefined) return undefined
  for (const host of state.hosts) {
    const answer = await callApi({ socket: host.socket, path: '/info', timeoutMs: 1_000 }).catch(
      () => undefined,
    )
    const info: { readonly Swarm?: { readonly NodeID?: string } } = Object(answer?.body)
    if (info.Swarm?.NodeID === leader.ID) return host
  }
  return undefined
}

/** Nothing of the cluster runs or is kept any more. */
export function stopLoopback(state: State): void {
  for (const host of state.hosts) cutPower(state, host)
  removeFolder(state.place.folder)
}

async function newLoopbackHost(
  folder: string,
  number: number,
  flags: readonly string[],
): Promise<Host> {
  const name = `h${number}`
  const stateDirectory = join(folder, name)
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 })
  const [listen, raft] = [await findFreePort(), await findFreePort()]
  return {
    name,
    address: '127.0.0.1',
    netns: '',
    pid: 0,
    socket: join(folder, `${name}.sock`),
    stateDirectory: realpathSync(stateDirectory),
    metrics: '',
    flags: [
      ...['--listen', `127.0.0.1:${listen}`],
      ...['--raft-listen', `127.0.0.1:${raft}`],
      ...['--advertise-addr', `127.0.0.1:${listen}`],
      ...['--runtime', 'process'],
      ...flags,
    ],
  }
}
