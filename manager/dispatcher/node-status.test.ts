/** Stories of liveness on the leader. */
import { expect, test } from 'vitest'
import { silentLog } from '../../lib/log.ts'
import { newSeededRandom } from '../../lib/random.ts'
import type { Node } from '../../proto/gen/objects.ts'
import { applyTo, cluster, node, storeWith } from '../../test/build.ts'
import type { Store } from '../store/store.ts'
import { NodeStatus } from './node-status.ts'

const ELECTED_MS = 10_000
const NONE: ReadonlySet<string> = new Set()
const IDS = {
  clusters: NONE,
  nodes: NONE,
  services: NONE,
  tasks: NONE,
  secrets: NONE,
  configs: NONE,
}

/** A leader with a store; cluster time runs with its monotonic clock. */
class Leader {
  readonly store: Store
  readonly status = new NodeStatus({ term: 4, electedMs: ELECTED_MS, log: silentLog })

  /** What the last answer said of the node. */
  isReady = false

  constructor(nodes: readonly Node[]) {
    this.store = storeWith({ timeMs: 0, clusters: [cluster()], nodes })
  }

  /** One round at `nowMs`; the changed node ids. */
  round(nowMs: number, changed: readonly string[] = []): number | undefined {
    this.status.tick(nowMs)
    const outcome = this.status.reconcile({
      view: this.store.view(),
      changed: { all: nowMs === ELECTED_MS, ids: { ...IDS, nodes: new Set(changed) } },
      now: nowMs,
      wallMs: nowMs,
      random: newSeededRandom(1),
    })
    if (outcome.changes.length > 0) applyTo(this.store, outcome.changes, nowMs)
    return outcome.nextMs
  }

  beat(nowMs: number, instance: string, holder = 1): string | undefined {
    this.status.tick(nowMs)
    const reply = this.status.relay(this.store.view(), {
      holder,
      heartbeats: [{ nodeId: 'n1', instance }],
    })
    expect(reply.term).toBe(4)
    this.isReady = !reply.notReadyNodeIds.includes('n1')
    return reply.refusals[0]?.reason
  }

  findRefusal(nodeId: string, instance: string): string | undefined {
    return this.status.findRefusal(this.store.view(), { nodeId, instance })
  }

  put(part: Node, nowMs: number): void {
    applyTo(this.store, [{ kind: 'update', table: 'nodes', object: part }], nowMs)
  }

  state(): string {
    const status = this.store.view().nodes.get('n1')?.status
    return status?.message === '' ? status.state : `${status?.state}: ${status?.message}`
  }
}

test('a new leader counts every node as heard at its election plus one period', () => {
  const leader = new Leader([node({ id: 'n1' })])

  const nextMs = leader.round(ELECTED_MS)
  leader.round(ELECTED_MS + 11_999)
  const before = leader.state()
  leader.round(ELECTED_MS + 12_000)

  expect(nextMs).toBe(ELECTED_MS + 12_000)
  expect([before, leader.state()]).toEqual(['ready', 'down: heartbeat failure'])
})

test('a node is down after five missed periods, and stays so until it registers', () => {
  const leader = new Leader([node({ id: 'n1' })])
  leader.round(ELECTED_MS)
  leader.beat(30_000, 'i1')

  leader.round(39_999)
  const before = leader.state()
  leader.round(40_000)
  leader.beat(41_000, 'i1')
  leader.round(42_000)
  const after = leader.state()
  leader.put(node({ id: 'n1' }), 50_000)
  leader.round(50_000, ['n1'])
  leader.round(59_999)

  expect([before, after, leader.state()]).toEqual(['ready', 'down: heartbeat failure', 'ready'])
})

test('a node that is down is told that it is not ready, until it is seen to have registered', () => {
  const leader = new Leader([node({ id: 'n1' })])
  const answers: boolean[] = []
  const beat = (nowMs: number): void => {
    leader.beat(nowMs, 'i1')
    answers.push(leader.isReady)
  }
  beat(ELECTED_MS)
  leader.round(ELECTED_MS)
  beat(ELECTED_MS + 1)
  leader.round(ELECTED_MS + 20_000)
  beat(ELECTED_MS + 20_001)
  leader.put(node({ id: 'n1' }), 31_000)
  beat(31_000)
  leader.round(31_001, ['n1'])
  beat(31_002)

  expect(answers).toEqual([false, true, false, false, true])
  expect(leader.store.view().nodes.get('n1')?.status?.state).toBe('ready')
})

test('it is stored since when a node is down', () => {
  const leader = new Leader([node({ id: 'n1', stateSinceMs: 3 })])
  leader.round(ELECTED_MS)

  leader.round(30_000)

  expect(leader.store.view().nodes.get('n1')?.stateSinceMs).toBe(30_000)
})

test('a reconciler’s own changes bring no further ones', () => {
  const leader = new Leader([node({ id: 'n1' })])
  leader.round(ELECTED_MS)
  leader.round(60_000)
  const { index } = leader.store.view()

  leader.round(60_000, ['n1'])

  expect(leader.store.view().index).toBe(index)
})

test('a node that announced its return is down when it is overdue', () => {
  const leader = new Leader([
    node({ id: 'n1', status: { state: 'disconnected' }, returnUntilMs: 70_000 }),
  ])

  const nextMs = leader.round(ELECTED_MS)
  leader.round(69_999)
  const before = leader.state()
  leader.round(70_000)

  expect(nextMs).toBe(70_000)
  expect([before, leader.state()]).toEqual(['disconnected', 'down: did not return in time'])
})

test('heartbeats of nodes that are not members are refused', () => {
  const leader = new Leader([])

  expect(leader.beat(20_000, 'i1')).toBe('node n1 is not part of the swarm')
})

test('the holder of a session is the manager that relayed it last', () => {
  const leader = new Leader([node({ id: 'n1' })])

  const before = leader.status.findHolder('n1')
  leader.beat(20_000, 'i1', 2)
  leader.beat(21_000, 'i1', 3)

  expect([before, leader.status.findHolder('n1')]).toEqual([undefined, 3])
})

test('a restart is not a clone, also when late heartbeats of the old process follow', () => {
  const leader = new Leader([node({ id: 'n1' })])
  leader.beat(20_000, 'old')

  const refusals = [
    leader.beat(21_000, 'new'),
    leader.beat(21_500, 'old'),
    leader.beat(22_900, 'old'),
    // Held up on the way for longer than a period, once.
    leader.beat(23_500, 'old'),
    ...[24_000, 30_000, 45_000].map((nowMs) => leader.beat(nowMs, 'new')),
  ]

  expect(refusals.every((refusal) => refusal === undefined)).toBe(true)
  expect(leader.findRefusal('n1', 'new')).toBeUndefined()
})

test('of two instances that alternate the newer is refused, and both are named', () => {
  const leader = new Leader([node({ id: 'n1' })])
  leader.round(ELECTED_MS)
  leader.beat(20_000, 'first')

  const early = [22_000, 24_000].map((nowMs) => [
    leader.beat(nowMs, 'clone'),
    leader.beat(nowMs + 500, 'first'),
  ])
  leader.beat(26_500, 'first')
  const late = leader.beat(26_600, 'clone')
  leader.round(26_700, ['n1'])

  expect(early.flat().every((refusal) => refusal === undefined)).toBe(true)
  expect(late).toContain('instance first, this is clone')
  expect(leader.findRefusal('n1', 'clone')).toBe(late)
  expect(leader.findRefusal('n1', 'first')).toBeUndefined()
  expect(leader.state()).toBe('ready: cloned identity: instance clone is refused, first is in use')
})

test('the one in use is made to register anew, once, for what is stored is the clone’s', () => {
  const leader = new Leader([node({ id: 'n1' })])
  leader.round(ELECTED_MS)
  const answers: (string | undefined)[] = []
  for (let nowMs = 20_000; nowMs < 30_000; nowMs += 2_000) {
    answers.push(leader.beat(nowMs, 'first'))
    leader.beat(nowMs + 100, 'clone')
  }

  const refusals = answers.filter((answer) => answer !== undefined)
  expect(refusals).toEqual(['another host, clone, registered as this node: register anew'])
})

test('a refused instance is let in when the one in use has died, and the name goes with it', () => {
  const leader = new Leader([node({ id: 'n1' })])
  leader.round(ELECTED_MS)
  for (const nowMs of [20_000, 23_000, 26_000]) {
    leader.beat(nowMs, 'first')
    leader.beat(nowMs + 100, 'clone')
  }
  const refused = leader.beat(29_000, 'clone')

  const accepted = leader.beat(36_200, 'clone')
  leader.round(36_300, ['n1'])

  expect(refused).toContain('cloned identity')
  expect(accepted).toBeUndefined()
  expect(leader.state()).toBe('ready')
})

test('a refused instance may register when the one in use has died, and is heard from then on', () => {
  const leader = new Leader([node({ id: 'n1' })])
  leader.round(ELECTED_MS)
  for (const nowMs of [20_000, 23_000, 26_000]) {
    leader.beat(nowMs, 'clone')
    leader.beat(nowMs + 100, 'first')
  }

  // Its session ends with its registration, so it never comes to a heartbeat.
  leader.status.tick(35_900)
  const early = leader.findRefusal('n1', 'first')
  leader.round(36_300)
  const state = leader.state()
  leader.status.tick(36_400)
  const late = leader.findRefusal('n1', 'first')
  leader.put(node({ id: 'n1' }), 36_500)
  leader.round(36_500, ['n1'])
  const heard = leader.beat(38_000, 'first')

  expect(early).toContain('instance clone, this is first')
  expect(state).toContain('down: heartbeat failure')
  expect(late).toBeUndefined()
  expect(heard).toBeUndefined()
  expect(leader.state()).toBe('ready')
})
