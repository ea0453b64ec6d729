/**
 * Conjunctions: faults that do harm only together, at times that chance alone would meet too seldom.
 * Each is one that a rule of the design exists for: a proposal counts for one term, a full set is
 * no older than what the cluster has committed, a node that waits to register is alive.
 */
import { SwarmError } from '../../../lib/errors.ts'
import type { Message } from '../../../manager/raft/message.ts'
import type { Task } from '../../../proto/gen/objects.ts'
import { isFenced } from '../checkers/task-facts.ts'
import type { SimNode } from '../sim-node.ts'
import { Client, newCreation } from '../workload/client.ts'
import { drawFencedSpec } from '../workload/disconnect.ts'
import { drawServiceSpec } from '../workload/specs.ts'
import type { World } from '../world.ts'
import type { Fault, FaultContext } from './fault.ts'

/** A round of main that outlasts a change of leader, and is no stall that costs the leadership. */
const LONG_ROUND_MS = 2_800
/** Longer than five heartbeat periods. */
const DISKS_HANG_MS = 13_000
/** Long enough for another leader, and for the one who is cut off to notice. */
const DEPOSED_MS = 3_000
const READ_EVERY_MS = 50
/** So much lies between what an agent did and what the manager that it returns to knows. */
const LAG_MS = 8_000
/** Longer than it takes until a node is down, a fence is over, and another task runs in the slot. */
const FENCED_MS = 80_000
/** Other faults mend the network now and then. */
const CUT_AGAIN_MS = 500
/** A service of which a host could be cut off is looked for so often, and so many times. */
const FENCE_LOOK_MS = 10_000
const FENCE_TRIES = 4

export const conjunctionFaults: readonly Fault[] = [
  { name: 'leadership lost and won in one round', classes: ['P4'], weight: 1, act: loseAndWin },
  { name: 'a set that comes twice', classes: [], weight: 1, act: repeatSet },
  {
    name: 'no memory beside a lagging manager',
    classes: ['A4', 'N9'],
    weight: 1,
    act: forgetAtLaggard,
  },
  { name: 'reads at a deposed leader', classes: ['N1'], weight: 1, act: readAtDeposed },
  { name: 'two writes of one name', classes: [], weight: 0.5, act: writeTwice },
  { name: 'a fenced agent starts again cut off', classes: [], weight: 1, act: restartCutOff },
  { name: 'registrations that wait', classes: ['A12', 'D8'], weight: 1, act: delayRegistrations },
]

/** What main proposes reaches the consensus thread when that leads again, in a later term. */
function loseAndWin({ world, later }: FaultContext): boolean {
  const leader = world.findLeader()
  if (leader === undefined || countVoters(leader) < 3) return false
  leader.stallAtProposalMs = LONG_ROUND_MS
  const handOver = (): void => {
    const now = world.listManagers().find((node) => node.consensus?.status().role === 'leader')
    if (now === undefined || (now === leader && leader.stallAtProposalMs > 0)) return
    now.consensus?.step({ kind: 'transfer' })
  }
  // The stall begins with the next proposal; until then nothing is handed over.
  const wait = (leftMs: number): void => {
    if (leader.stallAtProposalMs > 0 && leftMs > 0) later(50, () => wait(leftMs - 50))
    else if (leader.stallAtProposalMs > 0) leader.stallAtProposalMs = 0
    else for (const ms of [50, 900, 1_700]) later(ms, () => handOver())
  }
  wait(5_000)
  return true
}

function countVoters(node: SimNode): number {
  return (node.manager?.status().members ?? []).filter((member) => member.isVoter).length
}

/** The stream gives the next full set a second time, when newer ones have followed it. */
function repeatSet({ random }: FaultContext, node: SimNode): boolean {
  if (!node.isUp) return false
  node.repeatSetMs = 500 + random.integer(8_000)
  node.breakSession()
  return true
}

/**
 * One manager gets no entries for a while, but hears its leader. An agent that has done something
 * meanwhile forgets it with its disk, and comes back to that manager.
 */
function forgetAtLaggard({ world, random, later }: FaultContext): boolean {
  const leader = world.findLeader()
  const laggards = world.listManagers().filter((node) => node !== leader)
  const laggard = laggards[random.integer(Math.max(1, laggards.length))]
  // A manager would be missed among those who agree.
  const workers = [...world.nodes.values()].filter((node) => node.role === 'worker')
  const worker = workers[random.integer(Math.max(1, workers.length))]
  if (leader === undefined || laggard === undefined || worker?.isUp !== true) return false
  const drops = ({ to, type }: Message): boolean =>
    to === laggard.raftId && (type === 'append' || type === 'snapshot')
  world.drops = drops
  world.schedule.after(2 * LAG_MS, () => {
    if (world.drops === drops) world.drops = () => false
  })
  later(LAG_MS, () => {
    if (!worker.isUp || worker.runtime.listRunning().length === 0) return
    worker.crash('all')
    worker.removeAgentState()
    const others = world.listManagers().filter((node) => node !== laggard && node !== worker)
    const mend = cut(world, worker, others)
    later(LAG_MS, mend)
    world.restartLater(worker)
  })
  return true
}

/**
 * The daemon that is to stop its containers is not the one that was told so, and hears nobody. Where
 * nothing runs of which this can be said, a service is made for it.
 */
function restartCutOff(context: FaultContext): boolean {
  if (restartFencedHost(context)) return true
  const { world, random, later } = context
  const leader = world.findLeader()
  if (leader === undefined) return false
  const name = `fenced-${random.integer(2 ** 32)}`
  const label = world.history.newLabel()
  new Client(world).write(leader, newCreation(drawFencedSpec(name, label, random), label))
  const look = (tries: number): void => {
    if (!restartFencedHost(context) && tries > 1) later(FENCE_LOOK_MS, () => look(tries - 1))
  }
  later(FENCE_LOOK_MS, () => look(FENCE_TRIES))
  return true
}

function restartFencedHost({ world, random, later }: FaultContext): boolean {
  // Of a global service none takes its place elsewhere.
  const isReplaced = (task: Task): boolean => task.slot > 0 && isFenced(task)
  const hosts = [...world.nodes.values()].filter(
    (node) => node.isUp && node.role === 'worker' && node.runtime.listRunning().some(isReplaced),
  )
  const host = hosts[random.integer(Math.max(1, hosts.length))]
  if (host === undefined) return false
  const others = [...world.nodes.values()].filter((node) => node !== host)
  const untilMs = world.schedule.nowMs + FENCED_MS + random.integer(20_000)
  const cutAgain = (): void => {
    const mend = cut(world, host, others)
    if (world.schedule.nowMs >= untilMs) mend()
    else later(CUT_AGAIN_MS, cutAgain)
  }
  cutAgain()
  host.crash('all')
  world.restartLater(host)
  return true
}

/** Nothing becomes durable for longer than a silent node is up, and all agents open new sessions. */
function delayRegistrations({ world, random, later }: FaultContext): boolean {
  if (world.findLeader() === undefined) return false
  const untilMs = world.schedule.nowMs + DISKS_HANG_MS + random.integer(4_000)
  for (const node of world.listManagers()) node.diskHungUntilMs = untilMs
  later(200, () => {
    for (const node of world.nodes.values()) node.breakSession()
  })
  return true
}

/** It is asked for what is committed while the others elect another leader, who commits more. */
function readAtDeposed({ world, later }: FaultContext): boolean {
  const leader = world.findLeader()
  const others = world.listManagers().filter((node) => node !== leader)
  if (leader === undefined || others.length < 2) return false
  later(DEPOSED_MS, cut(world, leader, others))
  for (let ms = 0; ms < DEPOSED_MS; ms += READ_EVERY_MS) later(ms, () => readAt(world, leader))
  return true
}

function readAt(world: World, node: SimNode): void {
  const began = world.checkers.readBegins()
  node.read((outcome) => {
    const view = node.manager?.view()
    if (outcome instanceof SwarmError || view === undefined) return
    world.checkers.readAnswered(node, Math.min(outcome, view.index), began)
  })
}

/**
 * Two ask for one service at one time: one is refused because of the other, and is told so once that
 * is committed.
 */
function writeTwice({ world, random }: FaultContext): boolean {
  const leader = world.findLeader()
  if (leader === undefined) return false
  const name = `twice-${random.integer(2 ** 32)}`
  const onRefused = ({ code }: SwarmError): void => {
    // It may be gone already when the answer comes (seed 831640).
    if (code === 'already-exists' && !world.checkers.wasThere(name))
      world.violation(`S10: ${name} was refused for a service that nobody has committed`)
  }
  // Where another one leads before they are evaluated, either may be the first.
  for (let copy = 0; copy < 2; copy++) {
    const label = world.history.newLabel()
    const creation = newCreation(drawServiceSpec(name, label, random), label)
    new Client(world).write(leader, { ...creation, onRefused })
  }
  return true
}

/** They do not reach each other, until the result is called. */
export function cut(world: World, node: SimNode, others: readonly SimNode[]): () => void {
  for (const other of others) {
    world.network.cut(node.id, other.id)
    world.network.cut(other.id, node.id)
  }
  world.refreshPeers()
  return () => {
    for (const other of others) {
      world.network.mend(node.id, other.id)
      world.network.mend(other.id, node.id)
    }
    world.refreshPeers()
  }
}
