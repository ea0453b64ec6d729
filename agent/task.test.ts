/** Tables for a task's next step, its states and its texts. */
import { expect, test } from 'vitest'
import { SwarmError } from '../lib/errors.ts'
import { emptyKnownTask } from '../proto/gen/agent.ts'
import { emptyTaskStatus, type Task } from '../proto/gen/objects.ts'
import { emptyHealthcheck } from '../proto/gen/specs.ts'
import { type TaskState, TaskStateNumber } from '../proto/gen/types.ts'
import { task } from '../test/build.ts'
import { beginProbe, schedule } from './health.ts'
import type { Container, Exit } from './runtime/runtime.ts'
import {
  adopt,
  begin,
  cancel,
  fail,
  forget,
  isAtRest,
  isWatched,
  mustBeDurable,
  newRecord,
  observeExit,
  observeProbe,
  planStep,
  reassign,
  restore,
  succeed,
  type TaskRecord,
  toKnown,
} from './task.ts'

const STARTED = { containerId: 'c1', pid: 7, hostPorts: [] }
const BROKEN = new SwarmError('internal', 'no such image')
const BUSY = new SwarmError('unavailable', 'registry is down', { retriable: true })

function container(state: Container['state'], exit?: Partial<Exit>): Container {
  return {
    taskId: 'task1',
    containerId: 'c1',
    state,
    pid: 7,
    exit: state === 'exited' ? anExit(exit) : undefined,
    hostPorts: [],
  }
}

function anExit(part: Partial<Exit> = {}): Exit {
  return { taskId: 'task1', exitCode: 0, oomKilled: false, error: '', atMs: 5, ...part }
}

/** A task in a state that it came to here, without an operation under way. */
function at(state: TaskState, desiredState: TaskState = 'running'): TaskRecord {
  const record = newRecord(task({ desiredState }), undefined, 1)
  const held = { none: 'none', made: 'created', up: 'running', over: 'exited' } as const
  const has = { preparing: 'made', ready: 'made', starting: 'made', running: 'up' }[state as string]
  return {
    ...record,
    status: { ...emptyTaskStatus, state, message: state },
    container: held[(has ?? 'none') as keyof typeof held],
  }
}

/** Takes steps until an operation is wanted or nothing is; the states on the way. */
function walk(record: TaskRecord): {
  readonly record: TaskRecord
  readonly path: readonly string[]
  readonly operation: string | undefined
} {
  const path: string[] = []
  let current = record
  for (;;) {
    const step = planStep(current, 9)
    if (step?.kind !== 'become') {
      const operation = step?.kind === 'operate' ? step.operation : step?.kind
      return { record: current, path, operation }
    }
    current = step.record
    path.push(`${current.status.state}: ${current.status.message}`)
  }
}

const EVERY: readonly TaskState[] = Object.keys(TaskStateNumber) as TaskState[]
test.each(EVERY.flatMap((state) => EVERY.map((desired) => ({ state, desired }))))(
  'a $state task that is wanted $desired rests only where it has no step',
  ({ state, desired }) => {
    const limited = task({ desiredState: desired, spec: { disconnect: { stopAfterMs: 9 } } })
    const record = at(state, desired)

    if (isAtRest(record)) expect(planStep(record, Number.MAX_SAFE_INTEGER)).toBeUndefined()
    for (const busy of [
      begin(record, 1, 'stop'),
      forget(record),
      fail(begin(record, 1, 'start'), BROKEN, 2),
      { ...record, task: limited },
    ])
      expect(isAtRest(busy)).toBe(false)
  },
)

test('a task that runs rests, until it is watched', () => {
  const checked = task({
    spec: { container: { healthcheck: { ...emptyHealthcheck, test: ['CMD', 'true'] } } },
  })
  const started = (of: Task): TaskRecord =>
    succeed(begin(walk(newRecord(of, container('created'), 1)).record, 2, 'start'), STARTED, 3)

  expect(isAtRest(at('running'))).toBe(true)
  expect(isAtRest(started(task()))).toBe(true)
  expect(isAtRest({ ...at('running'), watch: started(checked).watch })).toBe(false)
})

test('a task goes from accepted to complete with Swarm’s words', () => {
  const texts: string[] = []
  const note = (record: TaskRecord): TaskRecord => {
    texts.push(`${record.status.state}: ${record.status.message}`)
    return record
  }

  const accepted = note(newRecord(task(), undefined, 1))
  const preparing = walk(accepted)
  note(preparing.record)
  const prepared = note(succeed(begin(preparing.record, 1, 'prepare'), undefined, 2))
  const starting = walk(prepared)
  note(starting.record)
  const running = note(succeed(begin(starting.record, 2, 'start'), STARTED, 3))
  const idle = walk(running)
  const complete = note(observeExit(running, anExit(), 4))

  expect([preparing.operation, starting.operation, idle.operation]).toEqual([
    'prepare',
    'start',
    undefined,
  ])
  expect(texts).toEqual([
    'accepted: accepted',
    'preparing: preparing',
    'ready: prepared',
    'starting: starting',
    'running: started',
    'complete: finished',
  ])
  expect(complete.status.container).toMatchObject({ containerId: 'c1', pid: 7, exitCode: 0 })
})

test.each<[TaskState, TaskState, string, string | undefined]>([
  ['accepted', 'ready', 'preparing', 'prepare'],
  ['ready', 'ready', 'ready', undefined],
  ['ready', 'running', 'starting', 'start'],
  ['accepted', 'shutdown', 'shutdown', undefined],
  ['ready', 'remove', 'shutdown', undefined],
  ['starting', 'shutdown', 'starting', 'stop'],
  ['running', 'shutdown', 'running', 'stop'],
  ['running', 'remove', 'running', 'stop'],
  ['failed', 'running', 'failed', undefined],
  ['failed', 'shutdown', 'failed', undefined],
])('a task %s, wanted %s, becomes %s and needs %s', (state, desired, becomes, operation) => {
  const walked = walk(at(state, desired))

  expect([walked.record.status.state, walked.operation]).toEqual([becomes, operation])
})

test.each<[string, Partial<Exit>, string, string, string]>([
  ['exit 0', {}, 'complete', 'finished', ''],
  ['exit 3', { exitCode: 3 }, 'failed', 'running', 'task: non-zero exit (3)'],
  [
    'out of memory',
    { exitCode: 137, oomKilled: true },
    'failed',
    'running',
    'task: non-zero exit (137): OOM killed',
  ],
  ['no exit code', { error: 'runtime lost' }, 'failed', 'running', 'task: runtime lost'],
])('a running task that ends with %s', (_, exit, state, message, error) => {
  const { status } = observeExit(at('running'), anExit(exit), 9)

  expect(status).toMatchObject({ state, message, error, timestampMs: 9 })
})

test('a task that is stopped ends as shutdown, with its exit code', () => {
  const stopping = begin(walk(at('running', 'shutdown')).record, 1, 'stop')

  const ended = succeed(observeExit(stopping, anExit({ exitCode: 143 }), 8), undefined, 9)

  expect(ended.status).toMatchObject({ state: 'shutdown', message: 'shutdown', error: '' })
  expect(ended.status.container?.exitCode).toBe(143)
  expect(walk(ended).operation).toBeUndefined()
})

test('a failed prepare rejects the task, unless it may succeed later', () => {
  const preparing = begin(walk(at('accepted')).record, 1, 'prepare')

  const rejected = fail(preparing, BROKEN, 9)
  const waiting = fail(preparing, BUSY, 9)
  const stillWaiting = fail(begin(waiting, 2, 'prepare'), BUSY, 10)

  expect(rejected.status).toMatchObject({ state: 'rejected', error: 'no such image' })
  expect(waiting.status).toMatchObject({ state: 'preparing', error: 'registry is down' })
  expect([waiting.failures, stillWaiting.failures]).toEqual([1, 2])
  expect(stillWaiting.status).toBe(waiting.status)
  expect(walk(stillWaiting).operation).toBe('prepare')
})

test('a start that failed, retriable or not, is never repeated: it is stopped, then failed', () => {
  const starting = begin(at('starting'), 1, 'start')

  const failing = fail(starting, BUSY, 8)
  const stopping = walk(failing)
  const failed = succeed(begin(failing, 2, 'stop'), undefined, 9)

  expect([failing.status.state, stopping.operation]).toEqual(['starting', 'stop'])
  expect(failed.status).toMatchObject({
    state: 'failed',
    message: 'starting',
    error: 'registry is down',
  })
  expect(walk(failed).operation).toBeUndefined()
})

test('an end that comes before the start is answered counts after it', () => {
  const starting = begin(at('starting'), 1, 'start')

  const ended = succeed(observeExit(starting, anExit({ exitCode: 1 }), 8), STARTED, 9)

  expect(ended.status).toMatchObject({ state: 'failed', error: 'task: non-zero exit (1)' })
  expect(ended.container).toBe('exited')
})

test('a failed stop or remove is tried again', () => {
  const stopping = fail(begin(walk(at('running', 'shutdown')).record, 1, 'stop'), BUSY, 9)
  const removing = fail(begin(forget(at('failed')), 1, 'remove'), BUSY, 9)

  expect(walk(stopping).operation).toBe('stop')
  expect([removing.failures, removing.isForgotten]).toEqual([1, true])
})

test('a prepare that is no longer wanted is cancelled once, and what it left is removed', () => {
  const preparing = forget(begin(walk(at('accepted')).record, 1, 'prepare'))

  const cancelled = cancel(preparing)
  const after = walk(fail(cancelled, BROKEN, 9))
  const removed = succeed(begin(after.record, 2, 'remove'), undefined, 9)

  expect([walk(preparing).operation, walk(cancelled).operation]).toEqual(['cancel', undefined])
  expect([after.record.status.state, after.operation]).toEqual(['shutdown', 'remove'])
  expect(walk(removed).operation).toBe('forget')
})

test('a forgotten task is stopped, removed and gone', () => {
  const stopping = walk(forget(at('running')))
  const stopped = succeed(begin(stopping.record, 1, 'stop'), undefined, 9)
  const removed = succeed(begin(stopped, 2, 'remove'), undefined, 9)

  expect([stopping, walk(stopped), walk(removed)].map(({ operation }) => operation)).toEqual([
    'stop',
    'remove',
    'forget',
  ])
})

test.each<[TaskState, Container | undefined, TaskState, string, string | undefined]>([
  // What an earlier process left, found as: becomes, with error, and needs.
  ['preparing', undefined, 'preparing', '', 'prepare'],
  ['preparing', container('created'), 'preparing', '', 'prepare'],
  ['ready', container('created'), 'starting', '', 'start'],
  ['ready', undefined, 'preparing', '', 'prepare'],
  ['starting', container('running'), 'running', '', undefined],
  ['starting', container('created'), 'starting', '', 'stop'],
  ['starting', undefined, 'failed', 'task: its container is gone', undefined],
  ['running', container('running'), 'running', '', undefined],
  ['running', container('exited'), 'complete', '', undefined],
  ['running', container('exited', { exitCode: 2 }), 'failed', 'task: non-zero exit (2)', undefined],
  ['running', undefined, 'failed', 'task: its container is gone', undefined],
  ['failed', container('exited'), 'failed', 'as it was', undefined],
  ['rejected', container('running'), 'rejected', 'as it was', 'stop'],
])('after a restart a task %s with %o is %s (%s) and needs %s', (state, found, ...expected) => {
  const error = expected[1] === 'as it was' ? 'as it was' : ''
  const status = { ...emptyTaskStatus, state, error }

  const record = adoptRestored({ ...emptyKnownTask, task: task(), status }, found)
  const walked = walk(record)

  expect([walked.record.status.state, walked.record.status.error, walked.operation]).toEqual(
    expected,
  )
})

test('a task that ran before a restart has been running since then', () => {
  const status = { ...emptyTaskStatus, state: 'running' as const, timestampMs: 2 }

  const restored = adoptRestored({ ...emptyKnownTask, task: task(), status }, container('running'))
  const told = newRecord(
    task({ status: { state: 'running', timestampMs: 3 } }),
    container('running'),
    5,
  )

  expect([restored.status.timestampMs, told.status.timestampMs]).toEqual([2, 3])
  expect(restored.status.container).toMatchObject({ containerId: 'c1', pid: 7 })
})

test('an interrupted start ends as failed once it was made sure, and was seen by nobody', () => {
  const status = { ...emptyTaskStatus, state: 'starting' as const }
  const record = adoptRestored({ ...emptyKnownTask, task: task(), status }, container('created'))

  const failed = succeed(begin(record, 1, 'stop'), undefined, 9)

  expect(failed.status).toMatchObject({
    state: 'failed',
    error: 'task: its start was interrupted',
    unseen: true,
  })
})

test.each<[string, Container | undefined, boolean]>([
  ['no container', undefined, true],
  ['one that went with its host', container('exited', { error: 'runtime lost' }), true],
  ['one that failed', container('exited', { exitCode: 1 }), false],
])('what is found after a restart, %s: whether nobody saw its end', (_what, found, unseen) => {
  const status = { ...emptyTaskStatus, state: 'running' as const }

  const record = adoptRestored({ ...emptyKnownTask, task: task(), status, forgotten: false }, found)

  expect(record.status).toMatchObject({ state: 'failed', unseen })
})

test('a container that is lost before the daemon’s eyes has failed as any other', () => {
  const { status } = observeExit(at('running'), anExit({ error: 'runtime lost' }), 9)

  expect(status).toMatchObject({ state: 'failed', error: 'task: runtime lost', unseen: false })
})

test.each<[TaskState, Container | undefined, TaskState, string | undefined]>([
  // The agent lost its state: told by the managers, found as: becomes, and needs.
  ['assigned', undefined, 'preparing', 'prepare'],
  ['ready', undefined, 'preparing', 'prepare'],
  ['assigned', container('running'), 'running', undefined],
  ['assigned', container('exited', { exitCode: 1 }), 'failed', undefined],
  ['running', container('running'), 'running', undefined],
  ['starting', undefined, 'failed', undefined],
  ['running', undefined, 'failed', undefined],
  ['complete', undefined, 'complete', undefined],
  ['orphaned', container('running'), 'orphaned', 'stop'],
])('an unknown task told as %s with %o is %s and needs %s', (told, found, state, operation) => {
  const walked = walk(newRecord(task({ status: { state: told } }), found, 1))

  expect([walked.record.status.state, walked.operation]).toEqual([state, operation])
})

test.each<[TaskState, TaskState, TaskState, string, string | undefined]>([
  // The agent's state is an older one: known as, told as: becomes, with error, and needs.
  ['preparing', 'ready', 'preparing', '', 'prepare'],
  ['ready', 'ready', 'starting', '', 'start'],
  ['accepted', 'running', 'failed', 'task: its container is gone', undefined],
  ['preparing', 'starting', 'preparing', '', 'stop'],
  ['ready', 'starting', 'ready', '', 'stop'],
  ['ready', 'running', 'ready', '', 'stop'],
  ['starting', 'running', 'starting', '', 'start'],
  ['ready', 'failed', 'failed', '', undefined],
  ['complete', 'running', 'complete', '', undefined],
])('a task known as %s and told as %s is %s (%s) and needs %s', (known, told, ...expected) => {
  const assigned = task({ desiredState: 'running', status: { state: told } })
  const walked = walk(reassign(at(known), assigned, 9))

  expect([walked.record.status.state, walked.record.status.error, walked.operation]).toEqual(
    expected,
  )
})

test('a start that the agent does not remember fails once nothing of it is left', () => {
  const told = task({ status: { state: 'running' } })
  const known = at('ready')
  const preparing = begin(at('preparing'), 1, 'prepare')

  const stopped = succeed(begin(reassign(known, told, 8), 1, 'stop'), undefined, 9)
  const prepared = walk(succeed(reassign(preparing, told, 8), undefined, 9))
  const notPrepared = walk(fail(reassign(preparing, told, 8), BUSY, 9))

  expect(stopped.status).toMatchObject({
    state: 'failed',
    error: 'task: its start was interrupted',
  })
  expect(walk(stopped).operation).toBeUndefined()
  expect([prepared.operation, notPrepared.operation]).toEqual(['stop', 'stop'])
})

test('a task that managers gave up is theirs, and is stopped', () => {
  const given = reassign(at('running'), task({ status: { state: 'rejected', error: 'moved' } }), 8)

  const stopped = succeed(begin(given, 1, 'stop'), undefined, 9)

  expect(walk(given).operation).toBe('stop')
  expect(stopped.status).toMatchObject({ state: 'rejected', error: 'moved' })
})

test('a task that was given up while it started does not run', () => {
  const starting = begin(at('starting'), 1, 'start')
  const given = reassign(starting, task({ status: { state: 'orphaned' } }), 8)

  const started = succeed(given, STARTED, 9)

  expect([started.status.state, walk(started).operation]).toEqual(['orphaned', 'stop'])
})

test('a repeated assignment brings a forgotten task back, and a turned one starts anew', () => {
  const failing = { ...at('preparing'), failures: 3 }

  expect(reassign(forget(failing), failing.task, 8).isForgotten).toBe(false)
  expect(reassign(failing, failing.task, 8).failures).toBe(3)
  expect(reassign(failing, task({ desiredState: 'shutdown' }), 8).failures).toBe(0)
})

test.each<[TaskState, TaskState, boolean]>([
  ['accepted', 'preparing', false],
  ['preparing', 'ready', false],
  ['ready', 'starting', true],
  ['starting', 'running', false],
  ['running', 'failed', true],
  ['preparing', 'rejected', true],
])('the step from %s to %s must be durable: %s', (from, to, expected) => {
  const before = at(from)
  const after = { ...before, status: { ...before.status, state: to } }

  expect(mustBeDurable(before, after)).toBe(expected)
  expect(mustBeDurable(before, forget(before))).toBe(true)
  expect(mustBeDurable(before, reassign(before, task(), 9))).toBe(true)
})

function adoptRestored(
  known: Parameters<typeof restore>[0],
  found: Container | undefined,
): TaskRecord {
  return adopt(restore(known), found, 5)
}

/** A task with a health check whose container was started. */
function started(retries = 2): TaskRecord {
  const healthcheck = { ...emptyHealthcheck, test: ['CMD', 'x'], retries }
  const record = newRecord(task({ spec: { container: { healthcheck } } }), undefined, 1)
  const ready = succeed(begin(walk(record).record, 1, 'prepare'), undefined, 2)
  return succeed(begin(walk(ready).record, 2, 'start'), STARTED, 3)
}

/** One check of it, with this exit code. */
function checked(record: TaskRecord, exitCode: number): TaskRecord {
  if (record.watch === undefined) throw new Error('it is watched')
  const now = { nowMs: 10, wallMs: 10 }
  const probed = { ...record, watch: beginProbe(schedule(record.watch, 3, now), 7, now) }
  return observeProbe(probed, { kind: 'exited', exitCode, output: 'said' }, now)
}

/** A later process finds its container. */
function found(record: TaskRecord, state: Container['state'], exit?: Partial<Exit>): TaskRecord {
  return adopt(restore(toKnown(record)), container(state, exit), 20)
}

const UNHEALTHY = 'dockerexec: unhealthy container'

test('a task with a health check is starting until its first success', () => {
  const record = started()
  const up = checked(record, 0)

  expect(record.status).toMatchObject({ state: 'starting', timestampMs: 3 })
  expect(record.status.container).toMatchObject({ containerId: 'c1', pid: 7 })
  expect(walk(record).operation).toBeUndefined()
  expect(up.status).toMatchObject({ state: 'running', message: 'started', timestampMs: 10 })
  expect(up.status.health).toMatchObject({ state: 'healthy' })
})

test('the image’s health check counts where the spec has none, unless it says NONE', () => {
  const imageCheck = { ...emptyHealthcheck, test: ['CMD', 'y'] }
  const start = (test: readonly string[]): TaskRecord => {
    const healthcheck = { ...emptyHealthcheck, test }
    const record = newRecord(task({ spec: { container: { healthcheck } } }), undefined, 1)
    const starting = { ...record, status: { ...record.status, state: 'starting' as const } }
    return succeed(begin(starting, 1, 'start'), { ...STARTED, imageCheck }, 3)
  }

  expect(start([]).watch?.check.test).toEqual(['CMD', 'y'])
  expect(start([]).status.state).toBe('starting')
  expect(start(['NONE']).watch).toBeUndefined()
  expect(start(['NONE']).status.state).toBe('running')
})

test.each<[string, readonly number[], Partial<Exit>, string]>([
  ['never healthy', [1, 1], { exitCode: 143 }, `task: non-zero exit (143): ${UNHEALTHY}`],
  ['healthy once', [0, 1, 1], { exitCode: 137 }, `task: non-zero exit (137): ${UNHEALTHY}`],
  ['that ends well when told to', [0, 1, 1], { exitCode: 0 }, UNHEALTHY],
])('an unhealthy container, %s, is stopped and its task failed', (_name, codes, exit, error) => {
  const ill = codes.reduce(checked, started())
  const stopped = succeed(
    begin(observeExit(begin(ill, 3, 'stop'), anExit(exit), 11), 3, 'stop'),
    undefined,
    12,
  )

  expect(walk(ill).operation).toBe('stop')
  expect(mustBeDurable(started(), ill)).toBe(true)
  expect(stopped.status).toMatchObject({ state: 'failed', error, container: exit })
  expect(walk(stopped).operation).toBeUndefined()
})

test('a container that ends before it was healthy has ended as any other', () => {
  expect(observeExit(started(), anExit(), 9).status).toMatchObject({ state: 'complete', error: '' })
  expect(observeExit(started(), anExit({ exitCode: 3 }), 9).status).toMatchObject({
    state: 'failed',
    error: 'task: non-zero exit (3)',
  })
})

test('a later process goes on with what was found out', () => {
  const running = checked(started(3), 0)
  const once = checked(running, 1)
  const waiting = checked(started(3), 1)

  expect(found(running, 'running').status).toEqual(running.status)
  expect(found(once, 'running').watch?.health).toMatchObject({ state: 'healthy', failingStreak: 1 })
  expect(found(waiting, 'running').status).toEqual(waiting.status)
  expect(checked(checked(found(waiting, 'running'), 1), 1).ending?.state).toBe('failed')
  expect(checked(found(waiting, 'running'), 0).status.state).toBe('running')
})

test('a later process stops what is unhealthy, or says why it was stopped', () => {
  const ill = checked(checked(started(), 1), 1)

  expect(walk(found(ill, 'running')).operation).toBe('stop')
  expect(found(ill, 'exited', { exitCode: 0 }).status).toMatchObject({
    state: 'failed',
    error: UNHEALTHY,
  })
})

test.each<[string, TaskRecord, string]>([
  ['a failed start', fail(begin(at('starting'), 1, 'start'), BROKEN, 5), 'no such image'],
  [
    'an interrupted start',
    adopt(at('starting'), container('created'), 5),
    'task: its start was interrupted',
  ],
  [
    'a start that only managers know of',
    newRecord(task({ status: { state: 'running' } }), container('created'), 5),
    'task: its start was interrupted',
  ],
])('a later process knows that %s is being stopped (seed 80974)', (_name, failing, error) => {
  const running = found(failing, 'running')
  const created = found(failing, 'created')
  const gone = adopt(restore(toKnown(failing)), undefined, 20)
  const failed = { state: 'failed', error }

  expect(mustBeDurable({ ...failing, ending: undefined }, failing)).toBe(true)
  expect(walk(running)).toMatchObject({ path: [], operation: 'stop' })
  expect(walk(created)).toMatchObject({ path: [], operation: 'stop' })
  expect(succeed(begin(created, 3, 'stop'), undefined, 21).status).toMatchObject(failed)
  expect(observeExit(running, anExit(), 21).status).toMatchObject(failed)
  expect(found(failing, 'exited', { exitCode: 0 }).status).toMatchObject(failed)
  expect(gone.status).toMatchObject(failed)
})

test('a later process does not end again what managers gave up meanwhile', () => {
  const failing = fail(begin(at('starting'), 1, 'start'), BROKEN, 5)
  const given = reassign(failing, task({ status: { state: 'orphaned' } }), 6)

  expect(walk(found(given, 'exited')).operation).toBeUndefined()
  expect(walk(found(given, 'running')).operation).toBe('stop')
})

test('an agent without its memory takes a running task for a healthy one', () => {
  const healthcheck = { ...emptyHealthcheck, test: ['CMD', 'x'] }
  const told = (state: TaskState): TaskRecord => {
    const assigned = task({ spec: { container: { healthcheck } }, status: { state } })
    return newRecord(assigned, container('running'), 5)
  }

  expect(told('running').status.state).toBe('running')
  expect(told('running').watch?.health.state).toBe('healthy')
  expect(told('starting').status.state).toBe('starting')
  expect(told('assigned').status.state).toBe('starting')
})

test('nobody asks for the health of what is to end', () => {
  const up = checked(started(), 0)

  expect(isWatched(up)).toBe(true)
  expect(isWatched(forget(up))).toBe(false)
  expect(isWatched(reassign(up, { ...up.task, desiredState: 'shutdown' }, 9))).toBe(false)
  expect(isWatched(begin(up, 4, 'stop'))).toBe(false)
  expect(isWatched(observeExit(up, anExit(), 9))).toBe(false)
  expect(isWatched(at('running'))).toBe(false)
})
