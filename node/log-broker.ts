/**
 * LogBroker: the shell of the machine `Logs` on the manager that was asked. It passes the commands
 * on, takes the agents' streams, and hands the lines to each reader through a bounded queue: while
 * the reader is slow, nothing more is taken from the agents. Whom to ask, and when everything has
 * come, is decided in `manager/dispatcher/logs.ts`.
 */
import { newId } from '../lib/id.ts'
import type { LogEvent, LogsRequest } from '../manager/api/backend.ts'
import {
  Logs,
  type LogsInput,
  type LogsOutput,
  subscriptionOf,
} from '../manager/dispatcher/logs.ts'
import type { Change } from '../manager/store/change.ts'
import type { View } from '../manager/store/view.ts'
import type { AgentCommand } from '../proto/gen/dispatcher.ts'
import type { LogMessage } from '../proto/gen/logs.ts'
import { systemRandom } from './io/random.ts'
import type { Loop, LoopPart, RoundTime } from './loop.ts'

/** Events waiting for a slow reader before agents are no longer read. */
const WAITING_MAX = 256

export type LogBrokerOptions = {
  readonly addr: string
  readonly loop: Loop
  readonly view: () => View
  readonly command: (nodeId: string, command: AgentCommand) => Promise<boolean>
}

export class LogBroker implements LoopPart {
  #options: LogBrokerOptions
  #logs: Logs
  #readers = new Map<string, Reader>()

  constructor(options: LogBrokerOptions) {
    this.#options = options
    this.#logs = new Logs({
      view: options.view(),
      addr: options.addr,
      nowMs: options.loop.now().monotonicMs,
    })
  }

  round(time: RoundTime): void {
    this.#logs.tick(time.monotonicMs)
    this.#pump()
  }

  /** The state moved on; `changes` is undefined when all of it may have changed. */
  applied(changes: readonly Change[] | undefined, view: View): void {
    this.#step(changes === undefined ? { kind: 'reset', view } : { kind: 'applied', view, changes })
  }

  /** An agent's stream: it names what it was asked by, then sends lines until all have come. */
  async publish(nodeId: string, messages: AsyncIterable<LogMessage>): Promise<void> {
    let ask = ''
    try {
      for await (const { body } of messages) {
        if (body?.kind === 'start') {
          ask = body.start.subscriptionId
          this.#step({ kind: 'started', ask })
        }
        const reader = this.#readers.get(subscriptionOf(ask))
        if (reader === undefined) return
        if (body?.kind === 'lines') {
          const { taskId, lines } = body.lines
          for (const line of lines) await reader.push({ kind: 'line', nodeId, taskId, line })
        } else if (body?.kind === 'end') {
          this.#step({ kind: 'task-ended', ask, taskId: body.end.taskId, error: body.end.error })
        }
      }
    } finally {
      this.#step({ kind: 'stream-ended', ask })
    }
  }

  /** The lines of the tasks, and with `follow` of those that the service gets later. */
  async *subscribe(request: LogsRequest): AsyncGenerator<LogEvent> {
    const id = newId(systemRandom)
    const reader = new Reader()
    this.#readers.set(id, reader)
    const { taskIds, serviceId, follow, stdout, stderr, tail, sinceMs } = request
    try {
      this.#step({
        kind: 'subscribe',
        id,
        selector: { serviceIds: serviceId === '' ? [] : [serviceId], nodeIds: [], taskIds },
        request: { follow, stdout, stderr, tail, sinceMs },
      })
      yield* reader.events(request.signal)
    } finally {
      this.#readers.delete(id)
      reader.close()
      this.#step({ kind: 'cancel', id })
    }
  }

  /** Readers are told that nothing more comes from here. */
  close(): void {
    for (const reader of this.#readers.values()) reader.end('this node is no manager any more')
  }

  #step(input: LogsInput): void {
    this.#logs.step(input)
    this.#pump()
  }

  #pump(): void {
    for (let outputs = this.#logs.ready(); outputs !== undefined; outputs = this.#logs.ready()) {
      for (const output of outputs) this.#carryOut(output)
      this.#logs.advance(outputs)
    }
  }

  #carryOut(output: LogsOutput): void {
    if (output.kind === 'end') {
      this.#readers.get(output.id)?.end(output.warning)
      return
    }
    const { ask, nodeId, command } = output
    this.#options.command(nodeId, command).then(
      (isDelivered) => {
        if (!isDelivered) this.#step({ kind: 'command-failed', ask })
      },
      () => this.#step({ kind: 'command-failed', ask }),
    )
  }
}

/** One reader's bounded queue. */
class Reader {
  #waiting: LogEvent[] = []
  #isEnded = false
  #isClosed = false
  #wakeReader: () => void = () => undefined
  #wakeWriters: (() => void)[] = []

  /** Waits while the reader is behind. */
  async push(event: LogEvent): Promise<void> {
    if (this.#isClosed) return
    this.#waiting.push(event)
    this.#wakeReader()
    if (this.#waiting.length >= WAITING_MAX)
      await new Promise<void>((resolve) => this.#wakeWriters.push(resolve))
  }

  /** Nothing more comes; a warning is the last thing that is read. */
  end(warning: string): void {
    if (warning !== '') this.#waiting.push({ kind: 'gap', message: warning })
    this.#isEnded = true
    this.#wakeReader()
  }

  close(): void {
    this.#isClosed = true
    this.#waiting = []
    this.#release()
  }

  async *events(signal: AbortSignal): AsyncGenerator<LogEvent> {
    const onAbort = (): void => this.#wakeReader()
    signal.addEventListener('abort', onAbort)
    try {
      while (!signal.aborted) {
        const batch = this.#waiting
        this.#waiting = []
        this.#release()
        yield* batch
        if (this.#waiting.length > 0) continue
        if (this.#isEnded) return
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
