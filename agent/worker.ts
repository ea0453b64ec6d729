/**
 * Worker: the assigned set, and what this node has of it. It decides which set is accepted (DESIGN
 * section 7, no step back), which operations go to the runtime now, and which statuses may be
 * reported. What a single task needs next is `task.ts`. After a start nothing is touched until a
 * session gave a set that passes the rule; until then it only looks: live containers are adopted,
 * dead ones reported. The exception is what must not run without contact with the managers.
 */
import { assert } from '../lib/assert.ts'
import { type Backoff, backoffMs } from '../lib/backoff.ts'
import type { Log } from '../lib/log.ts'
import type { Random } from '../lib/random.ts'
import { compareMarks, ZERO_MARK } from '../proto/assignment-mark.ts'
import type { AgentState } from '../proto/gen/agent.ts'
import type { AssignmentMark, Assignments } from '../proto/gen/dispatcher.ts'
import {
  emptyTask,
  emptyTaskStatus,
  type Health,
  type Task,
  type TaskStatus,
} from '../proto/gen/objects.ts'
import { compareTaskState } from '../proto/task-state.ts'
import { beginProbe, cancelProbe, isDue, type Now, type ProbeResult, schedule } from './health.ts'
import type { Memory } from './memory.ts'
import type { Container, Exit, Probe } from './runtime/runtime.ts'
import {
  adopt,
  begin,
  cancel,
  fail,
  forget,
  getStopAfterMs,
  isAtRest,
  isCutOff,
  isFencing,
  isWatched,
  mustBeDurable,
  newRecord,
  type Operation,
  type OperationKind,
  type OperationResult,
  observeExit,
  observeProbe,
  planFence,
  planStep,
  reassign,
  restore,
  succeed,
  type TaskRecord,
} from './task.ts'

/** A failed operation is tried again after about a second, then ever more seldom. */
const RETRY: Backoff = { baseMs: 1_000, maxMs: 32_000 }
/** Images being fetched at once; stops and starts wait for nothing. */
const PREPARING_MAX = 16

export type WorkerEffect =
  | { readonly kind: 'operation'; readonly id: number; readonly operation: Operation }
  /** Its id is none of an operation's. */
  | {
      readonly kind: 'probe'
      readonly id: number
      readonly task: Task
      readonly probe: Probe
    }
  | { readonly kind: 'cancel'; readonly id: number }
  | { readonly kind: 'report'; readonly taskId: string; readonly status: TaskStatus }
  /** Nothing is left of the task, nor anything to report. */
  | { readonly kind: 'forgotten'; readonly taskId: string }

export type Verdict =
  | 'accepted'
  /** Holds nothing new: a repeated message. */
  | 'known'
  /** Older than a set accepted before: its sender must not be listened to. */
  | 'stale'
  /** Does not follow on what is known: a full set is needed. */
  | 'gap'

type Entry = {
  record: TaskRecord
  /** Of the last change that must be durable before anything rests on it. */
  version: number
  /** What was last given out to be reported. */
  reported: TaskStatus | undefined
  /** Monotonic, ms: a failed operation is not tried again before. */
  retryMs: number
  /** The record for which nothing is to be done, whatever the time is. */
  restsAs: TaskRecord | undefined
}

export type WorkerOptions = {
  readonly state: AgentState
  readonly memory: Memory
  readonly random: Random
  readonly log: Log
}

export class Worker {
  readonly #memory: Memory
  readonly #random: Random
  readonly #log: Log
  #entries = new Map<string, Entry>()
  /** Containers of unknown tasks, until a full set says whose they are. */
  #leftovers = new Map<string, Container>()
  /** The highest ever accepted. */
  #mark: AssignmentMark
  /** Whether this session has given a full set: incremental ones rest on it. */
  #isSynced = false
  /** Whether any set was accepted since the start, or the node leaves: operations may go out. */
  #isReleased = false
  /** Whether the runtime has told what it holds. */
  #isAdopted = false
  /** Operation or health check → task. */
  #operations = new Map<number, string>()
  #lastOperation = 0
  #preparing = 0

  constructor({ state, memory, random, log }: WorkerOptions) {
    this.#memory = memory
    this.#random = random
    this.#log = log
    this.#mark = state.mark ?? ZERO_MARK
    for (const known of state.tasks) {
      const record = restore(known)
      this.#entries.set(record.task.id, newEntry(record, 0))
    }
  }

  get mark(): AssignmentMark {
    return this.#mark
  }

  get isAdopted(): boolean {
    return this.#isAdopted
  }

  get tasks(): number {
    return this.#entries.size
  }

  listTaskIds(): readonly string[] {
    return [...this.#entries.keys()]
  }

  /** Tasks whose container runs. */
  listRunning(): readonly Task[] {
    return [...this.#entries.values()]
      .filter(({ record }) => record.container === 'running')
      .map(({ record }) => record.task)
  }

  /** What is known of the health of a task's container; undefined where there is no check. */
  findHealth(taskId: string): Health | undefined {
    const record = this.#entries.get(taskId)?.record
    return record?.watch?.health ?? record?.status.health
  }

  /** What must be kept on disk, with the mark. */
  *listRecords(): Iterable<TaskRecord> {
    for (const { record } of this.#entries.values()) yield record
  }

  /** What the runtime holds as the agent starts; once. */
  adoptAll(containers: readonly Container[], wallMs: number): void {
    assert(!this.#isAdopted, 'containers are told once')
    this.#isAdopted = true
    const found = new Map(containers.map((container) => [container.taskId, container]))
    for (const [taskId, entry] of this.#entries) {
      this.#update(entry, adopt(entry.record, found.get(taskId), wallMs))
      found.delete(taskId)
    }
    this.#leftovers = found
  }

  /** A new session begins: it must give a full set first. */
  restart(): void {
    this.#isSynced = false
  }

  /** Takes the set in if it passes the rule. */
  accept(message: Assignments, wallMs: number): Verdict {
    assert(this.#isAdopted, 'sets come after the containers')
    const verdict = this.#judge(message)
    if (verdict !== 'accepted') return verdict
    this.#mark = message.mark ?? ZERO_MARK
    this.#memory.touch()
    for (const task of message.updates) this.#assign(task, wallMs)
    if (message.full) this.#keepOnly(message, wallMs)
    else for (const taskId of message.removedIds) this.#forget(taskId)
    this.#isSynced = true
    this.#isReleased = true
    return verdict
  }

  /** The node leaves: nothing is wanted any more, whoever says so. */
  leave(wallMs: number): void {
    this.#isReleased = true
    for (const taskId of this.#entries.keys()) this.#forget(taskId)
    this.#removeLeftovers(wallMs)
  }

  operationDone(id: number, result: OperationResult, now: Now): void {
    const entry = this.#entries.get(this.#operations.get(id) ?? '')
    assert(entry?.record.operation?.id === id, 'only an operation under way can be done', { id })
    this.#operations.delete(id)
    if (entry.record.operation.kind === 'prepare') this.#preparing -= 1
    if (result.kind !== 'failed') {
      const started = result.kind === 'started' ? result.started : undefined
      this.#update(entry, succeed(entry.record, started, now.wallMs))
      return
    }
    const { error } = result
    this.#log.warn(
      { task: entry.record.task.id, operation: entry.record.operation.kind, error: error.message },
      'task operation failed',
    )
    this.#update(entry, fail(entry.record, error, now.wallMs))
    const failures = isFencing(entry.record) ? 1 : entry.record.failures
    entry.retryMs = now.nowMs + backoffMs(failures, this.#random, RETRY)
  }

  /** A health check has ended; of a task that is gone by then nothing is learnt. */
  probeDone(id: number, result: ProbeResult, now: Now): void {
    const entry = this.#entries.get(this.#operations.get(id) ?? '')
    this.#operations.delete(id)
    if (entry?.record.watch?.probe?.id === id)
      this.#update(entry, observeProbe(entry.record, result, now))
  }

  exited(exit: Exit, wallMs: number): void {
    const entry = this.#entries.get(exit.taskId)
    const leftover = this.#leftovers.get(exit.taskId)
    if (entry !== undefined) this.#update(entry, observeExit(entry.record, exit, wallMs))
    else if (leftover !== undefined)
      this.#leftovers.set(exit.taskId, { ...leftover, state: 'exited', exit })
  }

  /** Whether this session has told what is wanted here. */
  get isSynced(): boolean {
    return this.#isSynced
  }

  /** The shortest time that a task here may run without contact, ms; undefined: none is limited. */
  findStopAfterMs(): number | undefined {
    let leastMs: number | undefined
    for (const { record } of this.#entries.values()) {
      const stopAfterMs = getStopAfterMs(record.task)
      if (stopAfterMs > 0) leastMs = Math.min(leastMs ?? stopAfterMs, stopAfterMs)
    }
    return leastMs
  }

  /** What is to be done now; `contactAgeMs` is for how long there was no contact. */
  pump(now: Now, contactAgeMs: number): readonly WorkerEffect[] {
    const effects: WorkerEffect[] = []
    if (!this.#isAdopted) return effects
    for (const entry of this.#entries.values()) {
      const { record, reported } = entry
      if (record === entry.restsAs && record.status === reported) continue
      // Also of an earlier process, which may have been gone for long: that waits for no session.
      if (isCutOff(entry.record, contactAgeMs)) this.#fence(entry, effects, now)
      else if (this.#isReleased) {
        this.#proceed(entry, effects, now)
        this.#probe(entry, effects, now)
      }
      this.#report(entry, effects)
      entry.restsAs = isAtRest(entry.record) ? entry.record : undefined
    }
    return effects
  }

  #judge(message: Assignments): Verdict {
    const order = compareMarks(message.mark ?? ZERO_MARK, this.#mark)
    if (message.full) return order < 0 ? 'stale' : 'accepted'
    if (!this.#isSynced) return 'gap'
    if (order <= 0) return 'known'
    return compareMarks(message.base ?? ZERO_MARK, this.#mark) === 0 ? 'accepted' : 'gap'
  }

  #assign(task: Task, wallMs: number): void {
    const entry = this.#entries.get(task.id)
    if (entry === undefined) {
      const record = newRecord(task, this.#leftovers.get(task.id), wallMs)
      this.#leftovers.delete(task.id)
      this.#entries.set(task.id, newEntry(record, this.#memory.touch()))
      return
    }
    this.#update(entry, reassign(entry.record, task, wallMs))
    // The managers do not have what was reported, or what a clone of this host did: once more.
    const told = task.status ?? emptyTaskStatus
    const { status } = entry.record
    const order = compareTaskState(status.state, told.state)
    if (order > 0 || (order === 0 && !isOfSameContainer(told, status))) entry.reported = undefined
  }

  #keepOnly(message: Assignments, wallMs: number): void {
    const assigned = new Set(message.updates.map((task) => task.id))
    for (const taskId of this.#entries.keys()) if (!assigned.has(taskId)) this.#forget(taskId)
    this.#removeLeftovers(wallMs)
  }

  #removeLeftovers(wallMs: number): void {
    for (const [taskId, container] of this.#leftovers) {
      this.#log.info({ task: taskId }, 'container without a task found')
      const record = forget(newRecord({ ...emptyTask, id: taskId }, container, wallMs))
      this.#entries.set(taskId, newEntry(record, this.#memory.touch()))
    }
    this.#leftovers.clear()
  }

  #forget(taskId: string): void {
    const entry = this.#entries.get(taskId)
    if (entry !== undefined && !entry.record.isForgotten) this.#update(entry, forget(entry.record))
  }

  #update(entry: Entry, record: TaskRecord): void {
    if (mustBeDurable(entry.record, record)) entry.version = this.#memory.touch()
    // Since when it runs, and how well, is kept for whoever adopts it; nothing waits for that.
    else if (!isRunning(entry.record) && isRunning(record)) this.#memory.touch()
    else if (entry.record.status.health !== record.status.health) this.#memory.touch()
    entry.record = record
  }

  /** Takes the task's steps as far as they go now. */
  #proceed(entry: Entry, effects: WorkerEffect[], now: Now): void {
    for (;;) {
      const step = planStep(entry.record, now.wallMs)
      if (step === undefined) return
      switch (step.kind) {
        case 'become':
          this.#update(entry, step.record)
          break
        case 'operate':
          if (this.#mayOperate(entry, step.operation, now.nowMs))
            effects.push(this.#operate(entry, step.operation))
          return
        case 'cancel':
          if (entry.record.operation !== undefined)
            effects.push({ kind: 'cancel', id: entry.record.operation.id })
          entry.record = cancel(entry.record)
          return
        case 'forget':
          this.#entries.delete(entry.record.task.id)
          this.#memory.touch()
          effects.push({ kind: 'forgotten', taskId: entry.record.task.id })
          return
        default:
          step satisfies never
          return
      }
    }
  }

  /**
   * What must not run without contact is stopped. It waits for no disk, which may be what is slow: that
   * the task must stop stands in its spec and on the clock.
   */
  #fence(entry: Entry, effects: WorkerEffect[], now: Now): void {
    for (;;) {
      const step = planFence(entry.record, now.wallMs)
      if (step?.kind === 'become') {
        this.#log.warn({ task: entry.record.task.id }, 'task is stopped, no manager was reached')
        this.#update(entry, step.record)
      } else {
        const isDue = entry.record.failures === 0 || now.nowMs >= entry.retryMs
        if (step?.kind === 'operate' && isDue) effects.push(this.#operate(entry, step.operation))
        return
      }
    }
  }

  /** Looks at the container's health when it is time to; of one that is to end nobody asks. */
  #probe(entry: Entry, effects: WorkerEffect[], now: Now): void {
    const { record } = entry
    const { watch } = record
    if (watch === undefined) return
    if (!isWatched(record)) {
      if (watch.probe === undefined || watch.probe.isCancelled) return
      effects.push({ kind: 'cancel', id: watch.probe.id })
      entry.record = { ...record, watch: cancelProbe(watch) }
    } else if (watch.schedule === undefined) {
      entry.record = { ...record, watch: schedule(watch, record.status.timestampMs, now) }
    } else if (isDue(watch, now.nowMs)) {
      const id = this.#nextOperation(record.task.id)
      const { test, timeoutMs } = watch.check
      effects.push({ kind: 'probe', id, task: record.task, probe: { test, timeoutMs } })
      entry.record = { ...record, watch: beginProbe(watch, id, now) }
    }
  }

  #mayOperate(entry: Entry, operation: OperationKind, nowMs: number): boolean {
    if (!this.#memory.isDurable(entry.version)) return false
    if (entry.record.failures > 0 && nowMs < entry.retryMs) return false
    return operation !== 'prepare' || this.#preparing < PREPARING_MAX
  }

  #operate(entry: Entry, kind: OperationKind): WorkerEffect {
    const { task } = entry.record
    const id = this.#nextOperation(task.id)
    if (kind === 'prepare') this.#preparing += 1
    entry.record = begin(entry.record, id, kind)
    return { kind: 'operation', id, operation: { kind, task } }
  }

  #nextOperation(taskId: string): number {
    this.#lastOperation += 1
    this.#operations.set(this.#lastOperation, taskId)
    return this.#lastOperation
  }

  /** What is reported is durable first: after a crash it must still be so. */
  #report(entry: Entry, effects: WorkerEffect[]): void {
    const { record, reported } = entry
    if (record.status === reported || !this.#memory.isDurable(entry.version)) return
    entry.reported = record.status
    // Nobody asks for a forgotten one: it is no longer in the store.
    if (!record.isForgotten)
      effects.push({ kind: 'report', taskId: record.task.id, status: record.status })
  }
}

function isRunning({ status }: TaskRecord): boolean {
  return status.state === 'running'
}

function newEntry(record: TaskRecord, version: number): Entry {
  return { record, version, reported: undefined, retryMs: 0, restsAs: undefined }
}

function isOfSameContainer(told: TaskStatus, own: TaskStatus): boolean {
  const ports = told.hostPorts.map(({ publishedPort }) => publishedPort)
  return (
    told.container?.containerId === own.container?.containerId &&
    told.container?.pid === own.container?.pid &&
    ports.length === own.hostPorts.length &&
    own.hostPorts.every(({ publishedPort }, at) => publishedPort === ports[at])
  )
}
