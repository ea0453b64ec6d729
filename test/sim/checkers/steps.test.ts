/**
 * The checkers of steps fire on bad histories, and on nothing else: each table names what is done to
 * a small cluster, and which rule must speak up.
 */
import { describe, expect, test } from 'vitest'
import type { Service, Task } from '../../../proto/gen/objects.ts'
import type { PortConfig } from '../../../proto/gen/types.ts'
import { node, type Part, service, task } from '../../build.ts'
import { BudgetChecker } from './budgets.ts'
import { PlaceChecker } from './places.ts'
import { type Entry, play } from './play.ts'
import { SlotChecker } from './slots.ts'
import { TaskChecker } from './tasks.ts'

const of = (part: Part<Task> = {}): Task => task({ id: 't1', serviceId: 'web', ...part })
const in1 = (state: NonNullable<Task['status']>['state'], part: Part<Task> = {}): Task =>
  of({ nodeId: 'n1', status: { state }, ...part })

describe('the checker of tasks', () => {
  test.each<[string, readonly Entry[]]>([
    [
      'a task from its making to its removal',
      [
        { tasks: [of()] },
        { tasks: [of({ status: { state: 'pending' } })] },
        { tasks: [in1('assigned')] },
        { tasks: [in1('running')] },
        { tasks: [in1('running', { desiredState: 'remove' })] },
        { tasks: [in1('shutdown', { desiredState: 'remove' })] },
        { removed: ['t1'] },
      ],
    ],
    [
      'an end and a removal in one entry',
      [{ tasks: [in1('assigned')] }, { tasks: [in1('running')] }, { removed: ['t1'] }],
    ],
    ['a task that never had a node', [{ tasks: [of()] }, { removed: ['t1'] }]],
    [
      'a task orphaned with its node gone',
      [{ tasks: [of({ nodeId: 'n9', status: { state: 'orphaned' } })] }],
    ],
  ])('is silent about %s', (_what, entries) => {
    const checker = new TaskChecker()
    for (const state of ['running', 'shutdown'] as const) checker.reported('n1', 't1', state)

    expect(play(checker, entries)).toEqual([])
  })

  test.each<[string, string, readonly Entry[]]>([
    ['T1', 'an observed state that goes back', [{ tasks: [in1('assigned')] }, { tasks: [of()] }]],
    [
      'T1',
      'a desired state that goes back',
      [{ tasks: [of({ desiredState: 'shutdown' })] }, { tasks: [of()] }],
    ],
    [
      'T1',
      'an ended task that ends anew',
      [{ tasks: [in1('rejected')] }, { tasks: [in1('orphaned')] }],
    ],
    [
      'T1',
      'a state that its agent never reported',
      [{ tasks: [in1('assigned')] }, { tasks: [in1('running')] }],
    ],
    [
      'T1',
      'a task orphaned beside a node that is there',
      [{ tasks: [in1('assigned')] }, { tasks: [in1('orphaned')] }],
    ],
    ['T1', 'a task removed while it runs', [{ tasks: [in1('assigned')] }, { removed: ['t1'] }]],
    [
      'T1',
      'a spec that changes',
      [{ tasks: [of()] }, { tasks: [of({ spec: { container: { image: 'nginx:2' } } })] }],
    ],
    ['T2', 'a task of no service', [{ tasks: [task({ id: 't1', serviceId: 'gone' })] }]],
    ['T2', 'an id that comes back', [{ tasks: [of()] }, { removed: ['t1'] }, { tasks: [of()] }]],
    ['T3', 'a task without a node', [{ tasks: [of({ status: { state: 'assigned' } })] }]],
    [
      'T3',
      'a task that moves',
      [{ tasks: [in1('assigned')] }, { tasks: [in1('assigned', { nodeId: 'n2' })] }],
    ],
  ])('%s: finds %s', (rule, _what, entries) => {
    expect(play(new TaskChecker(), entries).join('\n')).toMatch(new RegExp(`^${rule}: `))
  })

  test('believes an agent only once the task is assigned', () => {
    const checker = new TaskChecker()
    checker.reported('n1', 't1', 'running')

    const problems = play(checker, [{ tasks: [in1('pending')] }, { tasks: [in1('running')] }])

    expect(problems).toEqual(['T1: task t1 became running before it was assigned'])
  })

  test('believes an agent of its own node only', () => {
    const checker = new TaskChecker()
    checker.reported('n2', 't1', 'running')

    const problems = play(checker, [{ tasks: [in1('assigned')] }, { tasks: [in1('running')] }])

    expect(problems).toEqual(['T1: task t1 became running, which n1 never reported'])
  })

  test.each([
    ['n2', ['T6: the ports of task t1 changed while it had them']],
    ['n1', []],
  ])('finds ports that change under a running task where %s was cloned', (cloned, expected) => {
    const checker = new TaskChecker((nodeId) => nodeId === cloned)
    checker.reported('n1', 't1', 'running')
    const port: PortConfig = {
      name: '',
      protocol: 'tcp',
      targetPort: 80,
      publishedPort: 30_000,
      publishMode: 'host',
    }
    const with_ = (publishedPort: number): Task =>
      in1('running', { status: { state: 'running', hostPorts: [{ ...port, publishedPort }] } })

    const problems = play(checker, [
      { tasks: [in1('assigned')] },
      { tasks: [with_(30_000)] },
      { tasks: [with_(30_001)] },
    ])

    expect(problems).toEqual(expected)
  })
})

describe('the checker of places', () => {
  const port = (publishedPort: number): PortConfig => ({
    name: '',
    protocol: 'tcp',
    targetPort: 80,
    publishedPort,
    publishMode: 'host',
  })
  const placed = (id: string, part: Part<Task> = {}): Task => in1('assigned', { id, ...part })
  const cpus = (nanoCpus: number): Part<Task> => ({
    spec: { resources: { reservations: { nanoCpus } } },
  })
  const on80: Part<Task> = { endpoint: { ports: [port(80)] } }
  const ended: Part<Task> = { status: { state: 'failed' } }
  const limited: Part<Task> = { spec: { placement: { maxReplicas: 1 } } }
  const where = (constraint: string): Part<Task> => ({
    spec: { placement: { constraints: [constraint] } },
  })

  test.each<[string, readonly Entry[]]>([
    ['a full node', [{ tasks: [placed('t1', cpus(2e9)), placed('t2', cpus(2e9))] }]],
    [
      'a port that is free again',
      [
        { tasks: [placed('t1', on80)] },
        { tasks: [placed('t1', { ...on80, ...ended })] },
        { tasks: [placed('t2', on80)] },
      ],
    ],
    [
      'a port on two nodes',
      [{ tasks: [placed('t1', on80), placed('t2', { ...on80, nodeId: 'n2' })] }],
    ],
    [
      'one task more while another one ends',
      [
        { tasks: [placed('t1', limited)] },
        { tasks: [placed('t1', { ...limited, desiredState: 'shutdown' }), placed('t2', limited)] },
      ],
    ],
    ['a constraint that holds', [{ tasks: [placed('t1', where('node.role==worker'))] }]],
    [
      'a constraint that held when it was placed',
      [{ nodes: [node({ id: 'n1', spec: { availability: 'drain' } })], tasks: [placed('t1')] }],
    ],
  ])('is silent about %s', (_what, entries) => {
    expect(play(new PlaceChecker(), entries)).toEqual([])
  })

  test.each<[string, string, readonly Entry[]]>([
    ['T4', 'too many CPUs', [{ tasks: [placed('t1', cpus(3e9)), placed('t2', cpus(2e9))] }]],
    [
      'T4',
      'too much memory',
      [
        {
          tasks: [
            placed('t1', { spec: { resources: { reservations: { memoryBytes: 2 ** 34 } } } }),
          ],
        },
      ],
    ],
    [
      'T5',
      'a port that is taken',
      [{ tasks: [placed('t1', on80)] }, { tasks: [placed('t2', on80)] }],
    ],
    [
      'T5',
      'one task too many',
      [{ tasks: [placed('t1', limited)] }, { tasks: [placed('t2', limited)] }],
    ],
    [
      'T7',
      "a role that is not the node's",
      [{ tasks: [placed('t1', where('node.role==manager'))] }],
    ],
    [
      'T7',
      'a label that the node lacks',
      [{ tasks: [placed('t1', where('node.labels.zone==a'))] }],
    ],
    ['T7', 'a node that must not be used', [{ tasks: [placed('t1', where('node.id!=n1'))] }]],
    [
      'T7',
      'a drained node',
      [{ nodes: [node({ id: 'n1', spec: { availability: 'drain' } })] }, { tasks: [placed('t1')] }],
    ],
    [
      'T7',
      'a node that is down',
      [{ nodes: [node({ id: 'n1', status: { state: 'down' } })] }, { tasks: [placed('t1')] }],
    ],
    ['T7', 'a node that does not exist', [{ tasks: [placed('t1', { nodeId: 'n9' })] }]],
  ])('%s: finds %s', (rule, _what, entries) => {
    expect(play(new PlaceChecker(), entries).join('\n')).toMatch(new RegExp(`^${rule}: `))
  })
})

describe('the checker of slots', () => {
  const web = (parallelism: number, order: 'stop-first' | 'start-first'): Service =>
    service({ id: 'web', specVersion: 2, spec: { update: { parallelism, order } } })
  const made = (slot: number, part: Part<Task> = {}): Task =>
    in1('assigned', { id: `new${slot}`, slot, madeByUpdate: true, specVersion: 2, ...part })
  const old = (slot: number, part: Part<Task> = {}): Task =>
    in1('running', { id: `old${slot}`, slot, specVersion: 1, runningClusterMs: 5, ...part })
  const ending: Part<Task> = { desiredState: 'shutdown', desiredClusterMs: 1_000 }
  const held: Part<Task> = { desiredState: 'ready' }

  test.each<[string, readonly Entry[]]>([
    [
      'as many slots as the update may take',
      [
        { services: [web(2, 'stop-first')] },
        { tasks: [made(1, held), made(2, held)] },
        { tasks: [made(1, { runningClusterMs: 9, status: { state: 'running' } }), made(3, held)] },
      ],
    ],
    [
      'all slots at once where there is no limit',
      [{ services: [web(0, 'stop-first')] }, { tasks: [made(1), made(2), made(3)] }],
    ],
    [
      'more slots than a new spec allows, taken before',
      [
        { services: [web(2, 'stop-first')] },
        { tasks: [made(1, held), made(2, held)] },
        { services: [web(1, 'stop-first')] },
      ],
    ],
    [
      'slots that are taken anew where an earlier update, to the same spec, was on its way',
      [
        {
          services: [web(1, 'start-first')],
          tasks: [1, 2].flatMap((slot) => [old(slot), made(slot, { specVersion: 1 })]),
        },
        {
          tasks: [1, 2].flatMap((slot) => [
            made(slot, { specVersion: 1, ...ending }),
            made(slot, { id: `anew${slot}`, replaces: `old${slot}` }),
          ]),
        },
      ],
    ],
    [
      'a successor beside one that was told to end long ago',
      [
        { services: [web(1, 'stop-first')], tasks: [old(1, ending), made(1, held)] },
        { tasks: [made(1)], atMs: 61_000 },
      ],
    ],
    [
      'a successor of a task whose node is down',
      [
        {
          services: [web(1, 'stop-first')],
          tasks: [old(1, ending), made(1, { ...held, nodeId: 'n2' })],
        },
        { nodes: [node({ id: 'n1', status: { state: 'down' } })] },
        { tasks: [made(1, { nodeId: 'n2' })] },
      ],
    ],
    [
      'two of a start-first update',
      [{ services: [web(1, 'start-first')], tasks: [old(1)] }, { tasks: [made(1)] }],
    ],
  ])('is silent about %s', (_what, entries) => {
    expect(play(new SlotChecker(), entries)).toEqual([])
  })

  test.each<[string, string, readonly Entry[]]>([
    [
      'replaces 2 slots at once, 1 are allowed',
      'a stop-first update that takes one slot too many',
      [
        { services: [web(1, 'stop-first')] },
        { tasks: [made(1, held)] },
        { tasks: [made(2, held)] },
      ],
    ],
    [
      'start-first update of service web replaces 2 slots',
      'a start-first update with one task too many',
      [
        { services: [web(1, 'start-first')], tasks: [old(1), old(2)] },
        { tasks: [made(1)] },
        { tasks: [made(2)] },
      ],
    ],
    [
      'replaces 2 slots at once, 1 are allowed',
      'slots that are taken anew where an earlier update had come to its end',
      [
        {
          services: [web(1, 'start-first')],
          tasks: [1, 2].flatMap((slot) => [
            old(slot),
            made(slot, { specVersion: 1, runningClusterMs: 9, status: { state: 'running' } }),
          ]),
        },
        {
          tasks: [1, 2].flatMap((slot) => [
            made(slot, {
              specVersion: 1,
              runningClusterMs: 9,
              status: { state: 'running' },
              ...ending,
            }),
            made(slot, { id: `anew${slot}`, replaces: `old${slot}` }),
          ]),
        },
      ],
    ],
    [
      'let run at once',
      'two tasks of a slot without start-first',
      [{ services: [web(1, 'stop-first')], tasks: [old(1)] }, { tasks: [made(1)] }],
    ],
    [
      'was let run while old1',
      'a slot given away before its task stopped',
      [
        { services: [web(1, 'stop-first')], tasks: [old(1, ending), made(1, held)] },
        { tasks: [made(1)], atMs: 60_999 },
      ],
    ],
  ])('T8: "%s" for %s', (says, _what, entries) => {
    expect(play(new SlotChecker(), entries).join('\n')).toContain(says)
  })
})

describe('the checker of disruption budgets', () => {
  const budget = service({ id: 'web', spec: { disruptionBudget: { maxUnavailable: 1 } } })
  const before: Entry = {
    services: [budget],
    tasks: [in1('running', { slot: 1 }), of({ id: 't2', slot: 2, nodeId: 'n1' })],
  }
  const loses1 = in1('running', { slot: 1, desiredState: 'shutdown' })
  const next1 = of({ id: 't3', slot: 1, replaces: 't1', desiredState: 'ready' })

  test('speaks up where one slot is down and another one is taken', () => {
    expect(play(new BudgetChecker(), [before, { tasks: [loses1, next1] }])).toEqual([
      'T8: service web loses web/1 at once, 1 of its slots are down, and 1 may be',
    ])
  })

  test('is silent where the slot that is down was taken away and made anew in between', () => {
    const removed = of({ id: 't2', slot: 2, nodeId: 'n1', desiredState: 'remove' })
    const anew = of({ id: 't4', slot: 2 })

    const problems = play(new BudgetChecker(), [before, { tasks: [loses1, next1, removed, anew] }])

    expect(problems).toEqual([])
  })
})
