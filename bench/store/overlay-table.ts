/**
 * The other way to keep a table, for comparison only (docs/store.md): maps that are changed in
 * place, and for each open view an overlay of what was overwritten since. A view must be closed, or
 * every write goes on paying for it. Lists sort the ids, which are kept sorted until one is added or
 * removed.
 */
import type { TableSchema } from '../../manager/store/schema.ts'
import type { TableName, Tables, TableView } from '../../manager/store/view.ts'

type Overlay<T> = {
  readonly rows: Map<string, T | undefined>
  /** `index/key` → ids that have come to it or gone from it since → whether they were in it. */
  readonly ids: Map<string, Map<string, boolean>>
  sorted: readonly string[] | undefined
  size: number
}

export class OverlayTable<K extends TableName> {
  readonly #schema: TableSchema<K>
  readonly #rows = new Map<string, Tables[K]>()
  readonly #indexes: readonly Map<string, Set<string>>[]
  /** Of the open views, oldest first. */
  readonly #overlays: Overlay<Tables[K]>[] = []
  #sorted: readonly string[] | undefined

  constructor(schema: TableSchema<K>) {
    this.#schema = schema
    this.#indexes = schema.indexes.map(() => new Map<string, Set<string>>())
  }

  put(object: Tables[K]): void {
    const before = this.#rows.get(object.id)
    const overlay = this.#overlays.at(-1)
    if (overlay !== undefined && !overlay.rows.has(object.id)) overlay.rows.set(object.id, before)
    if (before === undefined) {
      this.#keepSorted(overlay)
      this.#sorted = undefined
    }
    this.#rows.set(object.id, object)
    this.#schema.indexes.forEach((index, i) => {
      const oldKey = before === undefined ? undefined : index.key(before)
      const newKey = index.key(object)
      if (oldKey === newKey) return
      if (oldKey !== undefined) {
        keep(overlay, `${i}/${oldKey}`, { id: object.id, was: true })
        this.#indexes[i]?.get(oldKey)?.delete(object.id)
      }
      if (newKey === undefined) return
      keep(overlay, `${i}/${newKey}`, { id: object.id, was: false })
      const ids = this.#indexes[i]?.get(newKey)
      if (ids === undefined) this.#indexes[i]?.set(newKey, new Set([object.id]))
      else ids.add(object.id)
    })
  }

  /** A frozen view until it is closed. */
  open(): TableView<Tables[K]> & { close(): void } {
    const own: Overlay<Tables[K]> = {
      rows: new Map(),
      ids: new Map(),
      sorted: undefined,
      size: this.#rows.size,
    }
    this.#overlays.push(own)
    const get = (id: string): Tables[K] | undefined => this.#getFrom(own, id)
    return {
      size: own.size,
      get,
      list: () => this.#listFrom(own, get),
      by: (index, key) => this.#byFrom(own, { index, key, get }),
      close: () => this.#close(own),
    }
  }

  #getFrom(own: Overlay<Tables[K]>, id: string): Tables[K] | undefined {
    for (let i = this.#overlays.indexOf(own); i < this.#overlays.length; i++) {
      const rows = this.#overlays[i]?.rows
      if (rows?.has(id)) return rows.get(id)
    }
    return this.#rows.get(id)
  }

  *#listFrom(
    own: Overlay<Tables[K]>,
    get: (id: string) => Tables[K] | undefined,
  ): Generator<Tables[K], undefined> {
    let ids: readonly string[] | undefined
    for (let i = this.#overlays.indexOf(own); i < this.#overlays.length && ids === undefined; i++)
      ids = this.#overlays[i]?.sorted
    if (ids === undefined) {
      this.#sorted ??= [...this.#rows.keys()].sort()
      ids = this.#sorted
    }
    for (const id of ids) {
      const object = get(id)
      if (object !== undefined) yield object
    }
  }

  *#byFrom(
    own: Overlay<Tables[K]>,
    query: {
      readonly index: string
      readonly key: string
      readonly get: (id: string) => Tables[K] | undefined
    },
  ): Generator<Tables[K], undefined> {
    const position = this.#schema.indexes.findIndex((index) => index.name === query.index)
    const ids = new Set(this.#indexes[position]?.get(query.key))
    // From the newest overlay back to our own: what was overwritten first is what we see.
    for (let i = this.#overlays.length - 1; i >= this.#overlays.indexOf(own); i--) {
      for (const [id, was] of this.#overlays[i]?.ids.get(`${position}/${query.key}`) ?? []) {
        if (was) ids.add(id)
        else ids.delete(id)
      }
    }
    for (const id of [...ids].sort()) {
      const object = query.get(id)
      if (object !== undefined) yield object
    }
  }

  #keepSorted(overlay: Overlay<Tables[K]> | undefined): void {
    if (overlay === undefined || overlay.sorted !== undefined) return
    overlay.sorted = this.#sorted ?? [...this.#rows.keys()].sort()
  }

  /** What an older view reads through this one's overlay goes into its own. */
  #close(own: Overlay<Tables[K]>): void {
    const position = this.#overlays.indexOf(own)
    const older = this.#overlays[position - 1]
    this.#overlays.splice(position, 1)
    if (older === undefined) return
    for (const [id, row] of own.rows) if (!older.rows.has(id)) older.rows.set(id, row)
    for (const [name, ids] of own.ids) for (const [id, was] of ids) keep(older, name, { id, was })
    older.sorted ??= own.sorted
  }
}

function keep<T>(
  overlay: Overlay<T> | undefined,
  name: string,
  entry: { readonly id: string; readonly was: boolean },
): void {
  if (overlay === undefined) return
  const ids = overlay.ids.get(name)
  if (ids === undefined) overlay.ids.set(name, new Map([[entry.id, entry.was]]))
  else if (!ids.has(entry.id)) ids.set(entry.id, entry.was)
}
