/** Who may report, on a calm cluster of which the checker is told more than happens. */
import { expect, test } from 'vitest'
import { newEntry } from '../../../manager/store/entry.ts'
import type { TaskStatus } from '../../../proto/gen/objects.ts'
import type { TaskState } from '../../../proto/gen/types.ts'
import { storeWith, task } from '../../build.ts'
import { calmCluster, leaderOf } from '../calm.ts'
import type { World } from '../world.ts'
import { type Held, ReporterChecker } from './reporters.ts'
import { newStep, type Step } from './step.ts'

const CLONE = 'w1-1-clone'

/** A checker of its own for the sessions of w1 at the leader. */
class Watch {
  readonly world: World
  readonly checker: ReporterChecker
  readonly term: number
  #sequence = 0

  constructor() {
    this.world = calmCluster(1)
    this.checker = new ReporterChecker(this.world)
    const leader = leaderOf(this.world)
    this.term = leader.manager?.status().term ?? 0
    this.checker.elected(leader, this.term)
  }

  hello(instance: string): Held {
    const node = this.world.nodes.get('w1')
    if (node === undefined) throw new Error('no node')
    const held = { manager: leaderOf(this.world), node, instance, session: 1 }
    const hello = { bootId: '', instance, description: undefined, taskIds: [], seen: undefined }
    this.checker.happened(held, { kind: 'received', body: { kind: 'hello', hello } })
    return held
  }

  start(held: Held): string | undefined {
    const start = { heartbeatPeriodMs: 2_000 }
    return this.checker.happened(held, { kind: 'sent', body: { kind: 'start', start } })
  }

  end(held: Held): void {
    this.checker.happened(held, { kind: 'ended' })
  }

  refuse(instance: string): void {
    this.checker.refused({ nodeId: 'w1', instance }, leaderOf(this.world))
  }

  /** Time goes by in which each heartbeat of the session is answered. */
  beat(held: Held, forMs: number): void {
    for (let waitedMs = 0; waitedMs < forMs; waitedMs += 2_000) {
      const sequence = ++this.#sequence
      const heartbeat = { sequence }
      this.checker.happened(held, { kind: 'received', body: { kind: 'heartbeat', heartbeat } })
      const heartbeatAck = { sequence, mark: undefined, ready: true }
      this.checker.happened(held, { kind: 'sent', body: { kind: 'heartbeatAck', heartbeatAck } })
      this.world.run(this.world.schedule.nowMs + 2_000)
    }
  }

  report(held: Held, state: TaskState): void {
    const statuses = { sequence: 1, updates: [{ taskId: 't1', status: statusOf(state) }] }
    this.checker.happened(held, { kind: 'received', body: { kind: 'statuses', statuses } })
  }

  stored(state: TaskState, term = this.term): string {
    return [...this.checker.check(stepTo(state), term)].join()
  }
}

function statusOf(state: TaskState): TaskStatus | undefined {
  return task({ status: { state } }).status
}

/** A task of w1, which was starting, comes to this state. */
function stepTo(state: TaskState): Step {
  const before = task({ id: 't1', nodeId: 'w1', status: { state: 'starting' } })
  const store = storeWith({ tasks: [before] })
  const view = store.view()
  const object = { ...before, status: statusOf(state) }
  const entry = newEntry([{ kind: 'update', table: 'tasks', object }], {
    timeMs: view.timeMs,
    wallMs: 0,
  })
  store.apply(view.index + 1, entry)
  return newStep(view, store.view(), entry)
}

test('what the current session of a node said is stored, whoever the manager is', () => {
  const watch = new Watch()
  const held = watch.hello('w1-1')

  expect(watch.start(held)).toBeUndefined()
  watch.report(held, 'running')
  watch.end(held)

  expect(watch.stored('running')).toBe('')
  expect(watch.stored('failed')).toContain('T9: task t1 became failed, which w1 never reported so')
})

test.each<[string, (watch: Watch, held: Held) => void]>([
  ['before it began', () => undefined],
  [
    'after it ended',
    (watch, held) => {
      watch.start(held)
      watch.end(held)
    },
  ],
  [
    'after another one had begun',
    (watch, held) => {
      watch.start(held)
      watch.start(watch.hello('w1-2'))
    },
  ],
])('what a session said %s is not stored', (_, prepare) => {
  const watch = new Watch()
  const held = watch.hello('w1-1')
  prepare(watch, held)

  watch.report(held, 'running')

  expect(watch.stored('running')).toContain('by the word of w1-1 in a session that was not')
})

test('a clone that is refused gets no session, and what it says is not stored', () => {
  const watch = new Watch()
  const held = watch.hello('w1-1')
  const clone = watch.hello(CLONE)
  watch.start(clone)
  watch.refuse(CLONE)

  watch.beat(held, 20_000)
  watch.report(clone, 'failed')

  expect(watch.stored('failed')).toContain(`by the word of ${CLONE}, which is refused`)
  expect(watch.start(watch.hello(CLONE))).toContain(`T9: ${watch.world.findLeader()?.id} begins`)
})

test('a clone may have been accepted when the one in use was silent, or by another leader', () => {
  const watch = new Watch()
  const held = watch.hello('w1-1')
  const clone = watch.hello(CLONE)
  watch.start(clone)
  watch.refuse(CLONE)
  watch.report(clone, 'failed')

  const byAnother = watch.stored('failed', watch.term + 1)
  watch.world.run(watch.world.schedule.nowMs + 9_000)
  const whileSilent = watch.stored('failed')
  watch.beat(held, 4_000)
  watch.report(clone, 'complete')

  expect([byAnother, whileSilent, watch.stored('complete')]).toEqual(['', '', ''])
  expect(watch.start(watch.hello(CLONE))).toBeUndefined()
})
