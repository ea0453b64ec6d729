/**
 * Replacement: the log of a new member in the place of another one's, in the same directory, with a
 * state that was made of it (force-new-cluster). It owns how that is one step: snapshot file first,
 * then a segment of the new member that says whose log it goes on from. The moment that segment has
 * its name the older ones are void; before, nothing has changed. What the new state is, and that
 * the node then calls itself by the new Raft id, is left to its callers. See docs/log.md.
 */
import { type Disk, isDiskError } from '../../lib/disk.ts'
import type { SnapshotMeta } from '../../proto/gen/wal.ts'
import type { HardState } from '../raft/message.ts'
import { isReplacement, listHeads, replay } from './replay.ts'
import type { DataKeys } from './seal.ts'
import type { WalIdentity } from './segment.ts'
import { SnapshotWriter } from './snapshot-file.ts'
import { removeLeftovers, Wal, type WalOptions } from './wal.ts'

/** What the new member begins with. */
export type ReplacementState = {
  readonly hardState: HardState
  /** Above every entry of the old log. */
  readonly snapshot: SnapshotMeta
  readonly chunks: Iterable<Uint8Array>
}

/**
 * The log in `directory`, which nobody has open, is that of `options.identity`. Refused as by
 * `openWal`; on a full disk (`resource-exhausted`) nothing has changed.
 */
export function replaceLog(
  disk: Disk,
  directory: string,
  options: WalOptions & { readonly replaces: WalIdentity },
  state: ReplacementState,
): void {
  const { replaces, keys } = options
  const { hardState, snapshot } = state
  removeLeftovers(disk, directory)
  const replayed = replay(disk, directory, { identity: replaces, keys })
  const writer = new SnapshotWriter(disk, directory, { ...options, meta: snapshot })
  try {
    for (const chunk of state.chunks) writer.write(chunk)
    writer.finish()
  } catch (error) {
    if (isDiskError(error, 'enospc')) writer.abort()
    throw error
  }
  const begun = { ...replayed, hardState, snapshot, entries: [] }
  new Wal(disk, directory, options, begun, replaces.raftId).compact(snapshot.index)
}

/** The Raft id of the member whose log took the place of this one's; undefined if none did. */
export function findReplacement(
  disk: Disk,
  directory: string,
  options: { readonly keys: DataKeys; readonly raftId: number },
): number | undefined {
  const metadata = listHeads(disk, directory, options.keys).findLast(isReplacement)?.metadata
  return metadata?.replacesRaftId === options.raftId ? metadata.raftId : undefined
}
