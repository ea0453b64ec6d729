/**
 * Builders of valid objects for tests: each takes what matters and fills in the rest, at any depth:
 * `task({ id: 't1', nodeId: 'n1', status: { state: 'running' } })`. Lists, maps, bytes and tagged
 * unions are taken whole. Objects are frozen, so that code which changes one in place is found out.
 * `storeWith` puts them into a store by one entry.
 */

import { CLUSTER_VERSION } from '../manager/model/cluster-version.ts'
import type { Change } from '../manager/store/change.ts'
import { newEntry } from '../manager/store/entry.ts'
import { Store } from '../manager/store/store.ts'
import type { Tables } from '../manager/store/view.ts'
import {
  type Cluster,
  type Config,
  emptyCluster,
  emptyConfig,
  emptyContainerStatus,
  emptyMeta,
  emptyNode,
  emptyNodeDescription,
  emptyNodeStatus,
  emptyRootCa,
  emptySecret,
  emptyService,
  emptyTask,
  emptyTaskStatus,
  emptyUpdateStatus,
  type Node,
  type Secret,
  type Service,
  type Task,
} from '../proto/gen/objects.ts'
import {
  emptyAnnotations,
  emptyClusterSpec,
  emptyConfigSpec,
  emptyContainerSpec,
  emptyDisconnect,
  emptyEndpointSpec,
  emptyNodeSpec,
  emptyPlacement,
  emptyResourceRequirements,
  emptyRestartPolicy,
  emptySecretSpec,
  emptyServiceSpec,
  emptyTaskSpec,
  emptyUpdateConfig,
  type ServiceSpec,
  type TaskSpec,
} from '../proto/gen/specs.ts'
import { emptyMember, emptyPlatform, emptyResources } from '../proto/gen/types.ts'

/** Any part of a message, at any depth; `undefined` takes a message away. */
export type Part<T> = T extends
  | string
  | number
  | boolean
  | undefined
  | Uint8Array
  | readonly unknown[]
  | ReadonlyMap<unknown, unknown>
  | { readonly kind: string }
  ? T
  : { readonly [K in keyof T]?: Part<T[K]> }

/** A worker that is ready, with 4 CPUs and 8 GiB, whose hostname is its id. */
export function node(part: Part<Node> = {}): Node {
  const id = part.id ?? 'node1'
  return build(NODE, NODE_DEFAULT, [
    { id, description: { hostname: id }, certificateRole: part.spec?.role ?? 'worker' },
    part,
  ])
}

/** A replicated service of one task, whose name is its id. */
export function service(part: Part<Service> = {}): Service {
  const id = part.id ?? 'service1'
  return build(SERVICE, SERVICE_DEFAULT, [{ id, spec: { annotations: { name: id } } }, part])
}

/** A new task of slot 1 of `service1`, desired running, without a node. */
export function task(part: Part<Task> = {}): Task {
  const name = part.serviceId ?? 'service1'
  return build(TASK, TASK_DEFAULT, [{ serviceId: name, serviceAnnotations: { name } }, part])
}

/** The cluster `default` with the settings of a fresh one, and without certificates. */
export function cluster(part: Part<Cluster> = {}): Cluster {
  return build(CLUSTER, CLUSTER_DEFAULT, [part])
}

/** A secret of one byte, whose name is its id. */
export function secret(part: Part<Secret> = {}): Secret {
  const id = part.id ?? 'secret1'
  return build(SECRET, SECRET, [
    { id, spec: { annotations: { name: id }, data: new Uint8Array([1]) } },
    part,
  ])
}

/** A config of one byte, whose name is its id. */
export function config(part: Part<Config> = {}): Config {
  const id = part.id ?? 'config1'
  return build(CONFIG, CONFIG, [
    { id, spec: { annotations: { name: id }, data: new Uint8Array([1]) } },
    part,
  ])
}

export type World = {
  readonly [K in keyof Tables]?: readonly Tables[K][]
} & {
  /** Log index of the one entry that makes them all, so also their version. 1 if not given. */
  readonly index?: number
  /** Cluster time and wall time of that entry. 1,000 and 1,700,000,000,000 if not given. */
  readonly timeMs?: number
  readonly wallMs?: number
}

/** A store that holds exactly these objects. */
export function storeWith(world: World = {}): Store {
  const changes: Change[] = []
  for (const object of world.clusters ?? [])
    changes.push({ kind: 'create', table: 'clusters', object })
  for (const object of world.nodes ?? []) changes.push({ kind: 'create', table: 'nodes', object })
  for (const object of world.services ?? [])
    changes.push({ kind: 'create', table: 'services', object })
  for (const object of world.tasks ?? []) changes.push({ kind: 'create', table: 'tasks', object })
  for (const object of world.secrets ?? [])
    changes.push({ kind: 'create', table: 'secrets', object })
  for (const object of world.configs ?? [])
    changes.push({ kind: 'create', table: 'configs', object })

  const store = new Store()
  const stamp = { timeMs: world.timeMs ?? 1_000, wallMs: world.wallMs ?? 1_700_000_000_000 }
  store.apply(world.index ?? 1, newEntry(changes, stamp))
  return store
}

/** Commits the changes in an entry right after the last one, at the same cluster time. */
export function applyTo(store: Store, changes: readonly Change[], timeMs?: number): void {
  const { index, timeMs: lastMs } = store.view()
  store.apply(index + 1, newEntry(changes, { timeMs: timeMs ?? lastMs, wallMs: 1_700_000_000_000 }))
}

// Templates have every message in them: what a part gives a message is merged into that.

const TASK_SPEC: TaskSpec = {
  ...emptyTaskSpec,
  container: emptyContainerSpec,
  resources: {
    ...emptyResourceRequirements,
    limits: emptyResources,
    reservations: emptyResources,
  },
  restart: emptyRestartPolicy,
  placement: emptyPlacement,
  disconnect: emptyDisconnect,
}

const SERVICE_SPEC: ServiceSpec = {
  ...emptyServiceSpec,
  annotations: emptyAnnotations,
  task: TASK_SPEC,
  update: emptyUpdateConfig,
  rollback: emptyUpdateConfig,
  endpoint: emptyEndpointSpec,
}

const SERVICE: Service = {
  ...emptyService,
  meta: emptyMeta,
  spec: SERVICE_SPEC,
  previousSpec: SERVICE_SPEC,
  updateStatus: emptyUpdateStatus,
}

const TASK: Task = {
  ...emptyTask,
  meta: emptyMeta,
  spec: TASK_SPEC,
  status: { ...emptyTaskStatus, container: emptyContainerStatus },
  serviceAnnotations: emptyAnnotations,
  endpoint: emptyEndpointSpec,
}

const NODE: Node = {
  ...emptyNode,
  meta: emptyMeta,
  spec: { ...emptyNodeSpec, annotations: emptyAnnotations },
  description: { ...emptyNodeDescription, platform: emptyPlatform, resources: emptyResources },
  status: emptyNodeStatus,
  member: emptyMember,
}

const CLUSTER: Cluster = {
  ...emptyCluster,
  meta: emptyMeta,
  spec: { ...emptyClusterSpec, annotations: emptyAnnotations },
  rootCa: emptyRootCa,
}

const SECRET: Secret = {
  ...emptySecret,
  spec: { ...emptySecretSpec, annotations: emptyAnnotations },
}

const CONFIG: Config = {
  ...emptyConfig,
  spec: { ...emptyConfigSpec, annotations: emptyAnnotations },
}

const TASK_SPEC_DEFAULT: TaskSpec = {
  ...emptyTaskSpec,
  container: { ...emptyContainerSpec, image: 'nginx:1.29' },
}

const SERVICE_DEFAULT: Service = {
  ...emptyService,
  spec: {
    ...emptyServiceSpec,
    annotations: emptyAnnotations,
    task: TASK_SPEC_DEFAULT,
    mode: { kind: 'replicated', replicated: { replicas: 1 } },
  },
}

const TASK_DEFAULT: Task = {
  ...emptyTask,
  id: 'task1',
  slot: 1,
  spec: TASK_SPEC_DEFAULT,
  desiredState: 'running',
  status: { ...emptyTaskStatus, state: 'new', message: 'created' },
  serviceAnnotations: emptyAnnotations,
}

const NODE_DEFAULT: Node = {
  ...emptyNode,
  spec: { ...emptyNodeSpec, annotations: emptyAnnotations },
  description: {
    ...emptyNodeDescription,
    platform: { architecture: 'x86_64', os: 'linux' },
    resources: { ...emptyResources, nanoCpus: 4_000_000_000, memoryBytes: 8 * 2 ** 30 },
    engineVersion: '0.1.0',
    runtime: 'containerd',
    version: 1,
  },
  status: { ...emptyNodeStatus, state: 'ready', addr: '10.0.0.1' },
}

const CLUSTER_DEFAULT: Cluster = {
  ...emptyCluster,
  id: 'cluster1',
  spec: {
    ...emptyClusterSpec,
    annotations: { ...emptyAnnotations, name: 'default' },
    taskHistoryLimit: 5,
    snapshotIntervalEntries: 10_000,
    logEntriesForSlowFollowers: 500,
    heartbeatPeriodMs: 2_000,
    nodeCertExpiryMs: 7_776_000_000,
  },
  clusterVersion: CLUSTER_VERSION,
}

function build<T>(template: T, base: NoInfer<T>, parts: readonly Part<NoInfer<T>>[]): T {
  let built: unknown = base
  for (const part of parts) built = merged(template, built, part)
  // Merging keeps the shape: what is not in a part comes from the base or the template, both T.
  return frozen(built) as T
}

function merged(template: unknown, base: unknown, part: unknown): unknown {
  if (!isMessage(part)) return part
  const from = isMessage(base) ? base : template
  if (!isMessage(from)) return part
  const out: Record<string, unknown> = { ...from }
  for (const [key, value] of Object.entries(part))
    out[key] = merged(isMessage(template) ? template[key] : undefined, from[key], value)
  // A message that only the template has comes without the messages inside it.
  if (from === template)
    for (const [key, value] of Object.entries(from))
      if (!(key in part) && isMessage(value)) out[key] = undefined
  return out
}

function isMessage(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.getPrototypeOf(value) === Object.prototype &&
    !('kind' in value)
  )
}

function frozen(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
  for (const inner of Object.values(value)) frozen(inner)
  return Object.freeze(value)
}
