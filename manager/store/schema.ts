/**
 * The schema: every table with its indexes, in one list; all else in this folder is written once
 * for all of them. An index gives an object one key, or none, by which `view.TABLE.by(index, key)`
 * finds it. A name's key is the name in lower case, for names differ by more than case
 * (swarm-mode.md 1.0). Keys that are put together are made by the functions here and nowhere else.
 */

import {
  emptyCluster,
  emptyConfig,
  emptyNode,
  emptySecret,
  emptyService,
  emptyTask,
  encodeCluster,
  encodeConfig,
  encodeNode,
  encodeSecret,
  encodeService,
  encodeTask,
  type Task,
} from '../../proto/gen/objects.ts'
import type { Annotations } from '../../proto/gen/specs.ts'
import type { StoreChange } from '../../proto/gen/store.ts'
import type { TableName, Tables } from './view.ts'

export type Index<T> = {
  readonly name: string
  /** Whether no two objects may have the same key: it is an assertion, handlers check first. */
  readonly unique: boolean
  /** The key of an object, or undefined where it has none. */
  readonly key: (object: T) => string | undefined
  /** Whether both have the same key, for sure: for keys that take work to put together. */
  readonly isSame?: (before: T, after: T) => boolean
  /** Kept up when somebody asks (`index-tree.ts`): for what many changes concern and few ask for. */
  readonly isLate?: boolean
}

export type TableSchema<K extends TableName> = {
  readonly name: K
  readonly indexes: readonly Index<Tables[K]>[]
  readonly empty: Tables[K]
  readonly encode: (object: Tables[K]) => Uint8Array
  /** The object as a StoreChange carries it. */
  readonly wrap: (object: Tables[K]) => NonNullable<StoreChange['object']>
}

export type Schema = { readonly [K in TableName]: TableSchema<K> }

export const SCHEMA: Schema = {
  clusters: {
    name: 'clusters',
    indexes: [unique('name', (cluster) => nameOf(cluster.spec))],
    empty: emptyCluster,
    encode: encodeCluster,
    wrap: (cluster) => ({ kind: 'cluster', cluster }),
  },
  nodes: {
    name: 'nodes',
    indexes: [
      index('name', (node) => nameOf(node.spec)),
      index('hostname', (node) => textOf(node.description?.hostname)),
      // The desired role; the observed one is the certificate's.
      index('role', (node) => node.spec?.role ?? 'worker'),
    ],
    empty: emptyNode,
    encode: encodeNode,
    wrap: (node) => ({ kind: 'node', node }),
  },
  services: {
    name: 'services',
    indexes: [unique('name', (service) => nameOf(service.spec))],
    empty: emptyService,
    encode: encodeService,
    wrap: (service) => ({ kind: 'service', service }),
  },
  tasks: {
    name: 'tasks',
    indexes: [
      index('service', (task) => textOf(task.serviceId)),
      { ...index('node', (task: Task) => textOf(task.nodeId)), isLate: true },
      { name: 'slot', unique: false, key: slotKey, isSame: isSameSlot },
      index('desired', (task) => task.desiredState),
      // Of new tasks only: a task changes its state often, and keys that many have are dear to change.
      index('unallocated', (task) => ((task.status?.state ?? 'new') === 'new' ? 'new' : undefined)),
      index('replaces', (task) => textOf(task.replaces)),
      // Of those only that were replaced and yet may have their slot back.
      index('lost', (task) => (task.lostClusterMs > 0 ? 'lost' : undefined)),
    ],
    empty: emptyTask,
    encode: encodeTask,
    wrap: (task) => ({ kind: 'task', task }),
  },
  secrets: {
    name: 'secrets',
    indexes: [unique('name', (secret) => nameOf(secret.spec))],
    empty: emptySecret,
    encode: encodeSecret,
    wrap: (secret) => ({ kind: 'secret', secret }),
  },
  configs: {
    name: 'configs',
    indexes: [unique('name', (config) => nameOf(config.spec))],
    empty: emptyConfig,
    encode: encodeConfig,
    wrap: (config) => ({ kind: 'config', config }),
  },
}

/** All tables in the order of a snapshot. */
export const TABLE_NAMES: readonly TableName[] = [
  'clusters',
  'nodes',
  'services',
  'tasks',
  'secrets',
  'configs',
]

/** The key of a name in the indexes `name`. */
export function nameKey(name: string): string {
  return name.toLowerCase()
}

/**
 * The key of a task's slot in the index `slot`: of a replicated service its number, of a global one
 * the node. Undefined where the task has neither.
 */
export function slotKey(task: Pick<Task, 'serviceId' | 'slot' | 'nodeId'>): string | undefined {
  if (task.serviceId === '') return undefined
  if (task.slot > 0) return `${task.serviceId}/${task.slot}`
  return task.nodeId === '' ? undefined : `${task.serviceId}/${task.nodeId}`
}

function isSameSlot(before: Task, after: Task): boolean {
  return (
    before.serviceId === after.serviceId &&
    before.slot === after.slot &&
    before.nodeId === after.nodeId
  )
}

function index<T>(name: string, key: Index<T>['key']): Index<T> {
  return { name, unique: false, key }
}

function unique<T>(name: string, key: Index<T>['key']): Index<T> {
  return { name, unique: true, key }
}

function nameOf(spec: { readonly annotations: Annotations | undefined } | undefined) {
  const name = spec?.annotations?.name
  return name === undefined || name === '' ? undefined : nameKey(name)
}

function textOf(text: string | undefined): string | undefined {
  return text === '' ? undefined : text
}
