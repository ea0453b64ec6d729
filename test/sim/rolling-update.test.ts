/**
 * Stories of rolling updates in simulated time, looked at after every event: 12 replicas whose leader is
 * killed every three seconds, by tasks that come up, and by such that never do. What counts is what
 * runs on the hosts, not what anybody believes.
 */
import { expect, test } from 'vitest'
import { localCaller } from '../../manager/manager.ts'
import { emptyServiceUpdate } from '../../proto/gen/control.ts'
import type { Service } from '../../proto/gen/objects.ts'
import {
  emptyAnnotations,
  emptyContainerSpec,
  emptyHealthcheck,
  emptyServiceSpec,
  emptyTaskSpec,
  emptyUpdateConfig,
  type ServiceSpec,
  type UpdateConfig,
} from '../../proto/gen/specs.ts'
import { NO_AILMENTS } from './ailment.ts'
import { calmCluster, leaderOf, until } from './calm.ts'
import type { World } from './world.ts'

const REPLICAS = 12
const LEADER_LIVES_MS = 3_000
const DEAD_MS = 1_000

const SPEC: ServiceSpec = {
  ...emptyServiceSpec,
  annotations: { ...emptyAnnotations, name: 'web' },
  task: {
    ...emptyTaskSpec,
    container: {
      ...{ ...emptyContainerSpec, image: 'busybox:1' },
      healthcheck: { ...emptyHealthcheck, test: ['CMD', 'true'], intervalMs: 500, retries: 2 },
    },
  },
  mode: { kind: 'replicated', replicated: { replicas: REPLICAS } },
}

/** A calm cluster in which all of the service runs. */
function newWorld(seed: number, update: Partial<UpdateConfig>): World {
  const world = calmCluster(seed)
  const config = { ...emptyUpdateConfig, parallelism: 3, monitorMs: 2_000, ...update }
  world.retry(() => world.findLeader(), {
    caller: localCaller,
    body: { kind: 'serviceCreate', serviceCreate: { spec: { ...SPEC, update: config } } },
  })
  until(world, () => listSlots(world).length === REPLICAS && areAllRunning(world))
  return world
}

function serviceOf(world: World): Service {
  const [service] = world.checkers.reference.view().services.list()
  if (service === undefined) throw new Error('no service')
  return service
}

/** Of each container that runs, its slot. */
function listSlots(world: World): readonly number[] {
  return [...world.nodes.values()].flatMap((node) =>
    node.runtime.listRunning().map((task) => task.slot),
  )
}

/** Of each container that runs, its task. */
function listRunning(world: World): readonly string[] {
  return [...world.nodes.values()].flatMap((node) =>
    node.runtime.listRunning().map((task) => task.id),
  )
}

function areAllRunning(world: World): boolean {
  const tasks = [...world.checkers.reference.view().tasks.list()]
  return tasks.filter((task) => task.status?.state === 'running').length === REPLICAS
}

/** Every task is made anew. */
function beginUpdate(world: World): void {
  const { id, meta, spec = SPEC } = serviceOf(world)
  const changed = { ...spec, task: { ...(spec.task ?? emptyTaskSpec), forceUpdate: 1 } }
  world.retry(() => world.findLeader(), {
    caller: localCaller,
    body: {
      kind: 'serviceUpdate',
      serviceUpdate: { ...emptyServiceUpdate, id, version: meta?.version ?? 0, spec: changed },
    },
  })
}

/** Every three seconds whoever leads dies, and is up again a second later. */
function killLeaders(world: World, isOver: () => boolean): void {
  const kill = (): void => {
    if (isOver()) return
    const leader = world.findLeader()
    if (leader !== undefined) {
      leader.crash('none')
      world.schedule.after(DEAD_MS, () => world.restart(leader))
    }
    world.schedule.after(LEADER_LIVES_MS + DEAD_MS, kill)
  }
  world.schedule.after(LEADER_LIVES_MS, kill)
}

const SEEDS = [1, 2]

test.for(
  SEEDS.flatMap((seed) => [
    { seed, order: 'stop-first' as const, down: 3, extra: 0 },
    { seed, order: 'start-first' as const, down: 0, extra: 3 },
  ]),
)(
  'a $order update finishes whoever leads, within its parallelism (seed $seed)',
  ({ seed, order, ...most }) => {
    const world = newWorld(seed, { order, delayMs: 2_000 })
    let isOver = false
    killLeaders(world, () => isOver)
    beginUpdate(world)
    const seen = { down: 0, extra: 0 }

    until(
      world,
      () => {
        const slots = listSlots(world)
        const distinct = new Set(slots).size
        seen.down = Math.max(seen.down, REPLICAS - distinct)
        seen.extra = Math.max(seen.extra, slots.length - distinct)
        isOver = serviceOf(world).updateStatus?.state === 'completed'
        return isOver
      },
      300_000,
    )

    expect(seen.down).toBeLessThanOrEqual(most.down)
    expect(seen.extra).toBeLessThanOrEqual(most.extra)
    expect(seen.down + seen.extra).toBeGreaterThan(0)
    expect(leaderOf(world).manager?.status().term).toBeGreaterThan(3)
    expect(world.violations).toEqual([])
  },
)

test.for(
  SEEDS.flatMap((seed) => [
    { seed, order: 'stop-first' as const },
    { seed, order: 'start-first' as const },
  ]),
)(
  'a $order update that is never healthy rolls back whoever leads, and three quarters serve (seed $seed)',
  ({ seed, order }) => {
    const world = newWorld(seed, { order, failureAction: 'rollback', maxFailureRatio: 0.25 })
    const old = new Set([...world.checkers.reference.view().tasks.list()].map(({ id }) => id))
    let isOver = false
    killLeaders(world, () => isOver)
    beginUpdate(world)
    let least = REPLICAS

    until(
      world,
      () => {
        const service = serviceOf(world)
        const isNew = service.updateStatus?.state === 'updating'
        for (const { runtime } of world.nodes.values())
          runtime.ailments.rates = { ...NO_AILMENTS, stillborn: isNew ? 1 : 0 }
        const running = listRunning(world)
        least = Math.min(least, running.filter((id) => old.has(id)).length)
        isOver = service.updateStatus?.state === 'rollback-completed' && running.length === REPLICAS
        return isOver
      },
      300_000,
    )

    expect(least).toBeGreaterThanOrEqual(0.75 * REPLICAS)
    expect(world.violations).toEqual([])
  },
)
