/**
 * The scheduler: filters one by one with Swarm's words, the rank, groups, and under random clusters
 * the invariants T3, T4, T5 and T7: capacity, ports and constraints hold after every round, and what
 * it keeps between rounds equals what a new one derives.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { newSeededRandom } from '../../lib/random.ts'
import type { Node, Task } from '../../proto/gen/objects.ts'
import { emptyPortConfig, type Platform } from '../../proto/gen/types.ts'
import { node, type Part, storeWith, task } from '../../test/build.ts'
import { matchesConstraints, parseConstraints } from '../model/constraint.ts'
import type { Change } from '../store/change.ts'
import { newEntry } from '../store/entry.ts'
import type { Changed } from '../store/round.ts'
import type { Store } from '../store/store.ts'
import { Scheduler } from './scheduler.ts'

const GIB = 1024 ** 3

function ready(id: string, part: Part<Node> = {}): Node {
  const base = node({
    id,
    status: { state: 'ready' },
    description: {
      hostname: id,
      platform: { architecture: 'x86_64', os: 'linux' },
      resources: { nanoCpus: 4e9, memoryBytes: 8 * GIB },
    },
  })
  return node({ ...base, ...part } as Part<Node>)
}

function pending(id: string, part: Part<Task> = {}): Task {
  return task({
    serviceId: 'web',
    slot: 1,
    nodeId: '',
    desiredState: 'running',
    status: { state: 'pending' },
    ...part,
    id,
  } as Part<Task>)
}

const EVERYTHING: Changed = {
  all: true,
  ids: {
    clusters: new Set(),
    nodes: new Set(),
    services: new Set(),
    tasks: new Set(),
    secrets: new Set(),
    configs: new Set(),
  },
}

function changedBy(changes: readonly Change[]): Changed {
  const of = (table: string): ReadonlySet<string> =>
    new Set(
      changes
        .filter((change) => change.table === table)
        .map((change) => (change.kind === 'remove' ? change.id : change.object.id)),
    )
  return { all: false, ids: { ...EVERYTHING.ids, tasks: of('tasks'), nodes: of('nodes') } }
}

function run(scheduler: Scheduler, store: Store, changed: Changed, now = 1_000): readonly Change[] {
  const all: Change[] = []
  for (let news = changed; ; ) {
    const { changes, nextMs, problems } = scheduler.reconcile({
      view: store.view(),
      changed: news,
      now,
      wallMs: now,
      random: newSeededRandom(1),
    })
    expect(problems ?? []).toEqual([])
    all.push(...changes)
    if (changes.length > 0)
      store.apply(store.view().index + 1, newEntry(changes, { timeMs: now, wallMs: now }))
    if (changes.length === 0 && nextMs === undefined) return all
    news = changedBy(changes)
  }
}

function schedule(nodes: readonly Node[], tasks: readonly Task[]): Store {
  const store = storeWith({ nodes, tasks })
  run(new Scheduler(), store, EVERYTHING)
  return store
}

function errorOf(store: Store, id: string): string {
  return store.view().tasks.get(id)?.status?.error ?? ''
}

describe('scheduler says why a task fits nowhere', () => {
  const cases: readonly (readonly [string, readonly Node[], Part<Task>, string])[] = [
    [
      'nodes that take no tasks',
      [
        ready('n1', { status: { state: 'down' } }),
        ready('n2', { spec: { availability: 'drain' } }),
      ],
      {},
      'no suitable node (2 nodes not available for new tasks)',
    ],
    [
      'too little memory',
      [ready('n1')],
      { spec: { resources: { reservations: { memoryBytes: 9 * GIB } } } },
      'no suitable node (insufficient resources on 1 node)',
    ],
    [
      'constraints',
      [ready('n1'), ready('n2')],
      { spec: { placement: { constraints: ['node.labels.zone == a'] } } },
      'no suitable node (scheduling constraints not satisfied on 2 nodes)',
    ],
    [
      'platforms',
      [ready('n1')],
      { spec: { placement: { platforms: [{ architecture: 'arm64', os: 'linux' }] } } },
      'no suitable node (unsupported platform on 1 node)',
    ],
    [
      'several reasons, the most frequent first',
      [ready('n1', { status: { state: 'down' } }), ready('n2'), ready('n3')],
      { spec: { placement: { constraints: ['node.hostname == n9'] } } },
      'no suitable node (scheduling constraints not satisfied on 2 nodes; 1 node not available for new tasks)',
    ],
    ['no node at all', [], {}, 'no suitable node'],
  ]

  test.each(cases)('%s', (_, nodes, part, error) => {
    const store = schedule(nodes, [pending('t1', part)])

    expect(errorOf(store, 't1')).toBe(error)
    expect(store.view().tasks.get('t1')?.status?.state).toBe('pending')
  })
})

test('scheduler spreads a service over nodes, then by all tasks', () => {
  const other = pending('other', {
    serviceId: 'db',
    nodeId: 'n1',
    status: { state: 'running' },
  })
  const store = schedule(
    [ready('n1'), ready('n2'), ready('n3')],
    [other, ...[1, 2, 3, 4].map((slot) => pending(`t${slot}`, { slot }))],
  )

  const nodes = [1, 2, 3, 4].map((slot) => store.view().tasks.get(`t${slot}`)?.nodeId)
  expect(nodes).toEqual(['n2', 'n3', 'n1', 'n2'])
  expect(store.view().tasks.get('t1')?.status).toMatchObject({
    state: 'assigned',
    message: 'scheduler assigned task to node',
  })
})

test('scheduler treats x86_64 and amd64 as one platform', () => {
  const platforms: readonly Platform[] = [{ architecture: 'amd64', os: 'linux' }]
  const store = schedule([ready('n1')], [pending('t1', { spec: { placement: { platforms } } })])

  expect(store.view().tasks.get('t1')?.nodeId).toBe('n1')
})

test('scheduler keeps max replicas per node', () => {
  const part: Part<Task> = { spec: { placement: { maxReplicas: 1 } } }
  const store = schedule(
    [ready('n1'), ready('n2')],
    [1, 2, 3].map((slot) => pending(`t${slot}`, { ...part, slot })),
  )

  expect(errorOf(store, 't3')).toBe('no suitable node (max replicas per node limit exceed)')
})

test('scheduler places one task a node where a port is published in mode host', () => {
  const ports = [
    { ...emptyPortConfig, targetPort: 80, publishedPort: 80, publishMode: 'host' as const },
  ]
  const store = schedule(
    [ready('n1'), ready('n2')],
    [1, 2, 3].map((slot) => pending(`t${slot}`, { slot, endpoint: { ports } })),
  )

  expect(errorOf(store, 't3')).toBe('no suitable node (host-mode port already in use on 2 nodes)')
})

test('scheduler only checks a task that has its node already', () => {
  const store = schedule(
    [ready('n1'), ready('n2')],
    [
      pending('t1', { slot: 0, nodeId: 'n2' }),
      pending('t2', {
        slot: 0,
        nodeId: 'n1',
        spec: { resources: { reservations: { nanoCpus: 9e9 } } },
        specVersion: 2,
      }),
    ],
  )

  expect(store.view().tasks.get('t1')).toMatchObject({
    nodeId: 'n2',
    status: { state: 'assigned', message: 'scheduler confirmed task can run on preassigned node' },
  })
  expect(errorOf(store, 't2')).toBe('no suitable node (insufficient resources on 1 node)')
})

test('scheduler avoids a node on which the spec failed five times in five minutes', () => {
  const failures = [1, 2, 3, 4, 5].map((n) =>
    pending(`f${n}`, { nodeId: 'n1', status: { state: 'failed' }, endedClusterMs: 900 + n }),
  )
  const store = schedule(
    [ready('n1'), ready('n2')],
    [
      ...failures,
      pending('busy', { nodeId: 'n2', status: { state: 'running' }, slot: 2 }),
      pending('t1'),
    ],
  )
  const later = storeWith({
    nodes: [ready('n1'), ready('n2')],
    tasks: [
      ...failures,
      pending('busy', { nodeId: 'n2', status: { state: 'running' }, slot: 2 }),
      pending('t1'),
    ],
  })
  run(new Scheduler(), later, EVERYTHING, 1_000 + 5 * 60_000)

  expect(store.view().tasks.get('t1')?.nodeId).toBe('n2')
  expect(later.view().tasks.get('t1')?.nodeId).toBe('n1')
})

test('scheduler places a waiting task when a node comes', () => {
  const store = storeWith({ nodes: [], tasks: [pending('t1')] })
  const scheduler = new Scheduler()
  run(scheduler, store, EVERYTHING)
  const come: Change = { kind: 'create', table: 'nodes', object: ready('n1') }
  store.apply(store.view().index + 1, newEntry([come], { timeMs: 1_000, wallMs: 0 }))

  run(scheduler, store, changedBy([come]))

  expect(store.view().tasks.get('t1')).toMatchObject({ nodeId: 'n1', status: { error: '' } })
})

test('scheduler keeps capacity, ports and constraints in random clusters, and is idempotent', () => {
  const nodeArbitrary = fc.record({
    cpus: fc.integer({ min: 0, max: 4 }),
    zone: fc.constantFrom('a', 'b'),
    state: fc.constantFrom('ready' as const, 'ready' as const, 'down' as const),
  })
  const taskArbitrary = fc.record({
    service: fc.constantFrom('s1', 's2', 's3'),
    cpus: fc.integer({ min: 0, max: 2 }),
    zone: fc.constantFrom(undefined, 'a', 'b'),
    port: fc.constantFrom(0, 0, 80, 81),
    max: fc.constantFrom(0, 0, 1, 2),
  })
  fc.assert(
    fc.property(
      fc.array(nodeArbitrary, { maxLength: 5 }),
      fc.array(fc.array(taskArbitrary, { maxLength: 6 }), { minLength: 1, maxLength: 4 }),
      (nodes, waves) => {
        const store = storeWith({
          nodes: nodes.map(({ cpus, zone, state }, at) =>
            ready(`n${at}`, {
              status: { state },
              spec: { annotations: { labels: new Map([['zone', zone]]) } },
              description: { resources: { nanoCpus: cpus * 1e9, memoryBytes: GIB } },
            }),
          ),
          tasks: [],
        })
        const scheduler = new Scheduler()
        run(scheduler, store, EVERYTHING)
        waves.forEach((wave, at) => {
          const created = wave.map(({ service, cpus, zone, port, max }, slot): Change => {
            const ports = [
              { ...emptyPortConfig, publishedPort: port, publishMode: 'host' as const },
            ]
            return {
              kind: 'create',
              table: 'tasks',
              object: pending(`t${at}-${slot}`, {
                serviceId: service,
                // Tasks of one spec version are alike, so each kind gets its own.
                specVersion:
                  cpus +
                  3 * port +
                  1_000 * max +
                  (zone === undefined ? 0 : 10_000 * zone.charCodeAt(0)),
                slot: at * 10 + slot,
                spec: {
                  resources: { reservations: { nanoCpus: cpus * 1e9 } },
                  placement: {
                    constraints: zone === undefined ? [] : [`node.labels.zone==${zone}`],
                    maxReplicas: max,
                  },
                },
                endpoint: { ports: port === 0 ? [] : ports },
              }),
            }
          })
          store.apply(store.view().index + 1, newEntry(created, { timeMs: 1_000, wallMs: 0 }))
          const changes = run(scheduler, store, changedBy(created))
          run(scheduler, store, changedBy(changes))
          checkInvariants(store)
          expect(run(new Scheduler(), store, EVERYTHING)).toEqual([])
        })
      },
    ),
    { numRuns: 150 },
  )
})

function checkInvariants(store: Store): void {
  const view = store.view()
  for (const host of view.nodes.list()) {
    const tasks = [...view.tasks.by('node', host.id)]
    const used = tasks.reduce((sum, t) => sum + (t.spec?.resources?.reservations?.nanoCpus ?? 0), 0)
    expect(used).toBeLessThanOrEqual(host.description?.resources?.nanoCpus ?? 0)
    const ports = tasks.flatMap((t) => (t.endpoint?.ports ?? []).map((port) => port.publishedPort))
    expect(new Set(ports).size).toBe(ports.length)
    for (const placed of tasks) {
      expect(host.status?.state).toBe('ready')
      expect(matchesConstraints(parseConstraints(placed.spec?.placement), host)).toBe(true)
      const max = placed.spec?.placement?.maxReplicas ?? 0
      const alike = tasks.filter(
        (t) => t.serviceId === placed.serviceId && t.specVersion === placed.specVersion,
      )
      if (max > 0) expect(alike.length).toBeLessThanOrEqual(max)
    }
  }
}
