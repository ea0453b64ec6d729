/**
 * From which cluster version on a spec may say what. A manager of an older version would keep a field
 * that it does not know, and do nothing of what it asks for; so a spec that uses one is refused until
 * all managers are of a version that knows it (DESIGN section 5). The table holds every field and
 * every enum value of every message that a spec is made of: a test compares it with the .proto files,
 * so that nothing is added without an answer to since when.
 */
import { SwarmError } from '../../lib/errors.ts'
import type { ServiceSpec } from '../../proto/gen/specs.ts'
import {
  type ClusterSpec,
  emptyAnnotations,
  emptyClusterSpec,
  emptyContainerSpec,
  emptyDisconnect,
  emptyDisruptionBudget,
  emptyEndpointSpec,
  emptyHealthcheck,
  emptyMount,
  emptyNetworkAttachment,
  emptyNodeSpec,
  emptyPlacement,
  emptyReplicatedJob,
  emptyReplicatedService,
  emptyResourceRequirements,
  emptyRestartPolicy,
  emptyServiceAffinity,
  emptyServiceSpec,
  emptySpreadPreference,
  emptyTaskSpec,
  emptyUpdateConfig,
  type NodeSpec,
} from '../../proto/gen/specs.ts'
import {
  emptyGenericResource,
  emptyPlatform,
  emptyPortConfig,
  emptyResources,
} from '../../proto/gen/types.ts'
import type { View } from '../store/view.ts'
import { isEqual } from './equal.ts'

/**
 * A field: since when it is known, and which message or enum it holds. One that is younger than the
 * first version has the name by which users know it.
 */
export type FieldVersion =
  | { readonly since: 1; readonly type?: string }
  | { readonly since: number; readonly name: string; readonly type?: string }

const always: FieldVersion = { since: 1 }

function alwaysOf(type: string): FieldVersion {
  return { since: 1, type }
}

function since(version: number, name: string, type?: string): FieldVersion {
  return type === undefined ? { since: version, name } : { since: version, name, type }
}

/** Message → field, as they are named in TypeScript; the members of a oneof are fields of its message. */
export const SPEC_FIELDS: Readonly<Record<string, Readonly<Record<string, FieldVersion>>>> = {
  Annotations: { name: always, labels: always },
  NodeSpec: {
    annotations: alwaysOf('Annotations'),
    role: alwaysOf('NodeRole'),
    availability: alwaysOf('Availability'),
    drainDeadlineMs: since(2, 'DrainDeadline'),
  },
  ServiceSpec: {
    annotations: alwaysOf('Annotations'),
    task: alwaysOf('TaskSpec'),
    replicated: alwaysOf('ReplicatedService'),
    global: alwaysOf('GlobalService'),
    replicatedJob: since(2, 'Mode.ReplicatedJob', 'ReplicatedJob'),
    globalJob: since(2, 'Mode.GlobalJob', 'GlobalJob'),
    update: alwaysOf('UpdateConfig'),
    endpoint: alwaysOf('EndpointSpec'),
    rollback: since(2, 'RollbackConfig', 'UpdateConfig'),
    disruptionBudget: since(2, 'DisruptionBudget', 'DisruptionBudget'),
  },
  DisruptionBudget: { maxUnavailable: always },
  ReplicatedService: { replicas: always },
  GlobalService: {},
  ReplicatedJob: { maxConcurrent: always, totalCompletions: always },
  GlobalJob: {},
  UpdateConfig: {
    parallelism: always,
    delayMs: always,
    failureAction: { since: 1, name: 'UpdateConfig.FailureAction', type: 'FailureAction' },
    monitorMs: always,
    maxFailureRatio: always,
    order: alwaysOf('UpdateOrder'),
  },
  EndpointSpec: { mode: alwaysOf('EndpointMode'), ports: alwaysOf('PortConfig') },
  PortConfig: {
    name: always,
    protocol: alwaysOf('PortProtocol'),
    targetPort: always,
    publishedPort: always,
    publishMode: alwaysOf('PublishMode'),
  },
  TaskSpec: {
    container: alwaysOf('ContainerSpec'),
    resources: alwaysOf('ResourceRequirements'),
    restart: alwaysOf('RestartPolicy'),
    placement: alwaysOf('Placement'),
    networks: alwaysOf('NetworkAttachment'),
    forceUpdate: always,
    disconnect: since(2, 'TaskTemplate.Disconnect', 'Disconnect'),
  },
  Disconnect: { lostAfterMs: always, stopAfterMs: always, keep: alwaysOf('Keep') },
  NetworkAttachment: { target: always },
  ContainerSpec: {
    image: always,
    labels: always,
    command: always,
    args: always,
    hostname: always,
    env: always,
    dir: always,
    user: always,
    readOnly: always,
    mounts: alwaysOf('Mount'),
    stopSignal: always,
    stopGraceMs: always,
    capabilityAdd: always,
    capabilityDrop: always,
    registryAuth: always,
    healthcheck: since(2, 'ContainerSpec.Healthcheck', 'Healthcheck'),
  },
  Healthcheck: {
    test: always,
    intervalMs: always,
    timeoutMs: always,
    retries: always,
    startPeriodMs: always,
    startIntervalMs: always,
  },
  Mount: {
    type: alwaysOf('MountType'),
    source: always,
    target: always,
    readOnly: always,
    propagation: alwaysOf('MountPropagation'),
    volumeNoCopy: always,
    tmpfsSizeBytes: always,
    tmpfsMode: always,
  },
  ResourceRequirements: {
    limits: alwaysOf('Resources'),
    pidsLimit: always,
    reservations: alwaysOf('Resources'),
  },
  Resources: {
    nanoCpus: always,
    memoryBytes: always,
    generic: since(2, 'Resources.Reservations.GenericResources', 'GenericResource'),
  },
  GenericResource: { kind: always, name: always, count: always },
  RestartPolicy: {
    condition: alwaysOf('RestartCondition'),
    delayMs: always,
    maxAttempts: always,
    windowMs: always,
    maxDelayMs: since(2, 'RestartPolicy.MaxDelay'),
  },
  Placement: {
    constraints: always,
    maxReplicas: always,
    platforms: alwaysOf('Platform'),
    preferences: since(2, 'Placement.Preferences', 'SpreadPreference'),
    strategy: since(2, 'Placement.Strategy', 'PlacementStrategy'),
    affinities: since(2, 'Placement.Affinities', 'ServiceAffinity'),
  },
  Platform: { architecture: always, os: always },
  SpreadPreference: { label: always },
  ServiceAffinity: { service: always, isAnti: always },
  ClusterSpec: {
    annotations: alwaysOf('Annotations'),
    taskHistoryLimit: always,
    snapshotIntervalEntries: always,
    logEntriesForSlowFollowers: always,
    heartbeatPeriodMs: always,
    nodeCertExpiryMs: always,
    keepOldSnapshots: since(2, 'Raft.KeepOldSnapshots'),
  },
}

/** Enum → value → since when it is known. */
export const SPEC_VALUES: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  NodeRole: { worker: 1, manager: 1 },
  Availability: { active: 1, pause: 1, drain: 1 },
  FailureAction: { pause: 1, continue: 1, rollback: 2 },
  UpdateOrder: { 'stop-first': 1, 'start-first': 1 },
  EndpointMode: { vip: 1, dnsrr: 1 },
  PortProtocol: { tcp: 1, udp: 1, sctp: 1 },
  PublishMode: { ingress: 1, host: 1 },
  MountType: { bind: 1, volume: 1, tmpfs: 1 },
  MountPropagation: {
    ...{ rprivate: 1, private: 1, rshared: 1, shared: 1, rslave: 1, slave: 1 },
  },
  RestartCondition: { any: 1, 'on-failure': 1, none: 1 },
  PlacementStrategy: { spread: 2, binpack: 2 },
  Keep: { replacement: 2, original: 2 },
}

/** What says nothing: a field that equals it is not used. */
const EMPTY: Readonly<Record<string, object>> = {
  ...{ Annotations: emptyAnnotations, NodeSpec: emptyNodeSpec, ServiceSpec: emptyServiceSpec },
  ...{
    Disconnect: emptyDisconnect,
    DisruptionBudget: emptyDisruptionBudget,
    ReplicatedService: emptyReplicatedService,
  },
  ...{ ReplicatedJob: emptyReplicatedJob, UpdateConfig: emptyUpdateConfig },
  ...{ EndpointSpec: emptyEndpointSpec, PortConfig: emptyPortConfig, TaskSpec: emptyTaskSpec },
  ...{ NetworkAttachment: emptyNetworkAttachment, ContainerSpec: emptyContainerSpec },
  ...{ Healthcheck: emptyHealthcheck, Mount: emptyMount, Resources: emptyResources },
  ...{ ResourceRequirements: emptyResourceRequirements, RestartPolicy: emptyRestartPolicy },
  ...{ GenericResource: emptyGenericResource, Placement: emptyPlacement, Platform: emptyPlatform },
  ...{ SpreadPreference: emptySpreadPreference, ServiceAffinity: emptyServiceAffinity },
  ...{ ClusterSpec: emptyClusterSpec },
}

/** The specs that users write. */
export type Spec =
  | { readonly kind: 'ServiceSpec'; readonly spec: ServiceSpec }
  | { readonly kind: 'NodeSpec'; readonly spec: NodeSpec }
  | { readonly kind: 'ClusterSpec'; readonly spec: ClusterSpec }

/** Something of a spec that is younger than the cluster. */
export type TooNew = { readonly name: string; readonly since: number }

/** The refusal, `failed-precondition`, of a spec that the version which the cluster speaks does not know. */
export function findUnspoken(view: View, { kind, spec }: Spec): SwarmError | undefined {
  const [cluster] = view.clusters.list()
  if (cluster === undefined) return undefined
  const found = findTooNew(kind, spec, cluster.clusterVersion)
  if (found === undefined) return undefined
  const behind = [...view.nodes.list()]
    .filter(({ member, description }) => member && (description?.version ?? 0) < found.since)
    .map(({ id, description }) => description?.hostname || id)
    .sort()
  const who = behind.length > 0 ? `managers ${behind.join(', ')}` : 'last manager'
  return new SwarmError(
    'failed-precondition',
    `${found.name} needs cluster version ${found.since}, and this cluster speaks ` +
      `${cluster.clusterVersion} until all managers are upgraded: upgrade the ${who} first, or leave it out`,
    { facts: { field: found.name, since: found.since } },
  )
}

/** The first thing that the message says and `version` does not know. */
export function findTooNew(type: string, message: object, version: number): TooNew | undefined {
  const empty: object = EMPTY[type] ?? {}
  for (const [field, known] of Object.entries(SPEC_FIELDS[type] ?? {})) {
    const value = readField(message, field)
    if (value === undefined || isEqual(value, readField(empty, field)) || isNothing(value)) continue
    const name = 'name' in known ? known.name : field
    if (known.since > version) return { name, since: known.since }
    for (const each of Array.isArray(value) ? value : [value]) {
      const found = findInValue({ name, type: known.type ?? '' }, each, version)
      if (found !== undefined) return found
    }
  }
  return undefined
}

function findInValue(
  { name, type }: { readonly name: string; readonly type: string },
  value: unknown,
  version: number,
): TooNew | undefined {
  if (typeof value === 'object' && value !== null) return findTooNew(type, value, version)
  const values = SPEC_VALUES[type]
  const known = typeof value === 'string' ? (values?.[value] ?? 1) : 1
  return known > version ? { name: `${name} ${String(value)}`, since: known } : undefined
}

/** The field, which may be the present member of a oneof. */
function readField(message: object, field: string): unknown {
  const fields: Readonly<Record<string, unknown>> = { ...message }
  if (field in fields) return fields[field]
  for (const value of Object.values(fields)) {
    if (typeof value !== 'object' || value === null || !('kind' in value)) continue
    if (value.kind === field) return { ...value }[field as keyof typeof value]
  }
  return undefined
}

function isNothing(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0
}
