/**
 * The objects that the store's benches work on: ids as in life, every object decoded from bytes so
 * that it has memory of its own, and a random order of changes.
 */
import { newId } from '../../lib/id.ts'
import { newSeededRandom, type Random } from '../../lib/random.ts'
import { newTaskId } from '../../manager/model/task.ts'
import {
  decodeNode,
  decodeTask,
  encodeNode,
  encodeTask,
  type Node,
  type Task,
} from '../../proto/gen/objects.ts'
import { node, task } from '../../test/build.ts'

export type World = {
  readonly nodes: readonly Node[]
  /** New ones, a hundred for each service, on random nodes. */
  readonly tasks: readonly Task[]
  /** Every task as running, in random order. */
  readonly updates: readonly Task[]
}

const TASKS_A_SERVICE = 100

export function newWorld(nodeCount: number, taskCount: number): World {
  const random = newSeededRandom('bench/store')
  const services = Array.from({ length: Math.ceil(taskCount / TASKS_A_SERVICE) }, () =>
    newId(random),
  )
  const nodes = Array.from({ length: nodeCount }, (_, i) => {
    const made = node({ id: newId(random), description: { hostname: `host-${i}` } })
    return decodeNode(encodeNode(made))
  })
  const tasks = Array.from({ length: taskCount }, (_, i) => {
    const serviceId = services[i % services.length] ?? ''
    const nodeId = nodes[random.integer(nodeCount)]?.id ?? ''
    const slot = 1 + Math.floor(i / services.length)
    return decodeTask(
      encodeTask(task({ id: newTaskId(serviceId, random), serviceId, slot, nodeId })),
    )
  })
  const updates = tasks.map((each) =>
    decodeTask(encodeTask(task({ ...each, status: { state: 'running' } }))),
  )
  return { nodes, tasks, updates: shuffled(updates, random) }
}

/** The items in pieces of `length`. */
export function batchesOf<T>(items: readonly T[], length: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / length) }, (_, i) =>
    items.slice(i * length, (i + 1) * length),
  )
}

function shuffled<T>(items: readonly T[], random: Random): readonly T[] {
  const keyed = items.map((item) => ({ item, key: random.integer(2 ** 32) }))
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item)
}
