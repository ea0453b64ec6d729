/**
 * Managers as bare processes of one machine, each on a loopback address of its own with the runtime
 * `process`: for tests of what managers do with their disks, versions and each other, where no
 * container takes part. Each may run from a tree of its own. Everything waits for conditions; what
 * a daemon said stands in its log.
 */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ApiAnswer, callApi } from '../../deploy/quickstart/api.ts'
import { TSSWARM, waitFor } from '../../deploy/quickstart/cluster.ts'
import { isAlive, kill, killAll, removeFolder } from '../../deploy/quickstart/processes.ts'
import { asJson, asList, messageOf } from './cluster.ts'

const START_MS = 60_000
const CONVERGE_MS = 90_000
const CONTROL_PORT = 2377

type Json = Readonly<Record<string, unknown>>

export type ProcessHost = {
  readonly name: string
  readonly address: string
  readonly socket: string
  readonly stateDirectory: string
  readonly logFile: string
  /** The launcher it is started with. */
  program: string
  pid: number
  /** Of the last daemon that ended; undefined while one runs. */
  exitCode: number | undefined
}

export type ManagerView = {
  readonly nodeId: string
  /** Of a manager; empty for a worker. */
  readonly address: string
  readonly role: string
  readonly state: string
  readonly isManager: boolean
  readonly isLeader: boolean
  readonly isReachable: boolean
}

export class ProcessCluster {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'tsswarm-e2e-'))
  readonly hosts: readonly ProcessHost[]

  /** `net` keeps test files apart: hosts have the addresses 127.NET.0.1 and on. */
  constructor(net: number, count: number, program: string = TSSWARM) {
    this.hosts = Array.from({ length: count }, (_, at) => {
      const name = `m${at + 1}`
      const stateDirectory = join(this.folder, name)
      mkdirSync(stateDirectory, { mode: 0o700 })
      return {
        name,
        address: `127.${net}.0.${at + 1}`,
        socket: join(this.folder, `${name}.sock`),
        stateDirectory,
        logFile: join(this.folder, `${name}.log`),
        program,
        pid: 0,
        exitCode: undefined,
      }
    })
  }

  host(number: number): ProcessHost {
    const host = this.hosts[number - 1]
    if (host === undefined) throw new Error(`there is no host ${number}`)
    return host
  }

  /** All daemons run, the first one has made the cluster, and all are managers that vote. */
  async form(): Promise<void> {
    await Promise.all(this.hosts.map((host) => this.start(host)))
    const [first, ...others] = this.hosts
    if (first === undefined) return
    await this.call(first, 'POST', '/swarm/init', { ListenAddr: '0.0.0.0:2377' })
    for (const host of others) await this.join(host, first, 'Manager')
    await this.untilManagers(first, this.hosts.length)
  }

  async join(host: ProcessHost, through: ProcessHost, role: 'Manager' | 'Worker'): Promise<void> {
    const swarm = asJson(await this.call(through, 'GET', '/swarm'))
    await this.call(host, 'POST', '/swarm/join', {
      RemoteAddrs: [`${through.address}:${CONTROL_PORT}`],
      JoinToken: asJson(swarm['JoinTokens'])[role],
    })
  }

  /** The daemon answers; throws with the end of its log when it ends instead. */
  async start(host: ProcessHost, ...flags: readonly string[]): Promise<void> {
    this.spawn(host, ...flags)
    await waitFor(`the daemon of ${host.name}, see ${host.logFile}`, START_MS, async () => {
      if (!isAlive(host.pid))
        throw new Error(`${host.name} ended: ${this.readLog(host).slice(-600)}`)
      const answer = await callApi({ socket: host.socket, path: '/info' }).catch(() => undefined)
      const state = asJson(asJson(answer?.body)['Swarm'])['LocalNodeState']
      return answer?.status === 200 && state !== 'pending' ? true : undefined
    })
  }

  /** The daemon that is expected to refuse has ended; its exit code and what it said. */
  async startRefused(
    host: ProcessHost,
    ...flags: readonly string[]
  ): Promise<{ readonly exitCode: number; readonly said: string }> {
    const before = this.readLog(host).length
    this.spawn(host, ...flags)
    const exitCode = await this.untilEnded(host)
    return { exitCode, said: this.readLog(host).slice(before) }
  }

  untilEnded(host: ProcessHost): Promise<number> {
    return waitFor(`${host.name} to end`, CONVERGE_MS, async () => host.exitCode)
  }

  spawn(host: ProcessHost, ...flags: readonly string[]): void {
    const output = openSync(host.logFile, 'a', 0o600)
    const child = spawn(
      host.program,
      [
        'daemon',
        ...['--state-dir', host.stateDirectory, '--api', `unix://${host.socket}`],
        ...['--listen', `${host.address}:${CONTROL_PORT}`, '--runtime', 'process'],
        ...['--raft-listen', `${host.address}:7946`],
        ...['--advertise-addr', `${host.address}:${CONTROL_PORT}`, ...flags],
      ],
      { detached: true, stdio: ['ignore', output, output] },
    )
    closeSync(output)
    host.pid = child.pid ?? 0
    host.exitCode = undefined
    child.once('exit', (code) => {
      host.exitCode = code ?? -1
    })
    child.unref()
  }

  async end(host: ProcessHost, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    kill(host.pid, signal)
    await this.untilEnded(host)
    host.pid = 0
  }

  readLog(host: ProcessHost): string {
    return readFileSync(host.logFile, 'utf8')
  }

  close(): void {
    killAll([this.folder])
    removeFolder(this.folder)
  }

  // ── the API ────────────────────────────────────────────────────────────────────────────────

  ask(
    host: ProcessHost,
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
  ): Promise<ApiAnswer> {
    return callApi({ socket: host.socket, method, path, body, timeoutMs: CONVERGE_MS })
  }

  /** The body of a successful answer; throws what the daemon said otherwise. */
  async call(
    host: ProcessHost,
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
  ): Promise<unknown> {
    const answer = await this.ask(host, method, path, body)
    if (answer.status < 400) return answer.body
    throw new Error(`${method} ${path} on ${host.name}: ${answer.status} ${messageOf(answer.body)}`)
  }

  async createConfig(host: ProcessHost, name: string): Promise<void> {
    const body = { Name: name, Data: Buffer.from(name).toString('base64') }
    await this.call(host, 'POST', '/configs/create', body)
  }

  /** Names of the configs as that host has them; `stale` asks nobody else. */
  async listConfigs(
    host: ProcessHost,
    consistency: 'linearizable' | 'stale' = 'linearizable',
  ): Promise<readonly string[]> {
    const configs = asList(await this.call(host, 'GET', `/configs?consistency=${consistency}`))
    return configs.map((config) => String(asJson(config['Spec'])['Name'])).sort()
  }

  async info(host: ProcessHost): Promise<Json> {
    return asJson(asJson(await this.call(host, 'GET', '/info'))['Swarm'])
  }

  untilInfo(host: ProcessHost, what: string, holds: (info: Json) => boolean): Promise<Json> {
    return waitFor(`${host.name} ${what}`, CONVERGE_MS, async () => {
      const info = await this.info(host)
      return holds(info) ? info : undefined
    })
  }

  async listNodes(host: ProcessHost): Promise<readonly ManagerView[]> {
    const nodes = asList(await this.call(host, 'GET', '/nodes'))
    return nodes.map((node) => {
      const manager = asJson(node['ManagerStatus'])
      return {
        nodeId: String(node['ID']),
        address: String(manager['Addr'] ?? '').replace(/:\d+$/, ''),
        role: String(asJson(node['Spec'])['Role']),
        state: String(asJson(node['Status'])['State'] ?? ''),
        isManager: node['ManagerStatus'] !== undefined,
        isLeader: manager['Leader'] === true,
        isReachable: manager['Reachability'] === 'reachable',
      }
    })
  }

  untilNodes(
    host: ProcessHost,
    what: string,
    holds: (nodes: readonly ManagerView[]) => boolean,
  ): Promise<readonly ManagerView[]> {
    return waitFor(what, CONVERGE_MS, async () => {
      const nodes = await this.listNodes(host).catch(() => [])
      return holds(nodes) ? nodes : undefined
    })
  }

  /** So many managers vote and are ready, one of them leading, as that host sees it. */
  untilManagers(host: ProcessHost, count: number): Promise<readonly ManagerView[]> {
    return this.untilNodes(host, `${count} managers`, (nodes) => {
      const managers = nodes.filter((node) => node.isReachable && node.state === 'ready')
      return managers.length === count && managers.some((node) => node.isLeader)
    })
  }

  async leader(asked: ProcessHost = this.host(1)): Promise<ProcessHost> {
    const nodes = await this.untilNodes(asked, 'a leader', (found) =>
      found.some((node) => node.isLeader),
    )
    const address = nodes.find((node) => node.isLeader)?.address
    const host = this.hosts.find((candidate) => candidate.address === address)
    if (host === undefined) throw new Error(`no host has the address ${address}`)
    return host
  }
}
