/**
 * NodeSessions: which of this manager's sessions stand for which node. A node has one session; a newer
 * one replaces it at once where it is of the same process, whose older stream is over. That of
 * another process (the node's next one, or one on a cloned disk) waits beside it until the leader has
 * accepted its registration: who is refused must take nothing from the one in use. Who closes what
 * is replaced is `dispatcher.ts`; who is refused is decided in `identity.ts`. docs/sessions.md.
 */
import type { Session } from './session.ts'

export class NodeSessions {
  /**
   * Node → its sessions that said hello, in that order. Invariant: each is of another instance, and
   * only the first may be past its registration.
   */
  #byNode = new Map<string, readonly Session[]>()

  /** The session has said hello; those that it replaces now. */
  greet(session: Session): readonly Session[] {
    const known = this.#listOf(session)
    this.#byNode.set(session.nodeId, [...known, session])
    return known.filter((older) => older.hello?.instance === session.hello?.instance)
  }

  /** The leader has accepted the session; those that it replaces now: they said hello before it. */
  accept(session: Session): readonly Session[] {
    const known = this.#listOf(session)
    return known.slice(0, known.indexOf(session))
  }

  /** The session has ended. */
  forget(session: Session): void {
    const left = this.#listOf(session).filter((other) => other !== session)
    if (left.length === 0) this.#byNode.delete(session.nodeId)
    else this.#byNode.set(session.nodeId, left)
  }

  /** The session through which the node is told what it is to do. */
  findRunning(nodeId: string): Session | undefined {
    return this.#byNode.get(nodeId)?.find((session) => session.phase === 'running')
  }

  #listOf({ nodeId }: Session): readonly Session[] {
    return this.#byNode.get(nodeId) ?? []
  }
}
