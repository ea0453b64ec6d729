/**
 * Who reports (peers.md 3.4, T9: an older session's message changes nothing). What an agent says of
 * its tasks comes into the store only as it was said in the node's current session at a manager: one
 * that was told to start there and has neither ended nor been followed by another. And of two
 * instances of a node, the one that the leader refuses as a clone is given no session, and what it says
 * is never stored. Whether the leader still refuses it is not asked but known: it does for as long as
 * the other one is heard, and of each heartbeat that was answered it has heard.
 */
import { isEqual } from '../../../manager/model/equal.ts'
import type { AgentMessage, SessionMessage } from '../../../proto/gen/dispatcher.ts'
import type { TaskStatus } from '../../../proto/gen/objects.ts'
import { TaskStateNumber } from '../../../proto/gen/types.ts'
import type { SimNode } from '../sim-node.ts'
import type { World } from '../world.ts'
import type { Step, TaskStep } from './step.ts'

/** A clone is refused until the one in use was silent for ten seconds, by a clock that may be fast. */
const REFUSED_MS = 8_000
/** Or the clone itself was, for a minute. */
const REFUSAL_MAX_MS = 50_000

/** A session as a manager holds it; the object is its identity. */
export type Held = {
  readonly manager: SimNode
  readonly node: SimNode
  /** The process at the other end. */
  readonly instance: string
  /** As the agent numbers it. */
  readonly session: number
}

export type SessionEvent =
  | { readonly kind: 'received'; readonly body: AgentMessage['body'] }
  | { readonly kind: 'sent'; readonly body: SessionMessage['body'] }
  | { readonly kind: 'ended' }

type Report = {
  readonly nodeId: string
  readonly instance: string
  readonly status: TaskStatus
  /** When a manager first took it. */
  readonly takenMs: number
  /** In the node's current session there. */
  readonly isCurrent: boolean
}

/** Of an instance that the present leader takes for a clone. */
type Refusal = {
  readonly instance: string
  readonly sinceMs: number
  /** It is refused until then, whatever else happens. */
  certainMs: number
}

export class ReporterChecker {
  readonly #world: World
  /** Manager → node → the session that was told to start. */
  readonly #current = new Map<SimNode, Map<string, Held>>()
  /** When it said hello, ms. */
  readonly #helloMs = new Map<Held, number>()
  /** Task → what was said of it, each once. */
  readonly #reports = new Map<string, Report[]>()
  #leader: { readonly node: SimNode; readonly term: number } | undefined
  /** Node → its instance that the present leader refuses. */
  #refusals = new Map<string, Refusal>()
  /** Session → sequence of a heartbeat → the time that the present leader knew as it came. */
  #heartbeats = new Map<Held, Map<number, number>>()

  constructor(world: World) {
    this.#world = world
  }

  /** A new leader knows of no clones. */
  elected(node: SimNode, term: number): void {
    if (term < (this.#leader?.term ?? 0)) return
    this.#leader = { node, term }
    this.#refusals = new Map()
    this.#heartbeats = new Map()
  }

  /** This manager takes the instance for a clone of the node, for it heard the other one just now. */
  refused(agent: { readonly nodeId: string; readonly instance: string }, manager: SimNode): void {
    const leader = this.#leader
    if (leader?.node !== manager || manager.manager?.status().term !== leader.term) return
    const certainMs = manager.tickedMs + REFUSED_MS
    const sinceMs = this.#world.schedule.nowMs
    this.#refusals.set(agent.nodeId, { instance: agent.instance, sinceMs, certainMs })
  }

  /** What happens in a session, in the order in which its manager sees it; what is wrong with it. */
  happened(held: Held, event: SessionEvent): string | undefined {
    switch (event.kind) {
      case 'received':
        this.#received(held, event.body)
        return undefined
      case 'sent':
        return this.#sent(held, event.body)
      case 'ended':
        this.#ended(held)
        return undefined
      default:
        return event satisfies never
    }
  }

  /** An entry that was proposed in this term is committed: every status in it has its report. */
  *check({ tasks }: Step, term: number): Iterable<string> {
    for (const task of tasks) {
      const problem = this.#findProblem(task, term)
      if (problem !== undefined) yield problem
      if (task.after === undefined) this.#reports.delete(task.id)
    }
  }

  #received(held: Held, body: AgentMessage['body']): void {
    if (body?.kind === 'hello') this.#helloMs.set(held, this.#world.schedule.nowMs)
    else if (body?.kind === 'heartbeat') this.#heard(held, body.heartbeat.sequence)
    else if (body?.kind === 'statuses')
      for (const { taskId, status } of body.statuses.updates)
        if (status !== undefined) this.#note(held, taskId, status)
  }

  #note(held: Held, taskId: string, status: TaskStatus): void {
    const { instance, node, manager } = held
    const isCurrent = this.#current.get(manager)?.get(node.id) === held
    const known = this.#reports.get(taskId) ?? []
    this.#reports.set(taskId, known)
    const isKnown = known.some(
      (report) =>
        report.instance === instance &&
        report.isCurrent === isCurrent &&
        isEqual(report.status, status),
    )
    const takenMs = this.#world.schedule.nowMs
    if (!isKnown) known.push({ nodeId: node.id, instance, status, takenMs, isCurrent })
  }

  #sent(held: Held, body: SessionMessage['body']): string | undefined {
    if (body?.kind === 'heartbeatAck') this.#answered(held, body.heartbeatAck.sequence)
    return body?.kind === 'start' ? this.#began(held) : undefined
  }

  #began(held: Held): string | undefined {
    const { manager, node, instance } = held
    const sessions = this.#current.get(manager)
    if (sessions === undefined) this.#current.set(manager, new Map([[node.id, held]]))
    else sessions.set(node.id, held)
    const helloMs = this.#helloMs.get(held)
    if (helloMs === undefined) return `T9: a session of ${instance} begins without hello`
    return this.#isRefused(node.id, instance, helloMs)
      ? `T9: ${manager.id} begins a session of ${instance}, which is refused as a clone of ${node.id}`
      : undefined
  }

  #ended(held: Held): void {
    const { manager, node } = held
    const sessions = this.#current.get(manager)
    if (sessions?.get(node.id) === held) sessions.delete(node.id)
    this.#helloMs.delete(held)
    this.#heartbeats.delete(held)
  }

  /** Whenever the leader hears of it, it counts it at no earlier time than it knows now. */
  #heard(held: Held, sequence: number): void {
    if (this.#leader === undefined) return
    const times = this.#heartbeats.get(held) ?? new Map<number, number>()
    this.#heartbeats.set(held, times.set(sequence, this.#leader.node.tickedMs))
  }

  /** The leader of the term that the manager knows has heard of it: the clone stays refused. */
  #answered(held: Held, sequence: number): void {
    const heardMs = this.#heartbeats.get(held)?.get(sequence)
    this.#heartbeats.get(held)?.delete(sequence)
    const refusal = this.#refusals.get(held.node.id)
    if (refusal === undefined || held.instance === refusal.instance) return
    const { term, leaderId } = held.manager.manager?.status() ?? { term: 0, leaderId: 0 }
    const isPresent = this.#leader?.term === term && this.#leader.node.raftId === leaderId
    if (heardMs === undefined || !isPresent) return
    // It may have been silent for so long that the leader had dropped the refusal.
    if (this.#world.schedule.nowMs > refusal.certainMs) this.#refusals.delete(held.node.id)
    else refusal.certainMs = Math.max(refusal.certainMs, heardMs + REFUSED_MS)
  }

  #findProblem({ id, before, after }: TaskStep, term: number): string | undefined {
    const status = after?.status
    if (after === undefined || status === undefined || isEqual(before?.status, status))
      return undefined
    const isAgents =
      TaskStateNumber[status.state] > TaskStateNumber.assigned && status.state !== 'orphaned'
    if (!isAgents) return undefined
    const reports = (this.#reports.get(id) ?? []).filter(
      (report) => report.nodeId === after.nodeId && isEqual(report.status, status),
    )
    if (reports.some((report) => report.isCurrent && !this.#isClones(report, term)))
      return undefined
    const [report] = reports
    // Managers reject as well, and nobody else can have.
    if (report === undefined && status.state === 'rejected') return undefined
    const what = `task ${id} became ${status.state}`
    if (report === undefined) return `T9: ${what}, which ${after.nodeId} never reported so`
    return report.isCurrent
      ? `T9: ${what} by the word of ${report.instance}, which is refused as a clone of ${after.nodeId}`
      : `T9: ${what} by the word of ${report.instance} in a session that was not the current one of ${after.nodeId}`
  }

  #isClones({ nodeId, instance, takenMs }: Report, term: number): boolean {
    return term === this.#leader?.term && this.#isRefused(nodeId, instance, takenMs)
  }

  /** Whether the present leader has refused the instance at every moment from then to now. */
  #isRefused(nodeId: string, instance: string, fromMs: number): boolean {
    const refusal = this.#refusals.get(nodeId)
    if (refusal?.instance !== instance || fromMs < refusal.sinceMs) return false
    const untilMs = Math.min(refusal.certainMs, refusal.sinceMs + REFUSAL_MAX_MS)
    return this.#world.schedule.nowMs <= untilMs
  }
}
