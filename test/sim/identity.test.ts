/** Stories of identities in simulated time: two hosts that are one node, and certificates that ended. */
import { expect, test } from 'vitest'
import { localCaller } from '../../manager/manager.ts'
import {
  emptyAnnotations,
  emptyContainerSpec,
  emptyServiceSpec,
  emptyTaskSpec,
} from '../../proto/gen/specs.ts'
import { calmCluster, leaderOf, until } from './calm.ts'
import { settleLater } from './faults/identity.ts'
import { setRole, takeOut } from './operator.ts'
import type { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

function workerOf(world: World): SimNode {
  const worker = world.nodes.get('w1')
  if (worker === undefined) throw new Error('no worker')
  return worker
}

function runEverywhere(world: World): void {
  const spec = {
    ...emptyServiceSpec,
    annotations: { ...emptyAnnotations, name: 'web' },
    task: { ...emptyTaskSpec, container: { ...emptyContainerSpec, image: 'busybox:1' } },
    mode: { kind: 'global' as const, global: {} },
  }
  world.retry(() => leaderOf(world), {
    caller: localCaller,
    body: { kind: 'serviceCreate', serviceCreate: { spec } },
  })
  until(world, () => [...world.nodes.values()].every((node) => running(node) === 1))
}

/** When it was not so any more, ms; undefined when it was so for as long. */
function runWhile(world: World, ms: number, isSo: () => boolean): number | undefined {
  const endMs = world.schedule.nowMs + ms
  while (isSo() && world.schedule.nowMs < endMs) world.run(world.schedule.nowMs + 10)
  return isSo() ? undefined : world.schedule.nowMs
}

function running(node: SimNode): number {
  return node.runtime.listRunning().length
}

test.for([1, 2, 3])(
  'a clone of a node is named and refused, and its tasks rest once it is gone (seed %s)',
  (seed) => {
    const world = calmCluster(seed)
    runEverywhere(world)
    const worker = workerOf(world)
    const clone = world.addClone(worker)
    clone.runtime.heal()
    const said = (): string =>
      world.checkers.reference.view().nodes.get('w1')?.status?.message ?? ''

    clone.boot()
    until(world, () => said().startsWith('cloned identity'))
    const refused = said()
    until(world, () => worker.agent?.status().session === 'running')
    // It comes back again and again, and takes nothing from the one in use.
    const lostMs = runWhile(world, 20_000, () => worker.agent?.status().session === 'running')
    clone.crash('none')
    world.run(world.schedule.nowMs + 30_000)
    const before = worker.runtime.listRunning().map((task) => task.id)
    world.run(world.schedule.nowMs + 60_000)

    expect(refused).toContain('is refused')
    expect(lostMs).toBeUndefined()
    expect(before).toHaveLength(1)
    expect(worker.runtime.listRunning().map((task) => task.id)).toEqual(before)
    expect(worker.agent?.status().session).toBe('running')
    expect(world.violations).toEqual([])
  },
)

test('a cloned node counts as such until its own host has been there to be told', () => {
  const world = calmCluster(1)
  runEverywhere(world)
  const worker = workerOf(world)
  const clone = world.addClone(worker)
  worker.crash('all')

  clone.crash('none')
  settleLater(world, worker)
  world.run(world.schedule.nowMs + 60_000)
  const whileAway = world.cloned.has('w1')
  world.restart(worker)
  world.run(world.schedule.nowMs + 20_000)
  const early = world.cloned.has('w1')
  world.run(world.schedule.nowMs + 15_000)

  expect([whileAway, early, world.cloned.has('w1')]).toEqual([true, true, false])
  expect(world.violations).toEqual([])
})

test('a node whose certificate ended while it was away is let in by nobody, and another takes over', () => {
  const world = calmCluster(1)
  runEverywhere(world)
  const worker = workerOf(world)
  worker.crash('all')
  if (worker.claims !== undefined)
    worker.claims = { ...worker.claims, notAfterMs: world.wallMs() - 1 }
  world.run(world.schedule.nowMs + 1_000)
  world.restart(worker)

  world.run(world.schedule.nowMs + 20_000)
  const session = worker.agent?.status().session
  takeOut(world, worker)
  const other = world.join('w2', 'worker')
  until(world, () => running(other) === 1)

  expect(session).not.toBe('running')
  until(world, () => world.checkers.reference.view().nodes.get('w1') === undefined)
  expect(world.violations).toEqual([])
})

const DAY_MS = 24 * 3_600_000

function managersOf(world: World): readonly SimNode[] {
  return [...world.nodes.values()].filter((node) => node.id.startsWith('m'))
}

/** The worker's certificate is old enough to be renewed. */
function age(world: World, worker: SimNode): void {
  const { claims } = worker
  if (claims === undefined) return
  const byMs = claims.notAfterMs - world.wallMs() - 10 * DAY_MS
  worker.crash('all')
  worker.claims = {
    ...claims,
    notBeforeMs: claims.notBeforeMs - byMs,
    notAfterMs: claims.notAfterMs - byMs,
  }
  world.restart(worker)
}

test('what managers sign whose clocks are days ahead is valid when their clocks are right again', () => {
  const world = calmCluster(1)
  const worker = workerOf(world)
  for (const manager of managersOf(world)) manager.wallOffsetMs = 30 * DAY_MS
  setRole(world, 'w1', { role: 'manager' })
  until(world, () => worker.claims?.role === 'manager')
  for (const manager of managersOf(world)) manager.wallOffsetMs = 0
  for (const node of world.nodes.values()) node.crash('all')
  for (const node of world.nodes.values()) world.restart(node)

  until(world, () => worker.manager !== undefined && worker.manager.status().leaderId !== 0)
  until(world, () => worker.agent?.status().session === 'running')

  expect(world.violations).toEqual([])
})

test.each([
  [60, 'ends early'],
  [100, 'is over'],
])('a node takes no certificate of a manager whose clock is %i days behind, which %s', (days) => {
  const world = calmCluster(1)
  const worker = workerOf(world)
  const [m1, m2] = managersOf(world)
  for (const manager of [m1, m2]) if (manager) manager.wallOffsetMs = -days * DAY_MS
  age(world, worker)

  until(world, () => (worker.claims?.notAfterMs ?? 0) > world.wallMs() + 11 * DAY_MS)

  expect(worker.claims?.notAfterMs).toBeGreaterThan(world.wallMs() + 89 * DAY_MS)
  expect(world.violations).toEqual([])
})

test('a node whose own clock is far ahead takes what it gets, and does not ask without end', () => {
  const world = calmCluster(1)
  const worker = workerOf(world)
  const renewals = (): number =>
    world.recent(8_000).filter((line) => line.includes('w1 has the certificate')).length
  worker.wallOffsetMs = 75 * DAY_MS
  age(world, worker)

  world.run(world.schedule.nowMs + 60_000)

  expect(renewals()).toBe(1)
  expect(world.violations).toEqual([])
})
