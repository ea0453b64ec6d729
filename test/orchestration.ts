/**
 * Orchestration: the control loops on a store, without Raft, agents or network, for the tests of the
 * orchestrators. Cluster time stands still until it is advanced; after every event the loops run
 * until none has a reason to. A small scheduler places tasks on nodes that fit; agents are played by
 * `report`. Each change is checked against the rules that hold at every step (peers.md 3.4, T1 to
 * T3), whoever makes it.
 */
import { assert, defined } from '../lib/assert.ts'
import { newSeededRandom, type SeededRandom } from '../lib/random.ts'
import { reconcileAllocator } from '../manager/allocator/allocator.ts'
import { Leader, type Loop } from '../manager/leader.ts'
import { matchesConstraints, parseConstraints } from '../manager/model/constraint.ts'
import { isEqual } from '../manager/model/equal.ts'
import { withNodeStatus } from '../manager/model/node.ts'
import { compareAge, getState, withManagerState, withStatus } from '../manager/model/task.ts'
import { newDrainReconciler } from '../manager/orchestrator/drain.ts'
import { newEnforcer } from '../manager/orchestrator/enforcer.ts'
import { newGlobalReconciler } from '../manager/orchestrator/global.ts'
import { newJobReconciler } from '../manager/orchestrator/jobs.ts'
import { newReaper } from '../manager/orchestrator/reaper.ts'
import { newReplicatedReconciler } from '../manager/orchestrator/replicated.ts'
import { newRestartReconciler } from '../manager/orchestrator/restart.ts'
import { newUpdateReconciler } from '../manager/orchestrator/update.ts'
import type { Change } from '../manager/store/change.ts'
import type { Changed, Outcome, Problem, Reconcile, Round } from '../manager/store/round.ts'
import type { Store } from '../manager/store/store.ts'
import type { View } from '../manager/store/view.ts'
import {
  emptyTaskStatus,
  type Node,
  type Service,
  type Task,
  type TaskStatus,
} from '../proto/gen/objects.ts'
import type { ServiceSpec } from '../proto/gen/specs.ts'
import type { NodeState, TaskState } from '../proto/gen/types.ts'
import { compareTaskState, isTerminal, isWanted } from '../proto/task-state.ts'
import { applyTo, node, type Part, storeWith, type World } from './build.ts'

export const WALL_MS = 1_700_000_000_000
const ROUNDS_MAX = 2_000

/** The loops in the leader's order; each call makes them without any memory. */
export function newLoops(): readonly Loop[] {
  return [
    { name: 'replicated', reconcile: newReplicatedReconciler() },
    { name: 'global', reconcile: newGlobalReconciler() },
    { name: 'jobs', reconcile: newJobReconciler() },
    { name: 'update', reconcile: newUpdateReconciler() },
    { name: 'drain', reconcile: newDrainReconciler() },
    { name: 'restart', reconcile: newRestartReconciler() },
    { name: 'enforcer', reconcile: newEnforcer() },
    { name: 'allocator', reconcile: reconcileAllocator },
    { name: 'scheduler', reconcile: schedule },
    { name: 'reaper', reconcile: newReaper() },
  ]
}

const NO_IDS: ReadonlySet<string> = new Set()

/** A round's list of changes that names only these tasks. */
export function changedTasks(tasks: readonly string[]): Changed {
  const ids = {
    clusters: NO_IDS,
    nodes: NO_IDS,
    services: NO_IDS,
    tasks: new Set(tasks),
    secrets: NO_IDS,
    configs: NO_IDS,
  }
  return { all: false, ids }
}

/** What a loop without memory does about everything: all its rounds at one time, on one view. */
export function lookAtAll(reconcile: Reconcile, view: View, now = 1_000): Outcome {
  const random = newSeededRandom('look')
  const changes: Change[] = []
  const problems: Problem[] = []
  let changed: Changed = { ...changedTasks([]), all: true }
  for (;;) {
    const outcome = reconcile({ view, now, wallMs: WALL_MS, random, changed })
    changes.push(...outcome.changes)
    problems.push(...(outcome.problems ?? []))
    if (outcome.nextMs === undefined || outcome.nextMs > now)
      return { changes, problems, nextMs: outcome.nextMs }
    changed = changedTasks([])
  }
}

export class Orchestration {
  readonly store: Store
  /** Cluster time, ms. */
  now = 1_000
  readonly random: SeededRandom
  /** Is shown each change, whoever makes it. */
  watch: ((before: View, after: View) => void) | undefined
  #leader = new Leader(newLoops())

  constructor(world: World, seed: number | string = 1) {
    this.store = storeWith(world)
    this.random = newSeededRandom(seed)
  }

  get view(): View {
    return this.store.view()
  }

  /** Runs the loops until none has a reason to. */
  settle(): void {
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const run = this.#leader.runNext(this.#roundOptions())
      if (run === undefined) return
      assert((run.outcome.problems ?? []).length === 0, 'no object is set aside', {
        loop: run.name,
        reason: run.outcome.problems?.[0]?.reason,
      })
      this.#commit(run.outcome.changes)
    }
    assert(false, 'the loops settle', { rounds: ROUNDS_MAX })
  }

  /** Time passes, in steps that no timer is skipped by. */
  advance(ms: number): void {
    const end = this.now + ms
    for (;;) {
      const next = this.#leader.nextMs()
      if (next === undefined || next > end) break
      this.now = Math.max(this.now, next)
      this.settle()
    }
    this.now = end
    this.settle()
  }

  /** When the loops want to look again. */
  nextMs(): number | undefined {
    return this.#leader.nextMs()
  }

  /** A new leader takes over: nothing that a loop had in memory is left. */
  changeLeader(): void {
    this.#leader = new Leader(newLoops())
  }

  /** Somebody writes, and the loops see to it. */
  write(changes: readonly Change[]): void {
    this.#commit(changes)
    this.settle()
  }

  /** What each loop would do if it looked at everything now, as a new leader's first round does. */
  lookAtAll(): ReadonlyMap<string, Outcome> {
    return new Map(
      newLoops().map(({ name, reconcile }) => [name, lookAtAll(reconcile, this.view, this.now)]),
    )
  }

  /** The node's agent reports a state, with the container's fate as far as rules ask for it. */
  report(taskId: string, state: TaskState, more: Partial<TaskStatus> = {}): void {
    const task = this.getTask(taskId)
    const before = task.status ?? emptyTaskStatus
    const status = { ...before, state, timestampMs: WALL_MS, ...more }
    this.write([{ kind: 'update', table: 'tasks', object: withStatus(task, status, this.now) }])
  }

  /** The user sets a new spec, as the request handler writes it. */
  setSpec(serviceId: string, spec: ServiceSpec): void {
    const service = this.getService(serviceId)
    const object: Service = {
      ...service,
      spec,
      specVersion: this.view.index + 1,
      previousSpec: service.spec,
      previousSpecVersion: service.specVersion,
      updateStatus: undefined,
    }
    this.write([{ kind: 'update', table: 'services', object }])
  }

  /** The node is in this state from now on. */
  turnNode(id: string, state: NodeState, part: Part<Node> = {}): void {
    const status = { state, message: '', addr: '' }
    this.setNode(node({ ...withNodeStatus(this.getNode(id), status, this.now), ...part }))
  }

  /** The node is as given, whether it was there before or joins. */
  setNode(object: Node): void {
    const kind = this.view.nodes.get(object.id) === undefined ? 'create' : 'update'
    this.write([{ kind, table: 'nodes', object }])
  }

  getTask(id: string): Task {
    return defined(this.view.tasks.get(id), `task ${id} is there`)
  }

  getService(id: string): Service {
    return defined(this.view.services.get(id), `service ${id} is there`)
  }

  getNode(id: string): Node {
    return defined(this.view.nodes.get(id), `node ${id} is there`)
  }

  /** The tasks of a service by slot, the oldest first. */
  tasksOf(serviceId: string): readonly Task[] {
    return [...this.view.tasks.by('service', serviceId)].sort(
      (left, right) =>
        left.slot - right.slot ||
        (left.slot === 0 && left.nodeId !== right.nodeId
          ? left.nodeId < right.nodeId
            ? -1
            : 1
          : compareAge(left, right)),
    )
  }

  /** The tasks that are meant to run now or later. */
  wantedOf(serviceId: string): readonly Task[] {
    return this.tasksOf(serviceId).filter((task) => isWanted(task.desiredState))
  }

  #roundOptions(): Omit<Round, 'changed'> {
    return { view: this.view, now: this.now, wallMs: WALL_MS, random: this.random }
  }

  #commit(changes: readonly Change[]): void {
    if (changes.length === 0) return
    const ids = changes.map((change) => (change.kind === 'remove' ? change.id : change.object.id))
    assert(new Set(ids).size === ids.length, 'an object changes once a round')
    const before = this.view
    for (const change of changes)
      if (change.table === 'tasks' && change.kind !== 'remove')
        checkTask(before.tasks.get(change.object.id), change.object)
    applyTo(this.store, changes, this.now)
    this.#leader.noteChanges(changes)
    this.watch?.(before, this.view)
  }
}

/** T1 and T3: states only go up, a node is given once, and what a task was made of stays. */
function checkTask(before: Task | undefined, after: Task): void {
  const state = getState(after)
  if (compareTaskState(state, 'assigned') >= 0)
    assert(after.nodeId !== '', 'an assigned task has a node', { task: after.id })
  if (before === undefined) return
  const facts = { task: after.id, before: getState(before), after: state }
  assert(compareTaskState(state, getState(before)) >= 0, 'an observed state never goes down', facts)
  assert(
    compareTaskState(after.desiredState, before.desiredState) >= 0,
    'a desired state never goes down',
    facts,
  )
  assert(before.nodeId === '' || before.nodeId === after.nodeId, 'a task stays on its node', facts)
  assert(isEqual(before.spec, after.spec), 'what a task was made of stays', facts)
  assert(before.specVersion === after.specVersion, 'what a task was made of stays', facts)
}

/** Every pending task goes to the node with fewest tasks among those that may run it. */
function schedule({ view, now, wallMs }: Round): Outcome {
  const counts = new Map<string, number>()
  for (const task of view.tasks.list())
    if (!isTerminal(getState(task))) counts.set(task.nodeId, (counts.get(task.nodeId) ?? 0) + 1)
  const changes: Change[] = []
  for (const task of view.tasks.list()) {
    if (getState(task) !== 'pending' || !isWanted(task.desiredState)) continue
    const [best] = [...view.nodes.list()]
      .filter((node) => mayPlace(task, node))
      .sort((left, right) => (counts.get(left.id) ?? 0) - (counts.get(right.id) ?? 0))
    if (best === undefined) continue
    counts.set(best.id, (counts.get(best.id) ?? 0) + 1)
    const object = withManagerState({ ...task, nodeId: best.id }, 'assigned', {
      now,
      wallMs,
      message: 'scheduler assigned task to node',
    })
    changes.push({ kind: 'update', table: 'tasks', object })
  }
  return { changes, nextMs: undefined }
}

function mayPlace(task: Task, node: Node): boolean {
  return (
    node.status?.state === 'ready' &&
    node.spec?.availability === 'active' &&
    (task.nodeId === '' || task.nodeId === node.id) &&
    matchesConstraints(parseConstraints(task.spec?.placement), node)
  )
}
