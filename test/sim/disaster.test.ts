/**
 * The story of force-new-cluster in simulated time: two of three managers are gone for good, one goes
 * on alone, tasks are not touched, and agents follow the new epoch.
 */
import { expect, test } from 'vitest'
import { planNewGroup } from '../../manager/force-new-cluster.ts'
import { localCaller } from '../../manager/manager.ts'
import { newRaftId } from '../../manager/member-join.ts'
import { loadSnapshot } from '../../manager/persist.ts'
import type { Entry } from '../../manager/raft/message.ts'
import { decodeEntry, newEntry } from '../../manager/store/entry.ts'
import { findReplacement, replaceLog } from '../../manager/wal/replacement.ts'
import { openWal, type WalOptions } from '../../manager/wal/wal.ts'
import {
  emptyAnnotations,
  emptyContainerSpec,
  emptyServiceSpec,
  emptyTaskSpec,
  type ServiceSpec,
} from '../../proto/gen/specs.ts'
import { calmCluster, until } from './calm.ts'
import { SimulatedCrash } from './disk.ts'
import type { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

const KEYS = { currentId: 1, keys: new Map([[1, new Uint8Array(32).fill(7)]]) }
const REPLICAS = 8

/** A calm cluster, all of a service running in it. */
function newWorld(seed: number): World {
  const world = calmCluster(seed)
  const spec: ServiceSpec = {
    ...emptyServiceSpec,
    annotations: { ...emptyAnnotations, name: 'web' },
    task: { ...emptyTaskSpec, container: { ...emptyContainerSpec, image: 'busybox:1' } },
    mode: { kind: 'replicated', replicated: { replicas: REPLICAS } },
  }
  world.retry(() => world.findLeader(), {
    caller: localCaller,
    body: { kind: 'serviceCreate', serviceCreate: { spec } },
  })
  until(world, () => running(world).length === REPLICAS)
  return world
}

/** On nodes whose daemons are up: what the others run is known to nobody. */
function running(world: World): readonly string[] {
  return [...world.nodes.values()]
    .filter((node) => node.isUp)
    .flatMap((node) => node.runtime.listRunning().map((task) => task.id))
}

function optionsOf(world: World, raftId: number): WalOptions {
  const random = world.random.split(`force-${raftId}`)
  const identity = { clusterId: 'simulated', raftId }
  return { identity, keys: KEYS, random, segmentBytes: 32 * 1024 }
}

/** As the daemon does it, by the same machines; the process may die in the middle. */
function force(world: World, node: SimNode): void {
  const options = optionsOf(world, node.raftId)
  const { identity: replaces, random } = options
  const opened = openWal(node.disk, 'raft', options)
  const snapshot = loadSnapshot(opened)
  if (snapshot === undefined) throw new Error('a manager has a snapshot')
  const raftId = newRaftId({ members: [], random })
  const member = { raftId, nodeId: node.id, raftAddr: node.raftAddr, addr: node.addr }
  const group = planNewGroup({ ...opened, snapshot }, member, world.wallMs())
  replaceLog(
    node.disk,
    'raft',
    { ...options, identity: { ...replaces, raftId }, replaces },
    { hardState: group.hardState, snapshot: group.snapshot, chunks: [group.snapshot.data] },
  )
}

/** What the checkers compare with takes the survivor's whole log, and goes into the next epoch. */
function advanceReference(world: World, entries: readonly Entry[]): void {
  const { reference } = world.checkers
  for (const { index, data } of entries) {
    if (index <= reference.view().index) continue
    const { timeMs } = reference.view()
    const isEmpty = data.length === 0
    reference.apply(index, isEmpty ? newEntry([], { timeMs, wallMs: 0 }) : decodeEntry(data))
  }
  const { index, timeMs, clusters } = reference.view()
  for (const cluster of clusters.list()) {
    const object = { ...cluster, epoch: cluster.epoch + 1 }
    const change = { kind: 'update', table: 'clusters', object } as const
    reference.apply(index + 1, newEntry([change], { timeMs, wallMs: world.wallMs() }))
  }
}

test.for([1, 2, 3, 4, 5])(
  'one survivor goes on alone, and no task is touched (seed %s)',
  (seed) => {
    const world = newWorld(seed)
    const leader = world.findLeader()
    const survivor = world.listManagers().find((node) => node !== leader)
    if (survivor === undefined) throw new Error('no survivor')
    // What a majority without it was told is lost with them; this one has all.
    until(world, () => survivor.manager?.view().index === world.checkers.reference.view().index)
    const gone = world.listManagers().filter((node) => node !== survivor)
    const before = running(world)
    for (const node of gone) node.crash('all')
    world.run(world.schedule.nowMs + 10_000)

    survivor.crash('all')
    const { entries } = openWal(survivor.disk, 'raft', optionsOf(world, survivor.raftId))
    survivor.disk.dieAfter(seed * 7)
    for (let isDone = false; !isDone; ) {
      try {
        force(world, survivor)
        isDone = true
      } catch (error) {
        if (!(error instanceof SimulatedCrash)) throw error
        survivor.disk.crash('some')
        const found = findReplacement(survivor.disk, 'raft', {
          keys: KEYS,
          raftId: survivor.raftId,
        })
        isDone = found !== undefined
      }
    }
    survivor.raftId =
      findReplacement(survivor.disk, 'raft', { keys: KEYS, raftId: survivor.raftId }) ?? 0
    world.checkers.replaced(survivor)
    advanceReference(world, entries)
    survivor.boot()
    until(world, () => world.findLeader() === survivor)
    const worker = world.nodes.get('w1')
    until(world, () => worker?.agent?.status().mark.epoch === 2)
    const kept = worker?.runtime.listRunning().map((task) => task.id) ?? []
    // The nodes of the others are down in time, and their tasks run on the two that are left.
    until(world, () => running(world).length === REPLICAS)

    expect(kept.length).toBeGreaterThan(0)
    expect(before).toEqual(expect.arrayContaining(kept))
    expect(running(world)).toEqual(expect.arrayContaining(kept))
    expect(world.violations).toEqual([])
  },
)
