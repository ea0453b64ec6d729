/** What a disruption budget leaves, by what the slots of a service are like. */
import { expect, test } from 'vitest'
import type { Node, Service, Task } from '../../proto/gen/objects.ts'
import type { ServiceSpec } from '../../proto/gen/specs.ts'
import { node, type Part, service, storeWith, task } from '../../test/build.ts'
import { countDisruptionsLeft, isLastAvailable } from './disruption.ts'

function web(replicas: number, maxUnavailable: number | undefined): Service {
  const mode: ServiceSpec['mode'] = { kind: 'replicated', replicated: { replicas } }
  const disruptionBudget = maxUnavailable === undefined ? undefined : { maxUnavailable }
  return service({ id: 'web', spec: { mode, disruptionBudget } })
}

function left(of: Service, tasks: readonly Task[]): number {
  const view = storeWith({ services: [of], tasks }).view()
  return countDisruptionsLeft({ view, now: 1_000 }, of)
}

function slot(number: number, part: Part<Task> = {}): Task {
  const id = `t${number}-${part.desiredState ?? 'running'}-${part.id ?? ''}`
  return task({
    ...{ serviceId: 'web', slot: number, nodeId: 'n', status: { state: 'running' } },
    ...part,
    id,
  } as Part<Task>)
}

const starting: Part<Task> = { status: { state: 'starting' } }
/** Its node is back, and whether it has its slot again is not decided. */
const missing: Part<Task> = { lostClusterMs: 500, id: 'lost' }
const ending: Part<Task> = { desiredState: 'shutdown' }
const done: Part<Task> = {
  desiredState: 'shutdown',
  status: { state: 'complete' },
  spec: { restart: { condition: 'on-failure' } },
}

test.each<[string, number | undefined, readonly Task[], number]>([
  ['without a budget anything may go', undefined, [slot(1)], Number.POSITIVE_INFINITY],
  ['all run', 2, [slot(1), slot(2), slot(3)], 2],
  ['one is starting', 2, [slot(1), slot(2), slot(3, starting)], 1],
  ['one slot has no task at all', 2, [slot(1), slot(2)], 1],
  ['one is told to end, its successor is held back', 2, [slot(1), slot(2), slot(3, ending)], 1],
  [
    'one is missing, and its replacement starts',
    2,
    [slot(1), slot(2), slot(3, missing), slot(3, starting)],
    1,
  ],
  ['one ended for good', 2, [slot(1), slot(2), slot(3, done)], 2],
  [
    'one is missing, and its replacement ended for good',
    2,
    [slot(1), slot(2), slot(3, missing), slot(3, done)],
    1,
  ],
  ['more are down than may be', 1, [slot(1)], 0],
  ['more run than are wanted', 1, [slot(1), slot(2), slot(3), slot(4)], 1],
  ['two tasks of one slot are one', 1, [slot(1), slot(1, { id: 'b' }), slot(2), slot(3)], 1],
])('%s', (_name, max, tasks, expected) => {
  expect(left(web(3, max), tasks)).toBe(expected)
})

test.each<[string, number, number]>([
  ['serves while its drain waits', 2_000, 1],
  ['is as good as gone when its drain waits no longer', 1_000, 0],
])('what runs on a drained node %s', (_name, drainUntilMs, expected) => {
  const drained = node({ id: 'n2', spec: { availability: 'drain' }, drainUntilMs })
  const tasks = [slot(1), slot(2, { nodeId: 'n2' })]
  const view = storeWith({ services: [web(2, 1)], nodes: [drained], tasks }).view()

  expect(countDisruptionsLeft({ view, now: 1_000 }, web(2, 1))).toBe(expected)
})

test.each<[string, Part<Service>, number]>([
  ['is missed by nobody', {}, 1],
  ['is down where an update is to begin it again', { specVersion: 2 }, 0],
  [
    'is missed by nobody where the update is paused',
    { specVersion: 2, updateStatus: { state: 'paused', targetSpecVersion: 2 } },
    1,
  ],
])('a slot that ended for good %s', (_name, part, expected) => {
  const of = web(3, 1)
  const changed = service({ ...of, ...part } as Part<Service>)

  expect(left(changed, [slot(1), slot(2), slot(3, done)])).toBe(expected)
})

test('slots of a global service are the nodes that are to have a task', () => {
  const spec: Part<ServiceSpec> = {
    mode: { kind: 'global', global: {} },
    disruptionBudget: { maxUnavailable: 2 },
  }
  const on = (nodeId: string, part: Part<Task> = {}): Task =>
    slot(0, { nodeId, id: nodeId, ...part } as Part<Task>)

  expect(
    left(service({ id: 'web', spec }), [on('a'), on('b'), on('c', starting), on('d', ending)]),
  ).toBe(1)
})

test.each<[string, Part<Node>, number]>([
  ['is down where an update is to begin it again', {}, 1],
  ['is missed by nobody where none may start', { spec: { availability: 'pause' } }, 2],
])('a node on which a global service ended for good %s', (_name, part, expected) => {
  const of = service({
    id: 'web',
    specVersion: 2,
    spec: { mode: { kind: 'global', global: {} }, disruptionBudget: { maxUnavailable: 2 } },
  })
  const tasks = [slot(0, { nodeId: 'a', id: 'a' }), slot(0, { ...done, nodeId: 'b', id: 'b' })]
  const view = storeWith({ nodes: [node({ id: 'b', ...part })], services: [of], tasks }).view()

  expect(countDisruptionsLeft({ view, now: 1_000 }, of)).toBe(expected)
})

test.each<['original' | 'replacement', number]>([
  ['original', 1],
  ['replacement', 0],
])(
  'a node that is down, of a global service that keeps the %s, leaves %i of a budget of one (seed 260223)',
  (keep, expected) => {
    const of = service({
      id: 'web',
      spec: { mode: { kind: 'global', global: {} }, disruptionBudget: { maxUnavailable: 1 } },
    })
    const disconnect = { lostAfterMs: 60_000, stopAfterMs: 0, keep }
    const on = (nodeId: string): Task => slot(0, { nodeId, id: nodeId, spec: { disconnect } })
    const nodes = [node({ id: 'a' }), node({ id: 'b', status: { state: 'down' } })]
    const view = storeWith({ nodes, services: [of], tasks: [on('a'), on('b')] }).view()

    expect(countDisruptionsLeft({ view, now: 1_000 }, of)).toBe(expected)
  },
)

test('only the last running task of a slot costs something', () => {
  const view = storeWith().view()
  const [old, made] = [slot(1), slot(1, { id: 'new' })]

  expect(isLastAvailable(view, old, [old])).toBe(true)
  expect(isLastAvailable(view, old, [old, made])).toBe(false)
  expect(isLastAvailable(view, slot(1, starting), [])).toBe(false)
  expect(isLastAvailable(view, old, [old, slot(2)])).toBe(true)
})
