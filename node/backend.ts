/**
 * The daemon's side of port Backend: what the HTTP API asks, answered by the node, its manager and
 * its runtime. Reads and writes need a manager; what every node can say of itself needs nobody.
 */

import { readFileSync } from 'node:fs'
import { hostname, release } from 'node:os'
import type { Runtime } from '../agent/runtime/runtime.ts'
import { SwarmError } from '../lib/errors.ts'
import type {
  Backend,
  InitRequest,
  JoinRequest,
  LocalNode,
  LogEvent,
  LogsRequest,
} from '../manager/api/backend.ts'
import { localCaller } from '../manager/manager.ts'
import type { Change } from '../manager/store/change.ts'
import type { View } from '../manager/store/view.ts'
import type { WriteReply, WriteRequest } from '../proto/gen/control.ts'
import type { Health } from '../proto/gen/objects.ts'
import { parseAddress } from './address.ts'
import type { Config } from './config.ts'
import type { ManagerRole } from './manager-role.ts'
import { formatMetrics } from './metrics.ts'
import type { Node } from './node.ts'
import { machineResources } from './runtime.ts'
import { VERSION } from './version.ts'

const NOT_IN_SWARM =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.'
const WORKER =
  "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager."
const PREPARING =
  'This node is not a swarm manager. Manager is being prepared or has trouble connecting to the cluster.'

export type BackendOptions = {
  readonly node: Node
  readonly config: Config
  readonly runtime: Runtime
  /** Of the loop that serves: how late it was lately. */
  readonly loopDelayMs: () => number
}

export class NodeBackend implements Backend {
  #options: BackendOptions
  #counts = { running: 0, stopped: 0 }
  #system: { readonly operatingSystem: string } = { operatingSystem: readOsName() }

  constructor(options: BackendOptions) {
    this.#options = options
  }

  local(): LocalNode {
    const { node, config, runtime } = this.#options
    const { identity } = node
    const view = node.manager?.shell.view()
    const own = identity === undefined ? undefined : view?.nodes.get(identity.claims.nodeId)
    const machine = machineResources()
    return {
      nodeId: identity?.claims.nodeId ?? '',
      clusterId: identity?.claims.clusterId ?? '',
      state: node.state,
      error: node.error,
      isManager: node.manager !== undefined && node.state === 'active',
      addr: identity === undefined ? '' : parseAddress(identity.place.advertiseAddr, 0).host,
      hostname: hostname(),
      version: VERSION,
      platform: { architecture: kernelArchitecture(), os: process.platform },
      kernelVersion: release(),
      operatingSystem: this.#system.operatingSystem,
      nanoCpus: own?.description?.resources?.nanoCpus ?? machine.nanoCpus,
      memoryBytes: own?.description?.resources?.memoryBytes ?? machine.memoryBytes,
      engineLabels: config.labels,
      runtime: runtime.name,
      stateDirectory: config.stateDirectory,
      warnings: own?.description?.warnings ?? [],
      runningContainers: this.#counts.running,
      stoppedContainers: this.#counts.stopped,
      managers: node.listManagers(),
    }
  }

  async read(consistency: 'linearizable' | 'stale'): Promise<View> {
    const { shell } = this.#manager()
    return consistency === 'stale' ? shell.view() : shell.read()
  }

  write(body: NonNullable<WriteRequest['body']>): Promise<WriteReply> {
    return this.#manager().shell.write({ caller: localCaller, body })
  }

  init(request: InitRequest): Promise<string> {
    return this.#options.node.init(request)
  }

  join(request: JoinRequest): Promise<void> {
    return this.#options.node.join(request)
  }

  async leave({ force }: { readonly force: boolean }): Promise<void> {
    const { node } = this.#options
    if (node.state === 'inactive')
      throw new SwarmError('unavailable', 'This node is not part of a swarm')
    if (node.manager !== undefined && !force)
      throw new SwarmError('unavailable', this.#leaveWarning())
    await node.leave()
  }

  logs(request: LogsRequest): AsyncIterable<LogEvent> {
    return this.#manager().logs.subscribe(request)
  }

  watch(onChanges: (changes: readonly Change[] | undefined, view: View) => void): () => void {
    return this.#options.node.watch(onChanges)
  }

  findHealth(taskId: string): Health | undefined {
    return this.#options.node.agent?.findHealth(taskId)
  }

  metrics(): string {
    const { node, loopDelayMs } = this.#options
    return formatMetrics({
      nodeId: node.identity?.claims.nodeId ?? '',
      clusterId: node.identity?.claims.clusterId ?? '',
      manager: node.manager?.shell,
      agent: node.agent,
      loopDelayMs: loopDelayMs(),
    })
  }

  /** Counts containers again; `info` shows the last count. */
  async count(): Promise<void> {
    const list = await this.#options.runtime.list()
    const running = list.filter((container) => container.state === 'running').length
    this.#counts = { running, stopped: list.length - running }
  }

  #manager(): ManagerRole {
    const { node } = this.#options
    if (node.manager !== undefined && node.state === 'active') return node.manager
    if (node.state === 'inactive') throw new SwarmError('unavailable', NOT_IN_SWARM)
    if (node.error !== '') throw new SwarmError('unavailable', node.error)
    throw new SwarmError(
      'unavailable',
      node.identity?.claims.role === 'manager' || node.state === 'pending' ? PREPARING : WORKER,
    )
  }

  /** Docker's words (swarm-mode.md 6.2). */
  #leaveWarning(): string {
    const managers = this.#options.node.listManagers()
    const reachable = managers.filter((manager) => manager.isReachable).length
    const start =
      'You are attempting to leave the swarm on a node that is participating as a manager. '
    const isLast = managers.length <= 1
    const losesQuorum = (reachable - 1) * 2 <= managers.length
    const middle = isLast
      ? 'Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. '
      : losesQuorum
        ? `Removing this node leaves ${reachable - 1} managers out of ${managers.length}. Without a Raft quorum your swarm will be inaccessible. `
        : ''
    const end = isLast
      ? ''
      : 'The only way to restore a swarm that has lost consensus is to reinitialize it with `--force-new-cluster`. Use `--force` to suppress this message.'
    return `${start}${middle}${end}`.trim()
  }
}

function kernelArchitecture(): string {
  switch (process.arch) {
    case 'x64':
      return 'x86_64'
    case 'arm64':
      return 'aarch64'
    default:
      return process.arch
  }
}

function readOsName(): string {
  try {
    const text = readFileSync('/etc/os-release', 'utf8')
    return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text)?.[1] ?? process.platform
  } catch {
    return process.platform
  }
}
