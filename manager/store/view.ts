/**
 * View: the replicated state as of one log index, frozen, and the names of its tables. Reconcilers
 * and handlers read views and return changes (`change.ts`); who applies them is `store.ts`. Lists
 * come in ascending order of id, so that equal views give equal decisions on every manager.
 */
import type { Cluster, Config, Node, Secret, Service, Task } from '../../proto/gen/objects.ts'

/** Every table and what its rows are. `schema.ts` lists their indexes. */
export type Tables = {
  readonly clusters: Cluster
  readonly nodes: Node
  readonly services: Service
  readonly tasks: Task
  readonly secrets: Secret
  readonly configs: Config
}

export type TableName = keyof Tables

/** One table as of the view's index. */
export interface TableView<T> {
  readonly size: number
  /** The object, or undefined. */
  get(id: string): T | undefined
  /** All objects in ascending order of id. */
  list(): Iterable<T>
  /**
   * The objects whose `index` (named in `schema.ts`) has `key`, in ascending order of id. Asserts
   * that the index exists.
   */
  by(index: string, key: string): Iterable<T>
}

export type View = {
  /** Log index of the last applied entry. */
  readonly index: number
  /** Cluster time of that entry, in ms (DESIGN section 5). */
  readonly timeMs: number
} & { readonly [K in TableName]: TableView<Tables[K]> }
