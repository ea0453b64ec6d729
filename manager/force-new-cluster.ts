/**
 * Force-new-cluster: a group of one out of the log of one survivor, when the quorum is lost for
 * good (docs/disasters.md). The whole log counts, also what is not known to be committed: an entry
 * that the survivor holds may have been acknowledged, and one that never was has an unknown
 * outcome, so carrying it out is allowed. All of it goes into one snapshot, in a term above every
 * one the survivor knows, with this member alone, under a Raft id that the old members do not know:
 * none of their messages is meant for it. The cluster's epoch goes up, so that agents follow it
 * although its index may be lower than what they saw. What stays of nodes, services and tasks is
 * everything. `manager/wal` puts it on the disk (`replaceLog`).
 */
import { joinBytes } from '../lib/bytes.ts'
import { SwarmError } from '../lib/errors.ts'
import { decodeSnapshotPayload, encodeSnapshotPayload } from '../proto/gen/consensus.ts'
import { decodeStoreEntry, emptyStoreEntry, type StoreEntry } from '../proto/gen/store.ts'
import type { Member } from '../proto/gen/types.ts'
import { type Entry, emptyConfState, type HardState, NONE, type Snapshot } from './raft/message.ts'
import { newEntry } from './store/entry.ts'
import { SnapshotReader, saveSnapshot } from './store/snapshot.ts'
import { Store } from './store/store.ts'

/** What the survivor's log holds. */
export type SurvivingLog = {
  readonly hardState: HardState
  readonly snapshot: Snapshot
  /** All after the snapshot. */
  readonly entries: readonly Entry[]
}

export type NewGroup = {
  readonly hardState: HardState
  readonly snapshot: Snapshot
  readonly epoch: number
  /** How many of the entries were not known to be committed. */
  readonly uncommitted: number
}

/**
 * The group of `member` alone that goes on from the log; `wallMs` stamps the change of the epoch.
 * SwarmError 'failed-precondition' where the log holds no cluster yet, 'unimplemented' where it
 * holds what a newer version wrote.
 */
export function planNewGroup(log: SurvivingLog, member: Member, wallMs: number): NewGroup {
  const store = storeOf(log.snapshot)
  for (const entry of log.entries) store.apply(entry.index, storeEntryOf(entry, store))
  const { index, timeMs, clusters } = store.view()
  const [cluster] = clusters.list()
  if (cluster === undefined)
    throw new SwarmError(
      'failed-precondition',
      'the log of this manager holds no cluster yet: it has never caught up with the others',
    )
  const epoch = cluster.epoch + 1
  const change = { kind: 'update', table: 'clusters', object: { ...cluster, epoch } } as const
  store.apply(index + 1, newEntry([change], { timeMs, wallMs }))
  const lastTerm = log.entries.at(-1)?.term ?? log.snapshot.term
  const term = Math.max(log.hardState.term, lastTerm) + 1
  return {
    hardState: { term, vote: NONE, commit: index + 1 },
    snapshot: {
      index: index + 1,
      term,
      confState: { ...emptyConfState, voters: [member.raftId] },
      data: encodeSnapshotPayload({
        members: [member],
        store: joinBytes([...saveSnapshot(store)]),
      }),
    },
    epoch,
    uncommitted: log.entries.filter((entry) => entry.index > log.hardState.commit).length,
  }
}

function storeOf(snapshot: Snapshot): Store {
  const { store: bytes } = decodeSnapshotPayload(snapshot.data)
  const reader = new SnapshotReader()
  reader.feed(bytes)
  const store = bytes.length === 0 ? new Store() : reader.finish()
  const { index, timeMs } = store.view()
  if (index < snapshot.index) store.apply(snapshot.index, { ...emptyStoreEntry, timeMs })
  return store
}

/** Leaders' first entries and membership changes say nothing to the store. */
function storeEntryOf(entry: Entry, store: Store): StoreEntry {
  return entry.type !== 'normal' || entry.data.length === 0
    ? { ...emptyStoreEntry, timeMs: store.view().timeMs }
    : decodeStoreEntry(entry.data)
}
