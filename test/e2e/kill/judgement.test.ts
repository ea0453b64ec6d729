/** Histories that must be found out: a write that is gone, an old value read, and a good one that is not. */
import { expect, test } from 'vitest'
import { type Answer, History, type Request } from '../../sim/checkers/history.ts'
import { judgeHistory } from './judgement.ts'

const DONE: Answer = { kind: 'done' }
const CREATED: Step = [{ kind: 'create', label: 'c1' }, DONE]

type Step = readonly [Request, Answer]

/** One request after another, all of one register. */
function historyOf(steps: readonly Step[]): History {
  const history = new History()
  for (const [request, answer] of steps) history.end(history.begin('config', 'r', request), answer)
  return history
}

function update(from: string, to: string): Request {
  return { kind: 'update', from, to }
}

function read(label: string): Step {
  return [{ kind: 'read' }, { kind: 'value', label }]
}

test('a history without fault is counted and nothing is said of it', () => {
  const history = historyOf([
    CREATED,
    [update('c1', 'c1.2'), DONE],
    [update('c1.2', 'c1.3'), { kind: 'unknown' }],
    [update('c1.2', 'c1.4'), { kind: 'changed' }],
    read('c1.3'),
    [update('c1.3', 'c1.5'), DONE],
    read('c1.5'),
  ])

  expect(judgeHistory(history)).toEqual({ updates: 2, reads: 2, lost: [], violations: [] })
})

test('an acknowledged write that is not on the way to the last value is lost', () => {
  const history = historyOf([
    CREATED,
    [update('c1', 'c1.2'), DONE],
    [update('c1', 'c1.3'), DONE],
    read('c1.3'),
  ])

  expect(judgeHistory(history).lost).toEqual(['r c1.2'])
  expect(judgeHistory(history).violations).toHaveLength(1)
})

test('a read of a value that was replaced before it was asked for is a violation', () => {
  const history = historyOf([
    CREATED,
    [update('c1', 'c1.2'), DONE],
    read('c1'),
    [update('c1.2', 'c1.3'), DONE],
    read('c1.3'),
  ])

  const { lost, violations } = judgeHistory(history)

  expect(lost).toEqual([])
  expect(violations).toEqual([expect.stringContaining('config r is not linearizable')])
})
