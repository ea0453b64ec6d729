/**
 * Invariants of nodes and what is placed on them (peers.md 3.4: T4, T5, T7): reservations within what
 * the node has, a host port once a node, max replicas a node, and the hard constraints at the moment
 * of assignment. It keeps what every node holds, task by task, so that an entry costs what it
 * changes. Constraints are read by an evaluator of its own, which knows what the workload uses.
 */
import type { View } from '../../../manager/store/view.ts'
import type { Node, Task } from '../../../proto/gen/objects.ts'
import type { Step, StepChecker, TaskStep } from './step.ts'
import { isPlaced, isWanted } from './task-facts.ts'

export type Held = {
  nanoCpus: number
  memoryBytes: number
  /** `tcp/80` → the task that has it. */
  readonly ports: Map<string, string>
  /** Service → its tasks here that are meant to run or still end. */
  readonly tasks: Map<string, Set<string>>
}

export class PlaceChecker implements StepChecker {
  readonly #held: Map<string, Held> = new Map();

  *check(step: Step): Iterable<string> {
    for (const { before } of step.tasks) if (before !== undefined) release(this.#held, before)
    const placed: Task[] = []
    for (const task of step.tasks) {
      const { after } = task
      if (after === undefined) continue
      const taken = hold(this.#held, after)
      if (taken !== undefined)
        yield `T5: port ${taken.port} of node ${after.nodeId} is given to task ${after.id} and held by ${taken.by}`
      if (isPlacement(task)) placed.push(after)
    }
    for (const task of placed) {
      yield* this.#checkPlacement(step, task)
      yield* this.#checkReplicas(placed, task)
    }
  }

  restored(view: View): void {
    this.#held.clear()
    for (const task of view.tasks.list()) hold(this.#held, task)
  }

  *#checkPlacement(step: Step, task: Task): Iterable<string> {
    const held = this.#held.get(task.nodeId)
    const node = step.after.nodes.get(task.nodeId) ?? step.before.nodes.get(task.nodeId)
    if (held === undefined || node === undefined) {
      if (node === undefined)
        yield `T7: task ${task.id} was given to node ${task.nodeId}, which does not exist`
      return
    }
    const total = node.description?.resources
    const wanted = task.spec?.resources?.reservations
    if ((wanted?.nanoCpus ?? 0) > 0 && held.nanoCpus > (total?.nanoCpus ?? 0))
      yield `T4: node ${node.id} has ${held.nanoCpus} nano CPUs reserved of ${total?.nanoCpus} with task ${task.id}`
    if ((wanted?.memoryBytes ?? 0) > 0 && held.memoryBytes > (total?.memoryBytes ?? 0))
      yield `T4: node ${node.id} has ${held.memoryBytes} bytes reserved of ${total?.memoryBytes} with task ${task.id}`
    // An entry holds what was decided at one time after another: the node before it counts too.
    if (!isEligible(step.before, task) && !isEligible(step.after, task))
      yield `T7: task ${task.id} was given to node ${node.id} (${describe(node)}), which it must not be on`
  }

  /** T5: of what an entry places together, each spec has its own limit. */
  *#checkReplicas(placed: readonly Task[], task: Task): Iterable<string> {
    const limits = placed
      .filter((other) => other.nodeId === task.nodeId && other.serviceId === task.serviceId)
      .map((other) => other.spec?.placement?.maxReplicas ?? 0)
    const max = limits.includes(0) ? 0 : Math.max(...limits)
    const count = this.#held.get(task.nodeId)?.tasks.get(task.serviceId)?.size ?? 0
    if (max > 0 && count > max)
      yield `T5: node ${task.nodeId} has ${count} tasks of service ${task.serviceId} with task ${task.id}, ${max} are allowed`
  }
}

/** Whether the step gives the task its place. */
function isPlacement({ before, after }: TaskStep): boolean {
  return after !== undefined && isPlaced(after) && (before === undefined || !isPlaced(before))
}

function isEligible(view: View, task: Task): boolean {
  const node = view.nodes.get(task.nodeId)
  return node !== undefined && isReady(node) && mayRun(task, node)
}

/** Whether the node takes new tasks. */
export function isReady(node: Node): boolean {
  return node.status?.state === 'ready' && (node.spec?.availability ?? 'active') === 'active'
}

/** Whether constraints and platforms let the task be on the node, whatever else is there. */
export function mayRun(task: Task, node: Node): boolean {
  const { constraints = [], platforms = [] } = task.spec?.placement ?? {}
  const own = node.description?.platform
  return (
    satisfiesAll(node, constraints) &&
    (platforms.length === 0 ||
      platforms.some(
        ({ os, architecture }) =>
          os === own?.os && architecture === ARCHITECTURES[own.architecture],
      ))
  )
}

/** What images call the processors of the simulator's hosts. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x86_64: 'amd64', aarch64: 'arm64' }

/** What a task takes as soon as it is placed; `ports` as `tcp/80`. */
export function demandOf(task: Task): {
  readonly nanoCpus: number
  readonly memoryBytes: number
  readonly ports: readonly string[]
} {
  const { nanoCpus = 0, memoryBytes = 0 } = task.spec?.resources?.reservations ?? {}
  const ports: string[] = []
  for (const { publishMode, publishedPort, protocol } of task.endpoint?.ports ?? [])
    if (publishMode === 'host' && publishedPort > 0) ports.push(`${protocol}/${publishedPort}`)
  return { nanoCpus, memoryBytes, ports }
}

export function satisfiesAll(node: Node, constraints: readonly string[]): boolean {
  return constraints.every((constraint) => satisfies(node, constraint))
}

/** `key==value` or `key!=value` of the keys that the workload uses. */
function satisfies(node: Node, constraint: string): boolean {
  const isNot = constraint.includes('!=')
  const [key = '', value = ''] = constraint.split(isNot ? '!=' : '==').map((part) => part.trim())
  const label = 'node.labels.'
  const actual = key.startsWith(label)
    ? (node.spec?.annotations?.labels.get(key.slice(label.length)) ?? '')
    : key === 'node.role'
      ? node.certificateRole
      : key === 'node.hostname'
        ? (node.description?.hostname ?? '')
        : node.id
  return (actual === value) !== isNot
}

/** The task's place is taken; the first of its ports that another task has. */
export function hold(
  nodes: Map<string, Held>,
  task: Task,
): { readonly port: string; readonly by: string } | undefined {
  if (!isPlaced(task) || task.nodeId === '') return undefined
  const held = heldBy(nodes, task.nodeId)
  const { nanoCpus, memoryBytes, ports } = demandOf(task)
  held.nanoCpus += nanoCpus
  held.memoryBytes += memoryBytes
  if (isWanted(task)) {
    const tasks = held.tasks.get(task.serviceId)
    if (tasks === undefined) held.tasks.set(task.serviceId, new Set([task.id]))
    else tasks.add(task.id)
  }
  let taken: { readonly port: string; readonly by: string } | undefined
  for (const port of ports) {
    const by = held.ports.get(port)
    if (by !== undefined && by !== task.id) taken ??= { port, by }
    else held.ports.set(port, task.id)
  }
  return taken
}

function release(nodes: Map<string, Held>, task: Task): void {
  if (!isPlaced(task) || task.nodeId === '') return
  const held = heldBy(nodes, task.nodeId)
  const { nanoCpus, memoryBytes, ports } = demandOf(task)
  held.nanoCpus -= nanoCpus
  held.memoryBytes -= memoryBytes
  held.tasks.get(task.serviceId)?.delete(task.id)
  for (const port of ports) if (held.ports.get(port) === task.id) held.ports.delete(port)
}

function heldBy(nodes: Map<string, Held>, nodeId: string): Held {
  const known = nodes.get(nodeId)
  if (known !== undefined) return known
  const held: Held = { nanoCpus: 0, memoryBytes: 0, ports: new Map(), tasks: new Map() }
  nodes.set(nodeId, held)
  return held
}

function describe(node: Node): string {
  const labels = [...(node.spec?.annotations?.labels ?? [])].map(
    ([key, value]) => `${key}=${value}`,
  )
  return [node.status?.state, node.spec?.availability, node.certificateRole, ...labels].join(' ')
}
