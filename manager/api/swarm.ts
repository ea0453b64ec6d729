/**
 * Requests about the cluster itself: its creation, its settings, the rotation of join tokens. Which
 * settings there are stands in `ClusterSpec`; their limits are here (swarm-mode.md 1.1). Everything
 * about certificates is decided in `manager/ca`.
 */
import { DAY_MS, MINUTE_MS, SECOND_MS } from '../../lib/clock.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { ClusterCreate, ClusterUpdate } from '../../proto/gen/control.ts'
import type { Cluster } from '../../proto/gen/objects.ts'
import { type ClusterSpec, encodeClusterSpec } from '../../proto/gen/specs.ts'
import {
  CLUSTER_NAME,
  getCluster,
  getRootCa,
  NODE_CERT_EXPIRY_MIN_MS,
  rotateTokens,
} from '../ca/ca.ts'
import { requireVersion } from '../store/change.ts'
import type { Handle } from '../store/handler.ts'
import { ANNOTATIONS_BYTES_MAX, checkAnnotations, checkSize } from './validate.ts'
import { checkHeartbeatPeriod } from './validate-disconnect.ts'

const HEARTBEAT_MIN_MS = SECOND_MS
const HEARTBEAT_MAX_MS = MINUTE_MS
/** They fill the managers' disks. */
const OLD_SNAPSHOTS_MAX = 100
const NODE_CERT_EXPIRY_MAX_MS = 10 * 365 * DAY_MS

/** The cluster and its first node are there: the first write of all. */
export const handleClusterCreate: Handle<ClusterCreate> = (view, { cluster, node }) => {
  if (view.clusters.size > 0)
    throw new SwarmError('already-exists', 'this node is already part of a swarm')
  if (cluster?.spec === undefined || node === undefined)
    throw new SwarmError('invalid-argument', 'a new cluster needs its spec and its first node')
  checkClusterSpec(cluster.spec)
  return {
    changes: [
      { kind: 'create', table: 'clusters', object: cluster },
      { kind: 'create', table: 'nodes', object: node },
    ],
    reply: { id: cluster.id },
  }
}

/** The cluster has the settings, and new tokens where that was asked; old ones are refused from now. */
export const handleClusterUpdate: Handle<ClusterUpdate> = (view, request, { random }) => {
  const cluster = getCluster(view)
  requireVersion(cluster, request.version)
  if (request.spec === undefined)
    throw new SwarmError('invalid-argument', 'the spec of the swarm is missing')
  checkClusterSpec(request.spec)
  checkHeartbeatPeriod(view, request.spec.heartbeatPeriodMs)
  const roles = { worker: request.rotateWorkerToken, manager: request.rotateManagerToken }
  const object: Cluster = {
    ...cluster,
    spec: request.spec,
    rootCa: rotateTokens(getRootCa(view), roles, random),
  }
  return { changes: [{ kind: 'update', table: 'clusters', object }], reply: { id: cluster.id } }
}

/** Throws SwarmError `invalid-argument` that names the setting, in Docker's spelling. */
export function checkClusterSpec(spec: ClusterSpec): void {
  if (spec.annotations?.name !== CLUSTER_NAME)
    throw refusal(`Name: modification of cluster name "${CLUSTER_NAME}" is not allowed`)
  checkAnnotations(spec.annotations)
  checkSize('spec of the swarm', encodeClusterSpec(spec), ANNOTATIONS_BYTES_MAX)
  const { heartbeatPeriodMs, keepOldSnapshots, nodeCertExpiryMs } = spec
  if (keepOldSnapshots > OLD_SNAPSHOTS_MAX)
    throw refusal(
      `Raft.KeepOldSnapshots: ${keepOldSnapshots} snapshots are more than ${OLD_SNAPSHOTS_MAX}`,
    )
  if (heartbeatPeriodMs < HEARTBEAT_MIN_MS || heartbeatPeriodMs > HEARTBEAT_MAX_MS)
    throw refusal(
      `Dispatcher.HeartbeatPeriod: ${heartbeatPeriodMs} ms is not from ${HEARTBEAT_MIN_MS} to ${HEARTBEAT_MAX_MS} ms`,
    )
  if (nodeCertExpiryMs < NODE_CERT_EXPIRY_MIN_MS)
    throw refusal('CAConfig.NodeCertExpiry: minimum certificate expiry time must be: 1h0m0s')
  if (nodeCertExpiryMs > NODE_CERT_EXPIRY_MAX_MS)
    throw refusal('CAConfig.NodeCertExpiry: maximum certificate expiry time is 10 years (87600h)')
}

function refusal(message: string): SwarmError {
  return new SwarmError('invalid-argument', message)
}
