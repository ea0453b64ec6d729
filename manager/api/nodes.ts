/**
 * Requests about nodes: role and availability, and removal. What would leave the managers without a
 * majority is refused before anything is written (swarm-mode.md 1.2); certificates, membership of
 * the Raft group and the node's tasks follow from the object. A removed node's certificate is
 * revoked in the same change.
 */
import { HOUR_MS } from '../../lib/clock.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { NodeRemove, NodeUpdate } from '../../proto/gen/control.ts'
import type { Node } from '../../proto/gen/objects.ts'
import { encodeNodeSpec, type NodeSpec } from '../../proto/gen/specs.ts'
import { getCluster, revoke } from '../ca/ca.ts'
import { requireVersion } from '../store/change.ts'
import type { Handle, HandlerContext } from '../store/handler.ts'
import type { View } from '../store/view.ts'
import { ANNOTATIONS_BYTES_MAX, checkAnnotations, checkSize } from './validate.ts'

/** Nomad's: long enough for what starts slowly, short enough for who waits. */
const DRAIN_DEADLINE_MS = HOUR_MS

/** The node has the spec; a new role is reached when its certificate says so. */
export const handleNodeUpdate: Handle<NodeUpdate> = (view, request, context) => {
  const node = getNode(view, request.id)
  requireVersion(node, request.version)
  const { spec } = request
  if (spec === undefined) throw new SwarmError('invalid-argument', 'the node spec is missing')
  checkAnnotations(spec.annotations)
  checkSize('node spec', encodeNodeSpec(spec), ANNOTATIONS_BYTES_MAX)
  if (node.spec?.role === 'manager' && spec.role === 'worker') requireQuorum(view, node, context)
  return {
    changes: [
      {
        kind: 'update',
        table: 'nodes',
        object: { ...node, spec, drainUntilMs: getDrainUntilMs(node, spec, context.now) },
      },
    ],
    reply: { id: node.id },
  }
}

/** A drain that goes on keeps its time unless it is given another. */
function getDrainUntilMs(node: Node, spec: NodeSpec, now: number): number {
  if (spec.availability !== 'drain') return 0
  const isSame =
    node.spec?.availability === 'drain' && node.spec.drainDeadlineMs === spec.drainDeadlineMs
  return isSame ? node.drainUntilMs : now + (spec.drainDeadlineMs ?? DRAIN_DEADLINE_MS)
}

/** The node is gone and can come back only as a new one; its tasks are replaced elsewhere. */
export const handleNodeRemove: Handle<NodeRemove> = (view, { id, force }, { wallMs }) => {
  const node = getNode(view, id)
  if (node.member !== undefined)
    throw new SwarmError(
      'failed-precondition',
      `node ${id} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal`,
    )
  const state = node.status?.state ?? 'unknown'
  if (!force && (state === 'ready' || state === 'disconnected'))
    throw new SwarmError(
      'failed-precondition',
      `node ${id} is not down and can't be removed: let it leave first, or remove it by force`,
      { facts: { state } },
    )
  return {
    changes: [
      { kind: 'remove', table: 'nodes', id },
      { kind: 'update', table: 'clusters', object: revoke(getCluster(view), node, wallMs) },
    ],
    reply: { id },
  }
}

function getNode(view: View, id: string): Node {
  const node = view.nodes.get(id)
  if (node === undefined) throw new SwarmError('not-found', `node ${id} not found`)
  return node
}

/**
 * Refuses a demotion after which fewer than a majority of the managers could be reached. Managers
 * whose own demotion is under way do not count any more.
 */
function requireQuorum(view: View, node: Node, context: HandlerContext): void {
  const others = [...view.nodes.by('role', 'manager')].filter((other) => other.id !== node.id)
  if (others.length === 0)
    throw new SwarmError(
      'failed-precondition',
      'attempting to demote the last manager of the swarm',
    )
  const ids = new Set(others.map((other) => other.id))
  const remaining = context.managers.filter(({ nodeId, isVoter }) => isVoter && ids.has(nodeId))
  const reachable = remaining.filter(({ isReachable }) => isReachable)
  if (reachable.length > remaining.length / 2) return
  throw new SwarmError(
    'failed-precondition',
    `can't remove member from the raft: this would result in a loss of quorum (${reachable.length} of ${remaining.length} other managers are reachable)`,
    { facts: { node: node.id, reachable: reachable.length, remaining: remaining.length } },
  )
}
