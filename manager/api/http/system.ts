/**
 * The node itself in the Engine API: ping, version, info, and what clients ask around a service.
 * Everything here answers without a quorum and on every node (DESIGN section 11); the figures of
 * the cluster in `/info` are those that this manager has.
 */
import { SwarmError } from '../../../lib/errors.ts'
import type { View } from '../../store/view.ts'
import type { LocalNode } from '../backend.ts'
import { API_VERSION_MAX, API_VERSION_MIN, formatApiVersion } from './api-version.ts'
import { type Answer, type Api, type Ask, json, type Route } from './route.ts'
import { clusterToJson, type JsonObject } from './shape/objects.ts'

export const systemRoutes: readonly Route[] = [
  { method: 'GET', path: '/_ping', answer: ping },
  { method: 'HEAD', path: '/_ping', answer: ping },
  { method: 'GET', path: '/version', answer: showVersion },
  { method: 'GET', path: '/info', answer: showInfo },
  { method: 'GET', path: '/distribution/*', answer: refuseDistribution },
  { method: 'GET', path: '/tsswarm/v1/metrics', answer: showMetrics },
]

async function ping({ backend }: Api): Promise<Answer> {
  const { state, isManager } = backend.local()
  const swarm = state === 'active' ? `active/${isManager ? 'manager' : 'worker'}` : state
  return {
    kind: 'text',
    status: 200,
    contentType: 'text/plain; charset=utf-8',
    text: 'OK',
    headers: {
      'Builder-Version': '2',
      Swarm: swarm,
      'Cache-Control': 'no-cache, no-store, must-revalidate',
      Pragma: 'no-cache',
    },
  }
}

async function showVersion({ backend }: Api): Promise<Answer> {
  const local = backend.local()
  const details = {
    ApiVersion: formatApiVersion(API_VERSION_MAX),
    MinAPIVersion: formatApiVersion(API_VERSION_MIN),
    Os: local.platform.os,
    Arch: goArchitecture(local.platform.architecture),
    KernelVersion: local.kernelVersion,
  }
  return json({
    Platform: { Name: 'tsswarm' },
    Version: local.version,
    ...details,
    Components: [
      { Name: 'Engine', Version: local.version, Details: { ...details, Runtime: local.runtime } },
    ],
  })
}

async function showInfo(api: Api): Promise<Answer> {
  const local = api.backend.local()
  const view = local.isManager ? await findView(api) : undefined
  return json({
    ID: local.nodeId,
    Name: local.hostname,
    ServerVersion: local.version,
    SystemTime: new Date(api.wallMs()).toISOString(),
    OperatingSystem: local.operatingSystem,
    OSType: local.platform.os,
    Architecture: local.platform.architecture,
    KernelVersion: local.kernelVersion,
    NCPU: Math.floor(local.nanoCpus / 1e9),
    MemTotal: local.memoryBytes,
    Containers: local.runningContainers + local.stoppedContainers,
    ContainersRunning: local.runningContainers,
    ContainersPaused: 0,
    ContainersStopped: local.stoppedContainers,
    Images: 0,
    Driver: local.runtime,
    DriverStatus: [],
    DockerRootDir: local.stateDirectory,
    Plugins: { Volume: ['local'], Network: ['host'], Authorization: null, Log: ['json-file'] },
    LoggingDriver: 'json-file',
    Labels: [...local.engineLabels].map(([key, value]) => `${key}=${value}`),
    MemoryLimit: true,
    SwapLimit: false,
    CpuCfsPeriod: true,
    CpuCfsQuota: true,
    CPUShares: false,
    CPUSet: false,
    PidsLimit: true,
    IPv4Forwarding: true,
    OomKillDisable: false,
    Debug: false,
    ExperimentalBuild: false,
    LiveRestoreEnabled: true,
    Swarm: swarmToJson(local, view),
    Warnings: local.warnings,
  })
}

function swarmToJson(local: LocalNode, view: View | undefined): JsonObject {
  const [cluster] = view?.clusters.list() ?? []
  const inactive = local.state === 'inactive'
  return {
    NodeID: local.nodeId,
    NodeAddr: inactive ? '' : local.addr,
    LocalNodeState: local.state,
    ControlAvailable: local.isManager,
    Error: local.error,
    RemoteManagers: inactive
      ? null
      : local.managers.map(({ nodeId, addr }) => ({ NodeID: nodeId, Addr: addr })),
    Nodes: view?.nodes.size,
    Managers: view && [...view.nodes.by('role', 'manager')].length,
    Cluster: cluster && clusterToJson(cluster),
  }
}

/** What this manager has; undefined while it has nothing yet. */
async function findView({ backend }: Api): Promise<View | undefined> {
  try {
    return await backend.read('stale')
  } catch (error) {
    if (error instanceof SwarmError && error.code === 'unavailable') return undefined
    throw error
  }
}

/** Clients ask before each create and update, and go on without when it is refused (host.md 30). */
async function refuseDistribution(_api: Api, ask: Ask): Promise<Answer> {
  const image = (ask.params['*'] ?? '').replace(/\/json$/, '')
  throw new SwarmError(
    'not-found',
    `the registry of image "${image}" is not asked for its digest here: each node resolves the image when it pulls`,
  )
}

async function showMetrics({ backend }: Api): Promise<Answer> {
  return {
    kind: 'text',
    status: 200,
    contentType: 'text/plain; version=0.0.4; charset=utf-8',
    text: backend.metrics(),
  }
}

/** The kernel's name of an architecture in Go's spelling. */
function goArchitecture(architecture: string): string {
  const names = new Map([
    ['x86_64', 'amd64'],
    ['aarch64', 'arm64'],
  ])
  return names.get(architecture) ?? architecture
}
