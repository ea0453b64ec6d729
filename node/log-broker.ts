/**
 * LogBroker: subscriptions to container logs on the manager that was asked. It tells the sessions'
 * holders which agents must publish, takes the agents' streams, and hands the lines on as one
 * bounded stream: while its reader is slow, nothing more is taken from the agents. What cannot be
 * read is said (swarm-mode.md 2.18).
 */

import { newId } from '../lib/id.ts'
import type { LogEvent, LogsRequest } from '../manager/api/backend.ts'
import type { View } from '../manager/store/view.ts'
import type { AgentCommand } from '../proto/gen/dispatcher.ts'
import type { LogMessage } from '../proto/gen/logs.ts'
import { systemRandom } from './io/random.ts'

/** Events waiting for a slow reader before agents are no longer read. */
const WAITING_MAX = 256
/** An agent that did not dial back in this time counts as unable to. */
const DIAL_MS = 5_000

export type LogBrokerOptions = {
  readonly addr: string
  readonly view: () => View
  readonly command: (nodeId: string, command: AgentCommand) => Promise<boolean>
}

export class LogBroker {
  #options: LogBrokerOptions
  #subscriptions = new Map<string, Subscription>()

  constructor(options: LogBrokerOptions) {
    this.#options = options
  }

  /** An agent's stream for one of the subscriptions. */
  async publish(nodeId: string, messages: AsyncIterable<LogMessage>): Promise<void> {
    let subscription: Subscription | undefined
    try {
      for await (const { body } of messages) {
        if (body?.kind === 'start') {
          subscription = this.#subscriptions.get(body.start.subscriptionId)
          if (subscription === undefined) return
          subscription.dialled.add(nodeId)
        } else if (subscription === undefined) {
          return
        } else if (body?.kind === 'lines') {
          for (const line of body.lines.lines)
            await subscription.push({ kind: 'line', nodeId, taskId: body.lines.taskId, line })
        } else if (body?.kind === 'end') {
          if (body.end.error !== '')
            await subscription.push({
              kind: 'gap',
              message: `task ${body.end.taskId}: ${body.end.error}`,
            })
          subscription.finish(body.end.taskId)
        }
      }
    } catch {
      // The stream broke: what is missing is said below, for each task.
    }
    for (const taskId of subscription?.listOpen(nodeId) ?? []) {
      await subscription?.push({
        kind: 'gap',
        message: `node ${nodeId} stopped sending the log of task ${taskId}`,
      })
      subscription?.finish(taskId)
    }
  }

  /** The lines of the tasks, and with `follow` of those that the service gets later. */
  async *subscribe(
    request: LogsRequest,
    watch: (onChange: () => void) => () => void,
  ): AsyncGenerator<LogEvent> {
    const id = newId(systemRandom)
    const subscription = new Subscription(request)
    this.#subscriptions.set(id, subscription)
    const asked = new Set<string>()
    const ask = (): void => this.#ask(id, subscription, asked)
    const unwatch = request.follow ? watch(ask) : () => undefined
    try {
      ask()
      yield* subscription.events(request.signal)
    } finally {
      unwatch()
      this.#subscriptions.delete(id)
      subscription.close()
      for (const nodeId of subscription.dialled)
        this.#options
          .command(nodeId, { body: { kind: 'logCancel', logCancel: { id } } })
          .catch(() => undefined)
    }
  }

  /** Agents whose tasks were not asked for yet are asked. */
  #ask(id: string, subscription: Subscription, asked: Set<string>): void {
    const view = this.#options.view()
    const { request } = subscription
    const ids = new Set(request.taskIds)
    if (request.serviceId !== '')
      for (const task of view.tasks.by('service', request.serviceId)) ids.add(task.id)
    const byNode = new Map<string, string[]>()
    for (const taskId of ids) {
      const task = view.tasks.get(taskId)
      if (asked.has(taskId)) continue
      if (task === undefined || task.nodeId === '') {
        if (!request.follow)
          void subscription.push({ kind: 'gap', message: `task ${taskId} has not been scheduled` })
        continue
      }
      asked.add(taskId)
      subscription.open(taskId, task.nodeId)
      const list = byNode.get(task.nodeId)
      if (list === undefined) byNode.set(task.nodeId, [taskId])
      else list.push(taskId)
    }
    for (const [nodeId, taskIds] of byNode) this.#askNode(id, subscription, nodeId, taskIds)
    subscription.asked()
  }

  #askNode(
    id: string,
    subscription: Subscription,
    nodeId: string,
    taskIds: readonly string[],
  ): void {
    const { follow, stdout, stderr, tail, sinceMs } = subscription.request
    // Each round of asking is a stream of its own at the agent, under the same subscription.
    const command: AgentCommand = {
      body: {
        kind: 'logs',
        logs: { id, addr: this.#options.addr, taskIds, follow, stdout, stderr, tail, sinceMs },
      },
    }
    const giveUp = (reason: string): void => {
      for (const taskId of taskIds) {
        if (!subscription.isOpen(taskId)) continue
        void subscription.push({ kind: 'gap', message: reason })
        subscription.finish(taskId)
      }
    }
    this.#options.command(nodeId, command).then(
      (isDelivered) => {
        if (!isDelivered) {
          giveUp(`node ${nodeId} is not available`)
          return
        }
        const timer = setTimeout(() => {
          if (!subscription.dialled.has(nodeId)) giveUp(`node ${nodeId} did not answer`)
        }, DIAL_MS)
        timer.unref()
      },
      () => giveUp(`node ${nodeId} could not be asked`),
    )
  }
}

/** One reader's bounded queue, and which tasks are still expected. */
class Subscription {
  readonly request: LogsRequest
  readonly dialled = new Set<string>()
  #nodeOf = new Map<string, string>()
  #waiting: LogEvent[] = []
  #isAsked = false
  #isClosed = false
  #wakeReader: (() => void) | undefined
  #wakeWriters: (() => void)[] = []

  constructor(request: LogsRequest) {
    this.request = request
  }

  open(taskId: string, nodeId: string): void {
    this.#nodeOf.set(taskId, nodeId)
  }

  isOpen(taskId: string): boolean {
    return this.#nodeOf.has(taskId)
  }

  listOpen(nodeId: string): readonly string[] {
    return [...this.#nodeOf].filter(([, node]) => node === nodeId).map(([taskId]) => taskId)
  }

  finish(taskId: string): void {
    this.#nodeOf.delete(taskId)
    this.#wakeReader?.()
  }

  asked(): void {
    this.#isAsked = true
    this.#wakeReader?.()
  }

  /** Waits while the reader is behind. */
  async push(event: LogEvent): Promise<void> {
    if (this.#isClosed) return
    this.#waiting.push(event)
    this.#wakeReader?.()
    if (this.#waiting.length >= WAITING_MAX)
      await new Promise<void>((resolve) => this.#wakeWriters.push(resolve))
  }

  close(): void {
    this.#isClosed = true
    this.#waiting = []
    this.#release()
  }

  async *events(signal: AbortSignal): AsyncGenerator<LogEvent> {
    const onAbort = (): void => this.#wakeReader?.()
    signal.addEventListener('abort', onAbort)
    try {
      while (!signal.aborted) {
        const batch = this.#waiting
        this.#waiting = []
        this.#release()
        yield* batch
        if (this.#waiting.length > 0) continue
        if (this.#isAsked && this.#nodeOf.size === 0 && !this.request.follow) return
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve
          if (signal.aborted) resolve()
        })
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  #release(): void {
    const writers = this.#wakeWriters
    this.#wakeWriters = []
    for (const wake of writers) wake()
  }
}
