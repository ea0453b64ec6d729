/**
 * Change: one create, update or remove of an object, as reconcilers and handlers return it. The
 * store fills `meta` when the entry that carries the change is applied. Conversion to and from the
 * wire's StoreChange is here too, and the check of the version that a client sent.
 */
import { SwarmError } from '../../lib/errors.ts'
import type { StoreChange } from '../../proto/gen/store.ts'
import { SCHEMA } from './schema.ts'
import type { TableName, Tables } from './view.ts'

/** Creates or replaces a whole object, or removes it by id. */
export type Change = Put | Remove

/** A create or an update, of any table or of those in `K`. */
export type Put<K extends TableName = TableName> = {
  [P in K]: {
    readonly kind: 'create' | 'update'
    readonly table: P
    readonly object: Tables[P]
  }
}[K]

export type Remove<K extends TableName = TableName> = {
  [P in K]: { readonly kind: 'remove'; readonly table: P; readonly id: string }
}[K]

/** The id of the object that is changed. */
export function changedId(change: Change): string {
  return change.kind === 'remove' ? change.id : change.object.id
}

/**
 * Refuses an update of an object that is not at the version the client saw. A version is the index
 * of a committed entry; an object with changes not yet committed has version 0 in the working view,
 * and nobody can have seen it.
 */
export function requireVersion(object: Tables[TableName], version: number): void {
  const current = object.meta?.version ?? 0
  if (version !== 0 && version === current) return
  throw new SwarmError('aborted', 'update out of sequence', {
    facts: { id: object.id, version, current },
  })
}

/** The change as an entry carries it: without meta, a removed object with its id only. */
export function toStoreChange(change: Change): StoreChange {
  const object = change.kind === 'remove' ? wrapId(change) : wrapObject(change)
  return { kind: change.kind, object }
}

/** The other way, or SwarmError 'unimplemented' for an object that this version does not know. */
export function fromStoreChange(stored: StoreChange): Change {
  const row = unwrap(stored)
  return stored.kind === 'remove'
    ? { kind: 'remove', table: row.table, id: row.object.id }
    : { kind: stored.kind, ...row }
}

function wrapObject<K extends TableName>(put: Put<K>): StoreChange['object'] {
  return SCHEMA[put.table].wrap({ ...put.object, meta: undefined })
}

function wrapId<K extends TableName>(remove: Remove<K>): StoreChange['object'] {
  const { wrap, empty } = SCHEMA[remove.table]
  return wrap({ ...empty, id: remove.id })
}

/** An object with the table it belongs to. */
export type Row = {
  [K in TableName]: { readonly table: K; readonly object: Tables[K] }
}[TableName]

function unwrap(stored: StoreChange): Row {
  const body = stored.object
  switch (body?.kind) {
    case 'cluster':
      return { table: 'clusters', object: body.cluster }
    case 'node':
      return { table: 'nodes', object: body.node }
    case 'service':
      return { table: 'services', object: body.service }
    case 'task':
      return { table: 'tasks', object: body.task }
    case 'secret':
      return { table: 'secrets', object: body.secret }
    case 'config':
      return { table: 'configs', object: body.config }
    case undefined:
      throw new SwarmError(
        'unimplemented',
        'unknown kind of object in a log entry: upgrade this manager first',
      )
    default:
      return body satisfies never
  }
}
