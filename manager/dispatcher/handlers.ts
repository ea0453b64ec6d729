/**
 * Handlers of what agents have written through their sessions: a node registers, reports statuses
 * of its tasks, leaves. They run on the leader and may all be repeated. A status only goes up, and
 * only for the node's own tasks once assigned (docs/task-model.md); a node becomes ready by
 * registering and in no other way. Liveness has a say before them: `NodeStatus.findRefusal`.
 */

import { SwarmError } from '../../lib/errors.ts'
import type { NodeLeave, NodeRegister, StatusReport } from '../../proto/gen/control.ts'
import type { Health, Node, NodeStatus, Task, TaskStatus } from '../../proto/gen/objects.ts'
import type { TaskState } from '../../proto/gen/types.ts'
import { compareTaskState, isTerminal } from '../../proto/task-state.ts'
import { isEqual } from '../model/equal.ts'
import { withNodeStatus } from '../model/node.ts'
import { canAdvance, getState, withStatus } from '../model/task.ts'
import type { Handle, HandlerContext } from '../store/handler.ts'
import type { View } from '../store/view.ts'

/** Of one report, so that it fits an entry of the log (DESIGN section 5). */
export const STATUS_UPDATES_MAX = 1_024
/** Longer texts and lists of an agent are cut: they are shown, not used. */
const TEXT_LENGTH_MAX = 1_024
const HOST_PORTS_MAX = 1_024
const HEALTH_RESULTS_MAX = 5
/** An announced return counts for no longer than this: an hour. */
export const RETURN_MAX_MS: number = 60 * 60_000

/** The node is ready and described as the agent says. */
export const handleNodeRegister: Handle<NodeRegister> = (view, request, context) => {
  const node = getCallersNode(view, request.nodeId, context)
  const status: NodeStatus = { state: 'ready', message: '', addr: request.addr }
  const registered: Node = {
    ...withNodeStatus(node, status, context.now),
    description: request.description ?? node.description,
    returnUntilMs: 0,
  }
  const isKnown = isEqual(node, registered)
  return {
    changes: isKnown ? [] : [{ kind: 'update', table: 'nodes', object: registered }],
    reply: {},
  }
}

/** Statuses that are news are stored; all others are ignored, so a report may come twice or late. */
export const handleStatusReport: Handle<StatusReport> = (view, request, context) => {
  getCallersNode(view, request.nodeId, context)
  if (request.updates.length > STATUS_UPDATES_MAX)
    throw new SwarmError(
      'invalid-argument',
      `a report of ${request.updates.length} statuses is more than ${STATUS_UPDATES_MAX}`,
    )
  const changed = new Map<string, Task>()
  for (const { taskId, status } of request.updates) {
    const task = changed.get(taskId) ?? view.tasks.get(taskId)
    if (task === undefined || status === undefined || task.nodeId !== request.nodeId) continue
    if (isNews(task, status)) changed.set(taskId, withStatus(task, shorten(status), context.now))
  }
  return {
    changes: [...changed.values()].map((object) => ({ kind: 'update', table: 'tasks', object })),
    reply: {},
  }
}

/** The node is disconnected until its return, or down when it announced none. */
export const handleNodeLeave: Handle<NodeLeave> = (view, request, context) => {
  const node = getCallersNode(view, request.nodeId, context)
  const addr = node.status?.addr ?? ''
  const status: NodeStatus = request.announceReturn
    ? { state: 'disconnected', message: 'announced its return', addr }
    : { state: 'down', message: 'left the swarm', addr }
  const object: Node = {
    ...withNodeStatus(node, status, context.now),
    returnUntilMs: request.announceReturn
      ? context.now + Math.min(request.returnMs, RETURN_MAX_MS)
      : 0,
  }
  return { changes: [{ kind: 'update', table: 'nodes', object }], reply: {} }
}

/** Agents speak for their own node only. */
function getCallersNode(view: View, nodeId: string, { caller }: HandlerContext): Node {
  if (caller.nodeId !== nodeId)
    throw new SwarmError('permission-denied', `node ${caller.nodeId} may not speak for ${nodeId}`)
  const node = view.nodes.get(nodeId)
  if (node === undefined)
    throw new SwarmError('not-found', `node ${nodeId} is not part of the swarm`)
  return node
}

/** States that only managers set, or that are desired only. */
const NOT_OBSERVED: ReadonlySet<TaskState> = new Set([
  'new',
  'pending',
  'assigned',
  'remove',
  'orphaned',
])

function isNews(task: Task, reported: TaskStatus): boolean {
  const state = getState(task)
  if (NOT_OBSERVED.has(reported.state) || isTerminal(state)) return false
  // The entry that assigned it was lost with its quorum: the agent is told to end it, and whether
  // there still is room for it is the scheduler's to say.
  if (compareTaskState(state, 'assigned') < 0) return false
  if (!canAdvance(task, reported.state)) return false
  if (reported.state !== state) return true
  // One that came late: what was told of the container since, its ports with it, is not taken back.
  const isOlder = task.status?.container !== undefined && reported.container === undefined
  return !isOlder && !isEqual(task.status, shorten(reported))
}

function shorten(status: TaskStatus): TaskStatus {
  return {
    ...status,
    message: status.message.slice(0, TEXT_LENGTH_MAX),
    error: status.error.slice(0, TEXT_LENGTH_MAX),
    hostPorts: status.hostPorts.slice(0, HOST_PORTS_MAX),
    health: status.health && shortenHealth(status.health),
  }
}

function shortenHealth(health: Health): Health {
  const results = health.results
    .slice(-HEALTH_RESULTS_MAX)
    .map((result) => ({ ...result, output: result.output.slice(0, TEXT_LENGTH_MAX) }))
  return { ...health, results }
}
