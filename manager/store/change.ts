/**
 * Change: one create, update or remove of an object, as reconcilers and handlers return it. The
 * store fills `meta` when the entry that carries the change is applied. Conversion to and from the
 * wire's StoreChange is here too.
 */
import type { TableName, Tables } from './view.ts'

/** Creates or replaces a whole object, or removes it by id. */
export type Change = {
  [K in TableName]:
    | { readonly kind: 'create' | 'update'; readonly table: K; readonly object: Tables[K] }
    | { readonly kind: 'remove'; readonly table: K; readonly id: string }
}[TableName]
