/**
 * Opening the Runtime that the settings name, with the keeper behind it, and describing this node
 * to the cluster. What a host can do was found out by the keeper; here it is only put together.
 */
import { availableParallelism, hostname, totalmem } from 'node:os'
import { openContainerd } from '../agent/runtime/containerd/containerd.ts'
import { openProcessRuntime } from '../agent/runtime/process.ts'
import type { Runtime } from '../agent/runtime/runtime.ts'
import { SwarmError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { CLUSTER_VERSION } from '../manager/model/cluster-version.ts'
import { emptyNodeDescription, type NodeDescription } from '../proto/gen/objects.ts'
import type { Resources } from '../proto/gen/types.ts'
import { parseAddress } from './address.ts'
import type { Config } from './config.ts'
import { KeeperClient } from './keeper/client.ts'
import { openKeeperHost } from './keeper/host.ts'
import { type HostPaths, openHostPaths } from './keeper/host-paths.ts'
import { VERSION } from './version.ts'

export type OpenedRuntime = {
  readonly runtime: Runtime
  readonly keeper: KeeperClient
  readonly paths: HostPaths
  /** The node has left its cluster: nothing of its tasks' network stays on the machine. */
  readonly clean: () => Promise<void>
}

/** The keeper runs, and the runtime answers. */
export async function openRuntime(config: Config, log: Log): Promise<OpenedRuntime> {
  const paths = openHostPaths(config.stateDirectory)
  const keeper = new KeeperClient({ paths, log: log.child({ component: 'keeper' }) })
  if (config.runtime === 'process')
    return {
      runtime: await openProcessRuntime({ keeper, paths, log }),
      keeper,
      paths,
      clean: () => Promise.resolve(),
    }
  const host = await openKeeperHost({
    paths,
    keeper,
    refusedPorts: refusedPorts(config),
    ...(config.containerd === undefined ? {} : { containerd: withScheme(config.containerd) }),
  })
  const runtime = await openContainerd({
    host,
    stateDirectory: paths.stateDirectory,
    log: log.child({ component: 'containerd' }),
    mirrors: new Map(
      config.registryMirrors.length === 0 ? [] : [['docker.io', config.registryMirrors]],
    ),
    insecureRegistries: config.insecureRegistries,
    ...(config.imagesDirectory === undefined ? {} : { imagesDirectory: config.imagesDirectory }),
  })
  // Links and ports of tasks whose containers are gone are leftovers of an earlier life.
  const containers = await runtime.list()
  await host.retain(new Set(containers.map((container) => container.taskId)))
  return { runtime, keeper, paths, clean: () => host.removeNetwork() }
}

/** This node as its managers are told of it. */
export async function describeNode(
  runtime: Runtime,
  config: Config,
  trustRootPem: string,
): Promise<NodeDescription> {
  const described = await runtime.describe()
  return {
    ...emptyNodeDescription,
    hostname: hostname(),
    platform: described.platform,
    resources: { ...offered(described.resources, config), generic: config.genericResources },
    engineVersion: VERSION,
    engineLabels: config.labels,
    plugins: described.plugins,
    runtime: runtime.name,
    warnings: described.warnings,
    trustRootPem,
    version: CLUSTER_VERSION,
  }
}

/** What is left of the machine for tasks; SwarmError `invalid-argument` where that is nothing. */
export function offered(has: Resources, { reserved }: Pick<Config, 'reserved'>): Resources {
  const left = {
    ...has,
    nanoCpus: has.nanoCpus - reserved.nanoCpus,
    memoryBytes: has.memoryBytes - reserved.memoryBytes,
  }
  for (const [flag, rest] of [
    ['reserve-cpu', left.nanoCpus],
    ['reserve-memory', left.memoryBytes],
  ] as const)
    if (rest <= 0)
      throw new SwarmError(
        'invalid-argument',
        `--${flag} leaves nothing to tasks: this machine offers ${has.nanoCpus / 1e9} processors and ${has.memoryBytes} bytes`,
      )
  return left
}

/** What this machine has, for `info` outside of a cluster. */
export function machineResources(): { readonly nanoCpus: number; readonly memoryBytes: number } {
  return { nanoCpus: availableParallelism() * 1e9, memoryBytes: totalmem() }
}

/** Ports a service may not take from the node itself (host.md 26). */
function refusedPorts(config: Config): ReadonlyMap<string, string> {
  const own: [string, string][] = [
    ['22/tcp', 'ssh'],
    [`${parseAddress(config.listen, 2377).port}/tcp`, 'the control listener of tsswarm'],
    [`${parseAddress(config.raftListen, 7946).port}/tcp`, 'the Raft listener of tsswarm'],
    ['4789/udp', 'VXLAN'],
    ['4790/udp', 'encrypted VXLAN'],
    ['51820/udp', 'WireGuard'],
  ]
  if (config.metrics !== undefined)
    own.push([`${parseAddress(config.metrics).port}/tcp`, 'the metrics of tsswarm'])
  return new Map(own)
}

function withScheme(address: string): string {
  return address.startsWith('/') ? `unix://${address}` : address
}
