/**
 * Reporter: statuses that no manager has acknowledged yet. It keeps the newest of each task, sends
 * them in batches, one at a time, and sends again what is not acknowledged within a time or before
 * its session ended. So the queue is bounded by the tasks, and a status arrives at least once.
 */
import type { StatusBatch } from '../proto/gen/dispatcher.ts'
import type { TaskStatus } from '../proto/gen/objects.ts'

/** Of one batch (swarm-mode.md 3.1). */
export const BATCH_UPDATES_MAX = 1_024

export class Reporter {
  /** The newest status of each task that is not acknowledged, the longest waiting first. */
  #waiting = new Map<string, TaskStatus>()
  #sent:
    | {
        readonly sequence: number
        readonly statuses: Map<string, TaskStatus>
        readonly atMs: number
      }
    | undefined
  #lastSequence = 0

  get waiting(): number {
    return this.#waiting.size
  }

  /**
   * `status` will be reported, instead of an older one of the task. If it is on its way already, the
   * managers were found not to have taken it: that they acknowledge that batch says nothing of it.
   */
  note(taskId: string, status: TaskStatus): void {
    this.#sent?.statuses.delete(taskId)
    this.#waiting.set(taskId, status)
  }

  /** Nobody asks for the task any more. */
  forget(taskId: string): void {
    this.#waiting.delete(taskId)
  }

  /** What was sent on an earlier session is sent again on the new one. */
  restart(): void {
    this.#sent = undefined
  }

  /** The batch to send now; undefined when there is none, or one is on its way. */
  take(nowMs: number, timeoutMs: number): StatusBatch | undefined {
    if (this.#sent !== undefined && nowMs - this.#sent.atMs < timeoutMs) return undefined
    this.#sent = undefined
    if (this.#waiting.size === 0) return undefined
    const statuses = new Map([...this.#waiting].slice(0, BATCH_UPDATES_MAX))
    this.#lastSequence += 1
    this.#sent = { sequence: this.#lastSequence, statuses, atMs: nowMs }
    const updates = [...statuses].map(([taskId, status]) => ({ taskId, status }))
    return { sequence: this.#lastSequence, updates }
  }

  /** The batch with this sequence is stored; what changed since it was sent still waits. */
  acknowledge(sequence: number): void {
    const sent = this.#sent
    if (sent === undefined || sent.sequence !== sequence) return
    this.#sent = undefined
    for (const [taskId, status] of sent.statuses)
      if (this.#waiting.get(taskId) === status) this.#waiting.delete(taskId)
  }
}
