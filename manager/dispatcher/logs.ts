/**
 * Logs: whom the asked manager must ask for the lines of which tasks, and when they have all come.
 * A subscription names services, nodes or tasks; each node that runs some of them is asked
 * by a command (passed on by the holder of its session) and dials this manager with a stream of its
 * own for each. New tasks of a followed subscription are asked for as they get a node. The lines themselves never pass
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
      /** Drawn at random by the shell, without a slash. */
      readonly id: string
      readonly selector: LogSelector
      readonly request: LogRequest
    }
  /** The reader is gone: no `end` follows. */
  | { readonly kind: 'cancel'; readonly id: string }
  /** The first message of an agent's stream, which names what it was asked by. */
  | { readonly kind: 'started'; readonly ask: string }
  /** All lines of the task have come; `error` is why some are missing, empty when none are. */
  | {
      readonly kind: 'task-ended'
      readonly ask: string
      readonly taskId: string
      readonly error: string
    }
  /** An agent's stream ended, whatever it still owes. */
  | { readonly kind: 'stream-ended'; readonly ask: string }
  /** The command could not be passed on. */
  | { readonly kind: 'command-failed'; readonly ask: string }
  | { readonly kind: 'applied'; readonly view: View; readonly changes: readonly Change[] }
  | { readonly kind: 'reset'; readonly view: View }

export type LogsOutput =
  /** To be passed on to the holder of the node's session. */
  | {
      readonly kind: 'command'
      readonly ask: string
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

/** What one node was asked by one command. */
type Ask = {
  readonly nodeId: string
  /** Tasks that have not ended. */
  readonly open: Set<string>
  /** Monotonic, ms: it dials by then; undefined when it has. */
  dialMs: number | undefined
}

type Subscription = {
  readonly id: string
  readonly selector: LogSelector
  readonly request: LogRequest
  /** By the id of the command, those of which something is still open. */
  readonly asks: Map<string, Ask>
  /** How many asks were made. */
  askCount: number
  /** Tasks that were asked for, or could not be. */
  readonly seen: Set<string>
  /** Why lines are missing, each reason once. */
  readonly reasons: Set<string>
}

/** The subscription that an agent's stream belongs to. */
export function subscriptionOf(ask: string): string {
  return ask.slice(0, ask.indexOf('/'))
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
        this.#start(input.ask)
        break
      case 'task-ended':
        this.#endTask(input.ask, input.taskId, input.error)
        break
      case 'stream-ended':
        this.#lose(input.ask, 'disconnected unexpectedly')
        break
      case 'command-failed':
        this.#lose(input.ask, 'is not available')
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
    for (const { asks } of this.#subscriptions.values())
      for (const [ask, { dialMs }] of asks)
        if (dialMs !== undefined && dialMs <= nowMs) this.#lose(ask, 'is not available')
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
      asks: new Map(),
      askCount: 0,
      seen: new Set(),
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
    for (const [ask, { nodeId }] of subscription.asks) {
      const command: AgentCommand = { body: { kind: 'logCancel', logCancel: { id: ask } } }
      this.#outbox.push({ kind: 'command', ask, nodeId, command })
    }
  }

  #start(ask: string): void {
    const asked = this.#subscriptions.get(subscriptionOf(ask))?.asks.get(ask)
    if (asked !== undefined) asked.dialMs = undefined
  }

  #endTask(ask: string, taskId: string, error: string): void {
    const subscription = this.#subscriptions.get(subscriptionOf(ask))
    const asked = subscription?.asks.get(ask)
    if (subscription === undefined || asked === undefined || !asked.open.delete(taskId)) return
    if (error !== '') subscription.reasons.add(`node ${asked.nodeId}: ${error}`)
    if (asked.open.size === 0) subscription.asks.delete(ask)
    this.#endIfComplete(subscription)
  }

  /** Nothing more comes of what was asked, and something is owed. */
  #lose(ask: string, what: string): void {
    const subscription = this.#subscriptions.get(subscriptionOf(ask))
    const asked = subscription?.asks.get(ask)
    if (subscription === undefined || asked === undefined) return
    subscription.asks.delete(ask)
    subscription.reasons.add(`node ${asked.nodeId} ${what}`)
    this.#endIfComplete(subscription)
  }

  #follow(changes: readonly Change[]): void {
    if (this.#subscriptions.size === 0) return
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
    subscription.askCount += 1
    const id = `${subscription.id}/${subscription.askCount}`
    const dialMs = this.#nowMs + DIAL_TIMEOUT_MS
    subscription.asks.set(id, { nodeId, open: new Set(taskIds), dialMs })
    const logs = { ...subscription.request, id, addr: this.#addr, taskIds }
    const command: AgentCommand = { body: { kind: 'logs', logs } }
    this.#outbox.push({ kind: 'command', ask: id, nodeId, command })
  }

  /** A followed one ends with its reader, unless it names nothing that could still grow. */
  #endIfComplete({ id, asks, request, selector, reasons, seen }: Subscription): void {
    if (asks.size > 0) return
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
