/**
 * Stories of force-new-cluster in simulated time (M10): managers are gone for good, one goes on alone,
 * tasks are not touched, agents follow the new epoch, and old managers that return are kept out, one
 * by one or as a quorum that answers clients until it hears of the new group.
 */
import { expect, test } from 'vitest'
import { localCaller } from '../../manager/manager.ts'
import type { View } from '../../manager/store/view.ts'
import { decodeAgentState, encodeAgentState } from '../../proto/gen/agent.ts'
import {
  emptyAnnotations,
  emptyConfigSpec,
  emptyContainerSpec,
  emptyServiceSpec,
  emptyTaskSpec,
  type ServiceSpec,
} from '../../proto/gen/specs.ts'
import { calmCluster, leaderOf, until } from './calm.ts'
import { checkHistory } from './checkers/registers.ts'
import { watchOverRest } from './faults/quorum.ts'
import { forceNewCluster } from './force.ts'
import { setRole } from './operator.ts'
import type { SimNode } from './sim-node.ts'
import { Client } from './workload/client.ts'
import { withLabel } from './workload/specs.ts'
import type { World } from './world.ts'

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

function followerOf(world: World): SimNode {
  const follower = world.listManagers().find((node) => node !== leaderOf(world))
  if (follower === undefined) throw new Error('no follower')
  return follower
}

/** A client makes a config at this manager; what came of it, once there is an answer. */
function writeConfig(world: World, at: SimNode, name: string): () => string | undefined {
  let came: string | undefined
  const label = world.history.newLabel()
  const annotations = withLabel({ ...emptyAnnotations, name }, label)
  new Client(world).write(
    at,
    {
      kind: 'config',
      name,
      request: { kind: 'create', label },
      body: {
        kind: 'configCreate',
        configCreate: { spec: { ...emptyConfigSpec, annotations, data: new Uint8Array([1]) } },
      },
      seen: undefined,
      onRefused: ({ code }) => {
        came = code
      },
    },
    () => {
      came = 'done'
    },
  )
  return () => came
}

function configsOf(view: View | undefined): readonly string[] {
  return [...(view?.configs.list() ?? [])].map(({ spec }) => spec?.annotations?.name ?? '').sort()
}

function cutAll(world: World, node: SimNode): void {
  for (const other of world.nodes.values()) {
    world.network.cut(node.id, other.id)
    world.network.cut(other.id, node.id)
  }
}

const SEEDS = [1, 2, 3, 4, 5]

test.for(SEEDS)('one survivor goes on alone, and no task is touched (seed %s)', (seed) => {
  const world = newWorld(seed)
  const survivor = followerOf(world)
  // What a majority without it was told is lost with them; this one has all.
  until(world, () => survivor.manager?.view().index === world.checkers.reference.view().index)
  const gone = world.listManagers().filter((node) => node !== survivor)
  const before = running(world)
  for (const node of gone) node.crash('all')
  world.run(world.schedule.nowMs + 10_000)

  survivor.disk.dieAfter(seed * 7)
  forceNewCluster(world, survivor)
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
})

test.for(SEEDS)(
  'what only the lost managers had acknowledged is gone for clients too (seed %s)',
  (seed) => {
    const world = newWorld(seed)
    const survivor = followerOf(world)
    const kept = writeConfig(world, leaderOf(world), 'kept')
    until(world, () => kept() === 'done' && configsOf(survivor.manager?.view()).includes('kept'))
    world.drops = ({ to, type }) => to === survivor.raftId && type === 'append'
    const lost = writeConfig(world, leaderOf(world), 'lost')
    until(world, () => lost() === 'done')
    const gone = world.listManagers().filter((node) => node !== survivor)
    for (const node of gone) node.crash('all')
    world.drops = () => false

    forceNewCluster(world, survivor)
    until(world, () => world.findLeader() === survivor)
    const again = writeConfig(world, survivor, 'lost')
    until(world, () => again() === 'done')
    new Client(world).list(survivor, 'config', ['kept', 'lost'])
    world.run(world.schedule.nowMs + 1_000)

    expect(configsOf(survivor.manager?.view())).toEqual(['kept', 'lost'])
    expect([...checkHistory(world.history)]).toEqual([])
    expect(world.violations).toEqual([])
  },
)

test.for(SEEDS)(
  'old managers that return are shut out, and their agents follow (seed %s)',
  (seed) => {
    const world = newWorld(seed)
    const survivor = followerOf(world)
    const gone = world.listManagers().filter((node) => node !== survivor)
    for (const node of gone) node.crash('all')
    forceNewCluster(world, survivor)
    until(world, () => world.findLeader() === survivor)

    for (const node of gone) world.restart(node)
    until(world, () => gone.every((node) => node.shutOutBy === 2 && node.manager === undefined))
    for (const node of gone) {
      node.crash('all')
      world.restart(node)
    }
    until(world, () => gone.every((node) => node.agent?.status().mark.epoch === 2))
    world.run(world.schedule.nowMs + 20_000)

    expect(gone.every((node) => node.isUp && node.manager === undefined && node.hasLog)).toBe(true)
    expect(survivor.manager?.status().members).toHaveLength(1)
    expect(world.violations).toEqual([])
  },
)

test.for(SEEDS)(
  'an old quorum answers until it hears of the new group, and no agent follows it (seed %s)',
  (seed) => {
    const world = newWorld(seed)
    const survivor = followerOf(world)
    const worker = world.nodes.get('w1')
    const old = world.listManagers().filter((node) => node !== survivor)
    for (const node of old) node.crash('all')
    forceNewCluster(world, survivor)
    until(world, () => worker?.agent?.status().mark.epoch === 2)
    const before = worker?.runtime.listRunning().map((task) => task.id)

    world.letsOldGroupsAnswer = true
    cutAll(world, survivor)
    for (const node of old) world.restart(node)
    until(world, () => old.some((node) => node.manager?.isLeading === true))
    world.run(world.schedule.nowMs + 15_000)
    const mark = worker?.agent?.status().mark
    const during = worker?.runtime.listRunning().map((task) => task.id)
    world.network.heal()
    until(world, () => old.every((node) => node.shutOutBy === 2 && node.manager === undefined))
    until(world, () => world.findLeader() === survivor)

    expect(mark?.epoch).toBe(2)
    expect(during).toEqual(before)
    expect(world.violations).toEqual([])
  },
)

test.for(SEEDS)(
  'who was removed before the quorum was lost, and has not noticed, is not forgotten (seed 75315), %s',
  (seed) => {
    const world = calmCluster(seed)
    const removed = followerOf(world)
    const { id, raftId } = removed
    cutAll(world, removed)
    const stored = () => world.checkers.reference.view().nodes.get(id)
    setRole(world, id, { role: 'worker', isWanted: () => stored()?.member !== undefined })
    until(world, () => stored()?.member === undefined)
    const survivor = leaderOf(world)
    const gone = world.listManagers().filter((node) => node !== survivor && node !== removed)
    for (const node of gone) node.crash('all')
    forceNewCluster(world, survivor)
    until(world, () => world.findLeader() === survivor)
    watchOverRest(world, 1, gone)

    // Promoted before it noticed that, and again before it notices the operator's demotion.
    setRole(world, id, { role: 'manager' })
    until(world, () => stored()?.spec?.role === 'manager')
    world.network.heal()
    until(world, () => removed.shutOutBy === 2 && removed.manager === undefined)
    cutAll(world, removed)
    world.run(world.schedule.nowMs + 25_000)
    setRole(world, id, { role: 'manager' })
    until(world, () => stored()?.spec?.role === 'manager')
    world.network.heal()
    until(world, () => removed.raftId !== raftId)
    until(world, () => (removed.manager !== undefined) === (stored()?.spec?.role === 'manager'))

    expect(removed.epoch === 2 || removed.raftId === 0).toBe(true)
    expect(world.violations).toEqual([])
  },
)

/** The node's agent has heard of this manager, by its disk. */
function tellAgent(node: SimNode, { id, addr }: SimNode): void {
  const bytes = node.disk.read('agent/state', 0, node.disk.size('agent/state'))
  const state = decodeAgentState(bytes)
  const managers = [...state.managers, { nodeId: id, addr }]
  node.restoreAgentState(encodeAgentState({ ...state, managers }))
}

test.for(SEEDS)(
  'an old manager whose members are none any more is shut out by one that its agent knows (seed %s)',
  (seed) => {
    const world = newWorld(seed)
    const survivor = followerOf(world)
    const [old, ...others] = world.listManagers().filter((node) => node !== survivor)
    if (old === undefined) throw new Error('no other manager')
    for (const node of [old, ...others]) node.crash('all')
    forceNewCluster(world, survivor)
    until(world, () => world.findLeader() === survivor)
    const joined = world.join('m4', 'manager')
    until(world, () => joined.manager !== undefined)
    setRole(world, survivor.id, { role: 'worker' })
    until(world, () => survivor.raftId === 0 && joined.manager?.isLeading === true)

    tellAgent(old, joined)
    world.restart(old)
    const isBack = old.manager !== undefined
    until(world, () => old.shutOutBy === 2 && old.manager === undefined)

    expect(isBack).toBe(true)
    expect([old.hasLog, old.epoch]).toEqual([true, 1])
    expect(world.violations).toEqual([])
  },
)
