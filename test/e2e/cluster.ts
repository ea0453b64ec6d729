/**
 * Clusters for end-to-end tests: the quickstart's hosts in a place and a net of their own, so that
 * they run beside a quickstart, spoken to over the HTTP API in Docker's shapes. Everything waits
 * for conditions; what tests must look at from outside (containers, metrics, links) stands here.
 */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { callApi } from '../../deploy/quickstart/api.ts'
import {
  cutPower,
  type Host,
  mustTsswarm,
  newState,
  type Place,
  removeAll,
  type Size,
  type State,
  startDaemon,
  waitFor,
} from '../../deploy/quickstart/cluster.ts'
import { setLink } from '../../deploy/quickstart/hosts.ts'
import { kill } from '../../deploy/quickstart/processes.ts'
import { openHostPaths } from '../../node/keeper/host-paths.ts'

export const IMAGE = 'hello:1'
const CONVERGE_MS = 60_000

type Json = Readonly<Record<string, unknown>>

/** A task as far as tests look at it. */
export type TaskView = {
  readonly id: string
  readonly slot: number
  readonly nodeId: string
  readonly state: string
  readonly desired: string
  readonly containerId: string
  readonly pid: number
  readonly error: string
}

export type NodeView = {
  readonly id: string
  readonly hostname: string
  readonly state: string
  readonly role: string
  readonly availability: string
  readonly isLeader: boolean
  readonly isReachable: boolean
}

export class Cluster {
  readonly state: State

  constructor(state: State) {
    this.state = state
  }

  /** Hosts by number, from 1. */
  host(number: number): Host {
    const host = this.state.hosts[number - 1]
    if (host === undefined) throw new Error(`there is no host ${number}`)
    return host
  }

  get hosts(): readonly Host[] {
    return this.state.hosts
  }

  close(): void {
    removeAll(this.state.place)
  }

  // ── daemons, links, power ──────────────────────────────────────────────────────────────────

  start(host: Host): Promise<void> {
    return startDaemon(this.state, host)
  }

  /** The signal is sent, and the daemon has ended. */
  async end(host: Host, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const { pid } = host
    kill(pid, signal)
    await waitFor(`the daemon of ${host.name} to end`, CONVERGE_MS, async () =>
      isGone(pid) ? true : undefined,
    )
    host.pid = 0
  }

  cutPower(host: Host): void {
    cutPower(this.state, host)
  }

  setLink(host: Host, isUp: boolean): void {
    setLink(this.state.place.net, host.name, isUp)
  }

  // ── the API ────────────────────────────────────────────────────────────────────────────────

  /** The body of a successful answer; throws what the daemon said otherwise. */
  async call(
    host: Host,
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
  ): Promise<unknown> {
    const answer = await callApi({ socket: host.socket, method, path, body })
    if (answer.status < 400) return answer.body
    throw new Error(`${method} ${path} on ${host.name}: ${answer.status} ${messageOf(answer.body)}`)
  }

  /** The same, asked again until it succeeds. */
  insist(
    host: Host,
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
  ): Promise<unknown> {
    return waitFor(`${method} ${path}`, CONVERGE_MS, async () => {
      const answer = await callApi({ socket: host.socket, method, path, body }).catch(
        () => undefined,
      )
      return answer !== undefined && answer.status < 400 ? { body: answer.body } : undefined
    }).then(({ body: found }) => found)
  }

  async createService(host: Host, spec: ServiceOptions): Promise<void> {
    await this.call(host, 'POST', '/services/create', serviceSpec(spec))
  }

  /** The spec of the service is changed from what it is at that moment. */
  async updateService(host: Host, name: string, change: (spec: Json) => Json): Promise<void> {
    const service = asJson(await this.call(host, 'GET', `/services/${name}`))
    const version = asJson(service['Version'])['Index']
    const path = `/services/${name}/update?version=${String(version)}`
    await this.call(host, 'POST', path, change(asJson(service['Spec'])))
  }

  async updateNode(host: Host, id: string, change: Json): Promise<void> {
    const node = asJson(await this.call(host, 'GET', `/nodes/${id}`))
    const version = asJson(node['Version'])['Index']
    const path = `/nodes/${id}/update?version=${String(version)}`
    await this.call(host, 'POST', path, { ...asJson(node['Spec']), ...change })
  }

  async listNodes(host: Host): Promise<readonly NodeView[]> {
    const nodes = await this.call(host, 'GET', '/nodes')
    return asList(nodes).map((node) => {
      const [spec, manager] = [asJson(node['Spec']), asJson(node['ManagerStatus'])]
      return {
        id: String(node['ID']),
        hostname: String(asJson(node['Description'])['Hostname'] ?? ''),
        state: String(asJson(node['Status'])['State'] ?? ''),
        role: String(spec['Role']),
        availability: String(spec['Availability']),
        isLeader: manager['Leader'] === true,
        isReachable: manager['Reachability'] === 'reachable',
      }
    })
  }

  async nodeOf(asked: Host, host: Host): Promise<NodeView> {
    const node = (await this.listNodes(asked)).find(({ hostname }) => hostname === host.name)
    if (node === undefined) throw new Error(`${asked.name} knows no node ${host.name}`)
    return node
  }

  async listTasks(host: Host, service: string): Promise<readonly TaskView[]> {
    const filters = encodeURIComponent(JSON.stringify({ service: [service] }))
    const tasks = await this.call(host, 'GET', `/tasks?filters=${filters}`)
    return asList(tasks).map((task) => {
      const status = asJson(task['Status'])
      const container = asJson(status['ContainerStatus'])
      return {
        id: String(task['ID']),
        slot: Number(task['Slot'] ?? 0),
        nodeId: String(task['NodeID'] ?? ''),
        state: String(status['State']),
        desired: String(task['DesiredState']),
        containerId: String(container['ContainerID'] ?? ''),
        pid: Number(container['PID'] ?? 0),
        error: String(status['Err'] ?? ''),
      }
    })
  }

  /** So many tasks of the service run, and no others are wanted. */
  untilRunning(host: Host, service: string, count: number): Promise<readonly TaskView[]> {
    return waitFor(`${count} running tasks of ${service}`, CONVERGE_MS, async () => {
      const tasks = await this.listTasks(host, service).catch(() => [])
      const wanted = tasks.filter((task) => task.desired === 'running')
      const running = wanted.filter((task) => task.state === 'running')
      return running.length === count && wanted.length === count
        ? running.toSorted((a, b) => a.slot - b.slot)
        : undefined
    })
  }

  /** This many nodes are ready, as that host sees it. */
  untilReady(host: Host, count: number): Promise<readonly NodeView[]> {
    return this.untilNodes(host, `${count} ready nodes`, (nodes) => {
      const ready = nodes.filter((node) => node.state === 'ready')
      return ready.length === count
    })
  }

  untilNodes(
    host: Host,
    what: string,
    holds: (nodes: readonly NodeView[]) => boolean,
  ): Promise<readonly NodeView[]> {
    return waitFor(what, CONVERGE_MS, async () => {
      const nodes = await this.listNodes(host).catch(() => [])
      return holds(nodes) ? nodes : undefined
    })
  }

  /** The host that leads, asked of the others too: one of them may be away. */
  async leader(): Promise<Host> {
    return waitFor('a leader', CONVERGE_MS, async () => {
      for (const host of this.hosts) {
        const nodes = await this.listNodes(host).catch(() => [])
        const name = nodes.find((node) => node.isLeader)?.hostname
        const found = this.hosts.find((candidate) => candidate.name === name && candidate.pid !== 0)
        if (found !== undefined) return found
      }
      return undefined
    })
  }

  // ── from outside ───────────────────────────────────────────────────────────────────────────

  /** Running containers of a host by containerd's own client: id and process. */
  async listContainers(host: Host): Promise<ReadonlyMap<string, number>> {
    const { containerdSocket } = openHostPaths(host.stateDirectory)
    const args = ['--address', containerdSocket, '--namespace', 'tsswarm', 'tasks', 'list']
    const { stdout } = await promisify(execFile)('ctr', args)
    const rows = [...stdout.matchAll(/^(\S+)\s+(\d+)\s+RUNNING/gm)]
    return new Map(rows.map(([, id = '', pid]) => [id, Number(pid)]))
  }

  /** Those of all hosts that have power. */
  async listAllContainers(
    hosts: readonly Host[] = this.hosts,
  ): Promise<ReadonlyMap<string, number>> {
    const lists = await Promise.all(hosts.map((host) => this.listContainers(host)))
    return new Map(lists.flatMap((list) => [...list]))
  }

  /** A sample of the daemon's metrics. */
  async metric(host: Host, name: string): Promise<number> {
    const response = await fetch(`http://${host.metrics}/metrics`)
    const found = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(await response.text())
    if (found === null) throw new Error(`${host.name} has no metric ${name}`)
    return Number(found[1])
  }

  /** Address of the manager that the host's agent has its session with, by the daemon's log. */
  managerOf(host: Host): string {
    const log = readFileSync(join(this.state.place.folder, `${host.name}.log`), 'utf8')
    const started = log.split('\n').findLast((line) => line.includes('"session started"'))
    const manager: unknown = started === undefined ? '' : asJson(JSON.parse(started))['manager']
    return String(manager)
  }

  /** What a service's tasks have written, line by line. */
  async readLogs(host: Host, service: string): Promise<readonly string[]> {
    const text = await mustTsswarm(host, 'service', 'logs', '--raw', service)
    return text.split('\n').filter((line) => line !== '')
  }
}

export type ServiceOptions = {
  readonly name: string
  readonly replicas?: number
  readonly command?: readonly string[]
  readonly env?: readonly string[]
  readonly constraints?: readonly string[]
  readonly stopGraceMs?: number
}

/** In Docker's shape. Without a command the tasks sleep, and end at once when told to. */
export function serviceSpec(options: ServiceOptions): Json {
  const { name, replicas = 1, command, env = [], constraints = [] } = options
  const sleep = 'trap "exit 0" TERM; while :; do sleep 1000 & wait; done'
  return {
    Name: name,
    TaskTemplate: {
      ContainerSpec: {
        Image: IMAGE,
        Command: command ?? ['sh', '-c', sleep],
        Env: env,
        StopGracePeriod: (options.stopGraceMs ?? 1_000) * 1_000_000,
      },
      RestartPolicy: { Condition: 'any', Delay: 0 },
      Placement: { Constraints: constraints },
    },
    Mode: { Replicated: { Replicas: replicas } },
  }
}

export type ClusterOptions = Size & {
  readonly strangers?: number
  /** Where no containers are needed, for `process` starts much faster. */
  readonly runtime?: 'containerd' | 'process'
  /** Called for each host before its daemon is started. */
  readonly prepare?: (host: Host) => Promise<void>
}

/**
 * A cluster in a place of its own; `number` keeps several test files apart. The last `strangers` of
 * the hosts run a daemon and are in no cluster.
 */
export async function openCluster(
  number: number,
  { strangers = 0, runtime = 'containerd', prepare, ...size }: ClusterOptions,
): Promise<Cluster> {
  const place: Place = {
    folder: `/var/tmp/tsswarm-cluster-${number}`,
    net: { prefix: `tse${number}`, number: 80 + 2 * number },
  }
  // What an earlier run left behind when it was killed.
  removeAll(place)
  const state = newState(place, size)
  if (runtime === 'process') state.hosts.splice(0, Infinity, ...state.hosts.map(withoutContainers))
  const cluster = new Cluster(state)
  for (const host of cluster.hosts) await prepare?.(host)
  await Promise.all(cluster.hosts.map((host) => cluster.start(host)))
  const members = cluster.hosts.slice(0, size.hosts - strangers)
  await form(cluster, members, size.managers)
  return cluster
}

function withoutContainers(host: Host): Host {
  const flags = host.flags.flatMap((flag, at, all) => {
    if (flag === '--images' || all[at - 1] === '--images') return []
    return [all[at - 1] === '--runtime' ? 'process' : flag]
  })
  return { ...host, flags }
}

async function form(cluster: Cluster, members: readonly Host[], managers: number): Promise<void> {
  const [first, ...others] = members
  if (first === undefined) return
  await cluster.call(first, 'POST', '/swarm/init', { ListenAddr: '0.0.0.0:2377' })
  const tokens = await joinTokens(cluster, first)
  for (const [at, host] of others.entries())
    await cluster.call(host, 'POST', '/swarm/join', {
      RemoteAddrs: [`${first.address}:2377`],
      JoinToken: at + 1 < managers ? tokens.manager : tokens.worker,
    })
  await cluster.untilReady(first, members.length)
  await cluster.untilNodes(
    first,
    'managers that vote',
    (nodes) => nodes.filter((node) => node.isReachable).length === managers,
  )
}

export async function joinTokens(
  cluster: Cluster,
  host: Host,
): Promise<{ readonly manager: string; readonly worker: string }> {
  const tokens = asJson(asJson(await cluster.call(host, 'GET', '/swarm'))['JoinTokens'])
  return { manager: String(tokens['Manager']), worker: String(tokens['Worker']) }
}

/** A writer that notes what was acknowledged, and when. */
export class Writer {
  readonly acknowledged: { readonly name: string; readonly atMs: number }[] = []
  #isStopped = false
  #done: Promise<void>

  /** Configs are created one after another through these hosts, going on with the next when one fails. */
  constructor(hosts: readonly Host[], label: string) {
    this.#done = this.#run(hosts, label)
  }

  async stop(): Promise<readonly string[]> {
    this.#isStopped = true
    await this.#done
    return this.acknowledged.map(({ name }) => name)
  }

  async #run(hosts: readonly Host[], label: string): Promise<void> {
    for (let count = 0, at = 0; !this.#isStopped; count++) {
      const name = `${label}-${count}`
      const socket = hosts[at % hosts.length]?.socket ?? ''
      const body = { Name: name, Data: Buffer.from(name).toString('base64') }
      const answer = await callApi({
        ...{ socket, method: 'POST', path: '/configs/create', body },
        timeoutMs: 2_000,
      }).catch(() => undefined)
      if (answer?.status === 201) this.acknowledged.push({ name, atMs: performance.now() })
      else at++
    }
  }
}

export async function listConfigs(cluster: Cluster, host: Host): Promise<ReadonlySet<string>> {
  const configs = asList(await cluster.call(host, 'GET', '/configs'))
  return new Set(configs.map((config) => String(asJson(config['Spec'])['Name'])))
}

export function asJson(value: unknown): Json {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

export function asList(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.map(asJson) : []
}

export function messageOf(body: unknown): string {
  return String(asJson(body)['message'] ?? body)
}

export function isGone(pid: number): boolean {
  if (pid === 0 || !existsSync(`/proc/${pid}/status`)) return true
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return true
  }
}
