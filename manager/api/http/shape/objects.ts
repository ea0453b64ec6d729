/**
 * The replicated objects as Docker's JSON (swarm-mode.md 1.1 to 1.7), one direction only. What must
 * stay inside is not written: data of secrets, credentials, keys, and join tokens but where they are
 * asked for. Each function gives a plain value for JSON.stringify; members that are undefined vanish.
 */
import type {
  Cluster,
  Config,
  JobStatus,
  Meta,
  Node,
  Secret,
  Service,
  Task,
} from '../../../../proto/gen/objects.ts'
import {
  emptyClusterSpec,
  emptyConfigSpec,
  emptyNodeSpec,
  emptySecretSpec,
  emptyServiceSpec,
  emptyTaskSpec,
} from '../../../../proto/gen/specs.ts'
import {
  emptyResources,
  type GenericResource,
  type TaskState,
} from '../../../../proto/gen/types.ts'
import { isJobTask } from '../../../model/task.ts'
import type { KnownManager } from '../../backend.ts'
import { genericResources } from './placement.ts'
import {
  endpointSpec,
  portConfig,
  serviceSpec,
  taskSpec,
  writeWithDefaults,
} from './service-spec.ts'
import { list } from './shape.ts'
import { clusterSpec, configSpec, nodeSpec, secretSpec } from './specs.ts'
import { tlsInfo } from './tls-info.ts'

export type JsonObject = Readonly<Record<string, unknown>>

const ports = list(portConfig)

/** Go's zero time. */
export const ZERO_TIME = '0001-01-01T00:00:00Z'

/** Wall ms as RFC 3339; 0 is Go's zero time. */
export function formatTime(ms: number): string {
  return ms === 0 ? ZERO_TIME : new Date(ms).toISOString()
}

export function serviceToJson(service: Service): JsonObject {
  return serviceWith(service, serviceSpec.write(service.spec ?? emptyServiceSpec))
}

/** The service with everything that its spec leaves open filled in. */
export function serviceToJsonWithDefaults(service: Service): JsonObject {
  return serviceWith(service, writeWithDefaults(service.spec ?? emptyServiceSpec))
}

function serviceWith(service: Service, spec: unknown): JsonObject {
  return {
    ...headOf(service),
    Spec: spec,
    PreviousSpec: service.previousSpec && serviceSpec.write(service.previousSpec),
    Endpoint: endpointToJson(service),
    UpdateStatus: updateStatusToJson(service),
    JobStatus: service.jobStatus && jobStatusToJson(service.jobStatus),
  }
}

export function taskToJson(task: Task): JsonObject {
  const { status } = task
  const container = status?.container
  return {
    ...headOf(task),
    // Docker leaves name and labels of a task empty; clients make its name (swarm-mode.md 6.4).
    Labels: {},
    Spec: taskSpec.write(task.spec ?? emptyTaskSpec),
    ServiceID: task.serviceId,
    Slot: task.slot === 0 ? undefined : shownSlot(task),
    NodeID: task.nodeId === '' ? undefined : task.nodeId,
    Status: {
      Timestamp: formatTime(status?.timestampMs ?? 0),
      State: status?.state ?? 'new',
      Message: status?.message === '' ? undefined : status?.message,
      Err: status?.error === '' ? undefined : status?.error,
      ContainerStatus: container && {
        ContainerID: container.containerId,
        PID: container.pid,
        ExitCode: container.exitCode,
      },
      PortStatus:
        status === undefined || status.hostPorts.length === 0
          ? {}
          : { Ports: ports.write(status.hostPorts) },
    },
    DesiredState: shownDesiredState(task),
    JobIteration: isJobTask(task) ? { Index: task.jobIteration - 1 } : undefined,
    GenericResources: genericResourcesToJson(task.assignedGeneric),
  }
}

/** Slots of jobs are counted from 0 in the API, and clients draw their progress by that. */
function shownSlot(task: Task): number {
  return isJobTask(task) ? task.slot - 1 : task.slot
}

/** What Swarm wants of a job's task is that it completes, and that it has stays wanted. */
export function shownDesiredState(task: Task): TaskState {
  if (!isJobTask(task)) return task.desiredState
  const isDone = task.desiredState === 'shutdown' && task.status?.state === 'complete'
  return task.desiredState === 'running' || isDone ? 'complete' : task.desiredState
}

function jobStatusToJson({ iteration, lastExecutionMs }: JobStatus): JsonObject {
  return {
    JobIteration: { Index: iteration - 1 },
    LastExecution: formatTime(lastExecutionMs),
  }
}

export function nodeToJson(node: Node): JsonObject {
  const { description, status } = node
  const resources = description?.resources ?? emptyResources
  return {
    ...headOf(node),
    Spec: nodeSpec.write(node.spec ?? emptyNodeSpec),
    Description: {
      Hostname: description?.hostname,
      Platform: {
        Architecture: description?.platform?.architecture,
        OS: description?.platform?.os,
      },
      Resources: {
        NanoCPUs: resources.nanoCpus,
        MemoryBytes: resources.memoryBytes,
        GenericResources: genericResourcesToJson(resources.generic),
      },
      Engine: {
        EngineVersion: description?.engineVersion,
        Labels: Object.fromEntries(description?.engineLabels ?? []),
        Plugins: (description?.plugins ?? []).map(({ type, name }) => ({ Type: type, Name: name })),
      },
      TLSInfo: tlsInfo(description?.trustRootPem ?? ''),
    },
    Status: {
      State: status?.state ?? 'unknown',
      Message: status?.message === '' ? undefined : status?.message,
      Addr: status?.addr,
    },
  }
}

function genericResourcesToJson(resources: readonly GenericResource[]): unknown {
  return resources.length === 0 ? undefined : genericResources.write(resources)
}

/** `ManagerStatus` of a node, which is known from Raft and stored nowhere. */
export function managerStatusToJson(manager: KnownManager): JsonObject {
  return {
    Leader: manager.isLeader ? true : undefined,
    Reachability: manager.isReachable ? 'reachable' : 'unreachable',
    Addr: manager.addr,
  }
}

export function secretToJson(secret: Secret): JsonObject {
  return { ...headOf(secret), Spec: secretSpec.write(secret.spec ?? emptySecretSpec) }
}

export function configToJson(config: Config): JsonObject {
  return { ...headOf(config), Spec: configSpec.write(config.spec ?? emptyConfigSpec) }
}

/** ClusterInfo: what `GET /info` shows of the cluster; no tokens. */
export function clusterToJson(cluster: Cluster): JsonObject {
  return {
    ...headOf(cluster),
    Spec: clusterSpec.write(cluster.spec ?? emptyClusterSpec),
    TLSInfo: tlsInfo(cluster.rootCa?.certificatePem ?? ''),
    RootRotationInProgress: false,
    DefaultAddrPool: ['10.0.0.0/8'],
    SubnetSize: 24,
    DataPathPort: 4789,
  }
}

/** The same with the join tokens, for `GET /swarm`. */
export function swarmToJson(cluster: Cluster): JsonObject {
  return {
    ...clusterToJson(cluster),
    JoinTokens: { Worker: cluster.rootCa?.workerToken, Manager: cluster.rootCa?.managerToken },
  }
}

function headOf(object: { readonly id: string; readonly meta: Meta | undefined }): JsonObject {
  return {
    ID: object.id,
    Version: { Index: object.meta?.version ?? 0 },
    CreatedAt: formatTime(object.meta?.createdMs ?? 0),
    UpdatedAt: formatTime(object.meta?.updatedMs ?? 0),
  }
}

function endpointToJson({ spec }: Service): JsonObject {
  const endpoint = spec?.endpoint
  if (endpoint === undefined) return {}
  return {
    Spec: endpointSpec.write(endpoint),
    Ports: endpoint.ports.length === 0 ? undefined : ports.write(endpoint.ports),
  }
}

function updateStatusToJson({ updateStatus }: Service): JsonObject | undefined {
  if (updateStatus === undefined) return undefined
  const { state, startedMs, completedMs, message } = updateStatus
  return {
    State: state.replaceAll('-', '_'),
    StartedAt: startedMs === 0 ? undefined : formatTime(startedMs),
    CompletedAt: completedMs === 0 ? undefined : formatTime(completedMs),
    Message: message,
  }
}
