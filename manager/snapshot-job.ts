/**
 * Snapshots of the store as the main thread makes and takes them: one is saved a few chunks a round,
 * so that a large store delays nothing; one is restored into a store of its own, which the manager
 * then puts in the place of the old one. When one is wanted is decided in `compaction.ts`.
 */
import { joinBytes } from '../lib/bytes.ts'
import { emptyStoreEntry } from '../proto/gen/store.ts'
import { SnapshotReader, saveSnapshot } from './store/snapshot.ts'
import { Store } from './store/store.ts'

/** Saving the state that the store had when the job began. */
export class SnapshotJob {
  /** Log index of that state. */
  readonly index: number
  readonly #chunks: Iterator<Uint8Array>
  #saved: Uint8Array[] = []

  constructor(store: Store) {
    this.index = store.view().index
    this.#chunks = saveSnapshot(store)
  }

  /** Goes on until the round's time is used up; the whole snapshot once it is finished. */
  run(isOver: () => boolean): Uint8Array | undefined {
    do {
      const next = this.#chunks.next()
      if (next.done === true) return joinBytes(this.#saved)
      this.#saved.push(next.value)
    } while (!isOver())
    return undefined
  }
}

/** A store in the state of a snapshot at `index`; without bytes it is the empty one. */
export function restoreStore(index: number, bytes: Uint8Array): Store {
  const reader = new SnapshotReader()
  reader.feed(bytes)
  const store = bytes.length === 0 ? new Store() : reader.finish()
  const view = store.view()
  if (view.index < index) store.apply(index, { ...emptyStoreEntry, timeMs: view.timeMs })
  return store
}
