/**
 * Replica: the replicated state as this manager holds it, and how it follows the log (DESIGN section
 * 5). Committed entries are applied one after another, none left out; a leader's snapshot takes the
 * place of everything; this manager's own is saved a little in each round. Who is told of the
 * changes, and what a state that differs means, is `manager.ts`'s.
 */
import { assert } from '../lib/assert.ts'
import { decodeStoreEntry, emptyStoreEntry } from '../proto/gen/store.ts'
import type { CommittedEntry } from './consensus-interface.ts'
import type { ManagerOutput } from './manager-interface.ts'
import { restoreStore, SnapshotJob } from './snapshot-job.ts'
import { type Change, fromStoreChange } from './store/change.ts'
import { Store } from './store/store.ts'
import type { View } from './store/view.ts'

/** For the consensus thread. */
type ToConsensus = Extract<ManagerOutput, { readonly kind: 'consensus' }>

/** What an entry did. */
export type Applied = {
  readonly changes: readonly Change[]
  /** Index at which the leader's digest is another than this manager's; undefined: at none. */
  readonly differsAt: number | undefined
}

export class Replica {
  readonly store: Store = new Store()
  /** While a snapshot of the store is being saved. */
  #snapshot: SnapshotJob | undefined

  view(): View {
    return this.store.view()
  }

  /** The entry is applied. Throws when one before it is missing, or its bytes are damaged. */
  apply({ index, data }: CommittedEntry): Applied {
    const { index: last, timeMs } = this.store.view()
    assert(index === last + 1, 'no entry is left out', { index, last })
    const entry = data.length === 0 ? { ...emptyStoreEntry, timeMs } : decodeStoreEntry(data)
    const check = this.store.apply(index, entry)
    return {
      changes: entry.changes.map(fromStoreChange),
      differsAt: check === 'different' ? (entry.digest?.index ?? 0) : undefined,
    }
  }

  /** The state is that of the snapshot, built beside the old one. */
  install(index: number, bytes: Uint8Array): void {
    this.store.replaceBy(restoreStore(index, bytes))
    this.#snapshot = undefined
  }

  beginSnapshot(): void {
    this.#snapshot = new SnapshotJob(this.store)
  }

  /** Saving goes on until the round's time is used up; what consensus is told once it is done. */
  saveSnapshot(isOver: () => boolean): ToConsensus | undefined {
    const store = this.#snapshot?.run(isOver)
    if (this.#snapshot === undefined || store === undefined) return undefined
    const { index } = this.#snapshot
    this.#snapshot = undefined
    return { kind: 'consensus', input: { kind: 'snapshot', index, store } }
  }

  /** Settings that the consensus thread goes by; undefined before there is a cluster. */
  settings(): ToConsensus | undefined {
    const [cluster] = this.store.view().clusters.list()
    if (cluster?.spec === undefined) return undefined
    const { snapshotIntervalEntries, logEntriesForSlowFollowers, keepOldSnapshots } = cluster.spec
    return {
      kind: 'consensus',
      input: {
        kind: 'settings',
        snapshotEntries: snapshotIntervalEntries,
        keepEntries: logEntriesForSlowFollowers,
        keepOldSnapshots,
      },
    }
  }
}
