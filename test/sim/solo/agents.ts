/**
 * Agents of a solo run: what hosts do with the tasks that they were given, reduced to what managers
 * hear of it. An agent knows the tasks of its node as it was last told of them, each goes its way by
 * itself (docs/task-model.md), ends badly now and then, and is reported when there is contact.
 */
import type { SeededRandom } from '../../../lib/random.ts'
import type { View } from '../../../manager/store/view.ts'
import type { WriteRequest } from '../../../proto/gen/control.ts'
import {
  emptyContainerStatus,
  emptyTaskStatus,
  type TaskStatus,
} from '../../../proto/gen/objects.ts'
import type { TaskState } from '../../../proto/gen/types.ts'
import { compareTaskState, isTerminal } from '../../../proto/task-state.ts'

/** A task as its agent has it. */
type Known = {
  desired: TaskState
  isJob: boolean
  status: TaskStatus
  /** What managers were last told. */
  told: TaskStatus | undefined
}

export type Moods = {
  /** Of a hundred: how many tasks cannot be prepared, fail as they start, end while they run. */
  readonly rejected: number
  readonly failed: number
  readonly ended: number
}

export const GOOD_MOODS: Moods = { rejected: 0, failed: 0, ended: 0 }

export class SoloAgent {
  readonly nodeId: string
  isCut = false
  readonly #random: SeededRandom
  readonly #known = new Map<string, Known>()

  constructor(nodeId: string, random: SeededRandom) {
    this.nodeId = nodeId
    this.#random = random
  }

  /** It has contact: what its tasks are, and what it then has to say. */
  talk(view: View): WriteRequest | undefined {
    if (this.isCut) return undefined
    this.#hear(view)
    const updates = [...this.#known].flatMap(([taskId, known]) => {
      if (known.told === known.status) return []
      known.told = known.status
      return [{ taskId, status: known.status }]
    })
    if (updates.length === 0) return undefined
    const nodeId = this.nodeId
    return this.#request({
      kind: 'statusReport',
      statusReport: { nodeId, updates, instance: nodeId },
    })
  }

  /** Whatever became of its reports: they are all made again. */
  repeat(): void {
    for (const known of this.#known.values()) known.told = undefined
  }

  register(view: View): WriteRequest {
    const description = view.nodes.get(this.nodeId)?.description
    const { nodeId } = this
    const register = { nodeId, instance: nodeId, bootId: '', description, addr: nodeId, holder: 1 }
    return this.#request({ kind: 'nodeRegister', nodeRegister: register })
  }

  /** Time passes on the host: each task may take a step. */
  live(moods: Moods, wallMs: number): void {
    for (const known of this.#known.values()) {
      const next = this.#next(known, moods)
      if (next !== undefined) known.status = { ...known.status, timestampMs: wallMs, ...next }
    }
  }

  /** The host was switched off: what ran there is gone, and nobody saw how it ended. */
  reboot(wallMs: number): void {
    for (const known of this.#known.values()) {
      const { state } = known.status
      if (compareTaskState(state, 'starting') < 0 || isTerminal(state)) continue
      known.status = { ...known.status, state: 'failed', unseen: true, timestampMs: wallMs }
    }
  }

  #request(body: WriteRequest['body']): WriteRequest {
    return { caller: { nodeId: this.nodeId, role: 'worker' }, body }
  }

  #hear(view: View): void {
    const ours = new Set<string>()
    for (const task of view.tasks.by('node', this.nodeId)) {
      const state = task.status?.state ?? 'new'
      if (compareTaskState(state, 'assigned') < 0) continue
      ours.add(task.id)
      const known = this.#known.get(task.id)
      const isJob = task.jobIteration > 0
      if (known !== undefined) known.desired = task.desiredState
      else
        this.#known.set(task.id, {
          ...{ desired: task.desiredState, isJob, told: undefined },
          status: task.status ?? emptyTaskStatus,
        })
    }
    for (const id of this.#known.keys()) if (!ours.has(id)) this.#known.delete(id)
  }

  #chance(ofHundred: number): boolean {
    return this.#random.integer(100) < ofHundred
  }

  #next({ desired, status, isJob }: Known, moods: Moods): Partial<TaskStatus> | undefined {
    const { state } = status
    if (isTerminal(state) || this.#chance(30)) return undefined
    const isWanted = desired === 'running' || desired === 'ready'
    if (!isWanted) {
      if (compareTaskState(state, 'starting') < 0) return { state: 'shutdown' }
      return this.#chance(50) ? { state: this.#chance(80) ? 'shutdown' : 'failed' } : undefined
    }
    switch (state) {
      case 'assigned':
      case 'accepted':
        return { state: 'preparing' }
      case 'preparing':
        return this.#chance(moods.rejected) ? { state: 'rejected' } : { state: 'ready' }
      case 'ready':
        return desired === 'running' ? { state: 'starting' } : undefined
      case 'starting':
        return this.#chance(moods.failed)
          ? { state: 'failed' }
          : { state: 'running', container: { ...emptyContainerStatus, containerId: 'c', pid: 1 } }
      case 'running':
        if (isJob && this.#chance(40)) return { state: 'complete' }
        return this.#chance(moods.ended)
          ? { state: this.#chance(70) ? 'failed' : 'complete' }
          : undefined
      default:
        return undefined
    }
  }
}
