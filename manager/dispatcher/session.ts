/**
 * Session: one agent's stream as the dispatcher sees it, and what the node was told beside its
 * assignments: the heartbeat period, its own object and the managers. The phases are those of
 * docs/sessions.md; who moves a session from one to the next is `dispatcher.ts`.
 */
import type {
  Hello,
  ManagerAddress,
  SessionMessage,
  StatusBatch,
} from '../../proto/gen/dispatcher.ts'
import type { Node, NodeDescription } from '../../proto/gen/objects.ts'
import type { View } from '../store/view.ts'
import { AssignmentSet } from './assignments.ts'

/** Of agents, unless the cluster's spec says otherwise (DESIGN section 7). */
export const HEARTBEAT_PERIOD_MS = 2_000

export type Phase =
  /** Waits for hello. */
  | 'opened'
  /** Waits for a linearizable read index. */
  | 'confirming'
  /** Waits until the own store has applied `catchUpIndex`. */
  | 'catching-up'
  /** Waits for its turn to register, and for the leader. */
  | 'registering'
  | 'running'
  /** Said goodbye: waits until that is written. */
  | 'leaving'
  | 'closed'

export type Session = {
  readonly id: number
  readonly nodeId: string
  readonly peerAddr: string
  phase: Phase
  /** Defined from `confirming` on. */
  hello: Hello | undefined
  /** The newest that the agent told; defined from `confirming` on. */
  description: NodeDescription | undefined
  /** In phase `catching-up`: the log index to wait for, and since when (monotonic, ms). */
  catchUpIndex: number
  phaseMs: number
  /** Log index at which the last registration took effect; 0 before. */
  registeredIndex: number
  /** Monotonic, ms: the last message from the agent. */
  heardMs: number
  readonly assignments: AssignmentSet
  /** Monotonic, ms: when the last assignments were sent. */
  assignedMs: number
  /** Monotonic, ms, since when the stream takes nothing more; undefined when it does. */
  blockedMs: number | undefined
  /** The statuses being written, and the newest batch that came meanwhile. */
  reporting: StatusBatch | undefined
  held: StatusBatch | undefined
  /** Of the last batch that was acknowledged. */
  reportedSequence: number
  /** What was last told, as text that changes with it. */
  readonly told: { periodMs: number; node: string; managers: readonly ManagerAddress[] | undefined }
}

/** A stream that was just opened. */
export function newSession(
  opened: { readonly session: number; readonly nodeId: string; readonly peerAddr: string },
  nowMs: number,
): Session {
  return {
    id: opened.session,
    nodeId: opened.nodeId,
    peerAddr: opened.peerAddr,
    phase: 'opened',
    hello: undefined,
    description: undefined,
    catchUpIndex: 0,
    phaseMs: nowMs,
    registeredIndex: 0,
    heardMs: nowMs,
    assignments: new AssignmentSet(opened.nodeId),
    assignedMs: Number.NEGATIVE_INFINITY,
    blockedMs: undefined,
    reporting: undefined,
    held: undefined,
    reportedSequence: 0,
    told: { periodMs: 0, node: '', managers: undefined },
  }
}

/** What the node must still be told, beside assignments; it counts as told. */
export function tellNews(
  session: Session,
  view: View,
  managers: readonly ManagerAddress[],
): readonly SessionMessage['body'][] {
  const { told } = session
  const news: SessionMessage['body'][] = []
  const heartbeatPeriodMs = heartbeatPeriodOf(view)
  if (told.periodMs !== heartbeatPeriodMs) {
    told.periodMs = heartbeatPeriodMs
    news.push({ kind: 'start', start: { heartbeatPeriodMs } })
  }
  const node = view.nodes.get(session.nodeId)
  const change = node === undefined ? undefined : nodeChangeOf(view, node)
  const text = JSON.stringify(change)
  if (change !== undefined && told.node !== text) {
    told.node = text
    news.push({ kind: 'node', node: change })
  }
  if (told.managers !== managers && managers.length > 0) {
    told.managers = managers
    news.push({ kind: 'managers', managers: { managers } })
  }
  return news
}

/** Of this cluster's agents, in ms. */
export function heartbeatPeriodOf(view: View): number {
  for (const cluster of view.clusters.list()) {
    const periodMs = cluster.spec?.heartbeatPeriodMs ?? 0
    if (periodMs > 0) return periodMs
  }
  return HEARTBEAT_PERIOD_MS
}

/** Where agents find the managers, in ascending order of node id. */
export function listManagers(view: View): readonly ManagerAddress[] {
  const managers: ManagerAddress[] = []
  for (const node of view.nodes.list())
    if (node.member !== undefined) managers.push({ nodeId: node.id, addr: node.member.addr })
  return managers
}

function nodeChangeOf(
  view: View,
  node: Node,
): Extract<SessionMessage['body'], { kind: 'node' }>['node'] {
  const role = node.spec?.role ?? 'worker'
  return {
    role,
    availability: node.spec?.availability ?? 'active',
    trustRootPem: trustRootOf(view),
    labels: [...(node.spec?.annotations?.labels ?? [])]
      .map(([key, value]) => `${key}=${value}`)
      .sort(),
    renewCertificate: node.certificateRole !== role,
  }
}

function trustRootOf(view: View): string {
  for (const cluster of view.clusters.list()) return cluster.rootCa?.certificatePem ?? ''
  return ''
}
