/** The checker of tasks whose node is down fires on bad histories, and on nothing else. */
import { expect, test } from 'vitest'
import type { Change } from '../../../manager/store/change.ts'
import { newEntry } from '../../../manager/store/entry.ts'
import type { Task } from '../../../proto/gen/objects.ts'
import type { TaskSpec } from '../../../proto/gen/specs.ts'
import { node, type Part, service, storeWith, task } from '../../build.ts'
import { DisconnectChecker } from './disconnect.ts'
import { newStep } from './step.ts'

type Entry = { readonly atMs: number; readonly tasks: readonly Task[] }

const lost = (part: Part<Task> = {}, lostAfterMs = 20_000): Task =>
  task({
    ...{ id: 'old', serviceId: 'web', nodeId: 'n1', status: { state: 'running' } },
    spec: { disconnect: { lostAfterMs } },
    ...part,
  } as Part<Task>)
const kept = (part: Part<Task> = {}): Task =>
  lost({ spec: { disconnect: { lostAfterMs: 20_000, keep: 'original' } }, ...part })
const made = (part: Part<Task> = {}): Task =>
  task({ id: 'new', serviceId: 'web', replaces: 'old', desiredState: 'ready', ...part })
/** The node has no labels. */
const inZone: Part<TaskSpec> = { placement: { constraints: ['node.labels.zone==a'] } }
const ended: Part<Task> = { desiredState: 'shutdown' }

/** What is said of the entries; the node is down since 1 s, or ready. */
function play(first: Task, state: 'down' | 'ready', entries: readonly Entry[]): readonly string[] {
  const store = storeWith({
    nodes: [node({ id: 'n1', status: { state }, stateSinceMs: 1_000 })],
    services: [service({ id: 'web' })],
    tasks: [first],
  })
  const checker = new DisconnectChecker()
  return entries.flatMap(({ atMs, tasks }, at) => {
    const before = store.view()
    const changes = tasks.map((object): Change => {
      const kind = before.tasks.get(object.id) === undefined ? 'create' : 'update'
      return { kind, table: 'tasks', object }
    })
    const entry = newEntry(changes, { timeMs: atMs, wallMs: 0 })
    store.apply(2 + at, entry)
    return [...checker.check(newStep(before, store.view(), entry))]
  })
}

test.each<[string, Task, 'down' | 'ready', readonly Entry[], string | undefined]>([
  ['in time', lost(), 'down', [{ atMs: 21_000, tasks: [lost(ended), made()] }], undefined],
  ['too early', lost(), 'down', [{ atMs: 20_999, tasks: [lost(ended), made()] }], 'D1'],
  [
    'by an update, at any time',
    lost(),
    'down',
    [{ atMs: 2_000, tasks: [lost(ended), made({ madeByUpdate: true })] }],
    undefined,
  ],
  [
    'since its node must not run it any more, at any time',
    lost({ spec: { disconnect: { lostAfterMs: 20_000 }, ...inZone } }),
    'down',
    [{ atMs: 2_000, tasks: [lost(ended), made()] }],
    undefined,
  ],
  ['much later', lost(), 'down', [{ atMs: 82_000, tasks: [] }], 'D2'],
  ['and wanted still', lost(), 'down', [{ atMs: 21_000, tasks: [made()] }], 'D4'],
  [
    'and kept',
    kept(),
    'down',
    [{ atMs: 21_000, tasks: [kept({ lostClusterMs: 21_000 }), made()] }],
    undefined,
  ],
  [
    'and given its slot beside another one',
    kept({ lostClusterMs: 5 }),
    'ready',
    [{ atMs: 7_000, tasks: [made(), kept()] }],
    'D4',
  ],
  [
    'and given its slot',
    kept({ lostClusterMs: 5 }),
    'ready',
    [{ atMs: 7_000, tasks: [made(ended), kept()] }],
    undefined,
  ],
  ['and forgotten', kept({ lostClusterMs: 5 }), 'ready', [{ atMs: 67_000, tasks: [] }], 'D4'],
])('a task is replaced %s', (_name, first, state, entries, rule) => {
  const problems = play(first, state, entries)

  expect(problems.map((problem) => problem.slice(0, 2))).toEqual(rule === undefined ? [] : [rule])
})

test('also where one entry turns the node down and replaces its task', () => {
  const up = node({ id: 'n1', stateSinceMs: 1_000 })
  const down = node({ id: 'n1', status: { state: 'down' }, stateSinceMs: 30_000 })
  const store = storeWith({ nodes: [up], services: [service({ id: 'web' })], tasks: [lost()] })
  const before = store.view()
  const entry = newEntry(
    [
      { kind: 'update', table: 'nodes', object: down },
      { kind: 'update', table: 'tasks', object: lost(ended) },
      { kind: 'create', table: 'tasks', object: made() },
    ],
    { timeMs: 30_000, wallMs: 0 },
  )
  store.apply(2, entry)

  const problems = [...new DisconnectChecker().check(newStep(before, store.view(), entry))]

  expect(problems).toEqual(['D1: task old is replaced 20000 ms before it is lost'])
})
