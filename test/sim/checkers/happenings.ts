/**
 * Happenings: what clients and faults bring about in the replicated state without being injected as
 * such: an update during an update, a node drained during one, a full cluster (peers.md 3.3, O).
 * Nothing of it is wrong; each is counted, so that a range of seeds says what it has seen. It looks at
 * the same steps as the checkers, and finds nothing.
 */
import type { View } from '../../../manager/store/view.ts'
import type { Service, Task } from '../../../proto/gen/objects.ts'
import type { TaskState } from '../../../proto/gen/types.ts'
import { isTerminal } from '../../../proto/task-state.ts'
import type { World } from '../world.ts'
import type { Step, StepChecker, TaskStep } from './step.ts'

export class Happenings implements StepChecker {
  #world: World
  /** Names of services that were removed. */
  #removed = new Set<string>()

  constructor(world: World) {
    this.#world = world
  }

  check(step: Step): Iterable<string> {
    for (const id of step.services) this.#checkService(step, id)
    for (const id of step.nodes) this.#checkNode(step, id)
    for (const task of step.tasks) this.#checkTask(step.after, task)
    return []
  }

  /** Somebody else leads now. */
  elected(view: View): void {
    for (const service of view.services.list())
      if (isUpdating(service)) {
        this.#world.reached('O7')
        return
      }
  }

  #checkService({ before, after }: Step, id: string): void {
    const [was, is] = [before.services.get(id), after.services.get(id)]
    const isNew = was?.updateStatus?.state !== 'rollback-paused'
    if (isNew && is?.updateStatus?.state === 'rollback-paused')
      this.#world.reached('rollbacks paused')
    if (was === undefined) {
      if (this.#removed.has(nameOf(is))) this.#world.reached('O9')
    } else if (is === undefined) {
      this.#removed.add(nameOf(was))
      const tasks = [...before.tasks.by('service', id)]
      if (tasks.some(({ status }) => isBeingMade(status?.state))) this.#world.reached('O4')
    } else if (was.specVersion !== is.specVersion) {
      if (is.updateStatus?.message.includes('rolled back due to') === true)
        this.#world.reached('updates rolled back')
      if (was.jobStatus !== undefined) this.#world.reached('jobs run anew')
      if (was.updateStatus?.state === 'rollback-started') this.#world.reached('O2')
      if (!isUpdating(was)) return
      this.#world.reached(replicasOf(was) === replicasOf(is) ? 'O1' : 'O3')
    }
  }

  #checkNode({ before, after }: Step, id: string): void {
    const isDrained =
      before.nodes.get(id)?.spec?.availability !== 'drain' &&
      after.nodes.get(id)?.spec?.availability === 'drain'
    if (!isDrained) return
    for (const task of after.tasks.by('node', id)) {
      const isLive = !isTerminal(task.status?.state ?? 'new')
      if (isLive && isUpdating(after.services.get(task.serviceId))) {
        this.#world.reached('O5')
        return
      }
    }
  }

  #checkTask(view: View, { before, after }: TaskStep): void {
    if (after === undefined) return
    const isFull = after.status?.error.includes('insufficient resources') === true
    if (isFull && before?.status?.error !== after.status?.error) this.#world.reached('O6')
    const hasFailed = after.status?.state === 'failed' && before?.status?.state !== 'failed'
    const isLooping = this.#world.crashLoops.has(after.serviceId)
    if (hasFailed && isLooping && isUpdating(view.services.get(after.serviceId)))
      this.#world.reached('O8')
    if (before?.status?.state === 'pending' && after.status?.state === 'assigned')
      this.#notePlaced(after)
    if (after.jobIteration > 0) this.#checkJobTask(view, { id: after.id, before, after })
  }

  #notePlaced({ assignedGeneric, spec }: Task): void {
    if (assignedGeneric.some(({ name }) => name !== ''))
      this.#world.reached('named resources given')
    if ((spec?.placement?.affinities.length ?? 0) > 0) this.#world.reached('placed near or far')
  }

  #checkJobTask(view: View, { before, after }: TaskStep): void {
    if (after === undefined) return
    const isDone = after.status?.state === 'complete' && before?.status?.state !== 'complete'
    if (isDone) this.#world.reached('job slots done')
    if (before !== undefined) return
    if (after.replaces !== '') this.#world.reached('job tasks tried again')
    const node = after.slot === 0 ? view.nodes.get(after.nodeId) : undefined
    const service = view.services.get(after.serviceId)
    const isLater = (node?.meta?.createdMs ?? 0) > (service?.meta?.createdMs ?? Infinity)
    if (isLater) this.#world.reached('global jobs on later nodes')
  }
}

function isUpdating(service: Service | undefined): boolean {
  return service?.updateStatus?.state === 'updating'
}

function isBeingMade(state: TaskState | undefined): boolean {
  return state !== undefined && !isTerminal(state) && state !== 'running'
}

function replicasOf({ spec }: Service): number {
  return spec?.mode?.kind === 'replicated' ? spec.mode.replicated.replicas : 0
}

function nameOf(service: Service | undefined): string {
  return service?.spec?.annotations?.name ?? ''
}
