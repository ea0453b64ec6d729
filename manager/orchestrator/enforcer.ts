/**
 * The enforcer (swarm-mode.md 2.12): tasks that their node must not run any more are rejected. It
 * looks at an active node when the node changes, at the service's present constraints, and at
 * whether what its tasks reserve still fits. It writes the observed state; that the task is told to
 * end and replaced elsewhere is left to the restart reconciler, but for fenced tasks, which end by
 * their agents alone. A service with a disruption budget loses no more at once than that; what it may
 * not lose yet stays where it is. Where a node's capacity drops, the tasks that have run longest stay.
 */
import { defined } from '../../lib/assert.ts'
import type { Node, Service, Task } from '../../proto/gen/objects.ts'
import { emptyResources } from '../../proto/gen/types.ts'
import { compareTaskState, isTerminal, isWanted } from '../../proto/task-state.ts'
import { matchesConstraints, parseConstraints } from '../model/constraint.ts'
import { isTaskDirty } from '../model/dirty.ts'
import { isFenced } from '../model/disconnect.ts'
import { isGlobal } from '../model/mode.ts'
import { fitsResources, getReservations, subtractResources } from '../model/resources.ts'
import { compareAge, ENFORCED_MESSAGE, getState, withManagerState } from '../model/task.ts'
import type { Change } from '../store/change.ts'
import type { Reconcile, Round } from '../store/round.ts'
import { slotKey } from '../store/schema.ts'
import type { View } from '../store/view.ts'
import { countDisruptionsLeft, isLastAvailable } from './disruption.ts'
import { type Look, NOTHING, newReconciler } from './reconciler.ts'
import { replaceTask } from './restart.ts'
import { endTasks, listSlotTasks, updateTask } from './slots.ts'

/** The reconciler; its keys are nodes. */
export function newEnforcer(): Reconcile {
  /** Nodes that keep a task until its service may lose one more, by service. */
  const waiting = new Map<string, Set<string>>()
  const budgets = new Budgets()
  return newReconciler({
    listTouched: (round) => {
      if (round.changed.all) waiting.clear()
      budgets.begin(round)
      return listTouched(round, waiting)
    },
    lookAt: (round, nodeId) => lookAt(round, nodeId, { budgets, waiting }),
    subjectOf: (id) => ({ table: 'nodes', id }),
    keysPerRound: 3,
  })
}

type Waiting = Map<string, Set<string>>

/** Nodes that changed, and those that wait for a service of which something did. */
function listTouched({ view, changed }: Round, waiting: Waiting): Iterable<string> {
  if (changed.all) return [...view.nodes.list()].map((node) => node.id)
  if (waiting.size === 0) return changed.ids.nodes
  const ids = new Set(changed.ids.nodes)
  const touch = (serviceId: string): void => {
    for (const id of waiting.get(serviceId) ?? []) ids.add(id)
    waiting.delete(serviceId)
  }
  for (const id of changed.ids.services) touch(id)
  for (const id of changed.ids.tasks) touch(view.tasks.get(id)?.serviceId ?? '')
  return ids
}

/** What services may still lose in this round, which looks at several nodes. */
class Budgets {
  #round: Round | undefined
  readonly #left: Map<string, number> = new Map()
  /** Tasks that the view still has as they were. */
  readonly #taken: Set<string> = new Set()

  begin(round: Round): void {
    this.#round = round
    this.#left.clear()
    this.#taken.clear()
  }

  /** Whether the task may be taken down now; it then counts as taken. */
  take(service: Service, task: Task): boolean {
    const round = defined(this.#round, 'a round was begun')
    const others = [...round.view.tasks.by('service', service.id)].filter(
      (other) => !this.#taken.has(other.id),
    )
    if (isLastAvailable(round.view, task, others)) {
      const left = this.#left.get(service.id) ?? countDisruptionsLeft(round, service)
      if (left <= 0) return false
      this.#left.set(service.id, left - 1)
    }
    this.#taken.add(task.id)
    return true
  }
}

type Memory = { readonly budgets: Budgets; readonly waiting: Waiting }

function lookAt(round: Round, nodeId: string, { budgets, waiting }: Memory): Look {
  const node = round.view.nodes.get(nodeId)
  if (node?.spec?.availability !== 'active' || node.description === undefined) return NOTHING
  let available = node.description.resources ?? emptyResources
  const rejected: Task[] = []
  for (const task of listHeld(round.view, node)) {
    const reserved = getReservations(task)
    const isAllowed = isAllowedOn(round.view, task, node) && fitsResources(reserved, available)
    const service = round.view.services.get(task.serviceId)
    if (isAllowed) available = subtractResources(available, reserved)
    else if (service === undefined || budgets.take(service, task)) rejected.push(task)
    else waiting.set(service.id, (waiting.get(service.id) ?? new Set()).add(nodeId))
  }
  return {
    changes: rejected.flatMap((task) =>
      isFenced(task) ? end(round, task) : [reject(round, task)],
    ),
  }
}

/**
 * A fenced task is in the way until its agent says that it ended: nobody says so instead. It leaves its
 * node as it would a drained one, with a successor: a slot that ended for good no budget would miss.
 */
function end(round: Round, task: Task): readonly Change[] {
  const service = round.view.services.get(task.serviceId)
  const key = slotKey(task)
  if (service === undefined || key === undefined || isGlobal(service))
    return endTasks([task], 'shutdown', round.now)
  const tasks = listSlotTasks(round.view, key)
  return replaceTask(round, { service, tasks }, { task, loss: 'drained' })
}

function reject({ now, wallMs }: Round, task: Task): Change {
  return updateTask(
    withManagerState(task, 'rejected', {
      now,
      wallMs,
      message: ENFORCED_MESSAGE,
      error: 'assigned node no longer meets constraints',
    }),
  )
}

/** The node's tasks that are wanted and have their place there, the longest running first. */
function listHeld(view: View, node: Node): readonly Task[] {
  const startMs = (task: Task): number => task.runningClusterMs || Number.MAX_SAFE_INTEGER
  return [...view.tasks.by('node', node.id)]
    .filter((task) => isWanted(task.desiredState) && isPlaced(task))
    .sort((left, right) => startMs(left) - startMs(right) || compareAge(left, right))
}

function isPlaced(task: Task): boolean {
  const state = getState(task)
  return compareTaskState(state, 'assigned') >= 0 && !isTerminal(state)
}

/**
 * The service's present spec counts, for the task's own may be of an older one. But what is out of
 * date is replaced by the update, slot by slot, and until then must only be what it was made to be.
 */
function isAllowedOn(view: View, task: Task, node: Node): boolean {
  const service = view.services.get(task.serviceId)
  if (service === undefined) return true
  const spec = isTaskDirty(task, service, node) ? task.spec : service.spec?.task
  return matchesConstraints(parseConstraints(spec?.placement), node)
}
