/**
 * The simulated runtime: what is still done of what a daemon asked for after that daemon has died. In
 * production it is one call on its way to containerd, whose process the next daemon's look finds.
 */
import { expect, test } from 'vitest'
import type { OperationKind } from '../../agent/task.ts'
import { newSeededRandom } from '../../lib/random.ts'
import { emptyTask } from '../../proto/gen/objects.ts'
import { CALM_RATES, SimRuntime } from './runtime.ts'
import { Schedule } from './schedule.ts'

const TASK = { ...emptyTask, id: 't1' }

/** A runtime with a container that was made and not started. */
function newRuntime() {
  const schedule = new Schedule()
  const answered: OperationKind[] = []
  const problems: string[] = []
  const runtime = new SimRuntime({
    nodeId: 'n1',
    schedule,
    random: newSeededRandom(1),
    rates: CALM_RATES,
    world: {
      violation: (message) => problems.push(message),
      reached: () => undefined,
      isCrashLooping: () => false,
    },
  })
  const run = (ms: number): void => {
    const untilMs = schedule.nowMs + ms
    while (schedule.step(untilMs));
  }
  const operate = (kind: OperationKind): void => {
    runtime.operate(kind, TASK, () => answered.push(kind))
  }
  const hang = (ms: number): void => {
    runtime.hungUntilMs = schedule.nowMs + ms
  }
  operate('prepare')
  run(1_000)
  return { runtime, answered, problems, run, operate, hang }
}

test('a start that a hang has held is done when the hang is over', () => {
  const { runtime, answered, run, operate, hang } = newRuntime()
  hang(10_000)
  operate('start')

  run(9_000)
  expect(runtime.listRunning()).toEqual([])
  run(2_000)

  expect(answered).toEqual(['prepare', 'start'])
  expect(runtime.listRunning()).toEqual([TASK])
})

test.each([
  ['goes on', (): void => undefined],
  ['was healed', ({ runtime }: ReturnType<typeof newRuntime>) => runtime.heal()],
  ['is followed by a shorter one', ({ hang }: ReturnType<typeof newRuntime>) => hang(0)],
])('a start that a hang has held dies with its daemon where the hang %s (seed 73025)', (_, end) => {
  const host = newRuntime()
  const { runtime, answered, problems, run, operate, hang } = host
  hang(10_000)
  operate('start')
  run(1_000)

  end(host)
  runtime.abandon()
  // The next daemon has found a container that was not started, and ends it.
  operate('stop')
  run(20_000)

  expect(answered).toEqual(['prepare', 'stop'])
  expect(runtime.listRunning()).toEqual([])
  expect(problems).toEqual([])
})

test('a start that the runtime has begun outlives its daemon', () => {
  const { runtime, run, operate } = newRuntime()
  operate('start')

  runtime.abandon()
  run(1_000)

  expect(runtime.listRunning()).toEqual([TASK])
})
