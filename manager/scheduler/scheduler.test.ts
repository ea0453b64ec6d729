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
import { node, type Part, service, storeWith, task } from '../../test/build.ts'
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

test('scheduler avoids a node on which the delay of restarts grew to its most', () => {
  const spec = { restart: { delayMs: 1_000, maxDelayMs: 2_000 } }
  const after = (restartsInRow: number) =>
    schedule(
      [ready('n1'), ready('n2')],
      [
        pending('f', { nodeId: 'n1', status: { state: 'failed' }, restartsInRow, spec }),
        pending('busy', { nodeId: 'n2', status: { state: 'running' }, slot: 2 }),
        pending('t1'),
      ],
    )
      .view()
      .tasks.get('t1')?.nodeId

  expect([after(0), after(1)]).toEqual(['n1', 'n2'])
})

test('scheduler gives generic resources, names that nobody has, and takes them back', () => {
  const generic = [
    ...['u1', 'u2'].map((name) => ({ kind: 'GPU', name, count: 1 })),
    { kind: 'SSD', name: '', count: 3 },
  ]
  const wanted: Part<Task> = {
    spec: {
      resources: {
        reservations: {
          generic: [
            { kind: 'GPU', name: '', count: 1 },
            { kind: 'SSD', name: '', count: 1 },
          ],
        },
      },
    },
  }
  const store = storeWith({
    nodes: [ready('n1', { description: { resources: { generic } } }), ready('n2')],
    tasks: [1, 2, 3].map((slot) => pending(`t${slot}`, { ...wanted, slot })),
  })
  const scheduler = new Scheduler()
  run(scheduler, store, EVERYTHING)

  const given = (id: string) => store.view().tasks.get(id)?.assignedGeneric
  expect(given('t1')).toEqual([generic[0], { kind: 'SSD', name: '', count: 1 }])
  expect(given('t2')).toEqual([generic[1], { kind: 'SSD', name: '', count: 1 }])
  expect(errorOf(store, 't3')).toBe('no suitable node (insufficient resources on 2 nodes)')

  const first = store.view().tasks.get('t1')
  const ended: Change = {
    kind: 'update',
    table: 'tasks',
    object: task({ ...first, status: { state: 'complete' } } as Part<Task>),
  }
  store.apply(store.view().index + 1, newEntry([ended], { timeMs: 1_000, wallMs: 0 }))
  // Whoever leads by then knows from the tasks alone who has which.
  run(new Scheduler(), store, EVERYTHING)

  expect(given('t3')?.[0]).toEqual(generic[0])
})

test('scheduler with strategy binpack fills the node of which most is reserved', () => {
  const part = (cpus: number): Part<Task> => ({
    spec: {
      resources: { reservations: { nanoCpus: cpus * 1e9 } },
      placement: { strategy: 'binpack' },
    },
  })
  const store = schedule(
    [ready('n1'), ready('n2'), ready('n3')],
    [
      pending('a', { ...part(2), serviceId: 'db', nodeId: 'n2', status: { state: 'running' } }),
      ...[1, 2, 3].map((slot) => pending(`t${slot}`, { ...part(1), slot })),
    ],
  )

  const nodes = [1, 2, 3].map((slot) => store.view().tasks.get(`t${slot}`)?.nodeId)
  expect(nodes).toEqual(['n2', 'n2', 'n1'])
})

describe('scheduler puts tasks near and far', () => {
  const near = (name: string, isAnti = false): Part<Task> => ({
    spec: { placement: { affinities: [{ service: name, isAnti }] } },
  })
  const place = (tasks: readonly Task[]): Store => {
    const services = ['web', 'db'].map((id) => service({ id }))
    const store = storeWith({ services, nodes: [ready('n1'), ready('n2'), ready('n3')], tasks })
    run(new Scheduler(), store, EVERYTHING)
    return store
  }
  const db = (nodeId: string, part: Part<Task> = {}): Task =>
    pending(`db-${nodeId}`, { serviceId: 'db', nodeId, status: { state: 'running' }, ...part })

  test('only beside the service that is to be near', () => {
    const store = place([db('n3'), ...[1, 2].map((n) => pending(`t${n}`, near('DB')))])

    expect([1, 2].map((n) => store.view().tasks.get(`t${n}`)?.nodeId)).toEqual(['n3', 'n3'])
  })

  test('nowhere while that one is nowhere', () => {
    const store = place([pending('t1', near('db'))])

    expect(errorOf(store, 't1')).toBe(
      'no suitable node (service affinity not satisfied on 3 nodes)',
    )
  })

  test('all on the node where the first one went', () => {
    const store = place([1, 2, 3].map((slot) => pending(`t${slot}`, { ...near('web'), slot })))

    const nodes = [1, 2, 3].map((slot) => store.view().tasks.get(`t${slot}`)?.nodeId)
    expect(new Set(nodes)).toEqual(new Set(['n1']))
  })

  test('never beside the service that is to be far, whichever of the two says so', () => {
    const store = place([
      db('n1'),
      db('n2', { ...near('web', true) }),
      ...[1, 2].map((slot) => pending(`t${slot}`, { ...near('db', true), slot })),
    ])

    const nodes = [1, 2].map((slot) => store.view().tasks.get(`t${slot}`)?.nodeId)
    expect(nodes).toEqual(['n3', 'n3'])
  })

  test('at most one on a node when the service is to be far from itself', () => {
    const store = place(
      [1, 2, 3, 4].map((slot) => pending(`t${slot}`, { ...near('web', true), slot })),
    )

    expect(errorOf(store, 't4')).toBe(
      'no suitable node (service anti-affinity not satisfied on 3 nodes)',
    )
  })
})

test('scheduler spreads over labels, level by level, then over nodes', () => {
  const at = (id: string, zone: string | undefined, rack: string): Node =>
    ready(id, {
      spec: {
        annotations: {
          labels: new Map([
            ...(zone === undefined ? [] : [['zone', zone] as const]),
            ['rack', rack],
          ]),
        },
      },
    })
  const preferences = ['node.labels.zone', 'node.labels.rack'].map((label) => ({ label }))
  const store = schedule(
    [
      at('n1', 'a', 'r1'),
      at('n2', 'a', 'r1'),
      at('n3', 'a', 'r2'),
      at('n4', 'b', 'r3'),
      at('n5', undefined, 'r4'),
    ],
    Array.from({ length: 9 }, (_, slot) =>
      pending(`t${slot}`, { slot, spec: { placement: { preferences } } }),
    ),
  )

  const counts = new Map<string, number>()
  for (const { nodeId } of store.view().tasks.list())
    counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1)
  // Three in each zone, the node without one being a zone of its own; of zone a two in one rack.
  expect(counts).toEqual(
    new Map([
      ['n5', 3],
      ['n1', 1],
      ['n4', 3],
      ['n3', 1],
      ['n2', 1],
    ]),
  )
})

test('scheduler treats every ARM of 32 bits as one platform, and an empty word as any', () => {
  const arm = { architecture: 'armv7l', os: 'Linux' }
  const wants = (architecture: string, os: string): string => {
    const platforms: readonly Platform[] = [{ architecture, os }]
    const store = schedule(
      [ready('n1', { description: { platform: arm } })],
      [pending('t1', { spec: { placement: { platforms } } })],
    )
    return store.view().tasks.get('t1')?.nodeId ?? ''
  }

  expect([wants('arm', 'linux'), wants('arm/v6', ''), wants('', '')]).toEqual(['n1', 'n1', 'n1'])
  expect([wants('arm64', 'linux'), wants('amd64', ''), wants('', 'windows')]).toEqual(['', '', ''])
})

test('scheduler sets a service aside whose spec it cannot read, and places the others', () => {
  const bad: Part<Task> = { serviceId: 'bad', spec: { placement: { constraints: ['nonsense'] } } }
  const store = storeWith({ nodes: [ready('n1')], tasks: [pending('a', bad), pending('t1')] })

  const { changes, problems } = new Scheduler().reconcile({
    ...{ view: store.view(), changed: EVERYTHING, now: 1, wallMs: 1, random: newSeededRandom(1) },
  })

  expect(problems).toMatchObject([{ table: 'services', id: 'bad' }])
  expect(changes).toMatchObject([{ object: { id: 't1', nodeId: 'n1' } }])
})

test('scheduler reads and places a bounded number in a round', () => {
  const tasks = Array.from({ length: 20 }, (_, slot) => pending(`t${slot}`, { slot }))
  const store = storeWith({ nodes: [ready('n1')], tasks })
  const scheduler = new Scheduler({ work: 6, loads: 15 })
  const round = { view: store.view(), now: 1, wallMs: 1, random: newSeededRandom(1) }
  const none = changedBy([])

  const counts = [EVERYTHING, none, none, none, none, none, none].map((changed) => {
    const { changes, nextMs } = scheduler.reconcile({ ...round, changed })
    return `${changes.length} ${nextMs}`
  })

  expect(counts).toEqual(['0 1', '5 1', '5 1', '5 1', '5 undefined', '0 undefined', '0 undefined'])
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
