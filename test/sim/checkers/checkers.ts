/**
 * The checkers: they look at the run from outside, at every message, write and applied entry, and
 * hold it against the invariants of peers.md 3.4. S1 to S8 are about Raft, log and store; T1 to T5
 * about tasks, on a reference store that applies each committed entry once, by whoever committed it
 * first; the rest about agents: nothing is started twice, marks never go back, overlaps of one slot
 * are explained by a node that was not heard of.
 */
import { type OperationKind, wasStarted } from '../../../agent/task.ts'
import type { CommittedEntry, MainEvent, Persist } from '../../../manager/consensus-interface.ts'
import { isEqual } from '../../../manager/model/equal.ts'
import {
  type Entry,
  emptyHardState,
  type HardState,
  type Message,
  NO_BYTES,
  type Snapshot,
} from '../../../manager/raft/message.ts'
import { newEntry } from '../../../manager/store/entry.ts'
import { SnapshotReader } from '../../../manager/store/snapshot.ts'
import { Store } from '../../../manager/store/store.ts'
import type { TableName, View } from '../../../manager/store/view.ts'
import type { OpenedWal } from '../../../manager/wal/wal.ts'
import { ZERO_MARK } from '../../../proto/assignment-mark.ts'
import { decodeSnapshotPayload } from '../../../proto/gen/consensus.ts'
import type { AgentMessage, SessionMessage } from '../../../proto/gen/dispatcher.ts'
import type { Task } from '../../../proto/gen/objects.ts'
import { decodeStoreEntry, emptyStoreEntry, type StoreEntry } from '../../../proto/gen/store.ts'
import type { PortConfig } from '../../../proto/gen/types.ts'
import type { Surviving } from '../force.ts'
import type { SimNode } from '../sim-node.ts'
import { findLabel } from '../workload/client.ts'
import { labelOf } from '../workload/specs.ts'
import type { World } from '../world.ts'
import { AgentDiskChecker } from './agent-disk.ts'
import { FenceChecker, type FencedHost } from './fences.ts'
import { GroupChecker } from './group.ts'
import { Happenings } from './happenings.ts'
import { HearingChecker } from './hearing.ts'
import type { Kind } from './history.ts'
import { LogEnds } from './log-ends.ts'
import { LostAssignments } from './lost-assignments.ts'
import { type Host, OverlapChecker } from './overlap.ts'
import { type Held, ReporterChecker, type SessionEvent } from './reporters.ts'
import { newRules } from './rules.ts'
import { newStep, type Step, type StepChecker } from './step.ts'
import { checkEnding } from './stops.ts'
import { TaskChecker } from './tasks.ts'

/** How often the containers of all hosts are looked at, ms. */
const INSPECT_EVERY_MS = 1_000
/** Three times what the busiest runs commit: loops of which one undoes what the other does write for ever. */
const ENTRIES_MAX = 20_000

type Committed = { readonly term: number; readonly data: string; readonly digest: string }

/** What a group had committed that ended with its quorum, and the state that it left. */
type Over = { readonly committed: Map<number, Committed>; readonly view: View }

/** What one node's disk is known to hold, and how far it was seen to be. */
type Seen = {
  durable: HardState
  lastTerm: number
  lastIndex: number
  readonly ends: LogEnds
  applied: number
  term: number
}

export class Checkers {
  /** How much happened: the run must not have been empty. */
  readonly counts = {
    elections: 0,
    committed: 0,
    snapshotsInstalled: 0,
    membershipChanges: 0,
    operations: 0,
    tornTails: 0,
    acknowledged: 0,
  }
  #world: World
  /** Of the group that goes on: one more than how often a quorum was lost for good. */
  #epoch = 1
  /** Groups that are over, by their epoch. */
  #over = new Map<number, Over>()
  /** By `epoch/term`. */
  #leaderOf = new Map<string, string>()
  #committed = new Map<number, Committed>()
  #reference = new Store()
  #seen = new Map<string, Seen>()
  /** The version that each change found, by epoch, `table/id` and log index. */
  #foundVersions = new Map<string, number>()
  /** Every node that there ever was. */
  #nodeIds = new Set<string>()
  /** Names of all services that there ever were. */
  #serviceNames = new Set<string>()
  #agentDisks = new AgentDiskChecker()
  /** Host → tasks that its agent reported as running; a clone is a host of its own. */
  #seenRunning = new Map<SimNode, Set<string>>()
  #tasks: TaskChecker
  #lost = new LostAssignments()
  #happenings: Happenings
  #steps: readonly StepChecker[]
  #overlaps = new OverlapChecker()
  #fences = new FenceChecker()
  #hearing: HearingChecker
  #reporters: ReporterChecker
  #group: GroupChecker

  constructor(world: World) {
    this.#world = world
    this.#hearing = new HearingChecker(world)
    this.#reporters = new ReporterChecker(world)
    this.#group = new GroupChecker(world)
    this.#happenings = new Happenings(world)
    this.#tasks = new TaskChecker((nodeId) => world.wereCloned.has(nodeId))
    this.#steps = [this.#tasks, ...newRules(), this.#lost, this.#happenings]
    this.#inspectLater()
  }

  /** What runs on the hosts is looked at again and again, whatever is committed. */
  #inspectLater(): void {
    this.#world.schedule.after(INSPECT_EVERY_MS, () => {
      const view = this.#reference.view()
      const hosts = [...this.#world.nodes.values()].map((node) => this.#hostOf(node))
      const { nowMs } = this.#world.schedule
      for (const problem of this.#overlaps.inspect(view, hosts, nowMs)) this.#violation(problem)
      for (const problem of this.#fences.inspect(hosts, nowMs)) this.#violation(problem)
      for (const problem of this.#group.inspect()) this.#violation(problem)
      this.#inspectLater()
    })
  }

  #hostOf(node: SimNode): Host & FencedHost {
    const isRunning = node.isUp && !node.isPaused
    const stalledUntilMs = Math.max(node.mainStalledUntilMs, node.runtime.hungUntilMs)
    const isStalled = this.#world.schedule.nowMs < stalledUntilMs
    return {
      id: node.id,
      isReached: isRunning && !isStalled && node.agent?.status().session === 'running',
      isAble: isRunning && !isStalled && !node.isStopping && !node.isClone,
      isCloned: this.#world.cloned.has(node.id),
      running: node.runtime.listRunning(),
    }
  }

  /** The state after every entry that is known to be committed. */
  get reference(): Store {
    return this.#reference
  }

  /** Whether a service of that name was ever committed, be it there still or not. */
  wasThere(name: string): boolean {
    return this.#serviceNames.has(name)
  }

  get epoch(): number {
    return this.#epoch
  }

  /**
   * The quorum is lost for good, and the group goes on from this manager's log, all of it, under its
   * new Raft id. Nothing that it holds is gone; what it does not have never was, for clients as well.
   */
  forced(node: SimNode, log: Surviving): void {
    this.replaced(node)
    for (const problem of this.#group.joined(node, node.raftId)) this.#violation(problem)
    const view = this.#reference.view()
    const last = log.entries.at(-1)?.index ?? log.snapshot.index
    const hasAll = last >= view.index && log.entries.every((entry) => !this.#isOther(entry))
    this.#over.set(this.#epoch, { committed: this.#committed, view })
    this.#committed = new Map(this.#committed)
    this.#epoch = node.epoch
    if (hasAll) {
      for (const entry of log.entries) if (entry.index > view.index) this.#extend(wordsOf(entry))
    } else this.#goBack(log)
    this.#beginEpoch()
    // What the new group has forgotten it cannot wait for.
    const { tasks } = this.#reference.view()
    for (const { runtime } of this.#world.nodes.values()) {
      const running = runtime.listRunning()
      this.#fences.exempt(running)
      this.#fences.forget(running.filter(({ id }) => tasks.get(id) === undefined))
    }
    this.#world.trace(`${node.id} has ${last} of ${view.index}${hasAll ? '' : ', some is lost'}`)
  }

  #isOther(entry: Entry): boolean {
    const known = this.#committed.get(entry.index)
    const { term, data } = wordsOf(entry)
    return known !== undefined && (known.term !== term || known.data !== hashOf(data))
  }

  /** The state is made anew of the log; where it had been committed before it must come out the same. */
  #goBack({ snapshot, entries }: Surviving): void {
    const before = this.#committed
    const store = storeOf(snapshot)
    this.#reference = store
    this.#committed = new Map()
    for (const entry of entries) {
      const { index, term, data } = wordsOf(entry)
      store.apply(index, decode(data, store.view()))
      const known = { term, data: hashOf(data), digest: hex(store.digest()) }
      const was = before.get(index)
      if (was?.term === term && was.data === known.data && was.digest !== known.digest)
        this.#violation(
          `S8: the log to index ${index} makes digest ${known.digest}, was ${was.digest}`,
        )
      this.#committed.set(index, known)
    }
    const view = store.view()
    for (const checker of this.#steps) checker.restored?.(view)
    for (const { runtime } of this.#world.nodes.values())
      runtime.restored((id) => wasStarted(view.tasks.get(id)?.status?.state ?? 'new'))
    this.#world.history.restore(({ kind, name }) => findWritten(view, kind, name))
  }

  #beginEpoch(): void {
    const { index, timeMs, clusters } = this.#reference.view()
    const changes = [...clusters.list()].map((cluster) => {
      const object = { ...cluster, epoch: this.#epoch }
      return { kind: 'update', table: 'clusters', object } as const
    })
    const wallMs = this.#world.wallMs()
    this.#reference.apply(index + 1, newEntry(changes, { timeMs, wallMs }))
    const digest = hex(this.#reference.digest())
    this.#committed.set(index + 1, { term: 0, data: '', digest })
  }

  /** A node's log was opened: what it says now is what is durable. */
  opened(node: SimNode, opened: OpenedWal): void {
    const lastIndex = opened.entries.at(-1)?.index ?? opened.snapshot?.index ?? 0
    const before = this.#seen.get(node.id)
    if (opened.torn !== undefined) {
      this.counts.tornTails++
      this.#world.reached('torn tails')
      this.#world.reached('D1')
    }
    if (before !== undefined && opened.hardState.term < before.durable.term)
      this.#violation(
        `S6: term of ${node.id} went back from ${before.durable.term} to ${opened.hardState.term}`,
      )
    if (
      before !== undefined &&
      opened.hardState.term === before.durable.term &&
      before.durable.vote !== 0 &&
      opened.hardState.vote !== before.durable.vote
    )
      this.#violation(`S7: the vote of ${node.id} in term ${before.durable.term} was forgotten`)
    const lastTerm = opened.entries.at(-1)?.term ?? opened.snapshot?.term ?? 0
    const isShorter =
      before !== undefined &&
      (lastTerm < before.lastTerm || (lastTerm === before.lastTerm && lastIndex < before.lastIndex))
    if (isShorter)
      this.#violation(
        `S7: ${node.id} had index ${before.lastIndex} of term ${before.lastTerm} on its disk, and now ends with ${lastIndex} of ${lastTerm}`,
      )
    const durable = opened.hardState
    const ends = new LogEnds(durable.term, lastIndex)
    this.#seen.set(node.id, { durable, lastTerm, lastIndex, ends, applied: 0, term: 0 })
    this.#group.durable(node.raftId, { term: lastTerm, index: lastIndex })
  }

  /** The node was given another directory: what it held before is no promise any more. */
  replaced(node: SimNode): void {
    this.#seen.delete(node.id)
    this.#group.replaced(node)
  }

  /** The agent's state is on its disk, or was just read from there. */
  agentSaved(node: SimNode, file: Uint8Array | undefined): void {
    const problem = this.#agentDisks.holds(node.id, file)
    if (problem !== undefined) this.#violation(problem)
  }

  /** The agent's state was lost, or is an older one: `file`. */
  agentReplaced(node: SimNode, file: Uint8Array | undefined): void {
    this.#agentDisks.replaced(node.id, file)
    this.#fences.exempt(node.runtime.listRunning())
  }

  /** Of the host's containers only those that ran then are left, and they have ended. */
  containersReplaced(node: SimNode): void {
    this.#seenRunning.delete(node)
  }

  /** The effects are on the disk and synced. */
  persisted(node: SimNode, effects: readonly Persist[]): void {
    const seen = this.#seenOf(node)
    for (const effect of effects) {
      const { hardState, entries, snapshot } = effect
      seen.ends.persisted(effect)
      if (hardState !== undefined) seen.durable = hardState
      if (snapshot !== undefined) {
        seen.lastIndex = snapshot.index
        this.counts.snapshotsInstalled++
        this.#world.reached('snapshots installed')
      }
      if ((entries[0]?.index ?? seen.lastIndex + 1) <= seen.lastIndex)
        this.#world.reached('overwritten suffixes')
      seen.lastIndex = entries.at(-1)?.index ?? seen.lastIndex
      seen.lastTerm = entries.at(-1)?.term ?? snapshot?.term ?? seen.lastTerm
    }
    this.#group.durable(node.raftId, { term: seen.lastTerm, index: seen.lastIndex })
  }

  /** The effects are about to be written. */
  appending(node: SimNode, effects: readonly Persist[]): void {
    for (const problem of this.#group.appending(node, effects)) this.#violation(problem)
  }

  /** The node's consensus machine has done something. */
  stepped(node: SimNode): void {
    for (const problem of this.#group.stepped(node)) this.#violation(problem)
  }

  /** A node without a log is a member of the group from now on. */
  joined(node: SimNode, raftId: number): void {
    for (const problem of this.#group.joined(node, raftId)) this.#violation(problem)
  }

  /** What the node has promised: it is on its disk. */
  durable(node: SimNode): { readonly term: number; readonly lastIndex: number } {
    const { durable, lastIndex } = this.#seenOf(node)
    return { term: durable.term, lastIndex }
  }

  /** S7: a vote or an acknowledgement leaves a node only after it is durable. */
  sent(node: SimNode, message: Message): void {
    const { durable, lastIndex, ends } = this.#seenOf(node)
    if (message.type === 'vote-response' && !message.reject) {
      // A vote that waited for the disk may come late: in a later term no other of its term follows.
      const isDurable =
        durable.term > message.term ||
        (durable.term === message.term && durable.vote === message.to)
      if (!isDurable)
        this.#violation(`S7: ${node.id} grants a vote that is not durable (term ${message.term})`)
    }
    if (message.type === 'append-response' && !message.reject) {
      if (!ends.reached(message.term, message.index))
        this.#violation(
          `S7: ${node.id} acknowledges index ${message.index} of term ${message.term}, durable are ${lastIndex} and ${durable.term}`,
        )
    }
  }

  /** What the consensus machine tells main. */
  event(node: SimNode, event: MainEvent): void {
    const seen = this.#seenOf(node)
    switch (event.kind) {
      case 'role':
        this.#world.trace(`${node.id} ${event.role} term ${event.term} leader ${event.leader}`)
        if (event.term < seen.term) this.#violation(`S6: term of ${node.id} went back`)
        seen.term = event.term
        if (event.role === 'leader') this.#elected(node, event.term)
        if (event.role === 'candidate' || event.role === 'pre-candidate')
          for (const problem of this.#group.campaigns(node, event)) this.#violation(problem)
        break
      case 'committed':
        for (const entry of event.entries) this.#commit(node, seen, entry)
        for (const problem of this.#group.committed(node, event.entries)) this.#violation(problem)
        break
      case 'install':
        if (event.index < seen.applied) this.#violation(`S6: ${node.id} goes back by a snapshot`)
        seen.applied = event.index
        break
      case 'members':
        this.counts.membershipChanges++
        break
      default:
        break
    }
  }

  /** S8: equal applied index, equal digest. */
  applied(node: SimNode): void {
    const { manager } = node
    if (manager === undefined) return
    const { index } = manager.view()
    const known = this.#committedBy(node)?.get(index)
    if (known === undefined) return
    const digest = hex(manager.digest())
    // Of what a group that is over goes on with there is no reference: one is held against the others.
    if (known.digest === '') this.#committedBy(node)?.set(index, { ...known, digest })
    else if (digest !== known.digest)
      this.#violation(`S8: ${node.id} has digest ${digest} at index ${index}, not ${known.digest}`)
  }

  /** An agent is about to do this to a container. */
  operation(node: SimNode, kind: OperationKind, task: Task): void {
    this.counts.operations++
    this.#world.trace(`${node.id} ${kind} ${task.id} ${task.serviceId}/${task.slot}`)
    if (task.nodeId !== '' && task.nodeId !== node.id)
      this.#violation(`T9: ${node.id} is about to ${kind} task ${task.id} of node ${task.nodeId}`)
    const { nowMs } = this.#world.schedule
    if (kind === 'stop' && this.#fences.stops(node, task, nowMs)) {
      if (task.desiredState === 'running') this.#world.reached('fenced')
      return
    }
    const unsaved = this.#agentDisks.operation(node.id, kind, task)
    if (unsaved !== undefined) this.#violation(unsaved)
    const hasRun = this.#seenRunning.get(node)?.has(task.id) === true
    const isUnhealthy = node.runtime.ailments.mayEnd(task)
    if (kind === 'stop' && isUnhealthy) this.#world.reached('unhealthy ended')
    const mark = node.agent?.status().mark ?? ZERO_MARK
    // Until it hears of the group that goes on, it does what the one before had told it.
    const over = this.#over.get(mark.epoch)
    const isLost = over === undefined && this.#lost.isLost(task.id, mark)
    // Nobody remembers then that it was started: assigned anew, it may be.
    if (kind === 'remove' && isLost) node.runtime.startLost(task.id)
    const operation = { kind, taskId: task.id, hasRun, isUnhealthy, isLost }
    const problem = checkEnding(over?.view ?? this.#reference.view(), node.id, operation)
    if (problem !== undefined && node.agent?.status().session !== 'closed') this.#violation(problem)
  }

  /** A heartbeat of an agent has reached a manager. */
  heartbeat(agent: SimNode, manager: SimNode): void {
    this.#hearing.heartbeat({ nodeId: agent.id, instance: agent.instance }, manager)
  }

  /** A manager takes an instance of a node for a clone. */
  refusedClone(agent: { nodeId: string; instance: string }, manager: SimNode): void {
    this.#hearing.refused(agent, manager)
    this.#reporters.refused(agent, manager)
  }

  /** A manager decides that a node is not heard any more. */
  turnedDown(nodeId: string, manager: SimNode): void {
    const problem = this.#hearing.turnedDown(nodeId, manager)
    if (problem !== undefined) this.#violation(problem)
  }

  /**
   * A client has its answer. S5: the entry at this index made the change, so it is in every later
   * state; S10: to the version that the client had seen, and to no later one.
   */
  acknowledged(
    index: number,
    write: { readonly table: TableName; readonly id: string; readonly seen: number | undefined },
  ): void {
    this.counts.acknowledged++
    const what = `${write.table}/${write.id}`
    const found = this.#foundVersions.get(`${this.#epoch}/${what}/${index}`)
    if (index > this.#reference.view().index)
      this.#violation(`S5: ${what} was acknowledged at ${index} before anybody committed it`)
    else if (found === undefined)
      this.#violation(`S5: acknowledged ${what} is lost: the entry at ${index} does not have it`)
    else if (write.seen !== undefined && found !== write.seen)
      this.#violation(
        `S10: ${what} was changed from version ${found}, its client had seen ${write.seen}`,
      )
  }

  /** A linearizable read is asked for: the number by which its answer is judged. */
  readBegins(): number {
    return this.#reference.view().index
  }

  /** S10, S13: it has all that anybody had committed when it was asked for. */
  readAnswered(node: SimNode, index: number, began: number): void {
    if (index < began)
      this.#violation(`S13: a read at ${node.id} saw index ${index}, ${began} was committed before`)
  }

  /** Whether a node of this id was ever part of the cluster. */
  wasNode(id: string): boolean {
    return this.#nodeIds.has(id)
  }

  #elected(node: SimNode, term: number): void {
    const other = this.#leaderOf.get(`${node.epoch}/${term}`)
    if (other !== undefined && other !== node.id)
      this.#violation(`S1: ${node.id} and ${other} both lead term ${term}`)
    if (other === undefined) {
      this.counts.elections++
      this.#world.reached('elections')
      this.#happenings.elected(this.#reference.view())
    }
    this.#leaderOf.set(`${node.epoch}/${term}`, node.id)
    this.#hearing.elected(node)
    this.#reporters.elected(node, term)
    this.#group.elected(node, term)
  }

  /** S2, S3: what one commits at an index, all commit there; the first one extends the reference. */
  #commit(
    node: SimNode,
    seen: Seen,
    entry: { readonly index: number; readonly term: number; readonly data: Uint8Array },
  ): void {
    const { index, term } = entry
    if (index !== seen.applied + 1 && seen.applied !== 0)
      this.#violation(`S6: ${node.id} applies ${index} after ${seen.applied}`)
    seen.applied = index
    const data = hashOf(entry.data)
    const known = this.#committedBy(node)?.get(index)
    if (known !== undefined) {
      if (known.term !== term || known.data !== data)
        this.#violation(
          `S2: ${node.id} commits another entry at ${index} (term ${term}, not ${known.term})`,
        )
      return
    }
    if (node.epoch === this.#epoch) this.#extend(entry)
    else if (this.#world.letsOldGroupsAnswer)
      this.#committedBy(node)?.set(index, { term, data, digest: '' })
    else
      this.#violation(
        `S2: ${node.id} is of epoch ${node.epoch}, which is over, and commits another entry at ${index}`,
      )
  }

  #committedBy({ epoch }: SimNode): Map<number, Committed> | undefined {
    return epoch === this.#epoch ? this.#committed : this.#over.get(epoch)?.committed
  }

  #extend({ index, term, data }: CommittedEntry): void {
    this.counts.committed++
    if (this.counts.committed === ENTRIES_MAX)
      this.#violation(`L8: ${ENTRIES_MAX} entries are committed, and there is no end of it`)
    const before = this.#reference.view()
    const decoded = decode(data, before)
    this.#reference.apply(index, decoded)
    const digest = hex(this.#reference.digest())
    this.#committed.set(index, { term, data: hashOf(data), digest })
    const step = newStep(before, this.#reference.view(), decoded)
    this.#noteChanges(step, index)
    for (const id of step.services)
      this.#serviceNames.add(step.after.services.get(id)?.spec?.annotations?.name ?? '')
    const problems = this.#steps.flatMap((checker) => [...checker.check(step)])
    for (const problem of [...problems, ...this.#reporters.check(step, term)])
      this.#violation(`${problem} (index ${index})`)
  }

  #noteChanges(step: Step, index: number): void {
    for (const { table, id } of step.changed)
      if (table !== 'tasks')
        this.#foundVersions.set(
          `${this.#epoch}/${table}/${id}/${index}`,
          step.before[table].get(id)?.meta?.version ?? 0,
        )
    for (const id of step.nodes) this.#nodeIds.add(id)
  }

  /** What an agent sends to its manager: only it says how its tasks are. */
  said(node: SimNode, { body }: AgentMessage): void {
    if (!node.isClone) this.#fences.said(node, body, this.#world.schedule.nowMs)
    if (body?.kind !== 'statuses') return
    for (const { taskId, status } of body.statuses.updates)
      if (status !== undefined) {
        this.#tasks.reported(node.id, taskId, status.state)
        if (status.state !== 'running') continue
        this.#noteRunning(node, taskId)
        this.#checkPorts(node, taskId, status.hostPorts)
        this.#checkHealth(node, taskId)
      }
  }

  /** An agent was told something, and has taken it in. */
  told(node: SimNode, { body }: SessionMessage): void {
    if (node.agent?.status().session === 'running' && !node.isClone) this.#fences.told(node, body)
  }

  /** Something happens in a session, as its manager sees it. */
  session(held: Held, event: SessionEvent): void {
    const problem = this.#reporters.happened(held, event)
    if (problem !== undefined) this.#violation(problem)
  }

  /** T6: the ports that are told of are those that the container was given, whoever started it. */
  #checkPorts(node: SimNode, taskId: string, told: readonly PortConfig[]): void {
    const own = node.runtime.portsOf(taskId)
    if (own === undefined || isEqual(own, told)) return
    this.#violation(
      `T6: ${node.id} tells of ports ${formatPorts(told)} of task ${taskId}, which has ${formatPorts(own)}`,
    )
  }

  /**
   * H1. An agent that has lost its memory believes the managers that a task runs; where a clone of its
   * host told them so, that was a check of the clone's container.
   */
  #checkHealth(node: SimNode, taskId: string): void {
    const task = this.#reference.view().tasks.get(taskId)
    if (task === undefined || node.runtime.ailments.isProven(task)) return
    const isBelieved = this.#world.wereCloned.has(node.id) && task.status?.state === 'running'
    if (!isBelieved)
      this.#violation(`H1: ${node.id} says that ${taskId} runs before a check of it succeeded`)
  }

  #noteRunning(node: SimNode, taskId: string): void {
    const tasks = this.#seenRunning.get(node)
    if (tasks === undefined) this.#seenRunning.set(node, new Set([taskId]))
    else tasks.add(taskId)
  }

  #seenOf(node: SimNode): Seen {
    const known = this.#seen.get(node.id)
    if (known !== undefined) return known
    const seen: Seen = {
      durable: emptyHardState,
      lastTerm: 0,
      lastIndex: 0,
      ends: new LogEnds(emptyHardState.term, 0),
      applied: 0,
      term: 0,
    }
    this.#seen.set(node.id, seen)
    return seen
  }

  #violation(message: string): void {
    this.#world.violation(message)
  }
}

function formatPorts(ports: readonly PortConfig[]): string {
  return `[${ports.map(({ publishedPort, protocol }) => `${protocol}/${publishedPort}`).join(', ')}]`
}

/** Of a member's log, as main is told it. */
function wordsOf({ index, term, type, data }: Entry): CommittedEntry {
  return { index, term, data: type === 'normal' ? data : NO_BYTES }
}

function decode(data: Uint8Array, { timeMs }: View): StoreEntry {
  return data.length === 0 ? { ...emptyStoreEntry, timeMs } : decodeStoreEntry(data)
}

function storeOf({ index, data }: Snapshot): Store {
  const { store: bytes } = decodeSnapshotPayload(data)
  const reader = new SnapshotReader()
  reader.feed(bytes)
  const store = bytes.length === 0 ? new Store() : reader.finish()
  if (store.view().index < index) store.apply(index, decode(NO_BYTES, store.view()))
  return store
}

/** What a register holds, and what a rollback would come back to. */
function findWritten(
  view: View,
  kind: Kind,
  name: string,
): { readonly label: string; readonly previous: string } {
  const label = findLabel(view, kind, name)
  const [service] = kind === 'service' ? view.services.by('name', name) : []
  const { previousSpec } = service ?? {}
  return { label, previous: previousSpec === undefined ? '' : labelOf({ spec: previousSpec }) }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function hashOf(bytes: Uint8Array): string {
  let hash = 0x811c9dc5
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return `${bytes.length}/${hash}`
}
