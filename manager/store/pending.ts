/**
 * PendingTable: one table of the working view, on top of the store's own. It keeps, for each object
 * with changes that are not applied yet, what the object will be after each of them. Invariant: an
 * object is here what its last pending version says, and what the store has where none is pending.
 * So a commit undoes nothing: the version stops being pending, and the object becomes the store's.
 */
import { assert, defined } from '../../lib/assert.ts'
import { emptyMeta } from '../../proto/gen/objects.ts'
import type { Put, Remove } from './change.ts'
import type { Table } from './table.ts'
import type { TableName, Tables } from './view.ts'

/** What an object is after a change; undefined when removed. */
type Version<K extends TableName> = { readonly object: Tables[K] | undefined }

export class PendingTable<K extends TableName> {
  /** With all pending changes. */
  readonly table: Table<K>
  /** The store's, which changes when entries are applied. */
  readonly #base: Table<K>
  /** Id → versions in proposals, oldest first, one for each proposal that changes the object. */
  readonly #proposed: Map<string, Version<K>[]> = new Map()
  /** Id → versions not proposed yet, oldest first, one for each change. */
  readonly #open: Map<string, Version<K>[]> = new Map()

  constructor(base: Table<K>) {
    this.#base = base
    this.table = base.fork()
    this.table.remember()
  }

  /** Afterwards the object is as in `put`, at version 0. */
  put(put: Put<K>): void {
    const object: Tables[K] = {
      ...put.object,
      meta: { ...(put.object.meta ?? emptyMeta), version: 0 },
    }
    if (put.kind === 'create') this.table.create(object)
    else this.table.update(object)
    push(this.#open, object.id, { object })
  }

  remove(id: string): void {
    this.table.remove(id)
    push(this.#open, id, { object: undefined })
  }

  /** Afterwards the last open change of the object has not been made. */
  undo(id: string): void {
    const versions = defined(this.#open.get(id), 'an open change has its version')
    versions.pop()
    if (versions.length === 0) this.#open.delete(id)
    this.#settle(id)
  }

  /** The object's open changes as one that is now proposed; none where they come to nothing. */
  take(id: string): readonly (Put<K> | Remove<K>)[] {
    const last = this.#open.get(id)?.at(-1)
    if (last === undefined) return []
    this.#open.delete(id)
    const change = changeBetween(this.table.schema.name, this.#beneath(id), last.object)
    if (change === undefined) return []
    push(this.#proposed, id, last)
    return [change]
  }

  /** The oldest proposed change of each of these objects is applied to the store. */
  commit(ids: readonly string[]): void {
    for (const id of ids) this.#shift(id)
    // With nothing pending the two tables are one, which costs less than object after object.
    if (this.#proposed.size === 0 && this.#open.size === 0) this.table.adopt(this.#base, ids)
    else for (const id of ids) this.#settle(id)
  }

  #shift(id: string): void {
    const versions = this.#proposed.get(id)
    assert(versions !== undefined, 'what is applied beside a working view was proposed by it', {
      table: this.table.schema.name,
      id,
    })
    versions.shift()
    if (versions.length === 0) this.#proposed.delete(id)
  }

  /** Makes the invariant hold for one object. */
  #settle(id: string): void {
    const open = this.#open.get(id)?.at(-1)
    const before = this.table.get(id)
    const after = open === undefined ? this.#beneath(id) : open.object
    if (before === after) return
    if (after === undefined) this.table.remove(id)
    else if (before === undefined) this.table.create(after)
    else this.table.update(after)
  }

  /** The object without its open changes. */
  #beneath(id: string): Tables[K] | undefined {
    const proposed = this.#proposed.get(id)?.at(-1)
    return proposed === undefined ? this.#base.get(id) : proposed.object
  }
}

function changeBetween<K extends TableName>(
  table: K,
  before: Tables[K] | undefined,
  after: Tables[K] | undefined,
): Put<K> | Remove<K> | undefined {
  if (after !== undefined)
    return { kind: before === undefined ? 'create' : 'update', table, object: after }
  return before === undefined ? undefined : { kind: 'remove', table, id: before.id }
}

function push<T>(lists: Map<string, T[]>, id: string, value: T): void {
  const list = lists.get(id)
  if (list === undefined) lists.set(id, [value])
  else list.push(value)
}
