/**
 * Table: one table of the store with its indexes, the same code for all of them. It keeps them in
 * step and asserts what must hold: a created id is new, a changed one is there, a unique key is
 * given once. `fork()` gives an independent copy in constant time; a view is a fork that nobody
 * changes. What is iterated is the table as it was when the list was asked for.
 */
import { assert, defined } from '../../lib/assert.ts'
import type { TableSchema } from './schema.ts'
import {
  type Edit,
  findValue,
  insertValue,
  type Node,
  newEdit,
  newTree,
  removeValue,
  replaceValue,
  walkValues,
} from './tree.ts'
import type { TableName, Tables, TableView } from './view.ts'

/** The ids that have one key of an index. Most have one: then it is that id itself. */
type Ids = string | Node<string>

export class Table<K extends TableName> implements TableView<Tables[K]> {
  readonly schema: TableSchema<K>
  #size = 0
  #rows: Node<Tables[K]> = newTree()
  /** Key → ids, for each index of the schema, in its order. */
  readonly #indexes: Node<Ids>[]
  /** The right to change our nodes in place; a new one as soon as somebody else may see them. */
  #edit: Edit = newEdit()

  constructor(schema: TableSchema<K>) {
    this.schema = schema
    this.#indexes = schema.indexes.map(() => newTree())
  }

  get size(): number {
    return this.#size
  }

  get(id: string): Tables[K] | undefined {
    return findValue(this.#rows, id)
  }

  list(): Iterable<Tables[K]> {
    this.#share()
    const rows = this.#rows
    return { [Symbol.iterator]: () => walkValues(rows) }
  }

  by(index: string, key: string): Iterable<Tables[K]> {
    const position = this.schema.indexes.findIndex((each) => each.name === index)
    assert(position >= 0, 'an index is in the schema', { table: this.schema.name, index })
    const ids = findValue(this.#index(position), key)
    if (ids === undefined) return []
    this.#share()
    const rows = this.#rows
    return { [Symbol.iterator]: () => walkRows(rows, ids) }
  }

  /** An independent copy: changes of the one are not seen by the other. */
  fork(): Table<K> {
    this.#share()
    const copy = new Table(this.schema)
    copy.#size = this.#size
    copy.#rows = this.#rows
    for (let i = 0; i < this.#indexes.length; i++) copy.#indexes[i] = this.#index(i)
    return copy
  }

  /** Adds an object, whose id must be new. Where an assertion fails, nothing has changed. */
  create(object: Tables[K]): void {
    this.#assertUnique(object)
    this.#rows = insertValue(this.#rows, object.id, object, this.#edit)
    this.#size += 1
    this.schema.indexes.forEach((index, i) => {
      const key = index.key(object)
      if (key !== undefined) this.#link(i, key, object.id)
    })
  }

  /** Replaces the object of that id, which must be there, and gives the one before. */
  update(object: Tables[K]): Tables[K] {
    const before = defined(this.get(object.id), `an updated object is in ${this.schema.name}`)
    this.#assertUnique(object)
    this.#rows = replaceValue(this.#rows, object.id, object, this.#edit)
    this.schema.indexes.forEach((index, i) => {
      const oldKey = index.key(before)
      const newKey = index.key(object)
      if (oldKey === newKey) return
      if (oldKey !== undefined) this.#unlink(i, oldKey, object.id)
      if (newKey !== undefined) this.#link(i, newKey, object.id)
    })
    return before
  }

  /** Removes the object of that id, which must be there, and gives it. */
  remove(id: string): Tables[K] {
    const before = defined(this.get(id), `a removed object is in ${this.schema.name}`)
    this.#rows = removeValue(this.#rows, id, this.#edit)
    this.#size -= 1
    this.schema.indexes.forEach((index, i) => {
      const key = index.key(before)
      if (key !== undefined) this.#unlink(i, key, id)
    })
    return before
  }

  #share(): void {
    this.#edit = newEdit()
  }

  #index(position: number): Node<Ids> {
    return defined(this.#indexes[position], 'every index of the schema has a tree')
  }

  #assertUnique(object: Tables[K]): void {
    this.schema.indexes.forEach((index, i) => {
      const key = index.unique ? index.key(object) : undefined
      const owner = key === undefined ? undefined : findValue(this.#index(i), key)
      assert(owner === undefined || owner === object.id, 'a unique key is given once', {
        table: this.schema.name,
        index: index.name,
        key,
        id: object.id,
        owner,
      })
    })
  }

  #link(position: number, key: string, id: string): void {
    const tree = this.#index(position)
    const ids = findValue(tree, key)
    this.#indexes[position] =
      ids === undefined
        ? insertValue(tree, key, id, this.#edit)
        : replaceValue(tree, key, withId(ids, id, this.#edit), this.#edit)
  }

  #unlink(position: number, key: string, id: string): void {
    const tree = this.#index(position)
    const ids = withoutId(defined(findValue(tree, key), 'a key is in its index'), id, this.#edit)
    this.#indexes[position] =
      ids === undefined
        ? removeValue(tree, key, this.#edit)
        : replaceValue(tree, key, ids, this.#edit)
  }
}

function withId(ids: Ids, id: string, edit: Edit): Ids {
  const tree = typeof ids === 'string' ? insertValue(newTree<string>(), ids, ids, edit) : ids
  return insertValue(tree, id, id, edit)
}

/** Undefined when that was the last one. */
function withoutId(ids: Ids, id: string, edit: Edit): Ids | undefined {
  if (typeof ids === 'string') {
    assert(ids === id, 'an id is found by its key', { ids, id })
    return undefined
  }
  const rest = removeValue(ids, id, edit)
  return rest.children === undefined && rest.values.length === 1 ? rest.values[0] : rest
}

function* walkRows<T>(rows: Node<T>, ids: Ids): Generator<T, undefined> {
  if (typeof ids === 'string') yield row(rows, ids)
  else for (const id of walkValues(ids)) yield row(rows, id)
}

function row<T>(rows: Node<T>, id: string): T {
  return defined(findValue(rows, id), 'an index names only objects that are there')
}
