/**
 * Logs: whom the asked manager must ask for the lines of which tasks, and when they have all come.
 * A subscription names services, nodes or tasks; each node that runs some of them is given a command
 * (passed on by the holder of its session) and dials this manager with a stream of its own. New
 * tasks of a followed subscription are asked for as they get a node. The lines themselves never pass
 * here: streams and their flow control are the shell's. Texts are SwarmKit's (swarm-mode.md 2.18).
 */
import { Outbox } from '../../lib/outbox.ts'
import type { AgentCommand } from '../../proto/gen/dispatcher.ts'
import type { Task } from '../../proto/gen/objects.ts'
import { compareTaskState } from '../../proto/task-state.ts'
import { type Change, changedId } from '../store/change.ts'
import type { View } from '../store/view.ts'

/** More subscriptions at once are refused with an `end`. */
const SUBSCRIPTIONS_MAX = 256
/** A node that was asked dials within this time. */
const DIAL_TIMEOUT_MS = 10_000

export type LogSelector = {
  readonly serviceIds: readonly string[]
  readonly nodeIds: readonly string[]
  readonly taskIds: readonly string[]
}

export type LogRequest = {
  readonly follow: boolean
  readonly stdout: boolean
  readonly stderr: boolean
  /** Lines of each task; -1 is all. */
  readonly tail: number
  /** Wall time, ms; 0 is the beginning. */
  readonly sinceMs: number
}

export type LogsInput =
  | {
      readonly kind: 'subscribe'
      /** Drawn at random by the shell: it is what an agent's stream names. */
      readonly id: string
      readonly selector: LogSelector
      readonly request: LogRequest
    }
  /** The reader is gone: no `end` follows. */
  | { readonly kind: 'cancel'; readonly id: string }
  /** The first message of an agent's stream. */
  | { readonly kind: 'started'; readonly id: string; readonly nodeId: string }
  /** All lines of the task have come; `error` is why some are missing, empty when none are. */
  | {
      readonly kind: 'task-ended'
      readonly id: string
      readonly nodeId: string
      readonly taskId: string
      readonly error: string
    }
  /** An agent's stream ended, whatever it still owes. */
  | { readonly kind: 'stream-ended'; readonly id: string; readonly nodeId: string }
  /** The command could not be passed on. */
  | { readonly kind: 'command-failed'; readonly id: string; readonly nodeId: string }
  | { readonly kind: 'applied'; readonly view: View; readonly changes: readonly Change[] }
  | { readonly kind: 'reset'; readonly view: View }

export type LogsOutput =
  /** To be passed on to the holder of the node's session. */
  | {
      readonly kind: 'command'
      readonly id: string
      readonly nodeId: string
      readonly command: AgentCommand
    }
  /** No more lines will come; `warning` is the last thing the reader is told, empty if nothing is. */
  | { readonly kind: 'end'; readonly id: string; readonly warning: string }

export type LogsOptions = {
  readonly view: View
  /** host:port under which agents reach this manager. */
  readonly addr: string
  /** Monotonic, ms. */
  readonly nowMs: number
}

type Subscription = {
  readonly id: string
  readonly selector: LogSelector
  readonly request: LogRequest
  /** Tasks that were asked for and have not ended, with their node. */
  readonly open: Map<string, string>
  /** Tasks that were looked at once, whatever came of it. */
  readonly seen: Set<string>
  /** Nodes that were asked and have not dialed, with the time by which they must (monotonic, ms). */
  readonly dialing: Map<string, number>
  /** Why lines are missing, each reason once. */
  readonly reasons: Set<string>
}

export class Logs {
  readonly #addr: string
  readonly #outbox = new Outbox<LogsOutput>()
  readonly #subscriptions = new Map<string, Subscription>()
  #view: View
  #nowMs: number

  constructor({ view, addr, nowMs }: LogsOptions) {
    this.#view = view
    this.#addr = addr
    this.#nowMs = nowMs
  }

  /** Takes the input in; what follows from it comes out of `ready()`. */
  step(input: LogsInput): void {
    switch (input.kind) {
      case 'subscribe':
        this.#subscribe(input)
        break
      case 'cancel':
        this.#cancel(input.id)
        break
      case 'started':
        this.#subscriptions.get(input.id)?.dialing.delete(input.nodeId)
        break
      case 'task-ended':
        this.#endTask(input)
        break
      case 'stream-ended':
        this.#lose(input.id, input.nodeId, `node ${input.nodeId} disconnected unexpectedly`)
        break
      case 'command-failed':
        this.#lose(input.id, input.nodeId, `node ${input.nodeId} is not available`)
        break
      case 'applied':
        this.#view = input.view
        this.#follow(input.changes)
        break
      case 'reset':
        this.#view = input.view
        for (const subscription of this.#subscriptions.values())
          if (subscription.request.follow) this.#ask(subscription, this.#select(subscription))
        break
      default:
        input satisfies never
    }
  }

  /** `nowMs` is monotonic; to be called every second or so, and before the inputs of a round. */
  tick(nowMs: number): void {
    this.#nowMs = nowMs
    for (const { id, dialing } of this.#subscriptions.values())
      for (const [nodeId, untilMs] of dialing)
        if (untilMs <= nowMs) this.#lose(id, nodeId, `node ${nodeId} is not available`)
  }

  ready(): readonly LogsOutput[] | undefined {
    return this.#outbox.ready()
  }

  advance(outputs: readonly LogsOutput[]): void {
    this.#outbox.advance(outputs)
  }

  #subscribe({ id, selector, request }: Extract<LogsInput, { kind: 'subscribe' }>): void {
    if (this.#subscriptions.size >= SUBSCRIPTIONS_MAX) {
      const warning = `this manager serves ${SUBSCRIPTIONS_MAX} log readers already: try another one`
      this.#outbox.push({ kind: 'end', id, warning })
      return
    }
    const subscription: Subscription = {
      id,
      selector,
      request,
      open: new Map(),
      seen: new Set(),
      dialing: new Map(),
      reasons: new Set(),
    }
    this.#subscriptions.set(id, subscription)
    this.#ask(subscription, this.#select(subscription))
    this.#endIfComplete(subscription)
  }

  #cancel(id: string): void {
    const subscription = this.#subscriptions.get(id)
    if (subscription === undefined) return
    this.#subscriptions.delete(id)
    for (const nodeId of new Set(subscription.open.values())) {
      const command: AgentCommand = { body: { kind: 'logCancel', logCancel: { id } } }
      this.#outbox.push({ kind: 'command', id, nodeId, command })
    }
  }

  #endTask({ id, nodeId, taskId, error }: Extract<LogsInput, { kind: 'task-ended' }>): void {
    const subscription = this.#subscriptions.get(id)
    if (subscription === undefined || subscription.open.get(taskId) !== nodeId) return
    subscription.open.delete(taskId)
    if (error !== '') subscription.reasons.add(`node ${nodeId}: ${error}`)
    this.#endIfComplete(subscription)
  }

  /** Nothing more comes from the node; that is only worth telling if it owes something. */
  #lose(id: string, nodeId: string, reason: string): void {
    const subscription = this.#subscriptions.get(id)
    if (subscription === undefined) return
    subscription.dialing.delete(nodeId)
    for (const [taskId, owner] of subscription.open) {
      if (owner !== nodeId) continue
      subscription.open.delete(taskId)
      subscription.reasons.add(reason)
    }
    this.#endIfComplete(subscription)
  }

  #follow(changes: readonly Change[]): void {
    const tasks = changes.flatMap((change) =>
      change.table === 'tasks' ? (this.#view.tasks.get(changedId(change)) ?? []) : [],
    )
    if (tasks.length === 0) return
    for (const subscription of this.#subscriptions.values())
      if (subscription.request.follow)
        this.#ask(
          subscription,
          tasks.filter((task) => isSelected(subscription.selector, task)),
        )
  }

  #select({ selector }: Subscription): readonly Task[] {
    const { tasks } = this.#view
    const found = new Map<string, Task>()
    for (const id of selector.serviceIds)
      for (const task of tasks.by('service', id)) found.set(task.id, task)
    for (const id of selector.nodeIds)
      for (const task of tasks.by('node', id)) found.set(task.id, task)
    for (const id of selector.taskIds) {
      const task = tasks.get(id)
      if (task !== undefined) found.set(id, task)
    }
    return [...found.values()]
  }

  /** Each task is asked for once, when it has a node that can answer. */
  #ask(subscription: Subscription, tasks: readonly Task[]): void {
    const byNode = new Map<string, string[]>()
    for (const task of tasks) {
      if (subscription.seen.has(task.id)) continue
      if (compareTaskState(task.status?.state ?? 'new', 'assigned') < 0 || task.nodeId === '') {
        // A followed one is asked for when it has a node.
        if (!subscription.request.follow)
          subscription.reasons.add(`task ${task.id} has not been scheduled`)
        continue
      }
      subscription.seen.add(task.id)
      if (this.#view.nodes.get(task.nodeId)?.status?.state !== 'ready')
        subscription.reasons.add(`node ${task.nodeId} is not available`)
      else byNode.set(task.nodeId, [...(byNode.get(task.nodeId) ?? []), task.id])
    }
    for (const [nodeId, taskIds] of byNode) this.#askNode(subscription, nodeId, taskIds)
  }

  #askNode(subscription: Subscription, nodeId: string, taskIds: readonly string[]): void {
    const { id, request } = subscription
    for (const taskId of taskIds) subscription.open.set(taskId, nodeId)
    subscription.dialing.set(nodeId, this.#nowMs + DIAL_TIMEOUT_MS)
    const logs = { ...request, id, addr: this.#addr, taskIds }
    this.#outbox.push({ kind: 'command', id, nodeId, command: { body: { kind: 'logs', logs } } })
  }

  /** A followed one ends with its reader, unless it names nothing that could still grow. */
  #endIfComplete({ id, open, request, selector, reasons, seen }: Subscription): void {
    if (open.size > 0) return
    const isOfTasks = selector.serviceIds.length === 0 && selector.nodeIds.length === 0
    const isWaiting = selector.taskIds.some((taskId) => !seen.has(taskId) && this.#exists(taskId))
    if (request.follow && (!isOfTasks || isWaiting)) return
    this.#subscriptions.delete(id)
    const warning =
      reasons.size === 0
        ? ''
        : `warning: incomplete log stream. some logs could not be retrieved for the following reasons: ${[...reasons].join(', ')}`
    this.#outbox.push({ kind: 'end', id, warning })
  }

  #exists(taskId: string): boolean {
    return this.#view.tasks.get(taskId) !== undefined
  }
}

function isSelected(selector: LogSelector, task: Task): boolean {
  return (
    selector.serviceIds.includes(task.serviceId) ||
    selector.nodeIds.includes(task.nodeId) ||
    selector.taskIds.includes(task.id)
  )
}
