/**
 * Stories of nodes and their roles in simulated time: turns that are too quick for a node to follow,
 * answers that get lost, hosts that come and go. Most were found by a seed.
 */
import { expect, test } from 'vitest'
import { calmCluster, leaderOf, until } from './calm.ts'
import { checkHistory } from './checkers/registers.ts'
import { setRole, takeOut } from './operator.ts'
import type { SimNode } from './sim-node.ts'
import { Client } from './workload/client.ts'
import { withLabel } from './workload/specs.ts'
import type { World } from './world.ts'

function nodeOf(world: World, id: string): SimNode {
  const node = world.nodes.get(id)
  if (node === undefined) throw new Error(`no node ${id}`)
  return node
}

function stored(world: World, id: string) {
  return world.checkers.reference.view().nodes.get(id)
}

function isVoter(world: World, id: string): boolean {
  const members = leaderOf(world).manager?.status().members ?? []
  return members.some((member) => member.nodeId === id && member.isVoter)
}

function followerIdOf(world: World): string {
  const follower = world.listManagers().find((node) => node !== leaderOf(world))
  if (follower === undefined) throw new Error('no follower')
  return follower.id
}

test.for([1, 2, 3])(
  'a manager that is demoted and promoted before it noticed joins the group anew (seed %s)',
  (seed) => {
    const world = calmCluster(seed)
    const id = followerIdOf(world)
    const before = nodeOf(world, id).raftId
    // Nothing gets to it while it is out.
    for (const node of world.nodes.values()) world.network.cut(node.id, id)
    let isOut = false
    setRole(world, id, { role: 'worker', isWanted: () => !isOut })
    until(world, () => stored(world, id)?.member === undefined)
    isOut = true
    setRole(world, id, { role: 'manager' })
    until(world, () => stored(world, id)?.spec?.role === 'manager')
    world.network.heal()

    until(world, () => world.findLeader() !== undefined && isVoter(world, id))

    expect(nodeOf(world, id).raftId).not.toBe(before)
    expect(world.violations).toEqual([])
  },
)

test('a node that was not told of its new certificate asks again', () => {
  const world = calmCluster(1)
  setRole(world, 'w1', { role: 'manager' })
  // The record says that it is a manager's, but the answer is lost with the process.
  until(world, () => stored(world, 'w1')?.certificateRole === 'manager')
  const isLost = nodeOf(world, 'w1').role === 'worker'
  nodeOf(world, 'w1').crash('all')
  world.run(world.schedule.nowMs + 1_000)
  world.restart(nodeOf(world, 'w1'))

  until(world, () => isVoter(world, 'w1'))

  expect(isLost).toBe(true)
  expect(world.violations).toEqual([])
})

test('a node does not leave while it changes its role (seed 290364)', () => {
  const world = calmCluster(1)
  setRole(world, 'w1', { role: 'manager' })
  until(world, () => stored(world, 'w1')?.certificateRole === 'manager')

  expect(nodeOf(world, 'w1').leave(() => undefined)).toBe(false)

  until(world, () => isVoter(world, 'w1'))
  expect(world.violations).toEqual([])
})

test('a node that leaves takes no other role', () => {
  const world = calmCluster(1)
  let isGone = false
  const leave = (): void => {
    isGone = true
  }

  expect(nodeOf(world, 'w1').leave(leave)).toBe(true)
  setRole(world, 'w1', { role: 'manager', isWanted: () => !isGone })
  until(world, () => isGone)

  expect(nodeOf(world, 'w1').role).toBe('worker')
  expect(world.violations).toEqual([])
})

test('a demoted node that dies on the way forgets its member at its next start', () => {
  const world = calmCluster(1)
  const id = followerIdOf(world)
  setRole(world, id, { role: 'worker' })
  until(world, () => stored(world, id)?.member === undefined)
  nodeOf(world, id).crash('all')
  world.run(world.schedule.nowMs + 1_000)
  world.restart(nodeOf(world, id))

  until(world, () => nodeOf(world, id).role === 'worker' && nodeOf(world, id).raftId === 0)

  expect(nodeOf(world, id).hasLog).toBe(false)
  setRole(world, id, { role: 'manager' })
  until(world, () => isVoter(world, id))
  expect(world.violations).toEqual([])
})

test('a manager whose host is gone for good is replaced by another one', () => {
  const world = calmCluster(1)
  const id = followerIdOf(world)

  takeOut(world, nodeOf(world, id))
  world.join('m4', 'manager')
  until(world, () => stored(world, id) === undefined && isVoter(world, 'm4'))

  expect(leaderOf(world).manager?.status().members).toHaveLength(3)
  expect(world.violations).toEqual([])
})

test('a labelled node whose host is gone for good is removed in the history of clients too (seeds 20028, 20088)', () => {
  const world = calmCluster(1)
  const client = new Client(world)
  const node = stored(world, 'w1')
  const version = node?.meta?.version ?? 0
  const to = world.history.nextLabel('w1')
  const annotations = withLabel(node?.spec?.annotations, to)
  const spec = node?.spec && { ...node.spec, annotations }
  client.write(leaderOf(world), {
    kind: 'node',
    name: 'w1',
    request: { kind: 'update', from: '', to },
    body: { kind: 'nodeUpdate', nodeUpdate: { id: 'w1', version, spec } },
    seen: { id: 'w1', version },
  })
  until(world, () => client.counts.acknowledged === 1)

  takeOut(world, nodeOf(world, 'w1'))
  until(world, () => stored(world, 'w1') === undefined)
  client.list(leaderOf(world), 'node', ['w1'])
  until(world, () => client.counts.acknowledged === 2)

  const calls = world.history.registers.get('node w1')?.calls ?? []
  expect(calls.map(({ request }) => request.kind)).toEqual(['update', 'remove', 'read'])
  expect(calls.at(-1)?.answer).toEqual({ kind: 'value', label: '' })
  expect([...checkHistory(world.history)]).toEqual([])
  expect(world.violations).toEqual([])
})

test("a manager's agent finds the managers that its own log names, though no session told of them", () => {
  const world = calmCluster(1)
  const node = nodeOf(world, followerIdOf(world))
  const others = world.listManagers().filter((other) => other !== node)
  let isOver = false
  const breakAgain = (): void => {
    node.breakSession()
    if (!isOver) world.schedule.after(0.5, breakAgain)
  }
  breakAgain()
  world.join('m4', 'manager')
  until(world, () => node.manager?.status().members.length === 4)
  // The managers that its sessions told of are none any more, for this node.
  for (const other of others) {
    world.network.cut(node.id, other.id)
    world.network.cut(other.id, node.id)
  }
  world.run(world.schedule.nowMs + 3_000)
  isOver = true

  until(world, () => node.agent?.status().session === 'running')

  expect(node.sessionAt?.id).toBe('m4')
  expect(world.violations).toEqual([])
})

/** The ways between these nodes and all others are cut, both ways. */
function cutOff(world: World, nodes: readonly SimNode[]): void {
  for (const node of nodes)
    for (const other of world.nodes.values()) {
      if (nodes.includes(other)) continue
      world.network.cut(node.id, other.id)
      world.network.cut(other.id, node.id)
    }
}

test('an agent that knows one manager only, which has lost its group, finds the others by its refusal (seeds 30002, 40126)', () => {
  const world = calmCluster(1)
  const [worker, manager] = [nodeOf(world, 'w1'), nodeOf(world, followerIdOf(world))]
  worker.crash('all')
  worker.removeAgentState()
  worker.managers = [{ nodeId: manager.id, addr: manager.addr }]
  cutOff(world, [manager, worker])
  world.run(world.schedule.nowMs + 3_000)
  world.restart(worker)
  world.run(world.schedule.nowMs + 3_000)
  world.network.heal()
  cutOff(world, [manager])

  until(world, () => worker.agent?.status().session === 'running')

  expect(worker.sessionAt).not.toBe(manager)
  expect(world.violations).toEqual([])
})

test('a demoted manager whom no session tells of it learns it by asking whether it is a member', () => {
  const world = calmCluster(1)
  const node = nodeOf(world, followerIdOf(world))
  cutOff(world, [node])
  setRole(world, node.id, { role: 'worker' })
  until(world, () => stored(world, node.id)?.member === undefined)
  // Its agent opens no session before its runtime answers.
  node.crash('all')
  node.runtime.hungUntilMs = Number.POSITIVE_INFINITY
  world.restart(node)
  world.network.heal()
  const isBack = node.manager !== undefined

  until(world, () => node.role === 'worker' && node.manager === undefined)

  expect([isBack, node.agent?.status().sessionStarts]).toEqual([true, 0])
  expect(world.violations).toEqual([])
})

test('an agent whose managers are none any more finds one that was a manager before and is again', () => {
  const world = calmCluster(1)
  const worker = nodeOf(world, 'w1')
  const before = world.listManagers()
  world.join('m4', 'manager')
  until(world, () => isVoter(world, 'm4'))
  for (const { id } of before) setRole(world, id, { role: 'worker' })
  until(world, () => world.listManagers().length === 1)
  until(world, () => worker.agent?.listManagers().length === 1)
  const known = worker.agent?.listManagers().map(({ nodeId }) => nodeId)
  cutOff(world, [worker])
  for (const { id } of before) setRole(world, id, { role: 'manager' })
  until(world, () => before.every(({ id }) => isVoter(world, id)))
  setRole(world, 'm4', { role: 'worker' })
  until(world, () => nodeOf(world, 'm4').manager === undefined)
  world.run(world.schedule.nowMs + 10_000)
  world.network.heal()

  until(world, () => worker.agent?.status().session === 'running')

  expect(known).toEqual(['m4'])
  expect(before).toContain(worker.sessionAt)
  expect(world.violations).toEqual([])
})
