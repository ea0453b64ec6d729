/**
 * TableSet: one table of each kind, which is what a store, a view and a working view hold. Making
 * one and copying one are written out here, and only here, table by table.
 */
import { SCHEMA } from './schema.ts'
import { Table } from './table.ts'
import type { TableName, View } from './view.ts'

export type TableSet = { readonly [K in TableName]: Table<K> }

/** Empty tables. */
export function newTableSet(): TableSet {
  return {
    clusters: new Table(SCHEMA.clusters),
    nodes: new Table(SCHEMA.nodes),
    services: new Table(SCHEMA.services),
    tasks: new Table(SCHEMA.tasks),
    secrets: new Table(SCHEMA.secrets),
    configs: new Table(SCHEMA.configs),
  }
}

/** Independent copies of all tables, in constant time. */
export function forkTableSet(tables: TableSet): TableSet {
  return {
    clusters: tables.clusters.fork(),
    nodes: tables.nodes.fork(),
    services: tables.services.fork(),
    tasks: tables.tasks.fork(),
    secrets: tables.secrets.fork(),
    configs: tables.configs.fork(),
  }
}

/** The tables as they are now, frozen, as a view of that index and cluster time. */
export function viewOf(tables: TableSet, index: number, timeMs: number): View {
  return Object.freeze({ index, timeMs, ...forkTableSet(tables) })
}
