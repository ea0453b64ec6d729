/**
 * Whom the simulator's operator takes for a host that knows no manager any more (docs/disasters.md), and
 * whom not: one that could find a manager by what it was told must find it by itself.
 */
import { expect, test } from 'vitest'
import { calmCluster, until } from './calm.ts'
import { Chaos } from './faults/chaos.ts'
import { setRole } from './operator.ts'
import { StrangerWatch } from './stranger.ts'
import type { World } from './world.ts'

/** While w1 is down: `m4` is a manager, and those of before are none, but for those that are kept. */
function replaceManagers(world: World, kept: readonly string[] = []): void {
  world.nodes.get('w1')?.crash('all')
  const before = world.listManagers().filter(({ id }) => ![...kept, 'm4'].includes(id))
  if (!world.nodes.has('m4')) world.join('m4', 'manager')
  until(world, () => world.nodes.get('m4')?.manager !== undefined)
  for (const { id } of before) setRole(world, id, { role: 'worker' })
  until(world, () => before.every(({ manager, raftId }) => manager === undefined && raftId === 0))
}

/** w1 starts, and the operator looks for so long, ms. */
function watch(world: World, ms: number): void {
  const node = world.nodes.get('w1')
  if (node !== undefined) world.restart(node)
  const strangers = new StrangerWatch(world)
  const untilMs = world.schedule.nowMs + ms
  while (world.schedule.nowMs < untilMs) {
    strangers.look()
    world.run(world.schedule.nowMs + 2_000)
  }
}

function stateOf(world: World, id: string): string | undefined {
  return world.checkers.reference.view().nodes.get(id)?.status?.state
}

test.each([1, 2, 3])(
  'a worker whose managers were all replaced while it was down is taken in anew (seed 75193), %i',
  (seed) => {
    const world = calmCluster(seed)
    replaceManagers(world)

    watch(world, 60_000)

    expect(world.retired.has('w1')).toBe(true)
    expect([stateOf(world, 'w1'), stateOf(world, 'w2')]).toEqual([undefined, 'ready'])
    expect(world.violations).toEqual([])
  },
)

test('a worker that knows one manager which still is one finds it by itself', () => {
  const world = calmCluster(1)
  replaceManagers(world, ['m2'])

  watch(world, 60_000)

  expect([world.retired.has('w1'), stateOf(world, 'w1')]).toEqual([false, 'ready'])
})

test('a worker that forgot a manager which it was told of is not helped', () => {
  const world = calmCluster(1)
  const worker = world.nodes.get('w1')
  world.join('m4', 'manager')
  until(world, () => worker?.heardOf.has('m4:2377') === true)
  replaceManagers(world)
  if (worker === undefined) throw new Error('no worker')
  worker.managers = [{ nodeId: 'm1', addr: 'm1:2377' }]
  worker.disk.restore('agent', new Map())
  world.checkers.agentReplaced(worker, undefined)

  watch(world, 60_000)

  expect([world.retired.has('w1'), stateOf(world, 'w1')]).toEqual([false, 'down'])
})

test('a host whose state of the agent was lost knows whom its identity names', () => {
  const world = calmCluster(1)
  const worker = world.nodes.get('w1')
  const known = (): readonly (boolean | undefined)[] => [
    worker?.heardOf.has('m1:2377'),
    worker?.managers.some(({ addr }) => addr === 'm1:2377'),
  ]
  const before = known()

  worker?.crash('all')
  worker?.removeAgentState()

  expect([before, known()]).toEqual([
    [true, true],
    [false, true],
  ])
})

test('a daemon that is about to stop when all is healed starts again (seed 75241)', () => {
  const world = calmCluster(1)
  const worker = world.nodes.get('w1')
  for (const id of ['m1', 'm2', 'm3']) {
    world.network.cut('w1', id)
    world.network.cut(id, 'w1')
  }
  worker?.stop(60_000)
  const wasUp = worker?.isUp

  new Chaos(world).heal()
  until(world, () => worker?.isUp === false)
  until(world, () => stateOf(world, 'w1') === 'ready' && worker?.isUp === true)

  expect(wasUp).toBe(true)
})
