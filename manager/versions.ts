/**
 * Versions: `Cluster.clusterVersion` is the lowest version that all managers report; new kinds and
 * fields are written only from theirs on (DESIGN section 5). It only ever rises: a manager of an older
 * version is not admitted to the group afterwards.
 */
import { SwarmError } from '../lib/errors.ts'
import type { WriteRequest } from '../proto/gen/control.ts'
import { CLUSTER_VERSION } from './model/cluster-version.ts'
import { findUnspoken, type Spec } from './model/spec-versions.ts'
import type { Outcome, Round } from './store/round.ts'
import type { View } from './store/view.ts'

/** Raises the cluster's version once every manager has reported a higher one. */
export function reconcileVersions({ view }: Round): Outcome {
  const [cluster] = view.clusters.list()
  const lowest = lowestVersion(view)
  if (cluster === undefined || lowest === undefined || lowest <= cluster.clusterVersion)
    return { changes: [], nextMs: undefined }
  const raised = { ...cluster, clusterVersion: lowest }
  return { changes: [{ kind: 'update', table: 'clusters', object: raised }], nextMs: undefined }
}

/** Refuses a manager that could not read what this cluster writes; one that said nothing yet may. */
export function refuseOldVersion(view: View, nodeId: string): void {
  const [cluster] = view.clusters.list()
  const version = view.nodes.get(nodeId)?.description?.version
  if (cluster === undefined || version === undefined || version === 0) return
  if (version < cluster.clusterVersion)
    throw new SwarmError(
      'failed-precondition',
      `node ${nodeId} speaks version ${version} and the cluster ${cluster.clusterVersion}: upgrade it first`,
    )
}

/**
 * Why a program of `version` must not be a manager of this cluster: it was put back to an older one
 * after the cluster had begun to write what that cannot read. Undefined where it may.
 */
export function findDowngrade(view: View, version: number = CLUSTER_VERSION): string | undefined {
  const [cluster] = view.clusters.list()
  if (cluster === undefined || cluster.clusterVersion <= version) return undefined
  return (
    `this program speaks version ${version} and the cluster version ${cluster.clusterVersion}: ` +
    'upgrade it, a manager cannot go back once all of them were of a newer version'
  )
}

/** Why the request must wait: it says what a manager of this cluster may not know (`model/spec-versions.ts`). */
export function refuseUnspoken(view: View, { body }: WriteRequest): SwarmError | undefined {
  const spec = findSpec(body)
  return spec && findUnspoken(view, spec)
}

function findSpec(body: WriteRequest['body']): Spec | undefined {
  switch (body?.kind) {
    case 'serviceCreate':
      return body.serviceCreate.spec && { kind: 'ServiceSpec', spec: body.serviceCreate.spec }
    case 'serviceUpdate':
      return body.serviceUpdate.spec && { kind: 'ServiceSpec', spec: body.serviceUpdate.spec }
    case 'nodeUpdate':
      return body.nodeUpdate.spec && { kind: 'NodeSpec', spec: body.nodeUpdate.spec }
    case 'clusterUpdate':
      return body.clusterUpdate.spec && { kind: 'ClusterSpec', spec: body.clusterUpdate.spec }
    default:
      return undefined
  }
}

/** Undefined while some manager has not described itself. */
function lowestVersion(view: View): number | undefined {
  let lowest: number | undefined
  for (const node of view.nodes.list()) {
    if (node.member === undefined) continue
    const version = node.description?.version ?? 0
    if (version === 0) return undefined
    lowest = Math.min(lowest ?? version, version)
  }
  return lowest
}
