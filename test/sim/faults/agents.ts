/**
 * Faults of agents, their runtimes and their sessions (peers.md 3.3, A). Adoption (A3) comes with each
 * start of a daemon whose containers live, and containers that ignore SIGTERM (A8) are a rate of the seed.
 */
import { wasStarted } from '../../../agent/task.ts'
import { decodeAgentState, type KnownTask } from '../../../proto/gen/agent.ts'
import type { SimNode } from '../sim-node.ts'
import type { World } from '../world.ts'
import type { Fault, FaultContext } from './fault.ts'
import { crash } from './process.ts'

/** Announced at a clean stop, as `node/node.ts` does. */
const RETURN_MS = 60_000
/** A node that is not heard for this long is down (five periods). */
const DOWN_AFTER_MS = 10_000

export const agentFaults: readonly Fault[] = [
  { name: 'power cut', classes: ['A7', 'P1'], weight: 1, act: cutPower },
  { name: 'clean stop', classes: [], weight: 1, act: stop },
  { name: 'agent cut off', classes: [], weight: 1, act: cutOff },
  { name: 'lost agent state', classes: ['A4'], weight: 0.5, act: loseState },
  { name: 'agent state set back', classes: [], weight: 1, act: setBack },
  { name: 'runtime hangs', classes: ['A5'], weight: 0.5, act: hangRuntime },
  { name: 'runtime restarts', classes: ['A5'], weight: 0.5, act: restartRuntime },
  { name: 'orphan container', classes: ['A5'], weight: 0.5, act: leaveOrphan },
  { name: 'registry down', classes: [], weight: 1, act: breakRegistry },
  { name: 'leader cut off from managers', classes: ['A9'], weight: 1, act: cutOffLeader },
  { name: 'session breaks in a set', classes: [], weight: 1, act: breakInSet },
  { name: 'late statuses', classes: [], weight: 1, act: delayStatuses },
  { name: 'all sessions break', classes: ['A12'], weight: 0.5, act: breakAll },
]

/** The machine is off: daemon and containers are gone. */
function cutPower(context: FaultContext, node: SimNode): boolean {
  if (!crash(context, node)) return false
  node.runtime.powerCut()
  return true
}

/** SIGTERM, and a start before or after the time that was announced. */
function stop({ world, random, later }: FaultContext, node: SimNode): boolean {
  if (!node.isUp) return false
  node.stop(RETURN_MS)
  const isInTime = random.integer(2) === 0
  const awayMs = isInTime ? 11_000 + random.integer(30_000) : RETURN_MS + random.integer(20_000)
  later(awayMs, () => {
    if (node.isUp) return
    world.reached('A1')
    world.restart(node)
  })
  return true
}

/** Nobody reaches it for longer than it takes to count as down; its tasks go on meanwhile. */
function cutOff({ world, random, later }: FaultContext, node: SimNode): boolean {
  if (!node.isUp || node.runtime.listRunning().length === 0) return false
  cutBothWays(world, node, [...world.nodes.values()])
  later(DOWN_AFTER_MS + 2_000 + random.integer(20_000), () => {
    const state = world.checkers.reference.view().nodes.get(node.id)?.status?.state
    if (state === 'down' && node.runtime.listRunning().length > 0) world.reached('A2')
    world.network.heal()
    world.refreshPeers()
  })
  return true
}

function cutBothWays(world: World, node: SimNode, others: readonly SimNode[]): void {
  for (const other of others) {
    if (other === node) continue
    world.network.cut(node.id, other.id)
    world.network.cut(other.id, node.id)
  }
  world.refreshPeers()
}

function loseState({ world }: FaultContext, node: SimNode): boolean {
  if (!node.isUp || node.runtime.listRunning().length === 0) return false
  node.crash('all')
  node.removeAgentState()
  world.restartLater(node)
  return true
}

/**
 * The agent's state is put back to a copy from just before a task was started: alone, or with the
 * containers of its host as they were then (a virtual machine's snapshot). The managers know more.
 */
function setBack({ world, random, later }: FaultContext, node: SimNode): boolean {
  if (!node.isUp) return false
  const isWholeHost = random.integer(2) === 0
  const ageMs = 300 + random.integer(random.integer(4) === 0 ? 60_000 : 3_000)
  node.onAgentSaved = (state) => {
    if (!decodeAgentState(state).tasks.some(isBeforeStart)) return
    node.onAgentSaved = undefined
    const containers = node.runtime.copyContainers()
    later(ageMs, () => {
      if (!node.isUp || world.nodes.get(node.id) !== node || world.cloned.has(node.id)) return
      world.trace(`${node.id} is an older ${isWholeHost ? 'host' : 'agent'}`)
      world.reached('A4')
      node.crash('all')
      node.restoreAgentState(state)
      if (isWholeHost) node.restoreContainers(containers)
      world.restartLater(node)
    })
  }
  return true
}

function isBeforeStart({ task, status }: KnownTask): boolean {
  return task?.desiredState === 'running' && !wasStarted(status?.state ?? 'new')
}

function hangRuntime({ world, random }: FaultContext, node: SimNode): boolean {
  node.runtime.hungUntilMs = world.schedule.nowMs + 1_000 + random.integer(30_000)
  return true
}

function restartRuntime(_: FaultContext, node: SimNode): boolean {
  node.runtime.restart()
  return true
}

/** A container whose daemon died before it knew of it: found at the next start. */
function leaveOrphan({ world, random }: FaultContext, node: SimNode): boolean {
  if (!node.isUp) return false
  node.crash('all')
  node.runtime.addOrphan(`orphan-${random.integer(2 ** 32)}`)
  world.restartLater(node)
  return true
}

/** Of all nodes, or pulls of one node that neither end nor fail. */
function breakRegistry({ world, random }: FaultContext, node: SimNode): boolean {
  const untilMs = world.schedule.nowMs + 1_000 + random.integer(60_000)
  if (random.integer(2) === 0) node.runtime.pullsHungUntilMs = untilMs
  else for (const each of world.nodes.values()) each.runtime.registryDownUntilMs = untilMs
  return true
}

/** It believes for a while that it leads, and agents still hear it. */
function cutOffLeader({ world, random, later }: FaultContext): boolean {
  const leader = world.findLeader()
  const managers = world.listManagers()
  const isHeard = [...world.nodes.values()].some(
    (node) => node.sessionAt === leader && node.role === 'worker',
  )
  if (leader === undefined || managers.length < 3 || !isHeard) return false
  cutBothWays(world, leader, managers)
  later(2_000 + random.integer(15_000), () => {
    world.network.heal()
    world.refreshPeers()
  })
  return true
}

function breakInSet(_: FaultContext, node: SimNode): boolean {
  if (node.sessionAt === undefined) return false
  node.isSetLost = true
  return true
}

/** What the agent says takes seconds, and arrives when it has another session already. */
function delayStatuses({ world, random }: FaultContext, node: SimNode): boolean {
  if (node.sessionAt === undefined) return false
  node.sessionLateMs = 2_000 + random.integer(6_000)
  world.schedule.after(200 + random.integer(3_000), () => {
    node.breakSession()
    node.sessionLateMs = 0
  })
  return true
}

/** Half of the time with a change of leader. */
function breakAll(context: FaultContext, node: SimNode): boolean {
  const { world, random } = context
  if (random.integer(2) === 0) crash(context, world.findLeader() ?? node)
  for (const each of world.nodes.values()) each.breakSession()
  return true
}
