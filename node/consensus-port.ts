/**
 * What the main thread and the consensus thread say to each other: batches of the consensus
 * machine's inputs one way, of its events the other. Bytes are transferred, not copied (DESIGN
 * section 4). `ConsensusPort` is the main thread's end: it starts the thread and passes on.
 */
import { Worker } from 'node:worker_threads'
import type { Log } from '../lib/log.ts'
import type { ConsensusInput, MainEvent } from '../manager/consensus.ts'
import type { DataKeys } from '../manager/wal/seal.ts'
import type { TransportIdentity } from './io/raft-transport.ts'

/** What the thread is started with. */
export type ConsensusStart = {
  readonly raftId: number
  readonly clusterId: string
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
  | { readonly kind: 'fatal'; readonly reason: string }
  | { readonly kind: 'closed' }

export type ConsensusHandlers = {
  readonly onEvents: (events: readonly MainEvent[]) => void
  /** The thread ended with an error: the node must end. */
  readonly onFatal: (reason: string) => void
  readonly log: Log
}

export class ConsensusPort {
  #worker: Worker
  #inputs: ConsensusInput[] = []
  #metrics: ThreadMetrics = { commit: 0, applied: 0, snapshotsInstalled: 0 }
  #closed: Promise<void>
  /** Resolves with the port of the Raft listener; rejects when the thread could not start. */
  readonly listening: Promise<number>

  constructor(start: ConsensusStart, handlers: ConsensusHandlers) {
    this.#worker = new Worker(new URL('./consensus-thread.ts', import.meta.url), {
      workerData: start,
      // The thread holds the log's tail and little else; a small young generation keeps its
      // collections short.
      resourceLimits: { maxYoungGenerationSizeMb: 16 },
    })
    let isOpen = true
    this.#closed = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        isOpen = false
        resolve()
      })
    })
    this.listening = new Promise((resolve, reject) => {
      this.#worker.once('error', reject)
      this.#worker.on('message', (message: FromThread) => {
        switch (message.kind) {
          case 'events':
            handlers.onEvents(message.events)
            break
          case 'listening':
            resolve(message.port)
            break
          case 'log':
            handlers.log[message.level](message.fields, message.message)
            break
          case 'metrics':
            this.#metrics = message.metrics
            break
          case 'fatal':
            reject(new Error(message.reason))
            if (isOpen) handlers.onFatal(message.reason)
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
    this.#inputs.push(input)
  }

  flush(): void {
    if (this.#inputs.length === 0) return
    this.#post({ kind: 'inputs', inputs: this.#inputs })
    this.#inputs = []
  }

  setIdentity(identity: TransportIdentity): void {
    this.#post({ kind: 'identity', identity })
  }

  metrics(): ThreadMetrics {
    return this.#metrics
  }

  /** Resolves when the log is closed and the thread has ended. */
  async close(): Promise<void> {
    this.flush()
    this.#post({ kind: 'close' })
    await this.#closed
  }

  #post(message: ToThread): void {
    this.#worker.postMessage(message)
  }
}
