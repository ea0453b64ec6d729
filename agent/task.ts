/**
 * Task: one task on this node, and the next single step towards what is wanted of it. All functions
 * are pure; the worker keeps the records and carries the steps out. The states and texts are
 * SwarmKit's (swarm-mode.md 3.2). The status is also the memory of what was done: `starting` is
 * made durable before the container is started, so a task with it was started, or may have been,
 * and is never started again. Why a wanted one is stopped is made durable before that, too. Where
 * the managers know of a start and this status does not, the agent's memory is lost or an older one,
 * and they are believed. A container with a health check is not running before the first check that
 * succeeds (`health.ts`), and is stopped, and its task failed, where too many do not; the same where
 * its spec does not let it run without contact with the managers (`contact.ts`), at once.
 *
 *   accepted ─► preparing ─► ready ─► starting ─► running ─► complete
 *       │           │          │         │           └─────► failed
 *       │           └► rejected│         └► failed
 *       └───────────┴──────────┴─────────┴───────────┴─────► shutdown   (when no longer wanted)
 */
import { formatMilliseconds } from '../lib/amount.ts'
import type { SwarmError } from '../lib/errors.ts'
import { emptyKnownTask, type KnownTask } from '../proto/gen/agent.ts'
import {
  emptyContainerStatus,
  emptyHealth,
  emptyTask,
  emptyTaskStatus,
  type Health,
  type Task,
  type TaskStatus,
} from '../proto/gen/objects.ts'
import type { Healthcheck } from '../proto/gen/specs.ts'
import type { TaskState } from '../proto/gen/types.ts'
import { compareTaskState, isTerminal, isWanted } from '../proto/task-state.ts'
import {
  endProbe,
  findCheck,
  isNews,
  type Now,
  newWatch,
  type ProbeResult,
  toTold,
  type Watch,
} from './health.ts'
import type { Container, Exit, Started } from './runtime/runtime.ts'

export type TaskRecord = {
  /** As last assigned. */
  readonly task: Task
  /** As observed here. */
  readonly status: TaskStatus
  /** What the runtime holds for it, as far as is known. */
  readonly container: 'none' | Container['state']
  /** No longer assigned: nothing shall be left of it. */
  readonly isForgotten: boolean
  /** What the status becomes when the container has been stopped; undefined: it is not decided. */
  readonly ending: Ending | undefined
  /** The call of the runtime that is under way. */
  readonly operation: Underway | undefined
  /** The container ended while an operation was under way. */
  readonly exit: Exit | undefined
  /** Failures in a row of the operation that is tried next. */
  readonly failures: number
  /** Of a container that was started and has a health check. */
  readonly watch: Watch | undefined
}

type Ending = {
  readonly state: 'failed' | 'shutdown'
  readonly error: string
  /** Nobody saw it end. */
  readonly unseen?: boolean
  /** The agent ends it by itself, being cut off. */
  readonly isFenced?: boolean
}

type Underway = {
  readonly id: number
  readonly kind: OperationKind
  /** It was asked to end early. */
  readonly isCancelled: boolean
}

export type OperationKind = 'prepare' | 'start' | 'stop' | 'remove'

/** One call of a Runtime. */
export type Operation = { readonly kind: OperationKind; readonly task: Task }

export type OperationResult =
  | { readonly kind: 'done' }
  /** Of a start. */
  | { readonly kind: 'started'; readonly started: Started }
  | { readonly kind: 'failed'; readonly error: SwarmError }

export type Step =
  | { readonly kind: 'operate'; readonly operation: OperationKind }
  /** Abort the operation that is under way. */
  | { readonly kind: 'cancel' }
  /** The task is in this state now. */
  | { readonly kind: 'become'; readonly record: TaskRecord }
  /** Nothing is left of it. */
  | { readonly kind: 'forget' }

/** A task that was just assigned, and of which `container` is found on this node. */
export function newRecord(
  task: Task,
  container: Container | undefined,
  wallMs: number,
): TaskRecord {
  const told = task.status ?? emptyTaskStatus
  // Where the managers know more than this agent, it has lost its state.
  const status = wasStarted(told.state)
    ? told
    : becoming(emptyTaskStatus, { state: 'accepted', wallMs })
  return adopt({ ...NEW_RECORD, task, status }, container, wallMs)
}

/** A task as an earlier process left it; `adopt` says what has become of it. */
export function restore(known: KnownTask): TaskRecord {
  const { task, status, forgotten, failing: error, unseen, fenced: isFenced } = known
  return {
    ...NEW_RECORD,
    task: task ?? emptyTask,
    status: status ?? emptyTaskStatus,
    isForgotten: forgotten,
    ending: error === '' ? undefined : { state: 'failed', error, unseen, isFenced },
  }
}

/** What a later process needs of it, for `restore`. */
export function toKnown({ task, status, isForgotten: forgotten, ending }: TaskRecord): KnownTask {
  const known: KnownTask = { ...emptyKnownTask, task, status, forgotten }
  if (ending?.state !== 'failed' || isTerminal(status.state)) return known
  const { error: failing, unseen = false, isFenced: fenced = false } = ending
  return { ...known, failing, unseen, fenced }
}

const NEW_RECORD: Omit<TaskRecord, 'task' | 'status'> = {
  container: 'none',
  isForgotten: false,
  ending: undefined,
  operation: undefined,
  exit: undefined,
  failures: 0,
  watch: undefined,
}

/** What the next step is; undefined when there is none until something happens. */
export function planStep(record: TaskRecord, wallMs: number): Step | undefined {
  const { state } = record.status
  const desired = record.task.desiredState
  const isUnwanted = record.isForgotten || !isWanted(desired)
  if (record.operation !== undefined) {
    const { kind, isCancelled } = record.operation
    return isUnwanted && kind === 'prepare' && !isCancelled ? { kind: 'cancel' } : undefined
  }
  if (record.ending !== undefined) return { kind: 'operate', operation: 'stop' }
  if (isTerminal(state)) return planAfterEnd(record)
  if (isUnwanted) return planShutdown(record, wallMs)
  switch (state) {
    case 'preparing':
      return { kind: 'operate', operation: 'prepare' }
    case 'ready':
      return compareTaskState(desired, 'running') < 0
        ? undefined
        : { kind: 'become', record: become(record, { state: 'starting', wallMs }) }
    case 'starting':
      // One that runs waits for its first check to succeed.
      return record.container === 'running' ? undefined : { kind: 'operate', operation: 'start' }
    case 'running':
      return undefined
    default:
      return { kind: 'become', record: become(record, { state: 'preparing', wallMs }) }
  }
}

/** Whether `planStep` and `planFence` have nothing for it at any time, and no check is due. */
export function isAtRest(record: TaskRecord): boolean {
  const { task, status, operation, ending, isForgotten, watch } = record
  const isBusy = operation !== undefined || ending !== undefined || watch !== undefined
  const isMeantToRun = !isForgotten && isWanted(task.desiredState) && getStopAfterMs(task) === 0
  return status.state === 'running' && isMeantToRun && !isBusy
}

/** Whether the task must not run now: its agent was in no contact for as long as its spec allows. */
export function isCutOff({ task }: TaskRecord, contactAgeMs: number): boolean {
  const stopAfterMs = getStopAfterMs(task)
  return stopAfterMs > 0 && contactAgeMs >= stopAfterMs
}

/** How long the task may run without contact, ms; 0: for ever. */
export function getStopAfterMs(task: Task): number {
  return task.spec?.disconnect?.stopAfterMs ?? 0
}

/** Whether it is being stopped for the want of contact. */
export function isFencing({ ending }: TaskRecord): boolean {
  return ending?.isFenced === true
}

/** The next step of a task that is cut off: what was started is stopped, and nothing else is done. */
export function planFence(record: TaskRecord, wallMs: number): Step | undefined {
  if (record.operation !== undefined) return undefined
  if (record.ending !== undefined) return { kind: 'operate', operation: 'stop' }
  const { state } = record.status
  if (isTerminal(state))
    return record.container === 'running' ? { kind: 'operate', operation: 'stop' } : undefined
  if (!wasStarted(state)) return undefined
  if (record.isForgotten || !isWanted(record.task.desiredState)) return planShutdown(record, wallMs)
  const time = formatMilliseconds(getStopAfterMs(record.task))
  const error = `task: no manager was reached for ${time}`
  return {
    kind: 'become',
    record: { ...record, ending: { state: 'failed', error, isFenced: true } },
  }
}

/** A dead container is kept for its logs until the task is forgotten. */
function planAfterEnd(record: TaskRecord): Step | undefined {
  // The managers gave the task up (rejected, orphaned) while it ran.
  if (record.container === 'running') return { kind: 'operate', operation: 'stop' }
  if (!record.isForgotten) return undefined
  return record.container === 'none' ? { kind: 'forget' } : { kind: 'operate', operation: 'remove' }
}

function planShutdown(record: TaskRecord, wallMs: number): Step {
  return wasStarted(record.status.state)
    ? { kind: 'become', record: { ...record, ending: { state: 'shutdown', error: '' } } }
    : { kind: 'become', record: become(record, { state: 'shutdown', wallMs }) }
}

/** The operation is under way. */
export function begin(record: TaskRecord, id: number, kind: OperationKind): TaskRecord {
  const operation = { id, kind, isCancelled: false }
  // From now on there may be something to remove.
  return kind === 'prepare'
    ? { ...record, operation, container: 'created' }
    : { ...record, operation }
}

/** The operation under way was asked to end early. */
export function cancel(record: TaskRecord): TaskRecord {
  const { operation } = record
  return operation === undefined
    ? record
    : { ...record, operation: { ...operation, isCancelled: true } }
}

/** The task is no longer assigned. */
export function forget(record: TaskRecord): TaskRecord {
  return { ...record, isForgotten: true, failures: 0 }
}

/** The operation that was under way has been carried out. */
export function succeed(
  record: TaskRecord,
  started: Started | undefined,
  wallMs: number,
): TaskRecord {
  const idle: TaskRecord = { ...record, operation: undefined, failures: 0 }
  const kind = record.operation?.kind
  switch (kind) {
    case 'prepare':
      return become({ ...idle, container: 'created' }, { state: 'ready', wallMs })
    case 'start':
      return settleExit(afterStart(idle, started, wallMs), wallMs)
    case 'stop':
      return afterStop({ ...idle, container: 'exited' }, wallMs)
    case 'remove':
      return { ...idle, container: 'none' }
    case undefined:
      return idle
    default:
      return kind satisfies never
  }
}

/** The operation that was under way has failed; what can be tried again is, after a while. */
export function fail(record: TaskRecord, error: SwarmError, wallMs: number): TaskRecord {
  const idle: TaskRecord = { ...record, operation: undefined, failures: record.failures + 1 }
  const kind = record.operation?.kind
  switch (kind) {
    case 'prepare': {
      // An aborted one failed because it was told to.
      if (idle.isForgotten || !isWanted(idle.task.desiredState)) return { ...idle, failures: 0 }
      if (!error.retriable) return become(idle, { state: 'rejected', error: error.message, wallMs })
      return idle.status.error === error.message
        ? idle
        : become(idle, { state: 'preparing', error: error.message, wallMs })
    }
    case 'start':
      // It may run all the same: it is stopped before anybody is told that it does not.
      return {
        ...idle,
        failures: 0,
        container: 'running',
        ending: { state: 'failed', error: error.message },
      }
    case 'stop':
    case 'remove':
    case undefined:
      return idle
    default:
      return kind satisfies never
  }
}

/** The container ended. */
export function observeExit(record: TaskRecord, exit: Exit, wallMs: number): TaskRecord {
  const ended: TaskRecord = { ...record, exit, container: 'exited' }
  // What the operation answers decides what the end means.
  return record.operation === undefined ? settleExit(ended, wallMs) : ended
}

/** What the daemon found when it started, for a task of an earlier one. */
export function adopt(
  record: TaskRecord,
  container: Container | undefined,
  wallMs: number,
): TaskRecord {
  const found: TaskRecord = { ...record, container: container?.state ?? 'none' }
  if (isTerminal(record.status.state)) return found
  if (container?.state === 'running')
    return isFailing(record) ? found : heed(afterStart(found, container, wallMs))
  if (container?.state === 'exited') {
    const exit = container.exit ?? lostExit(record.task.id, wallMs)
    const started = afterStart(found, container, wallMs)
    // Without an exit code it went with its daemon or its host.
    return settleExit({ ...started, container: 'exited', exit }, wallMs, exit.error !== '')
  }
  if (wasStarted(record.status.state) || isFailing(record)) return failUnseen(found, wallMs)
  if (record.status.state !== 'ready' || container !== undefined) return found
  // What was prepared is gone.
  return become(found, { state: 'preparing', wallMs })
}

/** Whether the container's health is looked at: it runs, and is meant to. */
export function isWatched(record: TaskRecord): boolean {
  return (
    record.watch !== undefined &&
    record.container === 'running' &&
    record.operation === undefined &&
    record.ending === undefined &&
    !isTerminal(record.status.state) &&
    !record.isForgotten &&
    isWanted(record.task.desiredState)
  )
}

/** The health check that was under way has ended. */
export function observeProbe(record: TaskRecord, result: ProbeResult, now: Now): TaskRecord {
  if (record.watch === undefined) return record
  const watch = endProbe(record.watch, result, now)
  const seen: TaskRecord = { ...record, watch }
  if (!isNews(record.watch.health, watch.health)) return seen
  const told = { ...seen, status: { ...seen.status, health: toTold(watch.health) } }
  const isUp = watch.health.state === 'healthy' && told.status.state === 'starting'
  return heed(isUp ? become(told, { state: 'running', wallMs: now.wallMs }) : told)
}

/** What is unhealthy is stopped. */
function heed(record: TaskRecord): TaskRecord {
  return isUnhealthy(record) ? { ...record, ending: { state: 'failed', error: '' } } : record
}

function isUnhealthy({ status }: TaskRecord): boolean {
  return status.health?.state === 'unhealthy'
}

/** It was decided that it has failed, once it has been stopped. */
function isFailing({ ending }: TaskRecord): boolean {
  return ending?.state === 'failed'
}

/** A newer version of the assignment. */
export function reassign(record: TaskRecord, task: Task, wallMs: number): TaskRecord {
  const told = task.status ?? emptyTaskStatus
  const isTurned = record.task.desiredState !== task.desiredState
  const assigned: TaskRecord = {
    ...record,
    task,
    isForgotten: false,
    failures: isTurned ? 0 : record.failures,
  }
  if (isTerminal(record.status.state)) return assigned
  // The managers gave it up.
  if (isTerminal(told.state)) return { ...assigned, status: told }
  // It was started after this agent's state was written: that was put back to an older one.
  const isStartForgotten = wasStarted(told.state) && !wasStarted(record.status.state)
  return isStartForgotten ? failUnseen(assigned, wallMs) : assigned
}

/** It was started, and nothing was seen to run: it never will. */
function failUnseen(record: TaskRecord, wallMs: number): TaskRecord {
  if (record.container === 'none') {
    const gone: Ending = { state: 'failed', error: 'task: its container is gone', unseen: true }
    return become({ ...record, ending: undefined }, { ...(record.ending ?? gone), wallMs })
  }
  // Whatever the call that started it still does is stopped first.
  const error = 'task: its start was interrupted'
  return { ...record, ending: record.ending ?? { state: 'failed', error, unseen: true } }
}

/** Whether a task in this state was started, or may have been. */
export function wasStarted(state: TaskState): boolean {
  return compareTaskState(state, 'starting') >= 0
}

/** Whether a crash must not lose the difference between the two: operations or reports rest on it. */
export function mustBeDurable(before: TaskRecord, after: TaskRecord): boolean {
  return (
    before.task !== after.task ||
    before.isForgotten !== after.isForgotten ||
    // It is stopped for it: a later process must know why, for what is stopped may end well.
    (!isFailing(before) && isFailing(after)) ||
    (before.status.state !== after.status.state &&
      (after.status.state === 'starting' || isTerminal(after.status.state)))
  )
}

function afterStart(
  record: TaskRecord,
  started: Pick<Started, 'containerId' | 'pid' | 'hostPorts' | 'imageCheck'> | undefined,
  wallMs: number,
): TaskRecord {
  const check = findCheck(record.task.spec?.container?.healthcheck, started?.imageCheck)
  const found: TaskRecord = {
    ...record,
    container: record.exit === undefined ? 'running' : 'exited',
  }
  const running = check === undefined ? asRunning(found, wallMs) : asWatched(found, check, wallMs)
  if (started === undefined || isTerminal(record.status.state)) return running
  const { containerId, pid, hostPorts } = started
  return {
    ...running,
    status: { ...running.status, container: { containerId, pid, exitCode: 0 }, hostPorts },
  }
}

/** What is adopted has been running since it was started, not since the daemon was. */
function asRunning(record: TaskRecord, wallMs: number): TaskRecord {
  return record.status.state === 'running' ? record : become(record, { state: 'running', wallMs })
}

/** Started, and running once it is healthy: what was found out before a daemon's restart holds. */
function asWatched(record: TaskRecord, check: Healthcheck, wallMs: number): TaskRecord {
  const { state, container, health: told = emptyHealth } = record.status
  const health: Health =
    state === 'running' && told.state === 'starting' ? { ...told, state: 'healthy' } : told
  const watched = { ...record, watch: newWatch(check, health) }
  if (state === 'running') return watched
  // The start period begins when the container has been started, or is first seen to be.
  const since = container === undefined ? wallMs : record.status.timestampMs
  return become(watched, { state: 'starting', wallMs: since })
}

function afterStop(record: TaskRecord, wallMs: number): TaskRecord {
  const { ending, exit } = record
  const stopped: TaskRecord = { ...record, ending: undefined, exit: undefined }
  if (ending === undefined) return stopped
  const isOwnFault = ending.state === 'failed' && ending.isFenced !== true && isUnhealthy(record)
  const error = isOwnFault ? unhealthy(exit) : ending.error
  return become(withExitCode(stopped, exit), { ...ending, error, wallMs })
}

/** The end of a container that nobody stopped, once no operation is under way. */
function settleExit(record: TaskRecord, wallMs: number, unseen: boolean = false): TaskRecord {
  const { exit } = record
  if (exit === undefined) return record
  const ended: TaskRecord = { ...record, container: 'exited', ending: undefined, exit: undefined }
  const failing = record.ending?.state === 'failed' ? record.ending : undefined
  const found = failing?.error ?? errorOf(exit)
  const error = isUnhealthy(record) && !isFencing(record) ? unhealthy(exit) : found
  const isUnwanted = record.isForgotten || !isWanted(record.task.desiredState)
  const state = isUnwanted ? 'shutdown' : error === '' ? 'complete' : 'failed'
  return become(withExitCode(ended, exit), {
    state,
    error: isUnwanted ? '' : error,
    wallMs,
    unseen: (failing?.unseen ?? unseen) && !isUnwanted,
    isFenced: failing?.isFenced === true && !isUnwanted,
  })
}

function withExitCode(record: TaskRecord, exit: Exit | undefined): TaskRecord {
  if (exit === undefined || isTerminal(record.status.state)) return record
  const container = {
    ...(record.status.container ?? emptyContainerStatus),
    exitCode: exit.exitCode,
  }
  return { ...record, status: { ...record.status, container } }
}

/** How it ended, as Swarm's clients know it; empty when it ended well. */
function errorOf({ exitCode, oomKilled, error }: Exit): string {
  if (error !== '') return `task: ${error}`
  if (oomKilled) return `task: non-zero exit (${exitCode}): OOM killed`
  return exitCode === 0 ? '' : `task: non-zero exit (${exitCode})`
}

/** Swarm's words; it was stopped, so that even a good end is none. */
function unhealthy(exit: Exit | undefined): string {
  const cause = 'dockerexec: unhealthy container'
  const error = exit === undefined ? '' : errorOf(exit)
  return error === '' ? cause : `${error}: ${cause}`
}

function lostExit(taskId: string, atMs: number): Exit {
  return { taskId, exitCode: 0, oomKilled: false, error: 'its exit code is unknown', atMs }
}

/** Swarm's words for having come so far. A task that fails keeps those of where it was. */
const MESSAGES: Readonly<Partial<Record<TaskState, string>>> = {
  accepted: 'accepted',
  preparing: 'preparing',
  ready: 'prepared',
  starting: 'starting',
  running: 'started',
  complete: 'finished',
  shutdown: 'shutdown',
}

type Becoming = {
  readonly state: TaskState
  readonly error?: string
  readonly unseen?: boolean
  readonly isFenced?: boolean
  readonly wallMs: number
}

/** The status says so now. An ended task stays as it ended. */
function become(record: TaskRecord, to: Becoming): TaskRecord {
  if (isTerminal(record.status.state)) return record
  return { ...record, status: becoming(record.status, to) }
}

function becoming(
  status: TaskStatus,
  { state, error, unseen, isFenced, wallMs }: Becoming,
): TaskStatus {
  return {
    ...status,
    state,
    timestampMs: wallMs,
    message: MESSAGES[state] ?? status.message,
    error: error ?? '',
    unseen: unseen ?? false,
    fenced: isFenced ?? false,
  }
}
