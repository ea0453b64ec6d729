/**
 * Table: one table of the store with its indexes, the same code for all of them. It keeps them in
 * step and asserts what must hold: a created id is new, a changed one is there, a unique key is
 * given once. `fork()` gives an independent copy in constant time; a view is a fork that nobody
 * changes. What is iterated is the table as it was when the list was asked for.
 */
import { assert, defined } from '../../lib/assert.ts'
import type { StoreChange } from '../../proto/gen/store.ts'
import {
  type Ids,
  type IndexTree,
  type LateIndex,
  type Link,
  newLateIndex,
  treeOf,
  withLateLink,
  withLinks,
} from './index-tree.ts'
import type { TableSchema } from './schema.ts'
import {
  type Edit,
  findValue,
  hashedKey,
  insertValue,
  type Node,
  newEdit,
  newTree,
  orderedKey,
  ownPlace,
  removeValue,
  walkTexts,
  walkValues,
} from './tree.ts'
import type { TableName, Tables, TableView } from './view.ts'

export class Table<K extends TableName> implements TableView<Tables[K]> {
  readonly schema: TableSchema<K>
  #size = 0
  #rows: Node<Tables[K]> = newTree()
  /**
   * Rows by id as they are now, those written or read since `remember`: a search of the tree costs
   * some ten times as much. Where nobody asks for single rows over and over there is none.
   */
  #recent: Map<string, Tables[K]> | undefined
  /** Key → ids, for each index of the schema, in its order; of no use where it is kept late. */
  readonly #trees: IndexTree[]
  /** The same where it is kept late, else undefined. */
  readonly #late: (LateIndex | undefined)[]
  /** Places of the unique indexes in the schema; of most tables there are none. */
  readonly #uniques: readonly number[]
  /** The right to change our nodes in place; a new one as soon as somebody else may see them. */
  #edit: Edit = newEdit()

  constructor(schema: TableSchema<K>) {
    this.schema = schema
    this.#trees = schema.indexes.map(() => newTree())
    this.#late = schema.indexes.map(({ isLate }) => (isLate ? newLateIndex() : undefined))
    this.#uniques = schema.indexes.flatMap((index, i) => (index.unique ? [i] : []))
  }

  get size(): number {
    return this.#size
  }

  get(id: string): Tables[K] | undefined {
    const recent = this.#recent?.get(id)
    if (recent !== undefined) return recent
    const object = findValue(this.#rows, orderedKey(id))
    if (object !== undefined) this.#recent?.set(id, object)
    return object
  }

  list(): Iterable<Tables[K]> {
    this.#share()
    const rows = this.#rows
    return { [Symbol.iterator]: () => walkValues(rows) }
  }

  by(index: string, key: string): Iterable<Tables[K]> {
    const position = this.schema.indexes.findIndex((each) => each.name === index)
    assert(position >= 0, 'an index is in the schema', { table: this.schema.name, index })
    const ids = findValue(this.#tree(position), hashedKey(key))
    if (ids === undefined) return []
    this.#share()
    const rows = this.#rows
    return { [Symbol.iterator]: () => this.#walk(rows, ids) }
  }

  /** The object as a StoreChange carries it. */
  wrap(object: Tables[K] | undefined): StoreChange['object'] {
    return object === undefined ? undefined : this.schema.wrap(object)
  }

  /** An independent copy: changes of the one are not seen by the other. */
  fork(): Table<K> {
    this.#share()
    const copy = new Table(this.schema)
    copy.#size = this.#size
    copy.#rows = this.#rows
    copy.#adoptIndexes(this)
    return copy
  }

  /** From now on rows that were read or written are found in a map: for a table that is read a lot. */
  remember(): void {
    this.#recent = new Map()
  }

  /**
   * Afterwards this table is as `other`. They must differ in objects of these ids only, and not in
   * whether such an object is there.
   */
  adopt(other: Table<K>, ids: readonly string[]): void {
    other.#share()
    this.#share()
    this.#size = other.#size
    this.#rows = other.#rows
    this.#adoptIndexes(other)
    for (const id of ids) {
      const object = other.get(id)
      if (object !== undefined) this.#recent?.set(id, object)
    }
  }

  /** Adds an object, whose id must be new. Where an assertion fails, nothing has changed. */
  create(object: Tables[K]): void {
    this.#assertUnique(object)
    const id = orderedKey(object.id)
    this.#rows = insertValue(this.#rows, id, object, this.#edit)
    this.#recent?.set(object.id, object)
    this.#size += 1
    this.schema.indexes.forEach((index, i) => {
      const key = index.key(object)
      if (key !== undefined) this.#link(i, { key, id, isLinked: true })
    })
  }

  /** Replaces the object of that id, which must be there, and gives the one before. */
  update(object: Tables[K]): Tables[K] {
    return this.replace(object.id, () => object).before
  }

  /** The same by what `make` makes of the object before, with one search for both. */
  replace(
    id: string,
    make: (before: Tables[K]) => Tables[K],
  ): { readonly before: Tables[K]; readonly after: Tables[K] } {
    const key = orderedKey(id)
    const place = ownPlace(this.#rows, key, this.#edit)
    const before = defined(place.leaf.values[place.position], 'a row has an object')
    const after = make(before)
    this.#assertUnique(after)
    place.leaf.values[place.position] = after
    this.#rows = place.root
    this.#recent?.set(id, after)
    const { indexes } = this.schema
    for (let i = 0; i < indexes.length; i++) {
      const index = defined(indexes[i], 'a list has no gaps')
      if (index.isSame?.(before, after)) continue
      const oldKey = index.key(before)
      const newKey = index.key(after)
      if (oldKey === newKey) continue
      if (oldKey !== undefined) this.#link(i, { key: oldKey, id: key, isLinked: false })
      if (newKey !== undefined) this.#link(i, { key: newKey, id: key, isLinked: true })
    }
    return { before, after }
  }

  /** Removes the object of that id, which must be there, and gives it. */
  remove(id: string): Tables[K] {
    const key = orderedKey(id)
    const before = this.#getThere(id)
    this.#rows = removeValue(this.#rows, key, this.#edit)
    this.#recent?.delete(id)
    this.#size -= 1
    this.schema.indexes.forEach((index, i) => {
      const indexKey = index.key(before)
      if (indexKey !== undefined) this.#link(i, { key: indexKey, id: key, isLinked: false })
    })
    return before
  }

  #share(): void {
    this.#edit = newEdit()
  }

  #tree(position: number): IndexTree {
    const late = this.#late[position]
    if (late !== undefined) return treeOf(late)
    return defined(this.#trees[position], 'every index of the schema has a tree')
  }

  #adoptIndexes(other: Table<K>): void {
    for (let i = 0; i < this.#trees.length; i++) {
      this.#late[i] = other.#late[i]
      this.#trees[i] = defined(other.#trees[i], 'every index of the schema has a tree')
    }
  }

  #assertUnique(object: Tables[K]): void {
    for (const i of this.#uniques) {
      const index = defined(this.schema.indexes[i], 'a unique index is in the schema')
      const key = index.key(object)
      const owner = key === undefined ? undefined : findValue(this.#tree(i), hashedKey(key))
      assert(owner === undefined || owner === object.id, 'a unique key is given once', {
        table: this.schema.name,
        index: index.name,
        key,
        id: object.id,
        owner,
      })
    }
  }

  #getThere(id: string): Tables[K] {
    const object = this.get(id)
    assert(object !== undefined, 'a changed object is there', { table: this.schema.name, id })
    return object
  }

  /** The rows of these ids in the tree `rows`, which may be the one of before. */
  *#walk(rows: Node<Tables[K]>, ids: Ids): Generator<Tables[K], undefined> {
    for (const id of typeof ids === 'string' ? [ids] : walkTexts(ids)) {
      const object = rows === this.#rows ? this.get(id) : findValue(rows, orderedKey(id))
      yield defined(object, 'an index names only objects that are there')
    }
  }

  #link(position: number, link: Link): void {
    const late = this.#late[position]
    if (late !== undefined) this.#late[position] = withLateLink(late, link, this.#edit)
    else this.#trees[position] = withLinks(this.#tree(position), [link], this.#edit)
  }
}
