/**
 * Ends of logs, and what is in force at them: faults that leave entries where few have them, or where
 * all have them and nobody knows that they are committed, or a member behind what it knows to be
 * committed. Each brings about at once what loss, slow disks and a slow main bring about together in
 * long runs, for the rules that stand on it: an append joins what it follows, a write takes the place
 * of one that waits, a leader begins with an entry of its own, a campaign knows its configuration.
 */
import type { Message } from '../../../manager/raft/message.ts'
import { emptyAnnotations, emptyConfigSpec } from '../../../proto/gen/specs.ts'
import { setRole } from '../operator.ts'
import type { SimNode } from '../sim-node.ts'
import { Client } from '../workload/client.ts'
import { withLabel } from '../workload/specs.ts'
import { cut } from './conjunctions.ts'
import type { Fault, FaultContext } from './fault.ts'
import { crash } from './process.ts'

/** A leader has so many proposals on their way at once. */
const WRITES = 4
const WRITE_EVERY_MS = 60
const WRITE_BYTES = 500
/** By then the writes are in the logs of all that hear the leader. */
const WRITTEN_MS = 500
/** From its death to its return the leader is away for so long. */
const AWAY_MS = 200
/** Long enough for two elections. */
const TAIL_MS = 8_000
/** The member that is parted returns by then, whoever leads. */
const PARTED_MS = 5_000
const LOOK_MS = 20
/** Main may stand still for so long before its member counts as not fit to lead. */
const STALL_MS = 2_800
/** A demoted manager is one again after so long. */
const DEMOTED_MS = 8_000
const CHANGE_MAX_MS = 6_000

export const tailFaults: readonly Fault[] = [
  { name: 'a tail that one disk waits for', classes: ['D8', 'N1'], weight: 1, act: leaveTail },
  {
    name: 'a leader dies before it commits',
    classes: ['N2', 'P1'],
    weight: 1,
    act: dieUncommitted,
  },
  { name: 'behind a change of members', classes: ['P4'], weight: 1, act: returnBehindChange },
]

/**
 * One follower has entries that no other will ever have, on a disk that takes its time. It hears of the
 * next leader, whose log ends where the tail begins: what replaces the tail is given to the disk
 * together with it. Or only of the one after that, whose log has other entries there; its refusal
 * waits for the disk.
 */
function leaveTail(context: FaultContext): boolean {
  const { world, later } = context
  const found = findGroup(context)
  if (found === undefined) return false
  const { leader, one: keeper, others } = found
  const untilMs = world.schedule.nowMs + TAIL_MS
  leader.diskHungUntilMs = untilMs
  keeper.diskHungUntilMs = untilMs
  const mendLeader = cut(world, leader, others)
  writeAt(context, leader)
  later(WRITTEN_MS, () => {
    // What it wrote is on no disk; without it the others may need its vote.
    leader.crash('all')
    leader.diskHungUntilMs = 0
    const mendKeeper = cut(world, keeper, [leader, ...others])
    later(AWAY_MS, () => {
      mendLeader()
      if (!leader.isUp) world.restart(leader)
      whenLed(context, [leader, ...others], mendKeeper)
    })
  })
  return true
}

/** Done when one of them leads, or hands over at once and the next one does, or after some seconds. */
function whenLed(
  { world, random, later }: FaultContext,
  nodes: readonly SimNode[],
  done: () => void,
): void {
  const isFirstHeard = random.integer(2) === 0
  const endMs = world.schedule.nowMs + PARTED_MS
  let first: SimNode | undefined
  const look = (): void => {
    const now = nodes.find((node) => node.consensus?.status().role === 'leader')
    const isHeard = now !== undefined && now !== first && (isFirstHeard || first !== undefined)
    if (isHeard || world.schedule.nowMs > endMs) {
      done()
      return
    }
    if (first === undefined && now !== undefined) now.consensus?.step({ kind: 'transfer' })
    first ??= now
    later(LOOK_MS, look)
  }
  look()
}

/** All have what it wrote; it hears of nobody that has it, and dies. The next one commits all at once. */
function dieUncommitted(context: FaultContext): boolean {
  const { world } = context
  const found = findGroup(context)
  if (found === undefined) return false
  const { leader } = found
  const drops = ({ to, type }: Message): boolean =>
    to === leader.raftId && type === 'append-response'
  world.drops = drops
  writeAt(context, leader)
  world.schedule.after(WRITTEN_MS, () => {
    if (world.drops === drops) world.drops = () => false
  })
  context.later(WRITTEN_MS, () => crash(context, leader))
  return true
}

/**
 * A member goes out of the group. Another one, which knows that, starts anew where nobody hears it, and
 * its main is slow: it is given what is committed after its snapshot little by little, while its
 * election timer runs.
 */
function returnBehindChange(context: FaultContext): boolean {
  const { world, random, later } = context
  const found = findGroup(context)
  if (found === undefined) return false
  const { leader, one: node, others } = found
  const demoted = others[random.integer(others.length)]
  if (demoted === undefined) return false
  const untilMs = world.schedule.nowMs + CHANGE_MAX_MS
  setRole(world, demoted.id, {
    role: 'worker',
    isWanted: () => world.schedule.nowMs < untilMs,
  })
  world.schedule.after(DEMOTED_MS, () => setRole(world, demoted.id, { role: 'manager' }))
  const before = JSON.stringify(leader.consensus?.confState)
  const look = (): void => {
    if (world.schedule.nowMs > untilMs) return
    if (JSON.stringify(leader.consensus?.confState) === before) later(LOOK_MS, look)
    else {
      // What comes after the change tells the member that it is committed.
      writeAt(context, leader)
      later(WRITTEN_MS, () => restartAlone(context, node))
    }
  }
  look()
  return true
}

function restartAlone({ world, later }: FaultContext, node: SimNode): void {
  if (!node.isUp) return
  node.crash('all')
  later(
    STALL_MS,
    cut(
      world,
      node,
      world.listManagers().filter((other) => other !== node),
    ),
  )
  node.mainStalledUntilMs = world.schedule.nowMs + STALL_MS
  world.restart(node)
}

/** The leader of three voters or more, one of its followers, and the rest of them. */
function findGroup({
  world,
  random,
}: FaultContext):
  | { readonly leader: SimNode; readonly one: SimNode; readonly others: readonly SimNode[] }
  | undefined {
  const leader = world.findLeader()
  const voters = (leader?.consensus?.confState.voters ?? []).flatMap(
    (raftId) => world.findByRaftId(raftId) ?? [],
  )
  const followers = voters.filter((node) => node !== leader && node.consensus !== undefined)
  const one = followers[random.integer(Math.max(1, followers.length))]
  if (leader === undefined || one === undefined || followers.length < 2) return undefined
  return { leader, one, others: followers.filter((node) => node !== one) }
}

/** As many entries as a leader proposes without having committed any. */
function writeAt({ world, random, later }: FaultContext, leader: SimNode): void {
  for (let at = 0; at < WRITES; at++)
    later(at * WRITE_EVERY_MS, () => {
      if (leader.manager?.isLeading !== true) return
      const name = `tail-${random.integer(2 ** 32)}`
      const label = world.history.newLabel()
      const annotations = withLabel({ ...emptyAnnotations, name }, label)
      const spec = { ...emptyConfigSpec, annotations, data: new Uint8Array(WRITE_BYTES) }
      const body = { kind: 'configCreate', configCreate: { spec } } as const
      const request = { kind: 'create', label } as const
      new Client(world).write(leader, { kind: 'config', name, request, body, seen: undefined })
    })
}
