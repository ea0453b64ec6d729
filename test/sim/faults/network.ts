/**
 * Faults of the network between hosts (peers.md 3.3, N). Loss, duplication, reordering and long
 * delays (N5 to N8) are rates that the seed draws (`drawRates` of the world) and that get worse for a
 * while here; the network counts what they do.
 */
import type { SimNode } from '../sim-node.ts'
import type { Fault, FaultContext } from './fault.ts'

const LONGEST_MS = 20_000
const FLAP_MS = 1_500

export const networkFaults: readonly Fault[] = [
  { name: 'partition', classes: ['N1'], weight: 1, act: partition },
  { name: 'leader in the minority', classes: ['N1'], weight: 0.5, act: isolateLeader },
  { name: 'one-way cut', classes: ['N2'], weight: 1, act: cutOneWay },
  { name: 'deaf or mute leader', classes: ['N2'], weight: 0.5, act: cutLeaderOneWay },
  { name: 'partial partition', classes: ['N3'], weight: 1, act: cutPair },
  { name: 'flapping link', classes: ['N4'], weight: 1, act: flap },
  { name: 'bad network', classes: [], weight: 1, act: worsen },
  { name: 'slow receiver', classes: ['N9'], weight: 1, act: clog },
  { name: 'swizzle', classes: ['N10'], weight: 0.5, act: swizzle },
  { name: 'heal', classes: [], weight: 1, act: healNetwork },
]

/** `from` does not reach `to`. */
type Way = { readonly from: SimNode; readonly to: SimNode }

function cutFor(context: FaultContext, ways: readonly Way[], ms: number): boolean {
  const { world } = context
  if (ways.length === 0) return false
  for (const { from, to } of ways) world.network.cut(from.id, to.id)
  world.refreshPeers()
  context.later(ms, () => {
    for (const { from, to } of ways) world.network.mend(from.id, to.id)
    world.refreshPeers()
  })
  return true
}

function bothWays(a: SimNode, b: SimNode): readonly Way[] {
  return [
    { from: a, to: b },
    { from: b, to: a },
  ]
}

function durationMs({ random }: FaultContext): number {
  return 500 + random.integer(LONGEST_MS)
}

/** Two sides that do not hear each other. */
function partition(context: FaultContext): boolean {
  const nodes = [...context.world.nodes.values()]
  const side = new Set(nodes.filter(() => context.random.integer(2) === 0))
  const ways = nodes.flatMap((a) =>
    nodes.filter((b) => side.has(a) && !side.has(b)).flatMap((b) => bothWays(a, b)),
  )
  return cutFor(context, ways, durationMs(context))
}

/** The leader with at most a minority of the managers, and some of the workers. */
function isolateLeader(context: FaultContext): boolean {
  const { world, random } = context
  const leader = world.findLeader()
  const managers = world.listManagers().filter((node) => node !== leader)
  if (leader === undefined || managers.length < 2) return false
  const company = managers.slice(0, random.integer(Math.floor((managers.length + 2) / 2)))
  const workers = [...world.nodes.values()].filter((node) => node.role === 'worker')
  const side = new Set([leader, ...company, ...workers.filter(() => random.integer(2) === 0)])
  const others = [...world.nodes.values()].filter((node) => !side.has(node))
  const ways = [...side].flatMap((a) => others.flatMap((b) => bothWays(a, b)))
  return cutFor(context, ways, durationMs(context))
}

function cutOneWay(context: FaultContext, from: SimNode): boolean {
  const to = other(context, from)
  return to !== undefined && cutFor(context, [{ from, to }], durationMs(context))
}

/** It sends and hears nothing, or hears and cannot be heard. */
function cutLeaderOneWay(context: FaultContext): boolean {
  const leader = context.world.findLeader()
  if (leader === undefined) return false
  const isDeaf = context.random.integer(2) === 0
  const others = [...context.world.nodes.values()].filter((node) => node !== leader)
  const ways = others.map((node) =>
    isDeaf ? { from: node, to: leader } : { from: leader, to: node },
  )
  return cutFor(context, ways, durationMs(context))
}

/** A and B do not hear each other, and both hear C. */
function cutPair(context: FaultContext): boolean {
  const managers = context.world.listManagers()
  const a = managers[context.random.integer(Math.max(1, managers.length))]
  const rest = managers.filter((node) => node !== a)
  const b = rest[context.random.integer(Math.max(1, rest.length))]
  if (a === undefined || b === undefined || managers.length < 3) return false
  return cutFor(context, bothWays(a, b), durationMs(context))
}

/** Cut and mended again and again, at times shorter and longer than an election. */
function flap(context: FaultContext, a: SimNode): boolean {
  const b = other(context, a)
  if (b === undefined) return false
  const untilMs = context.world.schedule.nowMs + durationMs(context)
  const again = (): void => {
    if (context.world.schedule.nowMs > untilMs) return
    cutFor(context, bothWays(a, b), 20 + context.random.integer(FLAP_MS))
    context.later(50 + context.random.integer(2 * FLAP_MS), again)
  }
  again()
  return true
}

/** The rates get worse for all, and then are the seed's again. */
function worsen(context: FaultContext): boolean {
  const { network, rates } = context.world
  const { random } = context
  network.rates = {
    loss: random.fraction() * 0.3,
    duplication: random.fraction() * 0.5,
    delayMeanMs: rates.delayMeanMs * (1 + random.integer(5)),
    spike: random.fraction() * 0.05,
  }
  context.later(durationMs(context), () => {
    network.rates = rates
  })
  return true
}

/** What one end sends waits for the other, which takes it late, or never. */
function clog(context: FaultContext, from: SimNode): boolean {
  const { world, random } = context
  const to = other(context, from)
  if (to === undefined) return false
  world.network.clog(from.id, to.id)
  context.later(durationMs(context), () =>
    world.network.unclog(from.id, to.id, random.integer(3) > 0),
  )
  return true
}

/** One node after another is cut off or clogged, and they come back in another order. */
function swizzle(context: FaultContext): boolean {
  const { world, random } = context
  const nodes = [...world.nodes.values()]
  const chosen = shuffled(context, nodes).slice(0, 1 + random.integer(nodes.length))
  if (nodes.length < 2) return false
  const isClog = random.integer(2) === 0
  const ways = (node: SimNode): readonly Way[] =>
    nodes.filter((each) => each !== node).flatMap((each) => bothWays(node, each))
  let atMs = 0
  for (const node of chosen) {
    context.later(atMs, () => {
      for (const { from, to } of ways(node))
        if (isClog) world.network.clog(from.id, to.id)
        else world.network.cut(from.id, to.id)
      world.refreshPeers()
    })
    atMs += random.integer(1_500)
  }
  for (const node of shuffled(context, chosen)) {
    atMs += random.integer(1_500)
    context.later(atMs, () => {
      for (const { from, to } of ways(node))
        if (isClog) world.network.unclog(from.id, to.id, true)
        else world.network.mend(from.id, to.id)
      world.refreshPeers()
    })
  }
  return true
}

function shuffled({ random }: FaultContext, nodes: readonly SimNode[]): readonly SimNode[] {
  const left = [...nodes]
  const order: SimNode[] = []
  while (left.length > 0) order.push(...left.splice(random.integer(left.length), 1))
  return order
}

function other({ world, random }: FaultContext, node: SimNode): SimNode | undefined {
  const others = [...world.nodes.values()].filter((each) => each !== node)
  return others[random.integer(Math.max(1, others.length))]
}

/** Whatever is cut or clogged now is not any more. */
function healNetwork({ world }: FaultContext): boolean {
  world.network.heal()
  world.refreshPeers()
  return true
}
