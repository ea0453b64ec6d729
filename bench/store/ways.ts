/**
 * The two ways to keep tables side by side, each doing the same: the persistent tree that the store
 * uses, and maps with overlays (`overlay-table.ts`). docs/store.md says what followed from this.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { SCHEMA } from '../../manager/store/schema.ts'
import { Table } from '../../manager/store/table.ts'
import type { TableView } from '../../manager/store/view.ts'
import type { Node, Task } from '../../proto/gen/objects.ts'
import { cpuMs, elapsedMs, type Figure } from '../report.ts'
import { OverlayTable } from './overlay-table.ts'
import { batchesOf, type World } from './world.ts'

const BATCH = 200
const TIMES = 3

/** SwarmKit's store at 10,000 nodes, measured: µs for one operation, ms for a list of all nodes. */
const SWARMKIT = { createUs: 17, updateUs: 17, getUs: 1.7, findUs: 0.55, listMs: 13.7 }

export type Way = { readonly name: string; readonly newTables: () => Tables }

type Tables = {
  readonly createNode: (object: Node) => void
  readonly createTask: (object: Task) => void
  readonly updateTask: (object: Task) => void
  readonly view: () => Frozen
  /** What a reconciler reads: the newest state, which goes on to change. */
  readonly live: () => Pick<Frozen, 'nodes' | 'tasks'>
}

type Frozen = {
  readonly nodes: TableView<Node>
  readonly tasks: TableView<Task>
  readonly close: () => void
}

export const WAYS: readonly Way[] = [
  { name: 'tree', newTables: newTrees },
  { name: 'maps with overlays', newTables: newMaps },
]

/** All figures of one way. */
export function measureWay(way: Way, world: World): readonly Figure[] {
  return [
    ...measureWrites(way, world),
    ...measureReads(way, world),
    {
      name: 'memory besides the objects',
      unit: 'MiB',
      samples: sample(() => {
        const before = heapMib()
        const tables = filled(way, world)
        const grown = heapMib() - before
        consume(tables.view().nodes.list())
        return grown
      }),
    },
  ]
}

function measureWrites(way: Way, world: World): readonly Figure[] {
  const perTask = (ms: number): number => (ms * 1000) / world.tasks.length
  const update = (name: string, work: (tables: Tables) => void): Figure => ({
    name,
    unit: 'µs',
    reference: SWARMKIT.updateUs,
    samples: sample(() => {
      const tables = filled(way, world)
      return perTask(cpuMs(() => work(tables)))
    }),
  })
  return [
    {
      name: 'create a task',
      unit: 'µs',
      reference: SWARMKIT.createUs,
      samples: sample(() => {
        const tables = way.newTables()
        return perTask(cpuMs(() => world.tasks.forEach(tables.createTask)))
      }),
    },
    update('update a task, no view', (tables) => world.updates.forEach(tables.updateTask)),
    update(`… with a view every ${BATCH}, closed`, (tables) => updateInBatches(tables, world, 0)),
    update('… with the last ten views open', (tables) => updateInBatches(tables, world, 10)),
  ]
}

function measureReads(way: Way, world: World): readonly Figure[] {
  const tables = filled(way, world)
  const old = tables.view()
  const first = world.updates.slice(0, world.updates.length >> 1)
  updateInBatches(tables, { ...world, updates: first }, 0)
  const now = tables.view()
  return [
    ...readsOf(', live', tables.live(), world),
    ...readsOf(', new view', now, world),
    ...readsOf(', old view', old, world),
  ]
}

function readsOf(
  suffix: string,
  view: Pick<Frozen, 'nodes' | 'tasks'>,
  world: World,
): readonly Figure[] {
  const each = (count: number, work: () => void): readonly number[] =>
    sample(() => (cpuMs(work) * 1000) / count)
  return [
    {
      name: `get${suffix}`,
      unit: 'µs',
      reference: SWARMKIT.getUs,
      samples: each(world.updates.length, () => {
        for (const { id } of world.updates) count(view.tasks.get(id))
      }),
    },
    {
      name: `find by name${suffix}`,
      unit: 'µs',
      reference: SWARMKIT.findUs,
      samples: each(world.nodes.length, () => {
        for (let i = 0; i < world.nodes.length; i++) consume(view.nodes.by('hostname', `host-${i}`))
      }),
    },
    {
      name: `the tasks of a node${suffix}`,
      unit: 'µs',
      samples: each(world.nodes.length, () => {
        for (const { id } of world.nodes) consume(view.tasks.by('node', id))
      }),
    },
    {
      name: `list the nodes${suffix}`,
      unit: 'ms',
      reference: SWARMKIT.listMs,
      samples: sample(() => elapsedMs(() => consume(view.nodes.list()))),
    },
    {
      name: `list the tasks${suffix}`,
      unit: 'ms',
      samples: sample(() => elapsedMs(() => consume(view.tasks.list()))),
    },
  ]
}

function newTrees(): Tables {
  const nodes = new Table(SCHEMA.nodes)
  const tasks = new Table(SCHEMA.tasks)
  return {
    createNode: (object) => nodes.create(object),
    createTask: (object) => tasks.create(object),
    updateTask: (object) => {
      tasks.update(object)
    },
    view: () => ({ nodes: nodes.fork(), tasks: tasks.fork(), close: () => undefined }),
    live: () => ({ nodes, tasks }),
  }
}

function newMaps(): Tables {
  const nodes = new OverlayTable(SCHEMA.nodes)
  const tasks = new OverlayTable(SCHEMA.tasks)
  return {
    createNode: (object) => nodes.put(object),
    createTask: (object) => tasks.put(object),
    updateTask: (object) => tasks.put(object),
    view: () => {
      const [nodeView, taskView] = [nodes.open(), tasks.open()]
      const close = (): void => {
        nodeView.close()
        taskView.close()
      }
      return { nodes: nodeView, tasks: taskView, close }
    },
    // A view under which nothing was overwritten costs no more than the maps themselves.
    live: () => ({ nodes: nodes.open(), tasks: tasks.open() }),
  }
}

function filled(way: Way, world: World): Tables {
  const tables = way.newTables()
  world.nodes.forEach(tables.createNode)
  world.tasks.forEach(tables.createTask)
  return tables
}

function updateInBatches(tables: Tables, world: World, openMax: number): void {
  const open: Frozen[] = []
  for (const batch of batchesOf(world.updates, BATCH)) {
    open.push(tables.view())
    if (open.length > openMax) open.shift()?.close()
    batch.forEach(tables.updateTask)
  }
  for (const view of open) view.close()
}

function sample(work: () => number): readonly number[] {
  return Array.from({ length: TIMES }, work)
}

/** Keeps the compiler from leaving out what nobody looks at. */
let counted = 0
export function count(object: object | undefined): void {
  if (object !== undefined) counted += 1
}

export function consume(objects: Iterable<object>): number {
  for (const object of objects) count(object)
  return counted
}

function heapMib(): number {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  if (typeof collect === 'function') collect()
  return process.memoryUsage().heapUsed / 2 ** 20
}
