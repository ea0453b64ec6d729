/**
 * The specs of nodes, secrets, configs and the swarm as Docker's JSON, and the bodies of init and
 * join (swarm-mode.md 1.1, 1.2, 1.6, 1.7). What is settled in this implementation is written as
 * Docker's clients expect to see it, and read back as that only: they always send whole specs.
 */
import {
  type ClusterSpec,
  type ConfigSpec,
  emptyAnnotations,
  emptyClusterSpec,
  emptyConfigSpec,
  emptyNodeSpec,
  emptySecretSpec,
  type NodeSpec,
  type SecretSpec,
} from '../../../../proto/gen/specs.ts'
import type { Availability } from '../../../../proto/gen/types.ts'
import { CLUSTER_NAME, defaultClusterSpec } from '../../../ca/ca.ts'
import type { InitRequest, JoinRequest } from '../../backend.ts'
import { annotationFields } from './service-spec.ts'
import {
  bytes,
  choice,
  count,
  durationMs,
  type Field,
  fieldsOf,
  fixed,
  flag,
  group,
  integer,
  list,
  maybe,
  object,
  type Shape,
  text,
  unlessBlank,
  unsupported,
} from './shape.ts'

const AVAILABILITIES = ['active', 'pause', 'drain'] as const

const ofNode = fieldsOf<NodeSpec>()
export const nodeSpec: Shape<NodeSpec> = object<NodeSpec>(
  { ...emptyNodeSpec, annotations: emptyAnnotations },
  {
    ...annotationFields<NodeSpec>(),
    Role: ofNode.always('role', choice(['worker', 'manager'])),
    Availability: ofNode.always('availability', choice(AVAILABILITIES)),
    // Docker has no such thing; its clients leave it out.
    DrainDeadline: ofNode.some('drainDeadlineMs', maybe(durationMs)),
  },
  { required: ['Role', 'Availability'] },
)

const ofSecret = fieldsOf<SecretSpec>()
/** The data is read and never written. */
export const secretSpec: Shape<SecretSpec> = object<SecretSpec>(
  { ...emptySecretSpec, annotations: emptyAnnotations },
  {
    ...annotationFields<SecretSpec>(),
    Data: { read: ofSecret.some('data', bytes).read, write: () => undefined },
    Driver: unsupported(),
    Templating: unsupported(),
  },
)

const ofConfig = fieldsOf<ConfigSpec>()
export const configSpec: Shape<ConfigSpec> = object<ConfigSpec>(
  { ...emptyConfigSpec, annotations: emptyAnnotations },
  {
    ...annotationFields<ConfigSpec>(),
    Data: ofConfig.some('data', bytes),
    Templating: unsupported(),
  },
)

const ofCluster = fieldsOf<ClusterSpec>()
const clusterFields = {
  ...annotationFields<ClusterSpec>(),
  Orchestration: group<ClusterSpec>(
    { TaskHistoryRetentionLimit: ofCluster.always('taskHistoryLimit', integer) },
    { isAlways: true },
  ),
  Raft: group<ClusterSpec>(
    {
      SnapshotInterval: unlessBlank(ofCluster.always('snapshotIntervalEntries', count)),
      KeepOldSnapshots: ofCluster.always('keepOldSnapshots', count),
      LogEntriesForSlowFollowers: unlessBlank(
        ofCluster.always('logEntriesForSlowFollowers', count),
      ),
      // Raft's own times are not settable (DESIGN section 4); these are what Docker shows.
      ElectionTick: fixed(10),
      HeartbeatTick: fixed(1),
    },
    { isAlways: true },
  ),
  Dispatcher: group<ClusterSpec>(
    { HeartbeatPeriod: unlessBlank(ofCluster.always('heartbeatPeriodMs', durationMs)) },
    { isAlways: true },
  ),
  CAConfig: group<ClusterSpec>(
    {
      NodeCertExpiry: unlessBlank(ofCluster.always('nodeCertExpiryMs', durationMs)),
      ExternalCAs: unsupported(),
      SigningCACert: unsupported(),
      SigningCAKey: unsupported(),
      ForceRotate: unsupported(),
    },
    { isAlways: true },
  ),
  TaskDefaults: fixed<ClusterSpec>({}),
  EncryptionConfig: fixed<ClusterSpec>({ AutoLockManagers: false }),
}

/** For an update: what is left out becomes zero, as in Swarm (swarm-mode.md 1.1). */
export const clusterSpec: Shape<ClusterSpec> = object<ClusterSpec>(
  { ...emptyClusterSpec, annotations: { ...emptyAnnotations, name: CLUSTER_NAME } },
  clusterFields,
)

/** For a new swarm: what is left out or zero is the default. */
const newClusterSpec: Shape<ClusterSpec> = object(defaultClusterSpec, {
  ...clusterFields,
  Name: unlessBlank(clusterFields.Name),
})

const availability: Shape<Availability> = choice(AVAILABILITIES, { fallback: 'active' })

function addressFields<
  T extends { readonly listenAddr: string; readonly advertiseAddr: string },
>(): {
  readonly ListenAddr: Field<T>
  readonly AdvertiseAddr: Field<T>
  readonly DataPathAddr: Field<T>
} {
  const { some } = fieldsOf<{ readonly listenAddr: string; readonly advertiseAddr: string }>()
  const of = (field: Field<Pick<T, 'listenAddr' | 'advertiseAddr'>>): Field<T> => ({
    read: (value, json, path) => ({ ...value, ...field.read(value, json, path) }),
    write: field.write,
  })
  return {
    ListenAddr: of(some('listenAddr', text)),
    AdvertiseAddr: of(some('advertiseAddr', text)),
    DataPathAddr: unsupported(),
  }
}

const ofInit = fieldsOf<InitRequest>()
export const initRequest: Shape<InitRequest> = object<InitRequest>(
  {
    listenAddr: '',
    advertiseAddr: '',
    availability: 'active',
    spec: defaultClusterSpec,
    forceNewCluster: false,
  },
  {
    ...addressFields<InitRequest>(),
    DataPathPort: unsupported(4789),
    DefaultAddrPool: unsupported(['10.0.0.0/8']),
    SubnetSize: unsupported(24),
    ForceNewCluster: ofInit.some('forceNewCluster', flag),
    AutoLockManagers: unsupported(),
    Availability: ofInit.some('availability', availability),
    Spec: ofInit.some('spec', newClusterSpec),
  },
)

const ofJoin = fieldsOf<JoinRequest>()
export const joinRequest: Shape<JoinRequest> = object<JoinRequest>(
  { listenAddr: '', advertiseAddr: '', remoteAddrs: [], joinToken: '', availability: 'active' },
  {
    ...addressFields<JoinRequest>(),
    RemoteAddrs: ofJoin.some('remoteAddrs', list(text)),
    JoinToken: ofJoin.some('joinToken', text),
    Availability: ofJoin.some('availability', availability),
  },
)
