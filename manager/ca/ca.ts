/**
 * The certificate authority's rules: who gets a certificate with which role, what the cluster
 * object begins with, and how tokens are rotated (swarm-mode.md 2.15). Signing itself is the
 * Signer's; a manager signs first and the leader then checks everything again and records it, so
 * that a token that was rotated meanwhile leaves nothing behind. How long certificates live is
 * `certificate-life.ts`.
 */
import { SwarmError } from '../../lib/errors.ts'
import { newId } from '../../lib/id.ts'
import type { Random } from '../../lib/random.ts'
import type { CertificateIssue } from '../../proto/gen/control.ts'
import {
  type Cluster,
  emptyCluster,
  emptyNode,
  emptyNodeStatus,
  emptyRootCa,
  type Node,
  type RootCa,
} from '../../proto/gen/objects.ts'
import {
  type ClusterSpec,
  emptyAnnotations,
  emptyClusterSpec,
  emptyNodeSpec,
} from '../../proto/gen/specs.ts'
import type { Availability, NodeRole } from '../../proto/gen/types.ts'
import { CLUSTER_VERSION } from '../model/cluster-version.ts'
import type { Handle } from '../store/handler.ts'
import type { View } from '../store/view.ts'
import { NODE_CERT_EXPIRY_MS } from './certificate-life.ts'
import { newJoinToken, roleOfToken } from './join-token.ts'

export const CLUSTER_NAME = 'default'
export const NODE_CERT_EXPIRY_MIN_MS: number = 3_600_000
/** A removed node's name stays refused this long after its certificate ended. */
export const REVOKED_KEEP_MS: number = 7 * 24 * 3_600_000

/** Swarm's defaults, but for the heartbeat period (DESIGN section 7). */
export const defaultClusterSpec: ClusterSpec = {
  ...emptyClusterSpec,
  annotations: { ...emptyAnnotations, name: CLUSTER_NAME },
  taskHistoryLimit: 5,
  snapshotIntervalEntries: 10_000,
  logEntriesForSlowFollowers: 500,
  heartbeatPeriodMs: 2_000,
  nodeCertExpiryMs: NODE_CERT_EXPIRY_MS,
}

/** A new cluster around this root, with both tokens. */
export function newCluster(
  root: { readonly certificatePem: string; readonly keyPem: string; readonly digest: string },
  spec: ClusterSpec,
  random: Random,
): Cluster {
  return {
    ...emptyCluster,
    id: newId(random),
    spec,
    rootCa: {
      ...emptyRootCa,
      ...root,
      workerToken: newJoinToken(root.digest, random),
      managerToken: newJoinToken(root.digest, random),
    },
    epoch: 1,
    clusterVersion: CLUSTER_VERSION,
  }
}

/** A node as its first certificate makes it. */
export function newNode(
  id: string,
  role: NodeRole,
  options: {
    readonly availability: Availability
    readonly certificatePem: string
    readonly expiresMs: number
  },
): Node {
  return {
    ...emptyNode,
    id,
    spec: {
      ...emptyNodeSpec,
      annotations: emptyAnnotations,
      role,
      availability: options.availability,
    },
    status: emptyNodeStatus,
    certificateRole: role,
    certificatePem: options.certificatePem,
    certificateExpiresMs: options.expiresMs,
  }
}

/** The root with the tokens of these roles made anew. */
export function rotateTokens(
  root: RootCa,
  roles: { readonly worker: boolean; readonly manager: boolean },
  random: Random,
): RootCa {
  return {
    ...root,
    workerToken: roles.worker ? newJoinToken(root.digest, random) : root.workerToken,
    managerToken: roles.manager ? newJoinToken(root.digest, random) : root.managerToken,
  }
}

/** The cluster object; `unavailable` on a manager that has not caught up with its creation. */
export function getCluster(view: View): Cluster {
  const [cluster] = view.clusters.list()
  if (cluster === undefined)
    throw new SwarmError('unavailable', 'this manager has not caught up with the cluster yet', {
      retriable: true,
    })
  return cluster
}

/** The root with its key; asserts nothing: a cluster without one is not finished. */
export function getRootCa(view: View): RootCa {
  const { rootCa } = getCluster(view)
  if (rootCa === undefined)
    throw new SwarmError('unavailable', 'the cluster has no root certificate yet', {
      retriable: true,
    })
  return rootCa
}

/** What a joiner with this token would get. Nothing is written. */
export function planJoin(view: View, token: string): NodeRole {
  return roleOfToken(token, getRootCa(view))
}

/**
 * The role for a renewal: the desired one. A manager that is to become a worker gets its new
 * certificate only after it has left the Raft group.
 */
export function planRenewal(view: View, nodeId: string): NodeRole {
  const node = view.nodes.get(nodeId)
  if (node === undefined)
    throw new SwarmError('permission-denied', `node ${nodeId} is not part of this cluster`)
  const role = node.spec?.role ?? 'worker'
  if (role === 'worker' && node.member !== undefined)
    throw new SwarmError(
      'failed-precondition',
      `node ${nodeId} is still being demoted, try again`,
      {
        retriable: true,
      },
    )
  return role
}

/** Records a certificate that was signed; for a join it creates the node. */
export const handleCertificateIssue: Handle<CertificateIssue> = (view, request, context) => {
  const { nodeId, role, certificatePem, expiresMs } = request
  const isJoin = request.token !== ''
  const allowed = isJoin ? planJoin(view, request.token) : planRenewal(view, nodeId)
  if (allowed !== role)
    throw new SwarmError('aborted', 'the role changed while the certificate was made, try again', {
      retriable: true,
    })
  if (!isJoin && context.caller.nodeId !== nodeId)
    throw new SwarmError('permission-denied', 'a node may renew only its own certificate')
  if (expiresMs <= context.wallMs)
    throw new SwarmError(
      'failed-precondition',
      `the certificate that was signed for node ${nodeId} has ended already by the leader’s clock: ` +
        'compare the clocks of the managers',
      { retriable: true, facts: { node: nodeId, expiresMs } },
    )
  const node = view.nodes.get(nodeId)
  if (isJoin) {
    if (node !== undefined) throw new SwarmError('already-exists', `node ${nodeId} exists already`)
    // A copy of the request that made it, which comes late, makes no node that nobody is any more.
    if (getCluster(view).revoked.has(nodeId))
      throw new SwarmError('already-exists', `node ${nodeId} was removed from the cluster already`)
    const created = newNode(nodeId, role, {
      availability: request.availability,
      certificatePem,
      expiresMs,
    })
    return { changes: [{ kind: 'create', table: 'nodes', object: created }], reply: { id: nodeId } }
  }
  if (node === undefined) throw new SwarmError('not-found', `node ${nodeId} not found`)
  const renewed: Node = {
    ...node,
    certificateRole: role,
    certificatePem,
    // Which of those that were signed for it the node has taken is not known; until the last of them
    // ends it stays refused once it is removed.
    certificateExpiresMs: Math.max(node.certificateExpiresMs, expiresMs),
  }
  return { changes: [{ kind: 'update', table: 'nodes', object: renewed }], reply: { id: nodeId } }
}

/** The cluster object with this node's name refused until its certificate has long ended. */
export function revoke(cluster: Cluster, node: Node, wallMs: number): Cluster {
  const revoked = new Map([...cluster.revoked].filter(([, untilMs]) => untilMs > wallMs))
  revoked.set(node.id, Math.max(node.certificateExpiresMs, wallMs) + REVOKED_KEEP_MS)
  return { ...cluster, revoked }
}
