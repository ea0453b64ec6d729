/**
 * Working: the writer's view on top of the newest applied state, with its own changes, proposed or
 * not (DESIGN section 5, group commit). The writer runs a request or a round on it, takes the
 * changes, proposes them and goes on; when the entry is applied to the store, the objects here
 * become the applied ones. Until then `meta.version` is 0 (docs/store.md). It decides neither when
 * to propose nor what to answer; on loss of leadership the writer drops it, and nothing of it was
 * ever in the store.
 */
import { assert } from '../../lib/assert.ts'
import { type Change, changedId, type Put } from './change.ts'
import { PendingTable } from './pending.ts'
import { TABLE_NAMES } from './schema.ts'
import type { TableSet } from './table-set.ts'
import type { TableName, View } from './view.ts'

type PendingSet = { readonly [K in TableName]: PendingTable<K> }

/** Index and cluster time of the last applied entry. */
export type Head = { readonly index: number; readonly timeMs: number }

export class Working {
  /** Live: sees each change at once. Its index and time are those of the applied state below. */
  readonly view: View
  readonly #head: { index: number; timeMs: number }
  readonly #pending: PendingSet
  readonly #onDrop: () => void
  /** The changes that may be rolled back, oldest first. */
  #open: { readonly table: TableName; readonly id: string }[] = []
  /** How many changes were taken before those. */
  #takenCount = 0
  #isDropped = false

  /** For the store, whose own tables `base` are; it goes on to change them. */
  constructor(base: TableSet, head: Head, onDrop: () => void) {
    const pending = newPendingSet(base)
    const view = {
      index: head.index,
      timeMs: head.timeMs,
      clusters: pending.clusters.table,
      nodes: pending.nodes.table,
      services: pending.services.table,
      tasks: pending.tasks.table,
      secrets: pending.secrets.table,
      configs: pending.configs.table,
    }
    this.view = view
    this.#head = view
    this.#pending = pending
    this.#onDrop = onDrop
  }

  /**
   * Afterwards the view has the changes. A create of what is there, a change of what is not, and a
   * second use of a unique name are assertions; the changes before that one remain.
   */
  apply(changes: readonly Change[]): void {
    this.#assertUsable()
    for (const change of changes) {
      if (change.kind === 'remove') this.#pending[change.table].remove(change.id)
      else put(this.#pending, change)
      this.#open.push({ table: change.table, id: changedId(change) })
    }
  }

  /** A point to roll back to until changes are taken. */
  savepoint(): number {
    this.#assertUsable()
    return this.#takenCount + this.#open.length
  }

  /** Afterwards the changes since that savepoint have not been made. */
  rollback(to: number): void {
    this.#assertUsable()
    const length = to - this.#takenCount
    assert(length >= 0 && length <= this.#open.length, 'only what is not taken is rolled back', {
      to,
      taken: this.#takenCount,
      open: this.#open.length,
    })
    for (const { table, id } of this.#open.splice(length).reverse()) this.#pending[table].undo(id)
  }

  /**
   * The changes since the last call, to be proposed now: at most one for each object, in the order
   * in which the objects were first changed. They stay in the view.
   */
  takeChanges(): readonly Change[] {
    this.#assertUsable()
    const open = this.#open
    this.#open = []
    this.#takenCount += open.length
    const changes: Change[] = []
    for (const { table, id } of open) changes.push(...this.#pending[table].take(id))
    return changes
  }

  /** For the store: these changes, which were taken here, are applied to it. */
  commit(head: Head, changes: readonly Change[]): void {
    this.#head.index = head.index
    this.#head.timeMs = head.timeMs
    for (const name of TABLE_NAMES) {
      const ids = changes.filter(({ table }) => table === name).map(changedId)
      if (ids.length > 0) this.#pending[name].commit(ids)
    }
  }

  /** Afterwards it is of no use, and the store may open another. */
  drop(): void {
    this.#assertUsable()
    this.#isDropped = true
    this.#onDrop()
  }

  #assertUsable(): void {
    assert(!this.#isDropped, 'a dropped working view is not used')
  }
}

function newPendingSet(base: TableSet): PendingSet {
  return {
    clusters: new PendingTable(base.clusters),
    nodes: new PendingTable(base.nodes),
    services: new PendingTable(base.services),
    tasks: new PendingTable(base.tasks),
    secrets: new PendingTable(base.secrets),
    configs: new PendingTable(base.configs),
  }
}

function put<K extends TableName>(pending: PendingSet, change: Put<K>): void {
  pending[change.table].put(change)
}
