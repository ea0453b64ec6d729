/**
 * Force: the operator's way back when the quorum is lost for good (docs/disasters.md): one survivor
 * goes on alone. It is the twin of `node/forced-group.ts`, by the same machines, on a disk in whose
 * operations the process may die; then it is done again. What the new group must hold the checkers
 * are told from the survivor's log as it was, read by themselves.
 */
import { planNewGroup } from '../../manager/force-new-cluster.ts'
import { newRaftId } from '../../manager/member-join.ts'
import { loadSnapshot } from '../../manager/persist.ts'
import type { Entry, HardState, Snapshot } from '../../manager/raft/message.ts'
import { findReplacement, replaceLog } from '../../manager/wal/replacement.ts'
import { openWal, type WalOptions } from '../../manager/wal/wal.ts'
import { SimulatedCrash } from './disk.ts'
import type { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

const KEYS = { currentId: 1, keys: new Map([[1, new Uint8Array(32).fill(7)]]) }
const SEGMENT_BYTES = 32 * 1024

/** What the survivor's disk held. */
export type Surviving = {
  readonly hardState: HardState
  readonly snapshot: Snapshot
  readonly entries: readonly Entry[]
}

/** The group is this manager alone, in the next epoch; its daemon is up. */
export function forceNewCluster(world: World, node: SimNode): void {
  node.crash('all')
  node.disk.heal()
  const { raftId } = node
  let surviving: Surviving | undefined
  for (let isDone = false; !isDone; ) {
    try {
      surviving ??= readLog(world, node)
      replace(world, node, surviving)
      isDone = true
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) throw error
      node.disk.crash('some')
      isDone = findReplacement(node.disk, 'raft', { keys: KEYS, raftId }) !== undefined
    }
  }
  if (surviving === undefined) return
  node.raftId = findReplacement(node.disk, 'raft', { keys: KEYS, raftId }) ?? 0
  node.epoch++
  node.managers = [{ nodeId: node.id, addr: node.addr }]
  world.trace(`${node.id} goes on alone in epoch ${node.epoch}`)
  world.checkers.forced(node, surviving)
  world.restart(node)
}

function readLog(world: World, node: SimNode): Surviving {
  const opened = openWal(node.disk, 'raft', optionsOf(world, node.raftId))
  // What it had acknowledged is there, or nobody has it.
  world.checkers.opened(node, opened)
  const snapshot = loadSnapshot(opened)
  if (snapshot === undefined) throw new Error('a manager has a snapshot')
  return { hardState: opened.hardState, snapshot, entries: opened.entries }
}

function replace(world: World, node: SimNode, surviving: Surviving): void {
  const options = optionsOf(world, node.raftId)
  const { identity: replaces, random } = options
  const raftId = newRaftId({ members: [], random })
  const member = { raftId, nodeId: node.id, raftAddr: node.raftAddr, addr: node.addr }
  const { hardState, snapshot } = planNewGroup(surviving, member, world.wallMs())
  replaceLog(
    node.disk,
    'raft',
    { ...options, identity: { ...replaces, raftId }, replaces },
    { hardState, snapshot, chunks: [snapshot.data] },
  )
}

function optionsOf(world: World, raftId: number): WalOptions {
  const random = world.random.split(`force-${raftId}-${world.forces++}`)
  const identity = { clusterId: 'simulated', raftId }
  return { identity, keys: KEYS, random, segmentBytes: SEGMENT_BYTES }
}
