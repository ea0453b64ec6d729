/**
 * Briefing: what running sessions are told as the store changes: assignments, their own node object,
 * the managers. It holds the store's newest view and knows which sessions still have something to be
 * told; changes for a node are gathered and sent at a pace. What waits for a slow stream is the
 * difference between two sets, so it is bounded by the tasks of the node.
 */
import type { Code } from '../../lib/errors.ts'
import type { ManagerAddress, SessionMessage } from '../../proto/gen/dispatcher.ts'
import { type Change, changedId } from '../store/change.ts'
import type { View } from '../store/view.ts'
import { listManagers, type Session, tellNews } from './session.ts'

/** Changes for a node travel together: at most this long, or this many. */
const INTERVAL_MS = 100
const CHANGES_MAX = 100

export type BriefingOptions = {
  readonly view: View
  readonly send: (session: Pick<Session, 'id'>, body: SessionMessage['body']) => void
  readonly close: (session: Session, code: Code, message: string) => void
}

export class Briefing {
  readonly #send: BriefingOptions['send']
  readonly #close: BriefingOptions['close']
  #view: View
  #managers: readonly ManagerAddress[]
  /** Running sessions by node. */
  #sessions = new Map<string, Session>()
  /** Those with assignments to send. */
  #due = new Set<Session>()

  constructor({ view, send, close }: BriefingOptions) {
    this.#send = send
    this.#close = close
    this.#view = view
    this.#managers = listManagers(view)
  }

  /** The store as it is now. */
  get view(): View {
    return this.#view
  }

  /**
   * Said as soon as a stream opens, whatever becomes of it: this manager may be out of the group
   * already, and the only one that the agent knows.
   */
  refer(session: Pick<Session, 'id'>): void {
    if (this.#managers.length > 0)
      this.#send(session, { kind: 'managers', managers: { managers: this.#managers } })
  }

  /** The session is told everything, and from now on what changes. */
  begin(session: Session, nowMs: number): void {
    this.#sessions.set(session.nodeId, session)
    this.#tell(session)
    this.#due.add(session)
    this.sendAssignments(session, nowMs)
  }

  forget(session: Session): void {
    if (this.#sessions.get(session.nodeId) === session) this.#sessions.delete(session.nodeId)
    this.#due.delete(session)
  }

  /** The store has applied `changes`. */
  apply(view: View, changes: readonly Change[], nowMs: number): void {
    const before = this.#view
    this.#view = view
    let isForAll = false
    const touched = new Set<Session>()
    for (const change of changes) {
      const id = changedId(change)
      if (change.table === 'tasks') {
        const nodeId = view.tasks.get(id)?.nodeId ?? before.tasks.get(id)?.nodeId ?? ''
        const session = this.#sessions.get(nodeId)
        session?.assignments.touch(id)
        if (session !== undefined) touched.add(session)
      } else if (change.table === 'nodes') {
        isForAll ||= isMember(before, id) || isMember(view, id)
        const session = this.#sessions.get(id)
        if (session !== undefined) this.#tell(session)
      } else if (change.table === 'clusters') isForAll = true
    }
    if (isForAll) this.#tellAll()
    for (const session of touched) {
      this.#due.add(session)
      this.sendAssignments(session, nowMs)
    }
  }

  /** The store was replaced: all that was told is compared with it. */
  reset(view: View, nowMs: number): void {
    this.#view = view
    this.#tellAll()
    for (const session of [...this.#sessions.values()]) {
      session.assignments.touchAll(view)
      this.#due.add(session)
      this.sendAssignments(session, nowMs)
    }
  }

  /** Sends what has waited long enough. */
  tick(nowMs: number): void {
    for (const session of this.#due) this.sendAssignments(session, nowMs)
  }

  /** At once when the last ones are long ago; then at the pace of the interval. */
  sendAssignments(session: Session, nowMs: number): void {
    const { assignments } = session
    if (!this.#due.has(session) || session.blockedMs !== undefined) return
    if (nowMs - session.assignedMs < INTERVAL_MS && assignments.touched < CHANGES_MAX) return
    this.#due.delete(session)
    if (assignments.isBehind(this.#view)) {
      this.#close(session, 'unavailable', 'the store of this manager went back: try another one')
      return
    }
    const message = assignments.next(this.#view)
    if (message === undefined) return
    session.assignedMs = nowMs
    this.#send(session, { kind: 'assignments', assignments: message })
  }

  #tellAll(): void {
    const managers = listManagers(this.#view)
    if (JSON.stringify(managers) !== JSON.stringify(this.#managers)) this.#managers = managers
    for (const session of [...this.#sessions.values()]) this.#tell(session)
  }

  #tell(session: Session): void {
    if (this.#view.nodes.get(session.nodeId) === undefined) {
      this.#close(session, 'not-found', `node ${session.nodeId} was removed from the swarm`)
      return
    }
    for (const body of tellNews(session, this.#view, this.#managers)) this.#send(session, body)
  }
}

function isMember(view: View, nodeId: string): boolean {
  return view.nodes.get(nodeId)?.member !== undefined
}
