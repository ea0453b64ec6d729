/**
 * Scheduler: gives pending tasks their nodes (swarm-mode.md 2.5). Tasks of one spec are placed as a
 * group over nodes in rank order: those where the spec keeps failing last, then fewest tasks of the
 * service, then fewest tasks at all, then by id. Global tasks have their node already and are only
 * checked. A task that fits nowhere stays pending and says why. What it keeps between rounds can be
 * derived from the view.
 */
import type { Task } from '../../proto/gen/objects.ts'
import { isWanted } from '../../proto/task-state.ts'
import { withManagerState } from '../model/task.ts'
import type { Change } from '../store/change.ts'
import type { Outcome, Round } from '../store/round.ts'
import type { View } from '../store/view.ts'
import { explain, type Filter, newFilter, type Reason } from './filters.ts'
import {
  addCharge,
  type Charge,
  chargeOf,
  countFailures,
  FAILURES_MAX,
  type NodeInfo,
  newNodeInfo,
  noteFailure,
  removeCharge,
  specKey,
  withNode,
} from './node-info.ts'

const ASSIGNED = 'scheduler assigned task to node'
const CONFIRMED = 'scheduler confirmed task can run on preassigned node'
const PENDING = 'pending task scheduling'

export class Scheduler {
  #infos = new Map<string, NodeInfo>()
  #charges = new Map<string, Charge>()
  /** Tasks whose failure is counted already. */
  #failed = new Set<string>()
  /** Tasks that wait for a node, by id. */
  #pending = new Map<string, Task>()

  reconcile(round: Round): Outcome {
    this.#observe(round)
    const changes: Change[] = []
    for (const group of this.#listGroups())
      for (const task of this.#place(group, round)) changes.push(taskUpdate(task))
    return { changes, nextMs: undefined }
  }

  /** Takes over what changed since the last round. */
  #observe(round: Round): void {
    const { view, changed } = round
    if (changed.all) {
      this.#infos = new Map()
      this.#charges = new Map()
      this.#failed = new Set()
      this.#pending = new Map()
      for (const node of view.nodes.list()) this.#infos.set(node.id, newNodeInfo(node))
      for (const task of view.tasks.list()) this.#observeTask(task.id, view)
      return
    }
    for (const id of changed.ids.nodes) this.#observeNode(id, view)
    for (const id of changed.ids.tasks) this.#observeTask(id, view)
  }

  #observeNode(id: string, view: View): void {
    const node = view.nodes.get(id)
    const known = this.#infos.get(id)
    if (node === undefined) {
      this.#infos.delete(id)
    } else if (known !== undefined) {
      this.#infos.set(id, withNode(known, node))
    } else {
      this.#infos.set(id, newNodeInfo(node))
      for (const task of view.tasks.by('node', id)) {
        this.#charges.delete(task.id)
        this.#observeTask(task.id, view)
      }
    }
  }

  #observeTask(id: string, view: View): void {
    const task = view.tasks.get(id)
    this.#setCharge(id, task === undefined ? undefined : chargeOf(task))
    if (task === undefined) {
      this.#failed.delete(id)
      this.#pending.delete(id)
      return
    }
    this.#observeFailure(task)
    if (task.status?.state === 'pending' && isWanted(task.desiredState)) this.#pending.set(id, task)
    else this.#pending.delete(id)
  }

  #setCharge(taskId: string, charge: Charge | undefined): void {
    const before = this.#charges.get(taskId)
    const beforeInfo = before && this.#infos.get(before.nodeId)
    if (before !== undefined && beforeInfo !== undefined) removeCharge(beforeInfo, before)
    const info = charge && this.#infos.get(charge.nodeId)
    if (charge === undefined || info === undefined) {
      this.#charges.delete(taskId)
      return
    }
    addCharge(info, charge)
    this.#charges.set(taskId, charge)
  }

  #observeFailure(task: Task): void {
    const state = task.status?.state
    if ((state !== 'failed' && state !== 'rejected') || this.#failed.has(task.id)) return
    this.#failed.add(task.id)
    const info = this.#infos.get(task.nodeId)
    if (info !== undefined) noteFailure(info, specKey(task), task.endedClusterMs)
  }

  /** Pending tasks by spec, oldest slot first, so that equal views give equal placements. */
  #listGroups(): readonly (readonly Task[])[] {
    const groups = new Map<string, Task[]>()
    for (const task of this.#pending.values()) {
      const group = groups.get(specKey(task))
      if (group === undefined) groups.set(specKey(task), [task])
      else group.push(task)
    }
    return [...groups]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, group]) => group.sort((a, b) => a.slot - b.slot || (a.id < b.id ? -1 : 1)))
  }

  #place(group: readonly Task[], round: Round): readonly Task[] {
    const [first] = group
    if (first === undefined) return []
    const filter = newFilter(first)
    const placed: Task[] = []
    const free = group.filter((task) => {
      if (task.nodeId === '') return true
      const checked = this.#confirm(task, filter, round)
      if (checked !== undefined) placed.push(checked)
      return false
    })
    if (free.length > 0) placed.push(...this.#spread(free, filter, round))
    return placed
  }

  /** A task with a node: it may run there, or says why not. */
  #confirm(task: Task, filter: Filter, round: Round): Task | undefined {
    const info = this.#infos.get(task.nodeId)
    const reason = info === undefined ? undefined : filter(info)
    if (info === undefined || reason !== undefined)
      return refused(task, explain(new Map(reason === undefined ? [] : [[reason, 1]])), round)
    const confirmed = withManagerState(task, 'assigned', { ...round, message: CONFIRMED })
    this.#setCharge(task.id, chargeOf(confirmed))
    this.#pending.delete(task.id)
    return confirmed
  }

  #spread(tasks: readonly Task[], filter: Filter, round: Round): readonly Task[] {
    const [first] = tasks
    if (first === undefined) return []
    const rank = this.#newRank(first, round.now)
    const nodes = [...this.#infos.values()].sort(rank)
    const reasons = new Map<Reason, number>()
    const result: Task[] = []
    for (const task of tasks) {
      let info = nodes[0]
      for (let reason = info && filter(info); info !== undefined && reason !== undefined; ) {
        // Placing more of the same spec only fills nodes: one that is unfit stays so.
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
        nodes.shift()
        info = nodes[0]
        reason = info && filter(info)
      }
      if (info === undefined) {
        const waiting = refused(task, explain(reasons), round)
        if (waiting !== undefined) result.push(waiting)
        continue
      }
      const assigned = withManagerState({ ...task, nodeId: info.node.id }, 'assigned', {
        ...round,
        message: ASSIGNED,
      })
      this.#setCharge(task.id, chargeOf(assigned))
      this.#pending.delete(task.id)
      sinkFirst(nodes, rank)
      result.push(assigned)
    }
    return result
  }

  #newRank(task: Task, now: number): (a: NodeInfo, b: NodeInfo) => number {
    const key = specKey(task)
    const failing = new Map<string, number>()
    for (const info of this.#infos.values()) {
      const failures = countFailures(info, key, now)
      if (failures >= FAILURES_MAX) failing.set(info.node.id, failures)
    }
    const of = (info: NodeInfo): number => info.countByService.get(task.serviceId) ?? 0
    return (a, b) =>
      (failing.get(a.node.id) ?? 0) - (failing.get(b.node.id) ?? 0) ||
      of(a) - of(b) ||
      a.taskCount - b.taskCount ||
      (a.node.id < b.node.id ? -1 : 1)
  }
}

/** Moves the first node, whose rank has risen, to its place. */
function sinkFirst(nodes: NodeInfo[], rank: (a: NodeInfo, b: NodeInfo) => number): void {
  const first = nodes[0]
  if (first === undefined) return
  let low = 1
  let high = nodes.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const node = nodes[middle]
    if (node !== undefined && rank(node, first) < 0) low = middle + 1
    else high = middle
  }
  nodes.splice(low, 0, first)
  nodes.shift()
}

/** The task with its reason, or undefined when it says so already. */
function refused(task: Task, error: string, round: Round): Task | undefined {
  if (task.status?.error === error) return undefined
  return withManagerState(task, 'pending', { ...round, message: PENDING, error })
}

function taskUpdate(task: Task): Change {
  return { kind: 'update', table: 'tasks', object: task }
}
