/**
 * The Raft group seen from all its disks at once (peers.md 3.4): S4, what a leader commits is of its
 * own term or under such an entry, and on the disks of a quorum of its configuration; S9, what is cut
 * from a log is in its snapshot; S12, a membership change begins when the one before it is applied, an
 * index has one configuration, who campaigns has applied all changes that it knows to be committed, and
 * no Raft id is given to a second directory; S13, who reaches no quorum for seconds does not lead.
 */
import type { Persist } from '../../../manager/consensus-interface.ts'
import type { ConfState } from '../../../manager/raft/message.ts'
import type { Role } from '../../../manager/raft/state.ts'
import type { SimNode } from '../sim-node.ts'
import type { World } from '../world.ts'

/** Several election timeouts: a leader looks at its quorum after each, slow clocks included. */
const ALONE_MAX_MS = 5_000

type Position = { readonly term: number; readonly index: number }
/** What a leader was seen to be. */
type Leading = { readonly term: number; readonly commit: number; readonly confState: ConfState }

export class GroupChecker {
  readonly #world: World
  /** Raft id → the end of what is on its disk. */
  readonly #durable = new Map<number, Position>()
  /** Leader → what it knew to be committed when it was elected. */
  readonly #elected = new Map<string, Position>()
  /** Node → what it led when it was last looked at; nothing if it did not. */
  readonly #leading = new Map<string, Leading>()
  /** Node → the indexes of the membership changes in its log, ascending. */
  readonly #changes = new Map<string, readonly number[]>()
  /** Epoch and index of a membership change → the configuration after it. */
  readonly #confAt = new Map<string, string>()
  readonly #raftIds = new Set<number>()
  /** Leader → since when it reaches no quorum, ms. */
  readonly #aloneMs = new Map<string, number>()

  constructor(world: World) {
    this.#world = world
  }

  /** The log of this member ends here, and all of it is safe. */
  durable(raftId: number, end: Position): void {
    this.#durable.set(raftId, end)
  }

  /** An empty directory is given this Raft id. */
  *joined(node: SimNode, raftId: number): Iterable<string> {
    if (this.#raftIds.has(raftId))
      yield `S12: ${node.id} has an empty directory and was given the Raft id ${raftId} of an earlier one`
    this.#raftIds.add(raftId)
  }

  /** The node has another directory now. */
  replaced(node: SimNode): void {
    this.#changes.delete(node.id)
    this.#leading.delete(node.id)
  }

  elected(node: SimNode, term: number): void {
    this.#elected.set(node.id, { term, index: node.consensus?.status().commit ?? 0 })
  }

  /**
   * The node's machine has gone on. What a leader commits it counts by the configuration that it has
   * then, and its main may apply it later, when another one is in force: so it is looked at now.
   */
  *stepped(node: SimNode): Iterable<string> {
    const { consensus } = node
    if (consensus === undefined) return
    const { confState } = consensus
    const { role, term, commit } = consensus.status()
    const before = this.#leading.get(node.id)
    if (role === 'leader') this.#leading.set(node.id, { term, commit, confState })
    else this.#leading.delete(node.id)
    if (role !== 'leader' || before?.term !== term || commit <= before.commit) return
    // The step that commits a membership change applies it as well.
    const end = { term, index: commit }
    if (!this.#isOnQuorum(before.confState, end) && !this.#isOnQuorum(confState, end))
      yield `S4: ${node.id} commits index ${commit}, which is not on the disks of a quorum`
  }

  /** The node begins a campaign, or goes on from pre-votes to votes. */
  *campaigns(
    { id, epoch, consensus }: SimNode,
    began: { readonly role: Role; readonly term: number },
  ): Iterable<string> {
    if (consensus === undefined) return
    const { role, term, commit } = consensus.status()
    // It may have come further in the same step.
    if (role !== began.role || term !== began.term) return
    const change = this.#changes.get(id)?.findLast((at) => at <= commit)
    const known = change === undefined ? undefined : this.#confAt.get(`${epoch}/${change}`)
    const text = JSON.stringify(consensus.confState)
    if (known !== undefined && known !== text)
      yield `S12: ${id} campaigns in the configuration ${text}, and knows that index ${change} is committed, after which it is ${known}`
  }

  /** The node is about to write these. */
  *appending(node: SimNode, effects: readonly Persist[]): Iterable<string> {
    const status = node.consensus?.status()
    if (status === undefined) return
    for (const { entries, snapshot, compaction } of effects) {
      if (compaction !== undefined && compaction.compactIndex > compaction.snapshot.index)
        yield `S9: ${node.id} cuts its log at ${compaction.compactIndex}, its snapshot ends at ${compaction.snapshot.index}`
      const from = entries[0]?.index ?? Number.POSITIVE_INFINITY
      let changes = (snapshot === undefined ? (this.#changes.get(node.id) ?? []) : []).filter(
        (index) => index < from,
      )
      for (const { index, term, type } of entries) {
        if (type === 'normal') continue
        const before = changes.at(-1) ?? 0
        if (status.role === 'leader' && term === status.term && before > status.applied)
          yield `S12: ${node.id} begins the membership change at ${index} before it has applied the one at ${before}`
        changes = [...changes, index]
      }
      this.#changes.set(node.id, changes)
    }
  }

  /** The node has committed these, in order. */
  *committed(node: SimNode, entries: readonly Position[]): Iterable<string> {
    const { consensus } = node
    const last = entries.at(-1)
    if (consensus === undefined || last === undefined) return
    const { confState } = consensus
    const { role, term, commit } = consensus.status()
    if (role === 'leader') {
      const own = this.#elected.get(node.id)
      const isOlder = last.term < term && last.index === commit
      if (isOlder && own?.term === term && commit > own.index)
        yield `S4: ${node.id} leads term ${term} and commits index ${commit} of term ${last.term} by counting`
    }
    yield* this.#checkConfState(node, last.index, confState)
  }

  /** To be called each second or so. */
  *inspect(): Iterable<string> {
    const { nowMs } = this.#world.schedule
    for (const node of this.#world.nodes.values()) {
      const isLeading = node.consensus?.status().role === 'leader'
      if (!isLeading || node.isPaused || this.#reachesQuorum(node)) {
        this.#aloneMs.delete(node.id)
        continue
      }
      const sinceMs = this.#aloneMs.get(node.id) ?? nowMs
      this.#aloneMs.set(node.id, sinceMs)
      if (nowMs - sinceMs > ALONE_MAX_MS)
        yield `S13: ${node.id} leads, but has reached no quorum for ${Math.round(nowMs - sinceMs)} ms`
    }
  }

  #reachesQuorum(node: SimNode): boolean {
    const { network } = this.#world
    const confState = node.consensus?.confState
    if (confState === undefined) return false
    return isQuorum(confState, (raftId) => {
      const peer = this.#world.findByRaftId(raftId)
      if (peer === undefined || !peer.isUp) return false
      return peer === node || (!network.isCut(node.id, peer.id) && !network.isCut(peer.id, node.id))
    })
  }

  #isOnQuorum(confState: ConfState, { term, index }: Position): boolean {
    return isQuorum(confState, (raftId) => {
      const end = this.#durable.get(raftId)
      return end !== undefined && end.term >= term && end.index >= index
    })
  }

  *#checkConfState(node: SimNode, index: number, confState: ConfState): Iterable<string> {
    const change = this.#changes.get(node.id)?.findLast((at) => at <= index)
    if (change === undefined) return
    const text = JSON.stringify(confState)
    const at = `${node.epoch}/${change}`
    const known = this.#confAt.get(at)
    if (known !== undefined && known !== text)
      yield `S12: ${node.id} has the configuration ${text} after index ${change}, another node ${known}`
    this.#confAt.set(at, known ?? text)
  }
}

/** Whether a majority of each half is so. */
function isQuorum(
  { voters, votersOutgoing }: ConfState,
  isSo: (raftId: number) => boolean,
): boolean {
  return [voters, votersOutgoing].every(
    (half) => half.length === 0 || half.filter(isSo).length > half.length / 2,
  )
}
