/**
 * Authorize: who may call what. Every method names its roles next to its definition (`proto/`);
 * the caller's role is the lower of what its certificate and the store say, looked up at each call
 * (DESIGN section 10).
 */
import { SwarmError } from '../../lib/errors.ts'
import type { Caller } from '../../proto/gen/control.ts'
import type { NodeRole } from '../../proto/gen/types.ts'
import type { View } from '../store/view.ts'
import type { CertificateClaims } from './signer.ts'

/** Wall time by which a certificate may be ahead of or behind this node's clock. */
const CLOCK_SKEW_MS = 5 * 60_000

/**
 * The caller behind a certificate that TLS has verified against the cluster's root. Refuses with
 * `permission-denied` or `unauthenticated`, never saying more than which rule it was.
 */
export function authorize(
  view: View,
  claims: CertificateClaims,
  options: {
    readonly roles: readonly string[]
    readonly clusterId: string
    readonly wallMs: number
  },
): Caller {
  const { roles, clusterId, wallMs } = options
  if (claims.clusterId !== clusterId)
    throw new SwarmError('permission-denied', 'the certificate belongs to another cluster')
  if (wallMs > claims.notAfterMs || wallMs + CLOCK_SKEW_MS < claims.notBeforeMs)
    throw new SwarmError('unauthenticated', 'the certificate is not valid at this time', {
      facts: { node: claims.nodeId },
    })
  const role = findRole(view, claims)
  if (role === undefined)
    throw new SwarmError('permission-denied', `node ${claims.nodeId} was removed from the cluster`)
  if (!roles.includes(role))
    throw new SwarmError('permission-denied', `a ${role} may not call this method`, {
      facts: { node: claims.nodeId },
    })
  return { nodeId: claims.nodeId, role }
}

/** The lower role of certificate and store; undefined when the node was removed. */
export function findRole(
  view: View,
  claims: Pick<CertificateClaims, 'nodeId' | 'role'>,
): NodeRole | undefined {
  const [cluster] = view.clusters.list()
  if (cluster?.revoked.has(claims.nodeId) === true) return undefined
  const node = view.nodes.get(claims.nodeId)
  // A manager that is only just being told of the node lets it in by its certificate alone: it can
  // read nothing but what its own tasks need, and a removed node stands in `revoked`.
  const stored =
    node === undefined ? claims.role : storedRole(node.spec?.role, node.member !== undefined)
  return claims.role === 'manager' && stored === 'manager' ? 'manager' : 'worker'
}

/** A node that is being demoted keeps its managers' rights until it has left the Raft group. */
function storedRole(desired: NodeRole | undefined, isMember: boolean): NodeRole {
  return desired === 'manager' || isMember ? 'manager' : 'worker'
}
