/**
 * What the main thread and the consensus thread say to each other: batches of the consensus
 * machine's inputs one way, of its events the other. Bytes are transferred, not copied (DESIGN
 * section 4). `ConsensusPort` is the main thread's end: it starts the thread and passes on.
 */
import { Worker } from 'node:worker_threads'
import { CODES, SwarmError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { AppliedHold } from '../manager/applied-hold.ts'
import type { ConsensusInput, MainEvent } from '../manager/consensus-interface.ts'
import type { DataKeys } from '../manager/wal/seal.ts'
import type { TransportIdentity } from './io/raft-transport.ts'
import { findDamage } from './log-damage.ts'
import type { RoundTime } from './loop.ts'

/** What the thread is started with. */
export type ConsensusStart = {
  readonly raftId: number
  readonly clusterId: string
  readonly epoch: number
  /** The state directory; the log is in its folder `raft`. */
  readonly directory: string
  readonly listen: string
  readonly identity: TransportIdentity
  readonly keys: DataKeys
  readonly snapshotInterval: {
    readonly entries: number
    readonly bytes: number
    readonly keepEntries: number
  }
  /** One 32-bit counter, which main advances each round. */
  readonly progress: SharedArrayBuffer
  readonly isDebug: boolean
}

export type ToThread =
  | { readonly kind: 'inputs'; readonly inputs: readonly ConsensusInput[] }
  | { readonly kind: 'identity'; readonly identity: TransportIdentity }
  | { readonly kind: 'close' }

export type ThreadMetrics = {
  readonly commit: number
  readonly applied: number
  readonly snapshotsInstalled: number
}

export type FromThread =
  | { readonly kind: 'events'; readonly events: readonly MainEvent[] }
  | { readonly kind: 'listening'; readonly port: number }
  | {
      readonly kind: 'log'
      readonly level: 'error' | 'warn' | 'info' | 'debug'
      readonly fields: Readonly<Record<string, unknown>>
      readonly message: string
    }
  | { readonly kind: 'metrics'; readonly metrics: ThreadMetrics }
  | { readonly kind: 'shut-out'; readonly epoch: number }
  | { readonly kind: 'fatal'; readonly reason: string }
  | { readonly kind: 'closed' }

export type ConsensusHandlers = {
  readonly onEvents: (events: readonly MainEvent[]) => void
  /** The thread ended with an error: the node must end. */
  readonly onFatal: (reason: string) => void
  /** The group is over: another one of the same cluster is in this epoch. */
  readonly onShutOut: (epoch: number) => void
  readonly log: Log
}

export class ConsensusPort {
  #worker: Worker
  #hold = new AppliedHold()
  #metrics: ThreadMetrics = { commit: 0, applied: 0, snapshotsInstalled: 0 }
  #closed: Promise<void>
  #isClosing = false
  /** Resolves with the port of the Raft listener; rejects when the thread could not start. */
  readonly listening: Promise<number>

  constructor(start: ConsensusStart, handlers: ConsensusHandlers) {
    this.#worker = new Worker(new URL('./consensus-thread.ts', import.meta.url), {
      workerData: start,
      // The thread holds the log's tail and little else; a small young generation keeps its
      // collections short.
      resourceLimits: { maxYoungGenerationSizeMb: 16 },
    })
    let isListening = false
    this.#closed = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        if (isListening && !this.#isClosing) handlers.onFatal('the consensus thread ended')
        resolve()
      })
    })
    this.listening = new Promise((resolve, reject) => {
      // Before it listens its starter is told, and later nobody waits: the node must end.
      const fail = (error: Error, reason: string): void => {
        if (isListening && !this.#isClosing) handlers.onFatal(reason)
        else reject(refusalOf(error, start.directory))
      }
      this.#worker.on('error', (error) => fail(error, error.stack ?? error.message))
      this.#worker.on('message', (message: FromThread) => {
        switch (message.kind) {
          case 'events':
            handlers.onEvents(message.events)
            break
          case 'listening':
            isListening = true
            resolve(message.port)
            break
          case 'log':
            handlers.log[message.level](message.fields, message.message)
            break
          case 'metrics':
            this.#metrics = message.metrics
            break
          case 'shut-out':
            handlers.onShutOut(message.epoch)
            break
          case 'fatal':
            fail(new Error(message.reason), message.reason)
            break
          case 'closed':
            break
          default:
            message satisfies never
        }
      })
    })
  }

  /** Queued until `flush`, so that a round's inputs cross in one message. */
  push(input: ConsensusInput): void {
    this.#hold.add(input)
  }

  /** The round is over: its inputs are on their way. */
  flush({ monotonicMs }: RoundTime): void {
    this.#postInputs(this.#hold.take(monotonicMs))
  }

  setIdentity(identity: TransportIdentity): void {
    this.#post({ kind: 'identity', identity })
  }

  metrics(): ThreadMetrics {
    return this.#metrics
  }

  /** Resolves when the log is closed and the thread has ended. */
  async close(): Promise<void> {
    this.#isClosing = true
    this.#postInputs(this.#hold.flush(Number.POSITIVE_INFINITY))
    this.#post({ kind: 'close' })
    await this.#closed
  }

  #postInputs(inputs: readonly ConsensusInput[]): void {
    if (inputs.length > 0) this.#post({ kind: 'inputs', inputs })
  }

  #post(message: ToThread): void {
    this.#worker.postMessage(message)
  }
}

/**
 * What the thread threw, as it was before it crossed over: refusals arrive as plain errors. Damage
 * gets the path that a user can open.
 */
function refusalOf(error: Error, directory: string): Error {
  const fields = new Map<string, unknown>(Object.entries(error))
  const code = CODES.find((known) => known === fields.get('code'))
  if (error.name !== 'SwarmError' || code === undefined) return error
  return findDamage(error, directory) ?? new SwarmError(code, error.message)
}
