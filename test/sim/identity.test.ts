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
import { takeOut } from './operator.ts'
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
