/**
 * The real side of the containerd runtime's port Host: what the daemon has others do on its machine.
 * Logs, ports and commands are the keeper's, links the kernel's; this file puts them together and
 * refuses ports that the node itself lives by (host.md 26).
 */
import { readFileSync } from 'node:fs'
import type { PublishedPort } from '../../agent/network/plan.ts'
import { planResolvConf } from '../../agent/network/resolver.ts'
import type {
  Host,
  HostFacts,
  LogPipes,
  NetworkAttachment,
  NetworkOptions,
  PortOptions,
  RunOptions,
  RunResult,
} from '../../agent/runtime/containerd/host.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { PortConfig } from '../../proto/gen/types.ts'
import type { KeeperClient } from './client.ts'
import { type HostNetwork, openHostNetwork } from './host-network.ts'
import type { HostPaths } from './host-paths.ts'
import { newKernel } from './kernel.ts'
import type { HostPort, TaskPorts } from './protocol.ts'

const RESOLV_CONF = '/etc/resolv.conf'
/** Where systemd-resolved says whom it asks itself. */
const UPSTREAM_RESOLV_CONF = '/run/systemd/resolve/resolv.conf'

export type KeeperHostOptions = {
  readonly paths: HostPaths
  readonly keeper: KeeperClient
  /** An external containerd, e.g. `unix:///run/containerd/containerd.sock`; absent: a private one. */
  readonly containerd?: string
  /** Ports that cannot be published, `22/tcp`, and whose they are, `ssh`. */
  readonly refusedPorts: ReadonlyMap<string, string>
}

/** containerd answers, the host was probed, and links and ports of an earlier daemon are known. */
export async function openKeeperHost(options: KeeperHostOptions): Promise<KeeperHost> {
  const { keeper, paths } = options
  const [probe, taskPorts] = await Promise.all([
    keeper.probe(),
    keeper.listPorts(),
    options.containerd === undefined ? keeper.ensureContainerd() : undefined,
  ])
  const network = await openHostNetwork({
    kernel: newKernel(keeper, paths.hash),
    hash: paths.hash,
    stateDirectory: paths.stateDirectory,
    published: new Map(taskPorts.map((each) => [each.taskId, toPublished(each)])),
  })
  const isSystemd = probe.cgroupDriver === 'systemd'
  const facts: HostFacts = {
    containerdAddress: options.containerd ?? `unix://${paths.containerdSocket}`,
    runtimeRoot: paths.runtimeRoot,
    logDirectory: paths.logDirectory,
    snapshotter: probe.snapshotter,
    cgroupDriver: probe.cgroupDriver,
    cgroupParent: isSystemd ? `tsswarm.slice:tsswarm-${paths.hash}` : `/tsswarm/${paths.hash}`,
    warnings: probe.warnings,
  }
  return new KeeperHost(options, facts, network)
}

export class KeeperHost implements Host {
  readonly facts: HostFacts
  readonly #keeper: KeeperClient
  readonly #refusedPorts: ReadonlyMap<string, string>
  readonly #network: HostNetwork

  constructor(options: KeeperHostOptions, facts: HostFacts, network: HostNetwork) {
    this.facts = facts
    this.#keeper = options.keeper
    this.#refusedPorts = options.refusedPorts
    this.#network = network
  }

  async openLogs(taskId: string): Promise<LogPipes> {
    const pipes = await this.#keeper.openLogs(taskId)
    return { stdoutFifo: pipes.stdout, stderrFifo: pipes.stderr }
  }

  closeLogs(taskId: string): Promise<void> {
    return this.#keeper.closeLogs(taskId)
  }

  async attachNetwork(taskId: string, options: NetworkOptions): Promise<NetworkAttachment> {
    const resolvConf = readText(RESOLV_CONF)
    if (options.mode === 'host') return { netnsPath: undefined, address: undefined, resolvConf }
    const { address, namespace } = await this.#network.attach(taskId)
    return {
      netnsPath: `/run/netns/${namespace}`,
      address,
      resolvConf: planResolvConf(resolvConf, readText(UPSTREAM_RESOLV_CONF)),
    }
  }

  detachNetwork(taskId: string): Promise<void> {
    return this.#network.detach(taskId)
  }

  async openPorts(taskId: string, options: PortOptions): Promise<readonly PortConfig[]> {
    const { address } = options
    const wanted = options.ports.map((port) => this.#toHostPort(port))
    const opened = await this.#keeper.openPorts({ taskId, address, ports: wanted })
    try {
      await this.#network.publish(taskId, toPublished({ taskId, address, ports: opened }))
    } catch (error) {
      await this.closePorts(taskId)
      throw error
    }
    return options.ports.map((port, i) => ({
      ...port,
      publishedPort: opened[i]?.publishedPort ?? port.publishedPort,
    }))
  }

  async closePorts(taskId: string): Promise<void> {
    await this.#network.unpublish(taskId)
    await this.#keeper.closePorts(taskId)
  }

  run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.#keeper.run(argv, options)
  }

  /** Links and ports of tasks that are not among these are gone. */
  async retain(taskIds: ReadonlySet<string>): Promise<void> {
    await this.#network.retain(taskIds)
    for (const { taskId } of await this.#keeper.listPorts()) {
      if (!taskIds.has(taskId)) await this.#keeper.closePorts(taskId)
    }
  }

  /** For a node that leaves: nothing of the network of its tasks is left on the machine. */
  removeNetwork(): Promise<void> {
    return this.#network.remove()
  }

  #toHostPort(port: PortConfig): HostPort {
    const { protocol, publishedPort, targetPort } = port
    if (protocol === 'sctp') {
      throw new SwarmError('unimplemented', `port ${targetPort}/sctp cannot be published`)
    }
    const owner = this.#refusedPorts.get(`${publishedPort}/${protocol}`)
    if (owner !== undefined) {
      throw new SwarmError(
        'failed-precondition',
        `port ${publishedPort}/${protocol} belongs to ${owner} on this node; publish another one`,
      )
    }
    return { protocol, publishedPort, targetPort }
  }
}

function toPublished(task: TaskPorts): readonly PublishedPort[] {
  return task.ports.map((port) => ({ ...port, address: task.address }))
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
