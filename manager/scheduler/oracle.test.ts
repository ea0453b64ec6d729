/**
 * The scheduler against a second one that looks at everything for each task anew: under random
 * clusters, specs and events, each task goes where the naive one would send it in the same state,
 * and each reason is the one that it would give. After every event, a scheduler without memory has
 * nothing to do, and what is placed fits.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { newSeededRandom } from '../../lib/random.ts'
import type { Node, Service, Task } from '../../proto/gen/objects.ts'
import { emptyPlacement, type Placement, type TaskSpec } from '../../proto/gen/specs.ts'
import { emptyPortConfig, type GenericResource } from '../../proto/gen/types.ts'
import { isActive, isTerminal } from '../../proto/task-state.ts'
import { node, type Part, service, storeWith, task } from '../../test/build.ts'
import { findLabel, matchesConstraints, parseConstraints } from '../model/constraint.ts'
import type { Change } from '../store/change.ts'
import { newEntry } from '../store/entry.ts'
import type { Changed } from '../store/round.ts'
import type { Store } from '../store/store.ts'
import type { TableName } from '../store/view.ts'
import { Scheduler } from './scheduler.ts'

const GIB = 2 ** 30
const SERVICES = ['db', 'log', 'web', 'app'] as const
const MINUTE_MS = 60_000

type World = { nodes: readonly Node[]; tasks: readonly Task[] }

/** The naive scheduler: whatever it wants to know it counts. */
class Naive {
  readonly #world: World
  readonly #now: number

  constructor(world: World, now: number) {
    this.#world = world
    this.#now = now
  }

  /** The id of the node for the task, or why there is none. */
  choose(wanted: Task): { readonly nodeId: string } | { readonly error: string } {
    const counts = new Map<string, number>()
    const usable: Node[] = []
    for (const each of this.#world.nodes) {
      const why = this.why(wanted, each)
      if (why === undefined) usable.push(each)
      else counts.set(why, (counts.get(why) ?? 0) + 1)
    }
    if (usable.length === 0) return { error: errorOf(counts) }
    const labels = placementOf(wanted).preferences.map(({ label }) => label)
    return { nodeId: this.#pick(wanted, usable, labels).id }
  }

  why(wanted: Task, host: Node): string | undefined {
    const there = this.#holding(host)
    const placement = placementOf(wanted)
    const total = host.description?.resources
    const reserved = wanted.spec?.resources?.reservations
    const sum = (of: (each: Task) => number): number => there.reduce((all, t) => all + of(t), 0)
    if (host.status?.state !== 'ready' || host.spec?.availability !== 'active') return 'not-ready'
    const cpus = sum((t) => t.spec?.resources?.reservations?.nanoCpus ?? 0)
    const wantedCpus = reserved?.nanoCpus ?? 0
    if (wantedCpus > 0 && cpus + wantedCpus > (total?.nanoCpus ?? 0)) return 'resources'
    for (const { kind, count } of reserved?.generic ?? []) {
      const given = there.flatMap((t) => t.assignedGeneric).filter((each) => each.kind === kind)
      const has = (total?.generic ?? []).filter((each) => each.kind === kind)
      if (count + countOf(given) > countOf(has)) return 'resources'
    }
    if (!matchesConstraints(parseConstraints(placement), host)) return 'constraints'
    const { platforms } = placement
    if (platforms.length > 0 && !platforms.some((p) => p.os === '' || p.os === 'linux'))
      return 'platform'
    const taken = new Set(there.flatMap(portsOf))
    if (portsOf(wanted).some((port) => taken.has(port))) return 'host-port'
    const own = this.#wantedOn(host, wanted.serviceId).length
    if (placement.maxReplicas > 0 && own >= placement.maxReplicas) return 'max-replicas'
    return this.#whyBeside(wanted, host)
  }

  #whyBeside(wanted: Task, host: Node): string | undefined {
    const { affinities } = placementOf(wanted)
    const isFar = (from: Task, name: string): boolean =>
      placementOf(from).affinities.some((each) => each.isAnti && each.service === name)
    for (const each of affinities) {
      if (each.isAnti || this.#wantedOn(host, each.service).length > 0) continue
      const isFirst = this.#world.nodes.every((n) => this.#wantedOn(n, each.service).length === 0)
      if (!(each.service === wanted.serviceId && isFirst)) return 'affinity'
    }
    const beside = SERVICES.flatMap((name) => this.#wantedOn(host, name))
    return beside.some((t) => isFar(wanted, t.serviceId) || isFar(t, wanted.serviceId))
      ? 'anti-affinity'
      : undefined
  }

  /** Down the tree of preferences, then by rank. */
  #pick(wanted: Task, usable: readonly Node[], labels: readonly string[]): Node {
    const [label, ...rest] = labels
    if (label === undefined) return least(usable, (host) => this.#rank(wanted, host))
    const branchOf = (host: Node): string => findLabel(label, host) ?? ''
    const values = [...new Set(usable.map(branchOf))]
    const value = least(values, (candidate) => [
      this.#world.nodes
        .filter((host) => branchOf(host) === candidate)
        .reduce((all, host) => all + this.#wantedOn(host, wanted.serviceId).length, 0),
      candidate,
    ])
    const branch = usable.filter((host) => branchOf(host) === value)
    return new Naive(
      { ...this.#world, nodes: this.#world.nodes.filter((host) => branchOf(host) === value) },
      this.#now,
    ).#pick(wanted, branch, rest)
  }

  #rank(wanted: Task, host: Node): readonly (number | string)[] {
    const failures = this.#world.tasks.filter(
      (t) =>
        t.nodeId === host.id &&
        t.serviceId === wanted.serviceId &&
        t.specVersion === wanted.specVersion &&
        (t.status?.state === 'failed' || t.status?.state === 'rejected') &&
        t.endedClusterMs > this.#now - 5 * MINUTE_MS,
    ).length
    const count = this.#world.tasks.filter((t) => t.nodeId === host.id && isWantedHere(t)).length
    const own = this.#wantedOn(host, wanted.serviceId).length
    const avoided = failures >= 5 ? failures : 0
    if (placementOf(wanted).strategy === 'spread') return [avoided, own, count, host.id]
    const total = host.description?.resources?.nanoCpus ?? 0
    const used = this.#holding(host).reduce(
      (all, t) => all + (t.spec?.resources?.reservations?.nanoCpus ?? 0),
      0,
    )
    return [avoided, total === 0 ? 0 : -used / total, -count, host.id]
  }

  #holding(host: Node): readonly Task[] {
    return this.#world.tasks.filter((t) => t.nodeId === host.id && isHeld(t))
  }

  #wantedOn(host: Node, serviceId: string): readonly Task[] {
    return this.#world.tasks.filter(
      (t) => t.nodeId === host.id && t.serviceId === serviceId && isWantedHere(t),
    )
  }
}

function isHeld(t: Task): boolean {
  const state = t.status?.state ?? 'new'
  return state !== 'new' && state !== 'pending' && !isTerminal(state)
}

function isWantedHere(t: Task): boolean {
  return isHeld(t) && isActive(t.desiredState, t.status?.state ?? 'new')
}

function placementOf(t: Task): Placement {
  return t.spec?.placement ?? emptyPlacement
}

function portsOf(t: Task): readonly number[] {
  return (t.endpoint?.ports ?? []).map((port) => port.publishedPort)
}

function countOf(resources: readonly GenericResource[]): number {
  return resources.reduce((all, { count }) => all + count, 0)
}

function least<T>(items: readonly T[], rankOf: (item: T) => readonly (number | string)[]): T {
  const ranked = items.map((item) => ({ item, rank: rankOf(item) }))
  ranked.sort((a, b) => {
    for (const [at, left] of a.rank.entries()) {
      const right = b.rank[at] ?? 0
      if (left !== right) return left < right ? -1 : 1
    }
    return 0
  })
  const [first] = ranked
  if (first === undefined) throw new Error('nothing to choose from')
  return first.item
}

const TEXTS: readonly (readonly [string, (nodes: string) => string])[] = [
  ['not-ready', (nodes) => `${nodes} not available for new tasks`],
  ['resources', (nodes) => `insufficient resources on ${nodes}`],
  ['constraints', (nodes) => `scheduling constraints not satisfied on ${nodes}`],
  ['platform', (nodes) => `unsupported platform on ${nodes}`],
  ['host-port', (nodes) => `host-mode port already in use on ${nodes}`],
  ['max-replicas', () => 'max replicas per node limit exceed'],
  ['affinity', (nodes) => `service affinity not satisfied on ${nodes}`],
  ['anti-affinity', (nodes) => `service anti-affinity not satisfied on ${nodes}`],
]

function errorOf(counts: ReadonlyMap<string, number>): string {
  const texts = TEXTS.map(([reason, text], at) => ({ count: counts.get(reason) ?? 0, text, at }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count || a.at - b.at)
    .map(({ count, text }) => text(count === 1 ? '1 node' : `${count} nodes`))
  return texts.length === 0 ? 'no suitable node' : `no suitable node (${texts.join('; ')})`
}

const specs = fc.record({
  cpus: fc.constantFrom(0, 0, 1, 2),
  gpus: fc.constantFrom(0, 0, 0, 1, 2),
  zone: fc.constantFrom('', '', '', 'a', 'b'),
  os: fc.constantFrom('', '', 'linux', 'windows'),
  port: fc.constantFrom(0, 0, 0, 80, 81),
  max: fc.constantFrom(0, 0, 0, 1, 2),
  binpack: fc.boolean(),
  preferences: fc.subarray(['node.labels.zone', 'node.labels.rack', 'engine.labels.x']),
  near: fc.constantFrom(undefined, undefined, undefined, ...SERVICES),
  far: fc.constantFrom(undefined, undefined, ...SERVICES),
})
type Spec = typeof specs extends fc.Arbitrary<infer T> ? T : never

const hosts = fc.record({
  cpus: fc.integer({ min: 0, max: 5 }),
  gpus: fc.constantFrom(['GPU=u1', 'GPU=u2'], [], ['3']),
  zone: fc.constantFrom('a', 'b', ''),
  rack: fc.constantFrom('r1', 'r2', 'r3'),
  state: fc.constantFrom('ready' as const, 'ready' as const, 'down' as const),
})
type Host = typeof hosts extends fc.Arbitrary<infer T> ? T : never

const at = fc.nat(20)
const events = fc.oneof(
  fc.record({
    ...{ kind: fc.constant('tasks' as const), service: fc.nat(3) },
    ...{ count: fc.integer({ min: 1, max: 7 }), version: fc.nat(1) },
  }),
  fc.record({ kind: fc.constant('global' as const), service: fc.nat(3), at }),
  fc.record({ kind: fc.constantFrom('end' as const, 'stop' as const, 'remove' as const), at }),
  fc.record({ kind: fc.constant('fail' as const), at, count: fc.integer({ min: 1, max: 6 }) }),
  fc.record({ kind: fc.constant('node' as const), at, host: hosts }),
  fc.record({ kind: fc.constant('leave' as const), at }),
  fc.record({ kind: fc.constant('time' as const) }),
)
type Event = typeof events extends fc.Arbitrary<infer T> ? T : never

function specOf(spec: Spec): Part<TaskSpec> {
  const affinities = [
    ...(spec.near === undefined ? [] : [{ service: spec.near, isAnti: false }]),
    ...(spec.far === undefined || spec.far === spec.near
      ? []
      : [{ service: spec.far, isAnti: true }]),
  ]
  const generic = spec.gpus === 0 ? [] : [{ kind: 'GPU', name: '', count: spec.gpus }]
  return {
    resources: { reservations: { nanoCpus: spec.cpus * 1e9, generic } },
    placement: {
      constraints: spec.zone === '' ? [] : [`node.labels.zone==${spec.zone}`],
      platforms: spec.os === '' ? [] : [{ architecture: 'amd64', os: spec.os }],
      preferences: spec.preferences.map((label) => ({ label })),
      strategy: spec.binpack ? 'binpack' : 'spread',
      maxReplicas: spec.max,
      affinities,
    },
  }
}

function nodeOf(number: number, host: Host): Node {
  const gpus = host.gpus[0] === '3' ? [{ kind: 'GPU', name: '', count: 3 }] : []
  const named = host.gpus[0] === '3' ? [] : host.gpus.map((text) => text.slice('GPU='.length))
  const labels = new Map([
    ...(host.zone === '' ? [] : [['zone', host.zone] as const]),
    ['rack', host.rack] as const,
  ])
  return node({
    id: `n${number}`,
    status: { state: host.state },
    spec: { annotations: { labels } },
    description: {
      engineLabels: new Map([['x', host.rack]]),
      resources: {
        nanoCpus: host.cpus * 1e9,
        memoryBytes: GIB,
        generic: [...gpus, ...named.map((name) => ({ kind: 'GPU', name, count: 1 }))],
      },
    },
  })
}

/** A cluster, a scheduler that sees what changes in it, and the naive one beside it. */
class Play {
  readonly store: Store
  readonly #scheduler: Scheduler
  readonly #specs: readonly Spec[]
  /** Whether the scheduler is told of its own changes. */
  readonly #isToldOwn: boolean
  #now = 10 * MINUTE_MS
  #made = 0

  constructor(
    given: readonly Spec[],
    nodes: readonly Host[],
    limits: { work: number; loads: number; isToldOwn: boolean },
  ) {
    this.#specs = given
    this.#scheduler = new Scheduler(limits)
    this.#isToldOwn = limits.isToldOwn
    const services = SERVICES.map((id): Service => service({ id }))
    this.store = storeWith({ services, nodes: nodes.map((host, i) => nodeOf(i, host)) })
    this.#settle({ all: true, changes: [] })
  }

  act(event: Event): void {
    const changes = this.#changesOf(event)
    this.#commit(changes)
    this.#settle({ all: false, changes })
  }

  #changesOf(event: Event): readonly Change[] {
    const { nodes, tasks } = this.store.view()
    const there = [...tasks.list()]
    switch (event.kind) {
      case 'tasks':
        return Array.from({ length: event.count }, () => this.#newTask(event, ''))
      case 'global': {
        const host = [...nodes.list()][event.at % Math.max(1, nodes.size)]
        return host === undefined ? [] : [this.#newTask({ ...event, version: 2 }, host.id)]
      }
      case 'end':
      case 'stop':
      case 'remove':
      case 'fail':
        return this.#endOf(event, there)
      case 'node': {
        const id = event.at % 8
        const kind = nodes.get(`n${id}`) === undefined ? 'create' : 'update'
        return [{ kind, table: 'nodes', object: nodeOf(id, event.host) }]
      }
      case 'leave': {
        const host = [...nodes.list()][event.at % Math.max(1, nodes.size)]
        return host === undefined ? [] : [{ kind: 'remove', table: 'nodes', id: host.id }]
      }
      case 'time':
        this.#now += 3 * MINUTE_MS
        return []
      default:
        return event satisfies never
    }
  }

  #endOf(
    event: Extract<
      Event,
      { readonly at: number; readonly kind: 'end' | 'stop' | 'remove' | 'fail' }
    >,
    there: readonly Task[],
  ): readonly Change[] {
    const running = there.filter((t) => t.nodeId !== '')
    const victim = (event.kind === 'stop' || event.kind === 'remove' ? there : running)[
      event.at %
        Math.max(
          1,
          event.kind === 'stop' || event.kind === 'remove' ? there.length : running.length,
        )
    ]
    if (victim === undefined) return []
    if (event.kind === 'remove') return [{ kind: 'remove', table: 'tasks', id: victim.id }]
    const update = (object: Task): Change => ({ kind: 'update', table: 'tasks', object })
    if (event.kind === 'stop') return [update({ ...victim, desiredState: 'shutdown' })]
    const victims =
      event.kind === 'end'
        ? [victim]
        : running.filter((t) => t.nodeId === victim.nodeId && t.serviceId === victim.serviceId)
    return victims
      .filter((t) => t.status !== undefined && !isTerminal(t.status.state))
      .map((t) =>
        update(
          task({
            ...t,
            status: { state: event.kind === 'end' ? 'complete' : 'failed' },
            endedClusterMs: this.#now,
          } as Part<Task>),
        ),
      )
  }

  #newTask(event: { readonly service: number; readonly version: number }, nodeId: string): Change {
    const serviceId = SERVICES[event.service] ?? 'db'
    const spec = this.#specs[(event.service + event.version) % this.#specs.length]
    const number = ++this.#made
    const port = spec?.port ?? 0
    const ports = [
      { ...emptyPortConfig, publishedPort: port, targetPort: 1, publishMode: 'host' as const },
    ]
    const object = task({
      ...{ id: `t${String(number).padStart(4, '0')}`, serviceId, nodeId },
      ...{ slot: nodeId === '' ? number : 0, specVersion: event.version + 1 },
      ...{ status: { state: 'pending' }, endpoint: { ports: port === 0 ? [] : ports } },
      spec: spec === undefined ? {} : specOf(spec),
    } as Part<Task>)
    return { kind: 'create', table: 'tasks', object }
  }

  #settle(first: { readonly all: boolean; readonly changes: readonly Change[] }): void {
    let { all, changes } = first
    for (let rounds = 0; ; rounds++) {
      expect(rounds).toBeLessThan(500)
      const outcome = this.#reconcile(this.#scheduler, all, changes)
      for (const change of outcome.changes) {
        this.#check(change)
        this.#commit([change])
      }
      if (outcome.changes.length === 0 && outcome.nextMs === undefined) break
      all = false
      // It has to know what it returned, whether it is told of it or not.
      changes = this.#isToldOwn ? outcome.changes : []
    }
    const anew = new Scheduler()
    expect(this.#reconcile(anew, true, [])).toEqual({ changes: [], nextMs: undefined })
  }

  #reconcile(scheduler: Scheduler, all: boolean, changes: readonly Change[]) {
    const of = (table: TableName): ReadonlySet<string> =>
      new Set(
        changes
          .filter((change) => change.table === table)
          .map((change) => (change.kind === 'remove' ? change.id : change.object.id)),
      )
    const none = new Set<string>()
    const ids: Changed['ids'] = {
      ...{ clusters: none, services: none, secrets: none, configs: none },
      ...{ nodes: of('nodes'), tasks: of('tasks') },
    }
    const view = this.store.view()
    const random = newSeededRandom(1)
    return scheduler.reconcile({ view, changed: { all, ids }, now: this.#now, wallMs: 1, random })
  }

  /** What the scheduler did is what the naive one does in this state. */
  #check(change: Change): void {
    if (change.kind !== 'update' || change.table !== 'tasks') throw new Error('no update of a task')
    const view = this.store.view()
    const before = view.tasks.get(change.object.id)
    if (before === undefined) throw new Error('a task is there')
    const naive = new Naive(
      { nodes: [...view.nodes.list()], tasks: [...view.tasks.list()] },
      this.#now,
    )
    const after = change.object
    if (before.nodeId !== '') {
      this.#checkFixed(naive, before, after)
      return
    }
    const choice = naive.choose(before)
    if (after.status?.state === 'assigned') expect(choice).toEqual({ nodeId: after.nodeId })
    else expect(choice).toEqual({ error: after.status?.error })
  }

  #checkFixed(naive: Naive, before: Task, after: Task): void {
    const host = this.store.view().nodes.get(before.nodeId)
    const why = host === undefined ? undefined : naive.why(before, host)
    const isFit = host !== undefined && why === undefined
    expect(after.status?.state).toBe(isFit ? 'assigned' : 'pending')
    const counts = new Map(why === undefined ? [] : [[why, 1]])
    expect(after.status?.error).toBe(isFit ? '' : errorOf(counts))
  }

  #commit(changes: readonly Change[]): void {
    const stamp = { timeMs: this.#now, wallMs: 1 }
    if (changes.length > 0) this.store.apply(this.store.view().index + 1, newEntry(changes, stamp))
  }
}

test('scheduler places every task where a naive one would, and says what it would', () => {
  fc.assert(
    fc.property(
      fc.array(specs, { minLength: 6, maxLength: 6 }),
      fc.array(hosts, { maxLength: 7 }),
      fc.constantFrom({ work: 1_000, loads: 4_000 }, { work: 2, loads: 3 }, { work: 5, loads: 1 }),
      fc.array(events, { minLength: 1, maxLength: 14 }),
      fc.boolean(),
      (given, nodes, limits, happenings, isToldOwn) => {
        const play = new Play(given, nodes, { ...limits, isToldOwn })
        for (const event of happenings) play.act(event)
      },
    ),
    { numRuns: 200 },
  )
}, 60_000)
