/**
 * The twin of port Runtime: containers that take a while to be made and to stop, fail to be made
 * now and then, and end by themselves. They outlive the daemon and die with the host. It counts
 * starts: a task started twice is a violation, whatever happened in between.
 */
import type { Container, Exit } from '../../agent/runtime/runtime.ts'
import type { OperationKind, OperationResult } from '../../agent/task.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { SeededRandom } from '../../lib/random.ts'
import type { Task } from '../../proto/gen/objects.ts'
import type { Schedule } from './schedule.ts'

export type RuntimeRates = {
  readonly prepareFailure: number
  readonly startFailure: number
  /** Chance that a container ends by itself within a minute. */
  readonly exitPerMinute: number
}

type SimContainer = {
  readonly task: Task
  state: 'created' | 'running' | 'exited'
  exit: Exit | undefined
}

export class SimRuntime {
  readonly nodeId: string
  rates: RuntimeRates
  #schedule: Schedule
  #random: SeededRandom
  #containers = new Map<string, SimContainer>()
  #started = new Set<string>()
  #violation: (message: string) => void
  /** The daemon that is told of exits; undefined while it is dead. */
  onExit: ((exit: Exit) => void) | undefined

  constructor(options: {
    readonly nodeId: string
    readonly schedule: Schedule
    readonly random: SeededRandom
    readonly rates: RuntimeRates
    readonly violation: (message: string) => void
  }) {
    this.nodeId = options.nodeId
    this.#schedule = options.schedule
    this.#random = options.random
    this.rates = options.rates
    this.#violation = options.violation
  }

  list(): readonly Container[] {
    return [...this.#containers].map(([taskId, container]) => ({
      taskId,
      containerId: taskId,
      state: container.state,
      pid: container.state === 'running' ? 1 : 0,
      exit: container.exit,
      hostPorts: [],
    }))
  }

  /** Tasks whose containers run now, with their tasks. */
  listRunning(): readonly Task[] {
    return [...this.#containers.values()]
      .filter((container) => container.state === 'running')
      .map((container) => container.task)
  }

  get size(): number {
    return this.#containers.size
  }

  /** Carries the operation out; `done` is called when it has ended, unless the host dies first. */
  operate(kind: OperationKind, task: Task, done: (result: OperationResult) => void): void {
    switch (kind) {
      case 'prepare':
        this.#after(20, 400, () => done(this.#prepare(task)))
        break
      case 'start':
        this.#after(5, 100, () => done(this.#start(task)))
        break
      case 'stop':
        this.#after(10, 2_000, () => {
          this.#end(task.id, 143)
          done({ kind: 'done' })
        })
        break
      case 'remove':
        this.#after(5, 50, () => {
          this.#containers.delete(task.id)
          done({ kind: 'done' })
        })
        break
      default:
        kind satisfies never
    }
  }

  /** The host lost power: everything that ran has ended, with no exit code. */
  powerCut(): void {
    for (const [taskId, container] of this.#containers) {
      if (container.state !== 'running') continue
      container.state = 'exited'
      container.exit = this.#exitOf(taskId, 255, 'runtime lost')
    }
    this.#epoch++
  }

  #epoch = 0

  #after(minMs: number, spreadMs: number, run: () => void): void {
    const epoch = this.#epoch
    this.#schedule.after(minMs + this.#random.fraction() * spreadMs, () => {
      if (epoch === this.#epoch) run()
    })
  }

  #prepare(task: Task): OperationResult {
    if (this.#random.fraction() < this.rates.prepareFailure)
      return { kind: 'failed', error: new SwarmError('not-found', 'no such image') }
    if (!this.#containers.has(task.id))
      this.#containers.set(task.id, { task, state: 'created', exit: undefined })
    return { kind: 'done' }
  }

  #start(task: Task): OperationResult {
    const container = this.#containers.get(task.id)
    if (container === undefined)
      return { kind: 'failed', error: new SwarmError('not-found', 'no such container') }
    if (this.#started.has(task.id))
      this.#violation(`A: task ${task.id} was started twice on ${this.nodeId}`)
    this.#started.add(task.id)
    if (this.#random.fraction() < this.rates.startFailure) {
      container.state = 'exited'
      container.exit = this.#exitOf(task.id, 127, '')
      return { kind: 'failed', error: new SwarmError('failed-precondition', 'cannot start') }
    }
    container.state = 'running'
    this.#plan(task.id)
    return { kind: 'started', started: { containerId: task.id, pid: 1, hostPorts: [] } }
  }

  /** Decides once a minute whether the container ends by itself. */
  #plan(taskId: string): void {
    this.#after(0, 60_000, () => {
      const container = this.#containers.get(taskId)
      if (container?.state !== 'running') return
      if (this.#random.fraction() < this.rates.exitPerMinute)
        this.#end(taskId, this.#random.integer(3))
      else this.#plan(taskId)
    })
  }

  #end(taskId: string, exitCode: number): void {
    const container = this.#containers.get(taskId)
    if (container === undefined || container.state !== 'running') return
    container.state = 'exited'
    container.exit = this.#exitOf(taskId, exitCode, '')
    this.onExit?.(container.exit)
  }

  #exitOf(taskId: string, exitCode: number, error: string): Exit {
    return { taskId, exitCode, oomKilled: false, error, atMs: this.#schedule.nowMs }
  }
}
