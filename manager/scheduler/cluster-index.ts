/**
 * ClusterIndex: what the scheduler keeps between rounds: nodes with what is taken of them, services
 * with where their tasks are, and the tasks that wait. All of it follows from the nodes and tasks of
 * the view; what changed is taken over object by object. A new leader reads everything, in slices,
 * while what changes meanwhile is taken over as always.
 */
import { assert } from '../../lib/assert.ts'
import type { Node, Task } from '../../proto/gen/objects.ts'
import { isWanted } from '../../proto/task-state.ts'
import { wasFenced } from '../model/disconnect.ts'
import type { Changed } from '../store/round.ts'
import type { View } from '../store/view.ts'
import { NodeCounts } from './node-counts.ts'
import { charge, isCounted, isHolding, type NodeInfo, shunnedBy } from './node-info.ts'
import { Nodes } from './nodes.ts'
import {
  addToGroup,
  countOn,
  forgetFailure,
  type Group,
  groupOf,
  isForgettable,
  type Known,
  newServiceState,
  noteFailure,
  type ServiceState,
} from './service-state.ts'

/** Objects that are read at the start, and those that changed since it began. */
type Loading = {
  readonly nodes: Iterator<Node>
  readonly tasks: Iterator<Task>
  readonly changed: Set<string>
}

/** Where a task is counted. */
type At = { readonly info: NodeInfo; readonly service: ServiceState }

export class ClusterIndex {
  readonly nodes: Nodes = new Nodes()
  /** Groups that got a task since somebody took them out of here. */
  readonly fresh: Set<Group> = new Set()
  readonly #tasks: Map<string, Known> = new Map()
  readonly #services: Map<string, ServiceState> = new Map()
  /** Key of a service's name → nodes with wanted tasks that do not want to be beside it. */
  readonly #shunning: Map<string, NodeCounts> = new Map()
  #loading: Loading | undefined

  /** An index that is made from this view, as far as it is loaded. */
  constructor(view: View) {
    this.#loading = {
      nodes: view.nodes.list()[Symbol.iterator](),
      tasks: view.tasks.list()[Symbol.iterator](),
      changed: new Set(),
    }
  }

  /** Reads up to `count` objects; true when everything has been read. */
  load(count: number): boolean {
    const loading = this.#loading
    if (loading === undefined) return true
    for (let i = 0; i < count; i++) {
      const node = loading.nodes.next()
      if (node.done !== true) {
        if (!loading.changed.has(node.value.id)) this.nodes.add(node.value)
        continue
      }
      const task = loading.tasks.next()
      if (task.done === true) {
        this.#loading = undefined
        return true
      }
      this.#loadTask(task.value, loading.changed)
    }
    return false
  }

  /** Takes over what changed. */
  observe(view: View, { ids }: Changed): void {
    for (const id of ids.nodes) this.#observeNode(id, view)
    for (const id of ids.tasks) {
      this.#loading?.changed.add(id)
      this.#observeTask(id, view.tasks.get(id))
    }
  }

  /** The task, which waited, was placed on this node; `service` is its own. */
  place(known: Known, assigned: Task, { info, service }: At): void {
    known.task = assigned
    known.isWaiting = false
    this.#charge(known, info, service)
  }

  /** The group has no task that waits; it is made again when there is one. */
  drop(group: Group): void {
    const { service } = group
    const others = service.groups.filter((other) => other !== group)
    service.groups = others.length === 0 ? NO_GROUPS : others
    this.#forget(service)
  }

  /** On which nodes wanted tasks of the service are. */
  nodesOf(serviceId: string | undefined): readonly NodeInfo[] {
    return listThere(this.#services.get(serviceId ?? '')?.counts)
  }

  /** Whether there is any task that does not want to be beside some service. */
  get isAnyShunning(): boolean {
    return this.#shunning.size > 0
  }

  /** Nodes with tasks that do not want to be beside a service of that name. */
  shunning(name: string): readonly NodeInfo[] {
    return listThere(this.#shunning.get(name))
  }

  #observeNode(id: string, view: View): void {
    this.#loading?.changed.add(id)
    const node = view.nodes.get(id)
    const known = this.nodes.get(id)
    if (node === undefined) {
      if (known !== undefined) this.nodes.remove(known)
    } else if (known !== undefined) {
      known.node = node
      this.nodes.touch(known)
    } else {
      this.nodes.add(node)
      for (const task of view.tasks.by('node', id)) {
        this.#forgetTask(task.id)
        this.#observeTask(task.id, task)
      }
    }
  }

  #observeTask(id: string, task: Task | undefined): void {
    const known = this.#tasks.get(id)
    if (known !== undefined && task !== undefined && isSame(known, task)) {
      known.task = task
      return
    }
    if (known !== undefined) this.#forgetTask(id)
    if (task !== undefined) this.#takeOver(task)
  }

  #loadTask(task: Task, changed: ReadonlySet<string>): void {
    if (changed.size === 0) this.#takeOver(task)
    else if (!changed.has(task.id)) this.#observeTask(task.id, task)
  }

  /** Nothing is known of the task; afterwards all that follows from it is. */
  #takeOver(task: Task): void {
    const state = task.status?.state
    const info = isHolding(task) ? this.nodes.get(task.nodeId) : undefined
    const isFailed = (state === 'failed' || state === 'rejected') && !wasFenced(task)
    const isWaiting = state === 'pending' && isWanted(task.desiredState)
    if (info === undefined && !isFailed && !isWaiting) return
    const known: Known = { task, isWaiting, info: undefined, service: undefined }
    this.#tasks.set(task.id, known)
    if (info !== undefined) this.#charge(known, info)
    if (isFailed) known.service = this.#service(task)
    if (isFailed && known.service !== undefined) noteFailure(known.service, task)
    if (!isWaiting) return
    const group = groupOf(this.#service(task), task)
    addToGroup(group, known)
    this.fresh.add(group)
  }

  #forgetTask(id: string): void {
    const known = this.#tasks.get(id)
    if (known === undefined) return
    const { task, info, service } = known
    this.#tasks.delete(id)
    known.isWaiting = false
    if (info !== undefined) {
      charge(info, task, -1)
      this.nodes.touch(info)
      if (service !== undefined) this.#count(task, { info, service }, -1)
    } else if (service !== undefined) forgetFailure(service, id)
    if (service !== undefined) this.#forget(service)
  }

  #charge(known: Known, info: NodeInfo, service?: ServiceState): void {
    const { task } = known
    known.info = info
    known.service = isCounted(task) ? (service ?? this.#service(task)) : undefined
    charge(info, task, 1)
    if (known.service !== undefined) this.#count(task, { info, service: known.service }, 1)
    this.nodes.touch(info)
  }

  #count(task: Task, { info, service }: At, sign: 1 | -1): void {
    info.taskCount += sign
    assert(info.taskCount >= 0, 'a node has at least no tasks', { node: info.node.id })
    countOn(service, info, sign)
    for (const name of shunnedBy(task)) {
      const nodes = this.#shunning.get(name) ?? new NodeCounts()
      nodes.adjust(info, sign)
      if (nodes.isEmpty) this.#shunning.delete(name)
      else this.#shunning.set(name, nodes)
    }
  }

  #service({ serviceId }: Task): ServiceState {
    const known = this.#services.get(serviceId)
    if (known !== undefined) return known
    const made = newServiceState(serviceId)
    this.#services.set(serviceId, made)
    return made
  }

  #forget(service: ServiceState): void {
    if (isForgettable(service) && this.#services.get(service.id) === service)
      this.#services.delete(service.id)
  }
}

/** Without those that were removed. */
function listThere(counts: NodeCounts | undefined): readonly NodeInfo[] {
  return counts === undefined ? NOWHERE : [...counts.nodes()].filter((info) => !info.isGone)
}

const NOWHERE: readonly NodeInfo[] = []
const NO_GROUPS: readonly Group[] = []

/** Whether the same follows from the task as before: its spec and node never change. */
function isSame({ task: before, isWaiting, info, service }: Known, task: Task): boolean {
  if (isWaiting) return task.status?.state === 'pending' && isWanted(task.desiredState)
  if (info === undefined) return false
  return (
    !info.isGone &&
    isHolding(task) &&
    before.nodeId === task.nodeId &&
    (service !== undefined) === isCounted(task)
  )
}
