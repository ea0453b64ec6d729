/**
 * The store's figures at 10,000 nodes and 100,000 tasks: the persistent tree that it uses beside
 * maps with overlays (docs/store.md says why the tree was chosen), and whole entries applied. The
 * references are SwarmKit's own store benchmark at 10,000 nodes.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { newId } from '../lib/id.ts'
import { newSeededRandom } from '../lib/random.ts'
import { SCHEMA } from '../manager/store/schema.ts'
import { Table } from '../manager/store/table.ts'
import type { TableView } from '../manager/store/view.ts'
import {
  decodeNode,
  decodeTask,
  encodeNode,
  encodeTask,
  type Node,
  type Task,
} from '../proto/gen/objects.ts'
import { node, task } from '../test/build.ts'
import { elapsedMs, type Figure, printFigures } from './report.ts'
import { OverlayTable } from './store/overlay-table.ts'

const NODES = 10_000
const TASKS = 100_000
const SERVICES = 1_000
const BATCH = 200
const TIMES = 5

/** Microseconds of SwarmKit's store for one operation, and milliseconds for a list of all. */
const SWARMKIT = { createUs: 17, updateUs: 17, getUs: 1.7, findUs: 0.55, listMs: 13.7 }

/** One of the two ways, as the bench drives it. */
type Way = {
  readonly name: string
  readonly newTables: () => Both
}

type Both = {
  readonly putNode: (object: Node) => void
  readonly putTask: (object: Task) => void
  readonly view: () => Frozen
}

type Frozen = {
  readonly nodes: TableView<Node>
  readonly tasks: TableView<Task>
  readonly close: () => void
}

const WAYS: readonly Way[] = [
  {
    name: 'tree',
    newTables: () => {
      const nodes = new Table(SCHEMA.nodes)
      const tasks = new Table(SCHEMA.tasks)
      return {
        putNode: (object) => (nodes.get(object.id) ? nodes.update(object) : nodes.create(object)),
        putTask: (object) => (tasks.get(object.id) ? tasks.update(object) : tasks.create(object)),
        view: () => ({ nodes: nodes.fork(), tasks: tasks.fork(), close: () => undefined }),
      }
    },
  },
  {
    name: 'maps',
    newTables: () => {
      const nodes = new OverlayTable(SCHEMA.nodes)
      const tasks = new OverlayTable(SCHEMA.tasks)
      return {
        putNode: (object) => nodes.put(object),
        putTask: (object) => tasks.put(object),
        view: () => {
          const views = [nodes.open(), tasks.open()] as const
          return {
            nodes: views[0],
            tasks: views[1],
            close: () => {
              for (const view of views) view.close()
            },
          }
        },
      }
    },
  },
]

export function run(): void {
  const world = newWorld()
  for (const way of WAYS)
    printFigures(`${way.name}: ${NODES} nodes, ${TASKS} tasks`, measure(way, world))
  process.stdout.write(`${counted} objects were read\n`)
}

type World = {
  readonly nodes: readonly Node[]
  readonly tasks: readonly Task[]
  /** A running status for each task, in random order. */
  readonly updates: readonly Task[]
}

function newWorld(): World {
  const random = newSeededRandom('bench/store')
  const services = Array.from({ length: SERVICES }, () => newId(random))
  // Encoded and decoded, so that every object has memory of its own, as from a log.
  const nodes = Array.from({ length: NODES }, (_, i) => {
    const id = newId(random)
    return decodeNode(encodeNode(node({ id, description: { hostname: `host-${i}` } })))
  })
  const tasks = Array.from({ length: TASKS }, (_, i) => {
    const serviceId = services[i % SERVICES] ?? ''
    const nodeId = nodes[random.integer(NODES)]?.id ?? ''
    const made = task({ id: newId(random), serviceId, slot: 1 + Math.floor(i / SERVICES), nodeId })
    return decodeTask(encodeTask(made))
  })
  const updates = tasks.map((each) =>
    decodeTask(encodeTask(task({ ...each, status: { state: 'running' } }))),
  )
  return { nodes, tasks, updates: shuffled(updates, random) }
}

function measure(way: Way, world: World): readonly Figure[] {
  const rows: Figure[] = []
  const add = (name: string, unit: string, reference: number | undefined, sample: () => number) =>
    rows.push({ name, unit, reference, samples: Array.from({ length: TIMES }, sample) })
  const perTask = (ms: number): number => (ms * 1000) / TASKS

  add('create a node', 'µs', SWARMKIT.createUs, () => {
    const tables = way.newTables()
    return (elapsedMs(() => world.nodes.forEach(tables.putNode)) * 1000) / NODES
  })
  add('create a task', 'µs', SWARMKIT.createUs, () => {
    const tables = way.newTables()
    return perTask(elapsedMs(() => world.tasks.forEach(tables.putTask)))
  })
  add('update a task, no view', 'µs', SWARMKIT.updateUs, () => {
    const tables = filled(way, world)
    return perTask(elapsedMs(() => world.updates.forEach(tables.putTask)))
  })
  add(`… a view a batch of ${BATCH}, closed`, 'µs', SWARMKIT.updateUs, () => {
    const tables = filled(way, world)
    return perTask(elapsedMs(() => updateInBatches(tables, world, 0)))
  })
  add('… the last 10 views open', 'µs', SWARMKIT.updateUs, () => {
    const tables = filled(way, world)
    return perTask(elapsedMs(() => updateInBatches(tables, world, 10)))
  })

  const tables = filled(way, world)
  const old = tables.view()
  updateInBatches(tables, world, 0)
  const now = tables.view()
  for (const [name, view] of [
    ['', now],
    [' of an old view', old],
  ] as const) {
    add(`get${name}`, 'µs', SWARMKIT.getUs, () =>
      perTask(elapsedMs(() => world.updates.forEach((each) => count(view.tasks.get(each.id))))),
    )
    add(`find by hostname${name}`, 'µs', SWARMKIT.findUs, () => {
      const find = (_: Node, i: number): void => consume(view.nodes.by('hostname', `host-${i}`))
      return (elapsedMs(() => world.nodes.forEach(find)) * 1000) / NODES
    })
    add(`tasks of a node${name}`, 'µs', undefined, () => {
      const find = (each: Node): void => consume(view.tasks.by('node', each.id))
      return (elapsedMs(() => world.nodes.forEach(find)) * 1000) / NODES
    })
    add(`tasks of a state, all${name}`, 'ms', undefined, () =>
      elapsedMs(() => consume(view.tasks.by('state', view === old ? 'new' : 'running'))),
    )
    add(`list nodes${name}`, 'ms', SWARMKIT.listMs, () =>
      elapsedMs(() => consume(view.nodes.list())),
    )
    add(`list tasks${name}`, 'ms', SWARMKIT.listMs * 10, () =>
      elapsedMs(() => consume(view.tasks.list())),
    )
  }
  add('memory of the tables, without objects', 'MiB', undefined, () => {
    const before = heapMib()
    const made = filled(way, world)
    const grown = heapMib() - before
    consume(made.view().nodes.list())
    return grown
  })
  return rows
}

function filled(way: Way, world: World): Both {
  const tables = way.newTables()
  world.nodes.forEach(tables.putNode)
  world.tasks.forEach(tables.putTask)
  return tables
}

function updateInBatches(tables: Both, world: World, openMax: number): void {
  const open: Frozen[] = []
  for (let i = 0; i < world.updates.length; i += BATCH) {
    open.push(tables.view())
    if (open.length > openMax + 1) open.shift()?.close()
    world.updates.slice(i, i + BATCH).forEach(tables.putTask)
  }
  for (const view of open) view.close()
}

/** Keeps the compiler from leaving out what nobody looks at. */
let counted = 0
function count(object: object | undefined): void {
  if (object !== undefined) counted += 1
}

function consume(objects: Iterable<object>): void {
  for (const object of objects) count(object)
}

function shuffled<T>(
  items: readonly T[],
  random: { integer(below: number): number },
): readonly T[] {
  const out = [...items]
  for (let i = out.length - 1; i > 0; i--) {
    const j = random.integer(i + 1)
    const [a, b] = [out[i], out[j]]
    if (a === undefined || b === undefined) continue
    out[i] = b
    out[j] = a
  }
  return out
}

function heapMib(): number {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  if (typeof collect === 'function') collect()
  return process.memoryUsage().heapUsed / 2 ** 20
}
