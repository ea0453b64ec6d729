/**
 * Stories of whole clusters in simulated time: who leads after a fault and how soon, and that an
 * agent never follows a manager back in time. What seeds find is the simulator's.
 */
import { expect, test } from 'vitest'
import { localCaller } from '../../manager/manager.ts'
import {
  emptyAnnotations,
  emptyContainerSpec,
  emptyServiceSpec,
  emptyTaskSpec,
  type ServiceSpec,
} from '../../proto/gen/specs.ts'
import { calmCluster, isFormed, leaderOf, until } from './calm.ts'
import { setRole } from './operator.ts'
import type { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

function isOtherLeading(world: World, before: SimNode): () => boolean {
  return () =>
    world.listManagers().some((node) => node !== before && node.manager?.isLeading === true)
}

function followerOf(world: World): SimNode {
  const follower = world.listManagers().find((node) => node !== leaderOf(world))
  if (follower === undefined) throw new Error('no follower')
  return follower
}

function serviceOf(replicas: number): ServiceSpec {
  return {
    ...emptyServiceSpec,
    annotations: { ...emptyAnnotations, name: 'web' },
    task: { ...emptyTaskSpec, container: { ...emptyContainerSpec, image: 'busybox:1' } },
    mode: { kind: 'replicated', replicated: { replicas } },
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

test('a killed leader is replaced within a second', () => {
  const times = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((seed) => {
    const world = calmCluster(seed)
    const leader = leaderOf(world)
    leader.crash('some')
    return until(world, isOtherLeading(world, leader))
  })

  expect(median(times)).toBeLessThanOrEqual(1_000)
  expect(Math.max(...times)).toBeLessThanOrEqual(2_000)
})

test('a leader that is cut off silently is replaced within three seconds', () => {
  const times = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((seed) => {
    const world = calmCluster(seed)
    const leader = leaderOf(world)
    for (const node of world.nodes.values()) {
      world.network.cut(leader.id, node.id)
      world.network.cut(node.id, leader.id)
    }
    return until(world, isOtherLeading(world, leader))
  })

  expect(Math.max(...times)).toBeLessThanOrEqual(3_000)
})

test('a leader whose main thread stalls has handed over within six seconds, for good', () => {
  const times = [1, 2, 3, 4, 5].map((seed) => {
    const world = calmCluster(seed)
    const leader = leaderOf(world)
    leader.mainStalledUntilMs = world.schedule.nowMs + 20_000
    const tookMs = until(world, isOtherLeading(world, leader))
    world.run(world.schedule.nowMs + 30_000)
    expect(world.violations).toEqual([])
    expect(leader.isUp).toBe(true)
    return tookMs
  })

  expect(Math.max(...times)).toBeLessThanOrEqual(6_000)
})

test('a process whose main thread never goes on again ends after thirty seconds', () => {
  const world = calmCluster(1)
  const leader = leaderOf(world)

  leader.mainStalledUntilMs = world.schedule.nowMs + 120_000

  expect(until(world, () => !leader.isUp)).toBeLessThanOrEqual(31_000)
})

test.for([1, 2, 3, 4, 5])(
  'a follower with an old copy of its directory stops no newer task (seed %s)',
  (seed) => {
    const world = calmCluster(seed)
    const [follower, worker] = [followerOf(world), world.nodes.get('w1')]
    if (worker === undefined) throw new Error('no worker')
    const copy = follower.disk.snapshotDirectory('raft')
    const spec = serviceOf(8)
    world.retry(() => leaderOf(world), {
      caller: localCaller,
      body: { kind: 'serviceCreate', serviceCreate: { spec } },
    })
    until(world, () => running(world) === 8)
    const before = worker.runtime.listRunning().map((task) => task.id)
    const started = worker.agent?.status().mark.index ?? 0
    // What it forgets, the two others keep: what is committed stays on a quorum's disks.
    const lastOf = (node: SimNode): number => world.checkers.durable(node).lastIndex
    until(world, () => new Set(world.listManagers().map(lastOf)).size === 1)

    follower.crash('all')
    follower.disk.restore('raft', copy)
    world.checkers.replaced(follower)
    // The worker reaches nobody but the one who has forgotten, and that one nobody at first.
    for (const node of world.listManagers()) {
      for (const other of [follower, worker]) {
        world.network.cut(node.id, other.id)
        world.network.cut(other.id, node.id)
      }
    }
    follower.boot()
    world.run(world.schedule.nowMs + 9_000)
    const alone = worker.runtime.listRunning().map((task) => task.id)
    // A new leader has no memory of what this follower once acknowledged; the old one would end it.
    const leader = leaderOf(world)
    leader.crash('all')
    world.run(world.schedule.nowMs + 500)
    world.restart(leader)
    until(world, () => world.findLeader() !== undefined)
    // Now it knows the leader, and passes on what the worker says, but lags behind.
    const isEntries = (type: string): boolean => type === 'append' || type === 'snapshot'
    world.drops = (message) => message.to === follower.raftId && isEntries(message.type)
    world.network.heal()
    for (const node of world.listManagers()) {
      if (node === follower) continue
      world.network.cut(node.id, worker.id)
      world.network.cut(worker.id, node.id)
    }
    world.run(world.schedule.nowMs + 20_000)
    const behind = worker.runtime.listRunning().map((task) => task.id)
    world.drops = () => false
    until(world, () => worker.agent?.status().session === 'running')
    world.run(world.schedule.nowMs + 9_000)

    expect(alone).toEqual(before)
    expect(behind).toEqual(before)
    expect(behind).toEqual(before)
    expect(worker.runtime.listRunning().map((task) => task.id)).toEqual(before)
    expect(worker.agent?.status().mark.index).toBeGreaterThanOrEqual(started)
    expect(world.violations).toEqual([])
  },
)

test.for([1, 2, 3])(
  'an agent leaves a manager that hears its leader but gets no entries (seed %s)',
  (seed) => {
    const world = calmCluster(seed)
    const [laggard, worker] = [followerOf(world), world.nodes.get('w1')]
    if (worker === undefined) throw new Error('no worker')
    const others = world.listManagers().filter((node) => node !== laggard)
    const isAtLaggard = (): boolean =>
      worker.agent?.status().session === 'running' &&
      worker.agent.listManagers()[0]?.addr === laggard.addr
    for (const { id } of others) world.network.cut(id, worker.id)
    until(world, isAtLaggard)
    for (const { id } of others) world.network.mend(id, worker.id)
    world.retry(() => leaderOf(world), {
      caller: localCaller,
      body: { kind: 'serviceCreate', serviceCreate: { spec: serviceOf(8) } },
    })
    until(world, () => running(world) === 8)
    expect(isAtLaggard()).toBe(true)

    world.drops = ({ to, type }) =>
      to === laggard.raftId && (type === 'append' || type === 'snapshot')
    const service = leaderOf(world).manager?.view().services.list()[Symbol.iterator]().next().value
    world.retry(() => leaderOf(world), {
      caller: localCaller,
      body: { kind: 'serviceRemove', serviceRemove: { id: service?.id ?? '' } },
    })
    const tookMs = until(world, () => worker.runtime.listRunning().length === 0)
    world.run(world.schedule.nowMs + 60_000)

    expect(tookMs).toBeLessThanOrEqual(25_000)
    // It does not come back, and counts as heard all the time.
    expect(isAtLaggard()).toBe(false)
    expect(worker.agent?.status()).toMatchObject({ session: 'running' })
    expect(worker.agent?.status().sessionStarts).toBeLessThanOrEqual(4)
    expect(world.violations).toEqual([])
  },
)

test('a leader that was stopped and goes on answers no read with what it knew (P3)', () => {
  const world = calmCluster(3)
  const paused = leaderOf(world)
  let acknowledged = 0
  let seen: number | string | undefined

  paused.pause(8_000)
  paused.read((outcome) => {
    seen = typeof outcome === 'number' ? outcome : outcome.code
  })
  until(world, isOtherLeading(world, paused))
  world.retry(
    () => world.listManagers().find((node) => node !== paused && node.manager?.isLeading),
    {
      caller: localCaller,
      body: { kind: 'serviceCreate', serviceCreate: { spec: serviceOf(2) } },
    },
    ({ index }) => {
      acknowledged = index
    },
  )
  until(world, () => acknowledged > 0)
  expect(paused.isPaused).toBe(true)
  until(world, () => seen !== undefined)

  expect(typeof seen === 'string' || Number(seen) >= acknowledged).toBe(true)
  expect(world.violations).toEqual([])
})

test('a manager with a damaged log ends, is rebuilt, and takes part again as another member', () => {
  const world = calmCluster(5)
  const follower = followerOf(world)
  const before = follower.raftId
  const path = `raft/${follower.disk.list('raft').findLast((name) => name.endsWith('.segment'))}`
  const bytes = follower.disk.read(path, 0, follower.disk.size(path))
  const lastByte = bytes.findLastIndex((byte) => byte !== 0)

  until(world, () => world.atlas.isSpare(follower))
  follower.crash('all')
  follower.disk.flipBit(path, lastByte * 8)
  world.atlas.damaged(follower, false)
  world.restart(follower)
  const isUp = follower.isUp
  until(world, () => follower.raftId !== before && follower.raftId !== 0 && isFormed(world))

  expect(isUp).toBe(false)
  expect(world.coverage.get('damage refused')).toBe(1)
  expect(world.violations).toEqual([])
})

test('a manager that was demoted while it was down with a damaged log is rebuilt too (seed 100153)', () => {
  const world = calmCluster(5)
  const follower = followerOf(world)
  const path = `raft/${follower.disk.list('raft').findLast((name) => name.endsWith('.segment'))}`

  until(world, () => world.atlas.isSpare(follower))
  follower.crash('all')
  follower.disk.flipBit(path, 8 * 8)
  world.atlas.damaged(follower, false)
  setRole(world, follower.id, { role: 'worker' })
  const { reference } = world.checkers
  until(world, () => reference.view().nodes.get(follower.id)?.member === undefined)
  const isSpare = world.atlas.isSpare(leaderOf(world))
  world.restart(follower)
  until(world, () => follower.isUp && follower.raftId === 0)

  expect(isSpare).toBe(false)
  expect(world.violations).toEqual([])
})

test('a log that does not open without having been damaged is a violation', () => {
  const world = calmCluster(5)
  const follower = followerOf(world)
  const path = `raft/${follower.disk.list('raft').findLast((name) => name.endsWith('.segment'))}`

  follower.crash('all')
  follower.disk.flipBit(path, 8 * 8)
  world.restart(follower)

  expect(world.violations.join()).toContain('is damaged at byte')
})

test('two runs of a seed leave the same trace', () => {
  const run = (): string => {
    const world = calmCluster(11)
    world.run(world.schedule.nowMs + 5_000)
    return world.hash
  }

  expect(run()).toBe(run())
})

function running(world: World): number {
  return [...world.nodes.values()].reduce((sum, node) => sum + node.runtime.listRunning().length, 0)
}
