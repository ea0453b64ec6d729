/**
 * Store: the replicated state of one manager. It applies log entries in order, fills each object's
 * `meta`, and gives views that never change. At most one working view is open at a time, the
 * leader's writer's. What goes into an entry was checked by handlers and reconcilers; what does not
 * fit the state here is a bug, and stops the node rather than let managers differ (DESIGN section 5).
 */
import { assert } from '../../lib/assert.ts'
import { emptyMeta, type Meta } from '../../proto/gen/objects.ts'
import type { StoreEntry } from '../../proto/gen/store.ts'
import { fromStoreChange, type Put, type Remove } from './change.ts'
import { newTableSet, type TableSet, viewOf } from './table-set.ts'
import type { TableName, View } from './view.ts'
import { Working } from './working.ts'

export class Store {
  readonly #tables: TableSet = newTableSet()
  /** Of the last applied entry; 0 before the first. */
  #index = 0
  #timeMs = 0
  /** The view of that index, once somebody asked for it. */
  #view: View | undefined
  #working: Working | undefined

  /**
   * Afterwards the state is that of `index`, which must be above the last one, and the entry's
   * cluster time not below. SwarmError 'unimplemented', with nothing applied, when the entry holds
   * what this version does not know.
   */
  apply(index: number, entry: StoreEntry): void {
    assert(index > this.#index, 'entries are applied in order', { index, last: this.#index })
    assert(entry.timeMs >= this.#timeMs, 'cluster time never goes back', {
      index,
      timeMs: entry.timeMs,
      lastMs: this.#timeMs,
    })
    const changes = entry.changes.map(fromStoreChange)
    this.#index = index
    this.#timeMs = entry.timeMs
    this.#view = undefined
    for (const change of changes) {
      if (change.kind === 'remove') this.#remove(change)
      else this.#put(change, entry.wallMs)
    }
    this.#working?.commit({ index, timeMs: entry.timeMs }, changes)
  }

  /** The state as of the last applied entry, frozen. Costs nothing, and may be kept. */
  view(): View {
    this.#view ??= viewOf(this.#tables, this.#index, this.#timeMs)
    return this.#view
  }

  /** A new working view on the applied state. The one before must have been dropped. */
  working(): Working {
    assert(this.#working === undefined, 'a store has one working view at a time')
    const head = { index: this.#index, timeMs: this.#timeMs }
    this.#working = new Working(this.#tables, head, () => {
      this.#working = undefined
    })
    return this.#working
  }

  #put<K extends TableName>(change: Put<K>, wallMs: number): void {
    const table = this.#tables[change.table]
    const before = table.get(change.object.id)
    const meta: Meta = {
      ...emptyMeta,
      version: this.#index,
      createdMs: before?.meta?.createdMs ?? wallMs,
      updatedMs: wallMs,
    }
    const object = { ...change.object, meta }
    if (change.kind === 'create') table.create(object)
    else table.update(object)
  }

  #remove<K extends TableName>(change: Remove<K>): void {
    this.#tables[change.table].remove(change.id)
  }
}
