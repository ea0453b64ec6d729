/**
 * Stories of an agent that is cut off: which tasks it stops by itself, when, and what a process knows of
 * how long an earlier one was cut off (docs/disconnect.md).
 */
import { expect, test } from 'vitest'
import { decodeAgentState } from '../proto/gen/agent.ts'
import type { Task, TaskStatus } from '../proto/gen/objects.ts'
import type { TaskState } from '../proto/gen/types.ts'
import { change, container, full, Host, stateOf } from '../test/agent-host.ts'
import { task } from '../test/build.ts'

const STOP_AFTER_MS = 30_000

function fenced(id: string, desiredState: TaskState = 'running'): Task {
  return task({
    ...{ id, nodeId: 'n1', desiredState, status: { state: 'assigned' } },
    spec: { disconnect: { stopAfterMs: STOP_AFTER_MS } },
  })
}

function unfenced(id: string): Task {
  return task({ id, nodeId: 'n1', status: { state: 'assigned' } })
}

/** A host in session, on which these tasks run; the leader answered 0 s ago. */
function running(tasks: readonly Task[]): Host {
  const host = new Host()
  host.run()
  host.answer()
  host.assign(full(5, tasks))
  for (const { id } of tasks) {
    host.done(`prepare ${id}`)
    host.done(`start ${id}`)
  }
  return host
}

/** So long in session, with all heartbeats answered, or none. */
function live(host: Host, durationMs: number, answers: (host: Host) => void = () => {}): void {
  for (let lived = 0; lived < durationMs; lived += 1_000) {
    host.wait(1_000)
    answers(host)
  }
}

const statusOf = (host: Host, id: string): TaskStatus | undefined =>
  host.saved && decodeAgentState(host.saved).tasks.find((known) => known.task?.id === id)?.status

test('a task is stopped when the last heartbeat that was answered is so old, and no other', () => {
  const host = running([fenced('t1'), unfenced('t2')])
  live(host, 10_000, (each) => each.answer())
  const { nowMs } = host

  // The last one left up to a period before its answer.
  live(host, STOP_AFTER_MS - 3_000)
  const before = host.underway()
  live(host, 3_000)

  expect(host.nowMs - nowMs).toBe(STOP_AFTER_MS)
  expect([before, host.underway()]).toEqual([[], ['stop t1']])
  host.done('stop t1')
  expect(statusOf(host, 't1')).toMatchObject({
    state: 'failed',
    fenced: true,
    error: 'task: no manager was reached for 30s',
  })
  expect(statusOf(host, 't2')).toMatchObject({ state: 'running', fenced: false })
})

test('one that is reached goes on', () => {
  const host = running([fenced('t1')])

  live(host, 300_000, (each) => each.answer())

  expect(host.underway()).toEqual([])
})

test('the answer of a leader for which the node is not ready is no contact', () => {
  const host = running([fenced('t1')])

  live(host, STOP_AFTER_MS, (each) => each.answer(false))

  expect(host.underway()).toEqual(['stop t1'])
})

test('a session that has not told what is wanted is no contact', () => {
  const host = running([fenced('t1')])
  host.step({ kind: 'disconnected', session: host.session, error: undefined })
  host.run()

  live(host, STOP_AFTER_MS, (each) => each.answer())

  expect(host.underway()).toContain('stop t1')
})

test('a task whose start was under way is stopped when that is done', () => {
  const host = new Host()
  host.run()
  host.answer()
  host.assign(full(5, [fenced('t1')]))
  host.done('prepare t1')
  live(host, STOP_AFTER_MS)
  const before = host.underway()

  host.done('start t1')
  host.wait(50)

  expect([before, host.underway()]).toEqual([['start t1'], ['stop t1']])
})

test('nothing is started without contact, and it is with it', () => {
  const host = new Host()
  host.run()
  host.answer()
  host.assign(full(5, [fenced('t1')]))
  live(host, STOP_AFTER_MS)
  host.done('prepare t1')
  host.wait(1_000)
  const before = host.underway()

  host.run()
  host.answer()
  host.assign(full(6, [fenced('t1')]))

  expect([before, host.underway()]).toEqual([[], ['start t1']])
})

test('the first set is a contact as of the hello before it', () => {
  const host = new Host()
  host.run()

  host.assign(full(5, [fenced('t1')]))

  expect(host.underway()).toEqual(['prepare t1'])
})

test('what ran and is wanted is not stopped by a daemon that knows of no contact before', () => {
  // Its state was lost (simulator, seed 200360).
  const host = new Host({ containers: [container('t1', 'running')] })
  host.run()

  host.assign(full(5, [fenced('t1')]))

  expect(host.underway()).toEqual([])
})

test('a stop that fails is tried again each second, and waits for no disk', () => {
  const host = running([fenced('t1')])
  host.isQuick = false
  host.assign(change(5, 6, { updates: [{ ...fenced('t1'), startAfterMs: 1 }] }))
  live(host, STOP_AFTER_MS)
  let tries = 0
  for (let second = 0; second < 10; second++) {
    if (host.underway().includes('stop t1')) {
      tries++
      host.fails('stop t1', true)
    }
    host.wait(1_500)
  }

  expect(tries).toBeGreaterThanOrEqual(9)
})

test('a daemon that was away for long stops what is due before it has a session', () => {
  const state = stateOf(9, { t1: 'running' }, { contact: { bootId: 'b', bootMs: 1_000 } }, fenced)
  const containers = [container('t1', 'running')]

  const late = new Host({ state, containers, upMs: 1_000 + STOP_AFTER_MS })
  late.wait(50)
  const soon = new Host({ state, containers, upMs: STOP_AFTER_MS - 5_000 })
  soon.wait(5_900)
  const before = soon.underway()
  soon.wait(200)

  expect([late.underway(), before, soon.underway()]).toEqual([['stop t1'], [], ['stop t1']])
})

test.each([
  ['knows of none in this boot', { contact: { bootId: 'before', bootMs: 99_000 } }],
  ['was never in contact', {}],
])('a daemon that %s stops it at once', (_name, part) => {
  const state = stateOf(9, { t1: 'running' }, part, fenced)

  const host = new Host({ state, containers: [container('t1', 'running')], upMs: 100_000 })
  host.wait(50)

  expect(host.underway()).toEqual(['stop t1'])
})

test('one that was told to end is stopped by a daemon that is cut off, and has shut down', () => {
  const ending = (id: string): Task => fenced(id, 'shutdown')
  const state = stateOf(9, { t1: 'running' }, {}, ending)
  const host = new Host({ state, containers: [container('t1', 'running')] })
  host.wait(50)

  host.done('stop t1')

  expect(statusOf(host, 't1')).toMatchObject({ state: 'shutdown', fenced: false })
})

test('the disk knows of the last contact, a sixth of the time late at most, and only where it matters', () => {
  const ages: number[] = []
  const host = running([fenced('t1')])
  live(host, 60_000, (each) => {
    each.answer()
    const { contact } = decodeAgentState(each.saved ?? new Uint8Array())
    ages.push(each.nowMs - (contact?.bootMs ?? Number.NEGATIVE_INFINITY))
  })
  const other = running([unfenced('t1')])
  live(other, 10_000, (each) => each.answer())

  expect(Math.max(...ages)).toBeLessThanOrEqual(STOP_AFTER_MS / 6 + 2_000)
  expect(Math.max(...ages)).toBeGreaterThan(STOP_AFTER_MS / 6 - 2_000)
  expect(decodeAgentState(other.saved ?? new Uint8Array()).contact).toBeUndefined()
})
