/** The checker of fences: which overlaps it forgives, and which stops. */
import { expect, test } from 'vitest'
import type { AgentMessage, SessionMessage } from '../../../proto/gen/dispatcher.ts'
import { emptyAssignments, emptyHello } from '../../../proto/gen/dispatcher.ts'
import type { Task } from '../../../proto/gen/objects.ts'
import { task } from '../../build.ts'
import { FenceChecker, type FencedHost } from './fences.ts'

const PROCESS = { id: 'n1', instance: 'i1' }

function fenced(id: string, createdClusterMs: number): Task {
  const spec = { disconnect: { stopAfterMs: 10_000 } }
  return task({ id, serviceId: 'db', createdClusterMs, spec })
}

type Inspection = {
  readonly seconds: number
  readonly part: (second: number) => Partial<FencedHost>
}

/** What is said of two hosts that run these, second by second. */
function watch(
  older: Task,
  seconds: number,
  part: (second: number) => Partial<FencedHost> = () => ({}),
): readonly string[] {
  return inspect(new FenceChecker(), [older, fenced('new', 20)], { seconds, part })
}

/** The same with a checker that knows something; the first runs on n1, of which `part` is said. */
function inspect(
  checker: FenceChecker,
  [first, second]: readonly [Task, Task],
  { seconds, part }: Inspection = { seconds: 20, part: () => ({}) },
): readonly string[] {
  const host = (id: string, running: readonly Task[]): FencedHost => ({
    ...{ id, isAble: true, isCloned: false, running },
  })
  return Array.from({ length: seconds }, (_, at) => [
    ...checker.inspect([{ ...host('n1', [first]), ...part(at) }, host('n2', [second])], at * 1_000),
  ]).flat()
}

test('a second container beside a fenced one is found', () => {
  expect(watch(fenced('old', 10), 20)).toContain(
    'D3: slot db/1 runs twice, and old on n1 is fenced',
  )
})

test.each<[string, Task, (second: number) => Partial<FencedHost>]>([
  ['one that is not fenced', task({ id: 'old', serviceId: 'db' }), () => ({})],
  ['one whose daemon is dead', fenced('old', 10), () => ({ isAble: false })],
  ['one whose daemon has just come back', fenced('old', 10), (at) => ({ isAble: at > 10 })],
  ['one of which a clone speaks', fenced('old', 10), () => ({ isCloned: true })],
  ['the newest', fenced('old', 30), (at) => ({ isAble: at > 100 })],
])('%s is let be', (_name, older, part) => {
  expect(watch(older, 20, part).filter((problem) => problem.includes('old'))).toEqual([])
})

test('one whose agent may not know of it is let be, and tells that another should have ended', () => {
  const [older, newer] = [fenced('older', 10), fenced('newer', 20)]
  const judge = (exempt: Task): readonly string[] => {
    const checker = new FenceChecker()
    checker.exempt([exempt])
    return inspect(checker, [older, newer])
  }

  expect(judge(older)).toEqual([])
  expect(judge(newer)).toContain('D3: slot db/1 runs twice, and older on n1 is fenced')
})

test('a container that the managers have forgotten says nothing about one that they made since', () => {
  // After force-new-cluster cluster time begins anew where the survivor was (seed 220264).
  const checker = new FenceChecker()
  const forgotten = fenced('forgotten', 20)
  checker.forget([forgotten])

  expect(inspect(checker, [fenced('made', 10), forgotten])).toEqual([])
})

/** A process that was in contact at 1 s. */
function inContact(): FenceChecker {
  const checker = new FenceChecker()
  const said = (body: AgentMessage['body'], nowMs: number): void =>
    checker.said(PROCESS, body, nowMs)
  const told = (body: SessionMessage['body']): void => checker.told(PROCESS, body)
  said({ kind: 'hello', hello: emptyHello }, 0)
  said({ kind: 'heartbeat', heartbeat: { sequence: 1 } }, 1_000)
  told({ kind: 'heartbeatAck', heartbeatAck: { sequence: 1, mark: undefined, ready: true } })
  said({ kind: 'heartbeat', heartbeat: { sequence: 2 } }, 5_000)
  told({ kind: 'heartbeatAck', heartbeatAck: { sequence: 2, mark: undefined, ready: false } })
  told({ kind: 'assignments', assignments: { ...emptyAssignments, full: true } })
  return checker
}

test('an agent may stop what is fenced when its last contact is old, and no earlier', () => {
  const checker = inContact()

  expect(checker.stops(PROCESS, fenced('t', 1), 9_900)).toBe(false)
  expect(checker.stops(PROCESS, fenced('t', 1), 10_100)).toBe(true)
  expect(checker.stops(PROCESS, task({ id: 't' }), 99_000)).toBe(false)
})

test('of what an earlier process was told nothing is known', () => {
  expect(inContact().stops({ id: 'n1', instance: 'i2' }, fenced('t', 1), 2_000)).toBe(true)
})

test('what an agent was cut off for too long to leave alone it goes on to stop', () => {
  const checker = inContact()
  checker.stops(PROCESS, fenced('t', 1), 10_100)
  checker.said(PROCESS, { kind: 'heartbeat', heartbeat: { sequence: 3 } }, 11_000)
  checker.told(PROCESS, {
    kind: 'heartbeatAck',
    heartbeatAck: { sequence: 3, mark: undefined, ready: true },
  })

  expect(checker.stops(PROCESS, fenced('t', 1), 12_000)).toBe(true)
  expect(checker.stops(PROCESS, fenced('other', 1), 12_000)).toBe(false)
})
