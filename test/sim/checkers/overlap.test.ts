/**
 * Two containers of one slot: which are allowed, and for how long.
 */
import { expect, test } from 'vitest'
import type { Task } from '../../../proto/gen/objects.ts'
import { node, type Part, service, storeWith, task } from '../../build.ts'
import { type Host, OVERLAP_MAX_MS, OverlapChecker } from './overlap.ts'

const running = (id: string, nodeId: string, part: Part<Task> = {}): Task =>
  task({ id, serviceId: 'web', nodeId, status: { state: 'running' }, ...part })
const ending: Part<Task> = { desiredState: 'shutdown' }
const host = (id: string, tasks: readonly Task[], part: Partial<Host> = {}): Host => ({
  id,
  isReached: true,
  isCloned: false,
  running: tasks,
  ...part,
})

/** What is said when it has been so for `forMs`, looked at each second. */
function watch(tasks: readonly Task[], hosts: readonly Host[], forMs: number, lostId = '') {
  const nodes = hosts.map(({ id }) =>
    node({ id, status: { state: id === lostId ? 'down' : 'ready' } }),
  )
  const view = storeWith({ nodes, services: [service({ id: 'web' })], tasks }).view()
  const checker = new OverlapChecker()
  const problems: string[] = []
  for (let nowMs = 0; nowMs <= forMs; nowMs += 1_000)
    problems.push(...checker.inspect(view, hosts, nowMs))
  return problems
}

const old = running('old', 'n1', ending)
const young = running('young', 'n2')

test('an overlap within its bound is allowed', () => {
  expect(watch([old, young], [host('n1', [old]), host('n2', [young])], OVERLAP_MAX_MS)).toEqual([])
})

test('an overlap on a host that is reached ends', () => {
  const problems = watch(
    [old, young],
    [host('n1', [old]), host('n2', [young])],
    OVERLAP_MAX_MS + 1_000,
  )

  expect(problems.join()).toMatch(/^L2: slot web\/1 runs twice: old on n1.* beside young on n2$/)
})

test.each<[string, readonly Host[], string]>([
  ['is not up', [host('n1', [old], { isReached: false }), host('n2', [young])], ''],
  ['counts as down', [host('n1', [old]), host('n2', [young])], 'n1'],
])('an overlap may last while the host of the older one %s', (_what, hosts, lostId) => {
  expect(watch([old, young], hosts, 10 * OVERLAP_MAX_MS, lostId)).toEqual([])
})

test('two that are let run are a start-first update', () => {
  const both = [running('old', 'n1'), young]

  expect(watch(both, [host('n1', both), host('n2', [])], 2 * OVERLAP_MAX_MS)).toEqual([])
})

test('what was reported as ended does not run, but for what managers gave up', () => {
  const ended = running('t1', 'n1', { status: { state: 'failed' } })
  const rejected = running('t2', 'n1', { slot: 2, status: { state: 'rejected' } })

  expect(watch([ended, rejected], [host('n1', [ended, rejected])], 0)).toEqual([
    'T1: task t1 is failed while its container runs on n1',
  ])
})
