/**
 * ServiceSpec as Docker's JSON (swarm-mode.md 1.3): every member that the Engine API defines up to
 * 1.50, supported or not. Members that are not are refused when they say something; which those are
 * stands in docs/docker-api.md too. Defaults that Swarm fills in when a request is read are filled
 * here; what values are allowed is decided in `manager/api/validate.ts`.
 */

import { SwarmError } from '../../../../lib/errors.ts'
import {
  type Annotations,
  type ContainerSpec,
  type Disconnect,
  type DisruptionBudget,
  type EndpointSpec,
  emptyAnnotations,
  emptyContainerSpec,
  emptyDisconnect,
  emptyDisruptionBudget,
  emptyEndpointSpec,
  emptyGlobalJob,
  emptyGlobalService,
  emptyMount,
  emptyNetworkAttachment,
  emptyPlacement,
  emptyReplicatedJob,
  emptyReplicatedService,
  emptyResourceRequirements,
  emptyRestartPolicy,
  emptyServiceSpec,
  emptyTaskSpec,
  emptyUpdateConfig,
  type GlobalJob,
  type GlobalService,
  type Mount,
  type NetworkAttachment,
  type ReplicatedJob,
  type ReplicatedService,
  type ResourceRequirements,
  type RestartPolicy,
  type ServiceSpec,
  type TaskSpec,
  type UpdateConfig,
} from '../../../../proto/gen/specs.ts'
import {
  emptyPortConfig,
  emptyResources,
  type PortConfig,
  type Resources,
} from '../../../../proto/gen/types.ts'
import { RESTART_DELAY_MS } from '../../../model/restart-delay.ts'
import { healthcheck } from './healthcheck.ts'
import { genericResources, placement } from './placement.ts'
import {
  choice,
  count,
  count32,
  decimal,
  durationMs,
  type Field,
  type Fields,
  fieldsOf,
  fixed,
  flag,
  group,
  integer,
  labels,
  list,
  maybe,
  object,
  type Shape,
  text,
  unlessBlank,
  unsupported,
} from './shape.ts'

const DEFAULT_MONITOR_MS = 5_000
const DEFAULT_STOP_GRACE_MS = 10_000

/** What Swarm does for an update or rollback that nothing was said about. */
const DEFAULT_UPDATE: UpdateConfig = {
  ...emptyUpdateConfig,
  parallelism: 1,
  monitorMs: DEFAULT_MONITOR_MS,
}

type Annotated = { readonly annotations: Annotations | undefined }

/** `Name` and `Labels`, which Docker has among the other members of every spec. */
export function annotationFields<T extends Annotated>(): {
  readonly Name: Field<T>
  readonly Labels: Field<T>
} {
  return { Name: annotationField('name', text), Labels: labelsField() }
}

function labelsField<T extends Annotated>(): Field<T> {
  const field = annotationField<T, 'labels'>('labels', labels)
  return { ...field, write: ({ annotations }) => labels.write(annotations?.labels ?? new Map()) }
}

function annotationField<T extends Annotated, K extends 'name' | 'labels'>(
  key: K,
  shape: Shape<Annotations[K]>,
): Field<T> {
  return {
    read: (value, json, path) => ({
      ...value,
      annotations: {
        ...(value.annotations ?? emptyAnnotations),
        [key]: shape.read(json, path),
      },
    }),
    write: ({ annotations = emptyAnnotations }) =>
      shape.isEmpty(annotations[key]) ? undefined : shape.write(annotations[key]),
  }
}

const ofMount = fieldsOf<Mount>()
const mount: Shape<Mount> = object(
  emptyMount,
  {
    Type: ofMount.always(
      'type',
      choice(['bind', 'volume', 'tmpfs'], { unsupported: ['npipe', 'cluster', 'image'] }),
    ),
    Source: ofMount.some('source', text),
    Target: ofMount.some('target', text),
    ReadOnly: ofMount.some('readOnly', flag),
    Consistency: unsupported('default'),
    BindOptions: group({
      Propagation: ofMount.some(
        'propagation',
        choice(['rprivate', 'private', 'rshared', 'shared', 'rslave', 'slave'], {
          fallback: 'rprivate',
        }),
      ),
      NonRecursive: unsupported(),
      CreateMountpoint: unsupported(),
      ReadOnlyNonRecursive: unsupported(),
      ReadOnlyForceRecursive: unsupported(),
    }),
    VolumeOptions: group({
      NoCopy: ofMount.some('volumeNoCopy', flag),
      Labels: unsupported(),
      DriverConfig: unsupported({ Name: 'local' }),
      Subpath: unsupported(),
    }),
    TmpfsOptions: group({
      SizeBytes: ofMount.some('tmpfsSizeBytes', count),
      Mode: ofMount.some('tmpfsMode', count32),
      Options: unsupported(),
    }),
    ImageOptions: unsupported(),
    ClusterOptions: unsupported(),
  },
  { required: ['Type', 'Target'] },
)

const ofContainer = fieldsOf<ContainerSpec>()
const container: Shape<ContainerSpec> = object(emptyContainerSpec, {
  Image: ofContainer.some('image', text),
  Labels: ofContainer.some('labels', labels),
  Command: ofContainer.some('command', list(text)),
  Args: ofContainer.some('args', list(text)),
  Hostname: ofContainer.some('hostname', text),
  Env: ofContainer.some('env', list(text)),
  Dir: ofContainer.some('dir', text),
  User: ofContainer.some('user', text),
  Groups: unsupported(),
  Privileges: unsupported(),
  Init: unsupported(),
  StopSignal: ofContainer.some('stopSignal', text),
  TTY: unsupported(),
  OpenStdin: unsupported(),
  ReadOnly: ofContainer.some('readOnly', flag),
  Mounts: ofContainer.some('mounts', list(mount)),
  StopGracePeriod: ofContainer.some('stopGraceMs', maybe(durationMs)),
  Healthcheck: unlessBlank(ofContainer.some('healthcheck', maybe(healthcheck))),
  Hosts: unsupported(),
  DNSConfig: unsupported(),
  Secrets: unsupported(),
  Configs: unsupported(),
  Isolation: unsupported('default'),
  Sysctls: unsupported(),
  CapabilityAdd: ofContainer.some('capabilityAdd', list(text)),
  CapabilityDrop: ofContainer.some('capabilityDrop', list(text)),
  Ulimits: unsupported(),
  OomScoreAdj: unsupported(),
})

function amountFields<T extends Resources>(): Fields<T> {
  const { some } = fieldsOf<T & Resources>()
  return { NanoCPUs: some('nanoCpus', integer), MemoryBytes: some('memoryBytes', integer) }
}

const reservations: Shape<Resources> = object(emptyResources, {
  ...amountFields<Resources>(),
  GenericResources: fieldsOf<Resources>().some('generic', genericResources),
})

type Limits = Resources & { readonly pids: number }
const limits: Shape<Limits> = object(
  { ...emptyResources, pids: 0 },
  { ...amountFields<Limits>(), Pids: fieldsOf<Limits>().some('pids', integer) },
)

/** `Pids` stands among Docker's limits, and beside them in the spec. */
const limitsField: Field<ResourceRequirements> = {
  read: (value, json, path) => {
    const { pids, ...amount } = limits.read(json, path)
    return { ...value, limits: amount, pidsLimit: pids }
  },
  write: ({ limits: amount, pidsLimit }) =>
    amount === undefined && pidsLimit === 0
      ? undefined
      : limits.write({ ...(amount ?? emptyResources), pids: pidsLimit }),
}

const ofRequirements = fieldsOf<ResourceRequirements>()
const requirements: Shape<ResourceRequirements> = object(emptyResourceRequirements, {
  Limits: limitsField,
  Reservations: ofRequirements.some('reservations', maybe(reservations)),
  SwapBytes: unsupported(),
  MemorySwappiness: unsupported(),
})

const ofRestart = fieldsOf<RestartPolicy>()
const restart: Shape<RestartPolicy> = object(emptyRestartPolicy, {
  Condition: ofRestart.always(
    'condition',
    choice(['any', 'on-failure', 'none'], { fallback: 'any' }),
  ),
  Delay: ofRestart.some('delayMs', maybe(durationMs)),
  MaxAttempts: ofRestart.always('maxAttempts', count),
  Window: ofRestart.some('windowMs', durationMs),
  MaxDelay: ofRestart.some('maxDelayMs', durationMs),
})

const ofDisconnect = fieldsOf<Disconnect>()
const disconnect: Shape<Disconnect> = object(emptyDisconnect, {
  LostAfter: ofDisconnect.some('lostAfterMs', durationMs),
  StopAfter: ofDisconnect.some('stopAfterMs', durationMs),
  Keep: ofDisconnect.some('keep', choice(['replacement', 'original'], { fallback: 'replacement' })),
})

const ofNetwork = fieldsOf<NetworkAttachment>()
const network: Shape<NetworkAttachment> = object(emptyNetworkAttachment, {
  Target: ofNetwork.always('target', text),
  Aliases: unsupported(),
  DriverOpts: unsupported(),
})

const ofTask = fieldsOf<TaskSpec>()
/** `TaskTemplate` of a service, `Spec` of a task. */
export const taskSpec: Shape<TaskSpec> = object(emptyTaskSpec, {
  ContainerSpec: ofTask.some('container', maybe(container)),
  PluginSpec: unsupported(),
  NetworkAttachmentSpec: unsupported(),
  Resources: ofTask.some('resources', maybe(requirements)),
  RestartPolicy: ofTask.some('restart', maybe(restart)),
  Disconnect: ofTask.some('disconnect', maybe(disconnect)),
  Placement: ofTask.some('placement', maybe(placement)),
  Networks: ofTask.some('networks', list(network)),
  LogDriver: unsupported(),
  ForceUpdate: ofTask.always('forceUpdate', count),
  Runtime: fixed('container'),
})

const ofUpdate = fieldsOf<UpdateConfig>()
const update: Shape<UpdateConfig> = object(
  { ...emptyUpdateConfig, monitorMs: DEFAULT_MONITOR_MS },
  {
    Parallelism: ofUpdate.always('parallelism', count),
    Delay: ofUpdate.some('delayMs', durationMs),
    FailureAction: ofUpdate.always(
      'failureAction',
      choice(['pause', 'continue', 'rollback'], { fallback: 'pause' }),
    ),
    Monitor: unlessBlank(ofUpdate.some('monitorMs', durationMs)),
    MaxFailureRatio: ofUpdate.always('maxFailureRatio', decimal),
    Order: ofUpdate.always(
      'order',
      choice(['stop-first', 'start-first'], { fallback: 'stop-first' }),
    ),
  },
)

const ofPort = fieldsOf<PortConfig>()
export const portConfig: Shape<PortConfig> = object(emptyPortConfig, {
  Name: ofPort.some('name', text),
  Protocol: ofPort.always('protocol', choice(['tcp', 'udp', 'sctp'], { fallback: 'tcp' })),
  TargetPort: ofPort.some('targetPort', count32),
  PublishedPort: ofPort.some('publishedPort', count32),
  PublishMode: ofPort.always('publishMode', choice(['ingress', 'host'], { fallback: 'ingress' })),
})

const ofEndpoint = fieldsOf<EndpointSpec>()
export const endpointSpec: Shape<EndpointSpec> = object(emptyEndpointSpec, {
  Mode: ofEndpoint.always('mode', choice(['vip', 'dnsrr'], { fallback: 'vip' })),
  Ports: ofEndpoint.some('ports', list(portConfig)),
})

type Modes = {
  readonly replicated: ReplicatedService | undefined
  readonly global: GlobalService | undefined
  readonly replicatedJob: ReplicatedJob | undefined
  readonly globalJob: GlobalJob | undefined
}
const NO_MODE: Modes = {
  replicated: undefined,
  global: undefined,
  replicatedJob: undefined,
  globalJob: undefined,
}

const ofJob = fieldsOf<ReplicatedJob>()
/** Without a number of its own a job runs as many tasks as it may run at one time. */
const replicatedJob: Shape<ReplicatedJob> = object<ReplicatedJob>(
  { ...emptyReplicatedJob, maxConcurrent: 1, totalCompletions: -1 },
  {
    MaxConcurrent: ofJob.always('maxConcurrent', count),
    TotalCompletions: ofJob.always('totalCompletions', count),
  },
)
const withCompletions: Shape<ReplicatedJob> = {
  ...replicatedJob,
  read: (json, path) => {
    const job = replicatedJob.read(json, path)
    return job.totalCompletions < 0 ? { ...job, totalCompletions: job.maxConcurrent } : job
  },
}

const ofModes = fieldsOf<Modes>()
const modes: Shape<Modes> = object<Modes>(NO_MODE, {
  Replicated: ofModes.some(
    'replicated',
    maybe(
      object<ReplicatedService>(
        { ...emptyReplicatedService, replicas: 1 },
        { Replicas: fieldsOf<ReplicatedService>().always('replicas', count) },
      ),
    ),
  ),
  Global: ofModes.some('global', maybe(object<GlobalService>(emptyGlobalService, {}))),
  ReplicatedJob: ofModes.some('replicatedJob', maybe(withCompletions)),
  GlobalJob: ofModes.some('globalJob', maybe(object<GlobalJob>(emptyGlobalJob, {}))),
})

const DEFAULT_MODE: ServiceSpec['mode'] = {
  kind: 'replicated',
  replicated: { ...emptyReplicatedService, replicas: 1 },
}

const modeField: Field<ServiceSpec> = {
  read: (spec, json, path) => {
    const { replicated, global, replicatedJob: job, globalJob } = modes.read(json, path)
    const given: NonNullable<ServiceSpec['mode']>[] = []
    if (replicated !== undefined) given.push({ kind: 'replicated', replicated })
    if (global !== undefined) given.push({ kind: 'global', global })
    if (job !== undefined) given.push({ kind: 'replicatedJob', replicatedJob: job })
    if (globalJob !== undefined) given.push({ kind: 'globalJob', globalJob })
    if (given.length > 1)
      throw new SwarmError('invalid-argument', 'Mode: must specify only one service mode')
    return given[0] === undefined ? spec : { ...spec, mode: given[0] }
  },
  write: ({ mode }) =>
    modes.write({
      ...NO_MODE,
      ...(mode?.kind === 'replicated' && { replicated: mode.replicated }),
      ...(mode?.kind === 'global' && { global: mode.global }),
      ...(mode?.kind === 'replicatedJob' && { replicatedJob: mode.replicatedJob }),
      ...(mode?.kind === 'globalJob' && { globalJob: mode.globalJob }),
    }),
}

/** Docker has no such thing; its clients leave it out. */
const budget: Shape<DisruptionBudget> = object(emptyDisruptionBudget, {
  MaxUnavailable: fieldsOf<DisruptionBudget>().always('maxUnavailable', count),
})

const ofService = fieldsOf<ServiceSpec>()
export const serviceSpec: Shape<ServiceSpec> = object<ServiceSpec>(
  { ...emptyServiceSpec, annotations: emptyAnnotations, mode: DEFAULT_MODE },
  {
    ...annotationFields<ServiceSpec>(),
    TaskTemplate: ofService.some('task', maybe(taskSpec)),
    Mode: modeField,
    UpdateConfig: ofService.some('update', maybe(update)),
    RollbackConfig: ofService.some('rollback', maybe(update)),
    Networks: unsupported(),
    EndpointSpec: ofService.some('endpoint', maybe(endpointSpec)),
    DisruptionBudget: ofService.some('disruptionBudget', maybe(budget)),
  },
)

/** The spec as JSON with what Swarm does where nothing was said, for `insertDefaults` (6.3). */
export function writeWithDefaults(spec: ServiceSpec): unknown {
  const task = spec.task ?? emptyTaskSpec
  const restartPolicy = task.restart ?? emptyRestartPolicy
  const filled: ServiceSpec = {
    ...spec,
    task: {
      ...task,
      container: task.container && {
        ...task.container,
        stopGraceMs: task.container.stopGraceMs ?? DEFAULT_STOP_GRACE_MS,
      },
      resources: task.resources ?? {
        ...emptyResourceRequirements,
        limits: emptyResources,
        reservations: emptyResources,
      },
      restart: { ...restartPolicy, delayMs: restartPolicy.delayMs ?? RESTART_DELAY_MS },
      placement: task.placement ?? emptyPlacement,
    },
    update: spec.update ?? DEFAULT_UPDATE,
    rollback: spec.rollback ?? DEFAULT_UPDATE,
    endpoint: spec.endpoint ?? emptyEndpointSpec,
  }
  return serviceSpec.write(filled)
}
