/**
 * Whom a node asks what only managers answer (a certificate, its membership): one address after
 * another, each once. First the manager of its agent's session, which lives; then the members by its own
 * log, which may have lost its place in the group; then those of before, on disk. Itself comes
 * last: it may be out of the group already, and the last to know. `node.ts` and the nodes of the
 * simulator ask.
 */
export type ManagersKnown = {
  /** Of the agent, the manager that it talks to first. */
  readonly agent: readonly string[]
  /** Of the manager in this process, if there is one. */
  readonly members: readonly string[]
  /** On disk, with the identity. */
  readonly place: readonly string[]
}

/** Control addresses, `own` last if it is among them. */
export function listManagersToAsk(
  { agent, members, place }: ManagersKnown,
  own: string,
): readonly string[] {
  const addrs = new Set([...agent, ...members, ...place])
  const isOwnKnown = addrs.delete(own)
  return isOwnKnown ? [...addrs, own] : [...addrs]
}
