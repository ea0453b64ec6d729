/**
 * ForcedGroup: force-new-cluster on this node's disk (docs/disasters.md): the log of the survivor is
 * read, a group of one is made of it, and its log takes the old one's place in one step. A crash
 * before that step leaves the old group, one after it the new one, which `findForcedGroup` sees at
 * the next start although `identity/` names the old member still. What the new group holds is
 * decided in `manager/force-new-cluster.ts`.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { SwarmError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { planNewGroup } from '../manager/force-new-cluster.ts'
import { newRaftId } from '../manager/member-join.ts'
import { loadSnapshot } from '../manager/persist.ts'
import { findReplacement, replaceLog } from '../manager/wal/replacement.ts'
import type { DataKeys } from '../manager/wal/seal.ts'
import { openWal } from '../manager/wal/wal.ts'
import type { Member } from '../proto/gen/types.ts'
import { LOG_MARK } from './identity.ts'
import { NodeDisk } from './io/disk.ts'
import { systemRandom } from './io/random.ts'
import { findDamage } from './log-damage.ts'

const DIRECTORY = 'raft'

export type OldMember = {
  readonly stateDirectory: string
  readonly clusterId: string
  readonly raftId: number
  readonly keys: DataKeys
}

/** Who the log belongs to now, and the epoch of its group. */
export type ForcedGroup = { readonly raftId: number; readonly epoch: number }

/** The log, which nobody has open, is that of a group with one member, at these addresses. */
export function forceNewGroup(
  old: OldMember,
  options: { readonly place: Omit<Member, 'raftId'>; readonly wallMs: number; readonly log: Log },
): ForcedGroup {
  const { clusterId, raftId, keys } = old
  using disk = new NodeDisk(old.stateDirectory)
  const replaces = { clusterId, raftId }
  const log = { keys, random: systemRandom, mark: LOG_MARK }
  const opened = openWal(disk, DIRECTORY, { ...log, identity: replaces })
  const snapshot = loadSnapshot(opened)
  if (snapshot === undefined)
    throw new SwarmError(
      'failed-precondition',
      'this manager has nothing of the swarm yet, force-new-cluster needs one that had caught up',
    )
  const member = { raftId: newRaftId({ members: [], random: systemRandom }), ...options.place }
  const { hardState, entries } = opened
  const group = planNewGroup({ hardState, entries, snapshot }, member, options.wallMs)
  replaceLog(
    disk,
    DIRECTORY,
    { ...log, identity: { clusterId, raftId: member.raftId }, replaces },
    { hardState: group.hardState, snapshot: group.snapshot, chunks: [group.snapshot.data] },
  )
  const { index } = group.snapshot
  const { epoch, uncommitted } = group
  options.log.warn({ index, epoch, uncommitted }, 'this manager goes on alone')
  return { raftId: member.raftId, epoch }
}

/** The Raft id that the log has by a force-new-cluster which a crash cut short; else undefined. */
export function findForcedGroup(old: OldMember): number | undefined {
  const { stateDirectory, keys, raftId } = old
  if (!existsSync(join(stateDirectory, DIRECTORY))) return undefined
  using disk = new NodeDisk(stateDirectory)
  try {
    return findReplacement(disk, DIRECTORY, { keys, raftId })
  } catch (error) {
    throw (error instanceof Error ? findDamage(error, stateDirectory) : undefined) ?? error
  }
}
