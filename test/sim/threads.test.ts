/** The way between two threads: in order, together where it can be, and not past a stall. */
import { expect, test } from 'vitest'
import { newSeededRandom } from '../../lib/random.ts'
import type { ConsensusInput, MainEvent } from '../../manager/consensus-interface.ts'
import { emptyMessage, type Message } from '../../manager/raft/message.ts'
import { Schedule } from './schedule.ts'
import { Threads } from './threads.ts'

function newThreads({ isLeader = true, stalledUntilMs = 0 } = {}) {
  const schedule = new Schedule()
  const sent: Message[] = []
  const events: (readonly MainEvent[])[] = []
  const inputs: (readonly ConsensusInput[])[] = []
  const threads = new Threads(
    {
      nowMs: () => schedule.nowMs,
      after: (ms, work) => schedule.after(ms, work),
      stalledMs: () => Math.max(0, stalledUntilMs - schedule.nowMs),
      isLeader: () => isLeader,
      send: (message) => sent.push(message),
      toMain: (batch) => events.push(batch),
      toThread: (batch) => inputs.push(batch),
    },
    { random: newSeededRandom(1), turnMeanMs: 1 },
  )
  const run = (untilMs: number): void => {
    while (schedule.step(untilMs));
  }
  return { threads, sent, events, inputs, run }
}

const ready = (id: number): MainEvent => ({ kind: 'read-ready', id, index: 1 })
const read = (id: number): ConsensusInput => ({ kind: 'read-index', id })
const append: Message = { ...emptyMessage, type: 'append', to: 2, commit: 3 }

test('what arrives before the other thread has its turn is read together, in order', () => {
  const { threads, events, inputs, run } = newThreads()
  for (let id = 1; id <= 3; id++) {
    threads.tellMain([ready(id)])
    threads.push(read(id))
    threads.flush()
  }
  expect([events, inputs]).toEqual([[], []])
  run(100)
  threads.tellMain([ready(4)])
  run(200)

  expect(events).toEqual([[ready(1), ready(2), ready(3)], [ready(4)]])
  expect(inputs).toEqual([[read(1), read(2), read(3)]])
})

test('a main that stalls reads nothing, and what it decided goes out when it goes on', () => {
  const { threads, events, inputs, run } = newThreads({ stalledUntilMs: 500 })
  threads.tellMain([ready(1)])
  threads.push(read(1))
  threads.flush()

  run(499)
  expect([events, inputs]).toEqual([[], []])
  run(502)
  expect([events, inputs]).toEqual([[[ready(1)]], [[read(1)]]])
})

test('commit indexes and applied indexes wait as the production holds say', () => {
  const { threads, sent, inputs, run } = newThreads()
  threads.push({ kind: 'applied', index: 1 })
  threads.flush()
  threads.push({ kind: 'applied', index: 2 })
  threads.flush()
  threads.send([append])
  run(4)
  expect(sent).toEqual([])
  run(39)
  threads.flush()

  expect(sent).toEqual([append])
  expect(inputs).toEqual([[{ kind: 'applied', index: 1 }]])
  run(41)
  threads.flush()
  run(200)
  expect(inputs.at(-1)).toEqual([{ kind: 'applied', index: 2 }])
})

test('at the end of a manager its last words go out, and nothing is read any more', () => {
  const { threads, sent, events, run } = newThreads({ isLeader: false })
  threads.send([append])
  threads.tellMain([ready(1)])
  threads.close()
  run(1_000)

  expect(sent).toEqual([append])
  expect(events).toEqual([])
})
