/**
 * LogPublisher: reads the logs that somebody subscribed to and sends them to the manager that was
 * asked, one stream a subscription. The stream's flow control slows the reading of the files, never
 * a container. What cannot be read is said with the end of each task's lines.
 */
import type { ContainerLine, Runtime } from '../agent/runtime/runtime.ts'
import { SwarmError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { LogSubscription } from '../proto/gen/dispatcher.ts'
import { type LogLine, type LogMessage, logsService } from '../proto/gen/logs.ts'
import { type Channel, newClient } from '../proto/grpc.ts'

const LINES_MAX = 512
const BYTES_MAX = 64 * 1024
/** Lines waiting for company are sent after this long. */
const FLUSH_MS = 50

export type LogPublisherOptions = {
  readonly nodeId: string
  readonly runtime: Runtime
  readonly log: Log
  readonly dial: (addr: string) => Channel
}

type Send = (message: LogMessage) => Promise<void>

export class LogPublisher {
  #options: LogPublisherOptions
  /** The streams of each subscription. */
  #running = new Map<string, Set<AbortController>>()

  constructor(options: LogPublisherOptions) {
    this.#options = options
  }

  /** Publishes until everything is sent, or the subscription is cancelled. One may come in parts. */
  subscribe(subscription: LogSubscription): void {
    const abort = new AbortController()
    const parts = this.#running.get(subscription.id) ?? new Set()
    this.#running.set(subscription.id, parts.add(abort))
    this.#publish(subscription, abort)
      .catch((error: unknown) => {
        const fields = { subscription: subscription.id, error: String(error) }
        this.#options.log.debug(fields, 'logs not published')
      })
      .finally(() => {
        parts.delete(abort)
        if (parts.size === 0) this.#running.delete(subscription.id)
      })
  }

  cancel(id: string): void {
    for (const abort of this.#running.get(id) ?? []) abort.abort()
  }

  close(): void {
    for (const id of [...this.#running.keys()]) this.cancel(id)
  }

  async #publish(subscription: LogSubscription, abort: AbortController): Promise<void> {
    const channel = this.#options.dial(subscription.addr)
    const stream = newClient(channel, logsService).publish()
    stream.signal.addEventListener('abort', () => abort.abort(), { once: true })
    abort.signal.addEventListener('abort', () => stream.cancel(), { once: true })
    try {
      const send: Send = (message) => stream.send(message)
      const { id, taskIds } = subscription
      await send({
        body: { kind: 'start', start: { subscriptionId: id, nodeId: this.#options.nodeId } },
      })
      await Promise.all(
        taskIds.map((taskId) => this.#publishTask(taskId, subscription, send, abort)),
      )
      stream.end()
      // The reply says that the manager has taken everything.
      for await (const _ of stream) break
    } finally {
      channel.close()
    }
  }

  async #publishTask(
    taskId: string,
    subscription: LogSubscription,
    send: Send,
    abort: AbortController,
  ): Promise<void> {
    let error = ''
    try {
      const lines = this.#options.runtime.logs(taskId, {
        follow: subscription.follow,
        stdout: subscription.stdout,
        stderr: subscription.stderr,
        tail: subscription.tail,
        sinceMs: subscription.sinceMs,
        signal: abort.signal,
      })
      for await (const batch of inBatches(lines))
        await send({ body: { kind: 'lines', lines: { taskId, lines: batch } } })
    } catch (cause) {
      error = cause instanceof SwarmError ? cause.message : 'the log could not be read'
    }
    if (!abort.signal.aborted) await send({ body: { kind: 'end', end: { taskId, error } } })
  }
}

/** Lines that are there together travel together; a lone one waits at most FLUSH_MS. */
async function* inBatches(lines: AsyncIterable<ContainerLine>): AsyncGenerator<readonly LogLine[]> {
  const iterator = lines[Symbol.asyncIterator]()
  let batch: LogLine[] = []
  let bytes = 0
  let next = iterator.next()
  for (;;) {
    const result = batch.length === 0 ? await next : await orAfter(next, FLUSH_MS)
    if (result === undefined || result.done === true) {
      if (batch.length > 0) yield batch
      if (result?.done === true) return
      batch = []
      bytes = 0
      continue
    }
    batch.push(toLogLine(result.value))
    bytes += result.value.data.length
    next = iterator.next()
    if (batch.length < LINES_MAX && bytes < BYTES_MAX) continue
    yield batch
    batch = []
    bytes = 0
  }
}

async function orAfter<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

function toLogLine(line: ContainerLine): LogLine {
  return {
    stream: line.stream,
    timestampMs: line.timestampMs,
    timestampNs: line.timestampNs,
    data: line.data,
    partial: line.partial,
  }
}
