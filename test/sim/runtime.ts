/**
 * The twin of port Runtime: containers that take a while to be made and to stop, fail to be made
 * now and then, and end by themselves. They outlive the daemon and die with the host. The runtime
 * hangs, is started again under operations that are under way, and waits for registries. How well
 * containers are stands in `ailment.ts`. It counts starts: a task started twice is a violation,
 * whatever happened in between.
 */
import type { ProbeResult } from '../../agent/health.ts'
import type { Container, Exit, Probe } from '../../agent/runtime/runtime.ts'
import type { OperationKind, OperationResult } from '../../agent/task.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { SeededRandom } from '../../lib/random.ts'
import { emptyTask, type Task } from '../../proto/gen/objects.ts'
import type { PortConfig } from '../../proto/gen/types.ts'
import { type AilmentRates, Ailments, isBroken, NO_AILMENTS } from './ailment.ts'
import type { Schedule } from './schedule.ts'

export type RuntimeRates = {
  readonly prepareFailure: number
  readonly startFailure: number
  /** Chance that a container ends by itself within a minute. */
  readonly exitPerMinute: number
  /** Chance that a container ends by SIGKILL only, when its grace is over. */
  readonly ignoresTerm: number
  readonly ailments: AilmentRates
  /** Chance that the work of a job fails. */
  readonly jobFailure: number
  /** Whether some images are of programs that end as soon as they are started. */
  readonly hasBrokenImages: boolean
}

/** What makes the world's containers end right after their start, and who is told of classes. */
export type RuntimeWorld = {
  readonly violation: (message: string) => void
  readonly reached: (name: 'A6' | 'A8') => void
  readonly isCrashLooping: (serviceId: string) => boolean
}

/** An operation that has not been answered yet. */
type Underway = {
  readonly kind: OperationKind
  readonly carryOut: () => OperationResult
  readonly done: (result: OperationResult) => void
  /** Its time came while the runtime hung: it waits, and has not begun. */
  isHeld: boolean
}

export const CALM_RATES: RuntimeRates = {
  prepareFailure: 0,
  startFailure: 0,
  exitPerMinute: 0,
  ignoresTerm: 0,
  ailments: NO_AILMENTS,
  jobFailure: 0,
  hasBrokenImages: false,
}
const GRACE_MS = 10_000
const PULL_LOOK_MS = 500
/** Most of a job's containers end soon, some only while faults go on around them, ms. */
const JOB_MS = [1_000, 4_000, 15_000] as const
const EPHEMERAL_MIN = 32_768
const EPHEMERAL_COUNT = 28_232

type SimContainer = {
  readonly task: Task
  /** Those of the host that are its own since it was started. */
  hostPorts: readonly PortConfig[]
  state: 'created' | 'running' | 'exited'
  exit: Exit | undefined
}

/** A host's containers as they were. */
export type ContainersCopy = ReadonlyMap<string, Readonly<SimContainer>>

export class SimRuntime {
  readonly nodeId: string
  rates: RuntimeRates
  #schedule: Schedule
  #random: SeededRandom
  #jobRandom: SeededRandom
  #containers = new Map<string, SimContainer>()
  #started = new Set<string>()
  #world: RuntimeWorld
  /** Checks that have not been answered yet. */
  #probes = new Set<(result: ProbeResult) => void>()
  readonly ailments: Ailments
  #underway = new Set<Underway>()
  /** Until then nothing is answered: no operation, no list. */
  hungUntilMs = 0
  /** Until then pulls wait for bytes that do not come. */
  pullsHungUntilMs = 0
  /** Until then no registry can be reached. */
  registryDownUntilMs = 0
  /** The daemon that is told of exits; undefined while it is dead. */
  onExit: ((exit: Exit) => void) | undefined

  constructor(options: {
    readonly nodeId: string
    readonly schedule: Schedule
    readonly random: SeededRandom
    readonly rates: RuntimeRates
    readonly world: RuntimeWorld
  }) {
    this.nodeId = options.nodeId
    this.#schedule = options.schedule
    this.#random = options.random
    this.#jobRandom = options.random.split('jobs')
    this.rates = options.rates
    this.ailments = new Ailments(options.rates.ailments, options.random.split('ailments'))
    this.#world = options.world
  }

  /** Every container, once the runtime answers. */
  whenListed(listed: (list: readonly Container[]) => void): void {
    const leftMs = this.hungUntilMs - this.#schedule.nowMs
    if (leftMs <= 0) listed(this.list())
    else this.#schedule.after(leftMs, () => this.whenListed(listed))
  }

  list(): readonly Container[] {
    return [...this.#containers].map(([taskId, container]) => ({
      taskId,
      containerId: taskId,
      state: container.state,
      pid: container.state === 'running' ? 1 : 0,
      exit: container.exit,
      hostPorts: container.hostPorts,
    }))
  }

  /** The ports that a container was given; undefined where there is none. */
  portsOf(taskId: string): readonly PortConfig[] | undefined {
    return this.#containers.get(taskId)?.hostPorts
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

  /**
   * Carries the operation out; `done` is called when it has ended, unless the host dies first. What
   * is returned gives it up early, which only a prepare heeds.
   */
  operate(
    kind: OperationKind,
    task: Task,
    done: (result: OperationResult) => void,
  ): { readonly cancel: () => void } {
    const carryOut = (): OperationResult => this.#carryOut(kind, task)
    const underway: Underway = { kind, done, carryOut, isHeld: false }
    this.#underway.add(underway)
    this.#after(...this.#timeOf(kind), () => this.#finish(underway))
    const cancel = (): void => {
      if (kind === 'prepare') this.#answer(underway, failed('aborted', 'the prepare was given up'))
    }
    return { cancel: () => this.#after(1, 20, cancel) }
  }

  /** Runs a check; `done` is called when it has ended, unless the host dies first, or this gives it up. */
  probe(
    task: Task,
    { timeoutMs }: Probe,
    done: (result: ProbeResult) => void,
  ): { readonly cancel: () => void } {
    const answer = (result: ProbeResult): void => {
      if (this.#probes.delete(answer)) done(result)
    }
    this.#probes.add(answer)
    this.#after(5, 200, () => this.#look(task.id, timeoutMs, answer))
    return { cancel: () => this.#after(1, 20, () => answer({ kind: 'late', output: '' })) }
  }

  /** What the check finds, once the runtime answers. */
  #look(taskId: string, timeoutMs: number, answer: (result: ProbeResult) => void): void {
    const { nowMs } = this.#schedule
    if (nowMs < this.hungUntilMs) {
      this.#after(this.hungUntilMs - nowMs, 200, () => this.#look(taskId, timeoutMs, answer))
    } else if (this.#containers.get(taskId)?.state !== 'running') {
      const error = new SwarmError('unavailable', 'the container has ended', { retriable: true })
      answer({ kind: 'failed', error })
    } else {
      const result = this.ailments.probe(taskId, nowMs)
      if (result.kind === 'late') this.#after(timeoutMs, 50, () => answer(result))
      else answer(result)
    }
  }

  /** What is under way fails with an outcome that nobody knows; containers go on. */
  restart(): void {
    const error = new SwarmError('unavailable', 'the runtime is gone', { retriable: true })
    for (const answer of [...this.#probes]) answer({ kind: 'failed', error })
    for (const underway of [...this.#underway]) {
      const isDone = this.#random.integer(2) === 0
      if (isDone && underway.kind !== 'prepare') underway.carryOut()
      this.#answer(underway, failed('unavailable', 'the runtime is gone, outcome unknown'))
    }
  }

  /**
   * The daemon died: what the runtime has not begun is never done, and no pull goes on. A start that
   * came after the next daemon's stop would leave a container that runs for nobody (seed 73025).
   */
  abandon(): void {
    this.#probes.clear()
    this.ailments.forgotten()
    const isHung = this.#schedule.nowMs < this.hungUntilMs
    for (const underway of [...this.#underway]) {
      // The hang may be over, or have been healed, and what it held not yet be carried out.
      const isBegun = !isHung && !underway.isHeld && underway.kind !== 'prepare'
      if (!isBegun) this.#underway.delete(underway)
    }
  }

  /**
   * The managers know only what a survivor had: of a task that has not begun for them, and whose
   * container is gone, nobody remembers that it ran here.
   */
  restored(hasBegun: (taskId: string) => boolean): void {
    for (const taskId of this.#started)
      if (!this.#containers.has(taskId) && !hasBegun(taskId)) this.#started.delete(taskId)
  }

  /** The agent is about to forget a task that the managers do not know to have been assigned here. */
  startLost(taskId: string): void {
    this.#started.delete(taskId)
  }

  /** Nothing goes wrong any more by itself. */
  heal(): void {
    this.rates = CALM_RATES
    this.ailments.heal(this.#schedule.nowMs)
    this.hungUntilMs = 0
    this.pullsHungUntilMs = 0
    this.registryDownUntilMs = 0
  }

  /** A container that no agent made or knows of. */
  addOrphan(taskId: string): void {
    const task = { ...emptyTask, id: taskId, serviceId: 'of no service', nodeId: this.nodeId }
    this.#containers.set(taskId, { task, hostPorts: [], state: 'running', exit: undefined })
  }

  #timeOf(kind: OperationKind): readonly [number, number] {
    switch (kind) {
      case 'prepare':
        return [20, 400]
      case 'start':
        return [5, 100]
      case 'stop':
        if (this.#random.fraction() >= this.rates.ignoresTerm) return [10, 2_000]
        this.#world.reached('A8')
        return [GRACE_MS, 100]
      case 'remove':
        return [5, 50]
      default:
        return kind satisfies never
    }
  }

  /** Not before the runtime answers, and a pull not before its bytes are there. */
  #finish(underway: Underway): void {
    if (!this.#underway.has(underway)) return
    const { nowMs } = this.#schedule
    if (nowMs < this.hungUntilMs) {
      underway.isHeld = true
      this.#after(this.hungUntilMs - nowMs, 200, () => this.#finish(underway))
    } else if (underway.kind === 'prepare' && nowMs < this.pullsHungUntilMs) {
      this.#world.reached('A6')
      this.#after(PULL_LOOK_MS, PULL_LOOK_MS, () => this.#finish(underway))
    } else {
      this.#answer(underway, underway.carryOut())
    }
  }

  #answer(underway: Underway, result: OperationResult): void {
    if (this.#underway.delete(underway)) underway.done(result)
  }

  #carryOut(kind: OperationKind, task: Task): OperationResult {
    switch (kind) {
      case 'prepare':
        return this.#prepare(task)
      case 'start':
        return this.#start(task)
      case 'stop':
        this.#end(task.id, 143)
        return { kind: 'done' }
      case 'remove':
        this.#containers.delete(task.id)
        this.ailments.removed(task.id)
        return { kind: 'done' }
      default:
        return kind satisfies never
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
    this.#underway.clear()
    this.#probes.clear()
  }

  /** The containers as they are now. */
  copyContainers(): ContainersCopy {
    return new Map([...this.#containers].map(([taskId, container]) => [taskId, { ...container }]))
  }

  /**
   * The host is the one that was copied, and was just switched on. A start that is not in the copy
   * is forgotten where `isStartKnown` says that nobody else has heard of it: no agent could know better.
   */
  restoreContainers(copy: ContainersCopy, isStartKnown: (taskId: string) => boolean): void {
    this.#containers = new Map([...copy].map(([taskId, container]) => [taskId, { ...container }]))
    this.powerCut()
    for (const taskId of [...this.#started]) {
      const wasStarted = (copy.get(taskId)?.state ?? 'created') !== 'created'
      if (!wasStarted && !isStartKnown(taskId)) this.#started.delete(taskId)
    }
  }

  #epoch = 0

  #after(minMs: number, spreadMs: number, run: () => void): void {
    const epoch = this.#epoch
    this.#schedule.after(minMs + this.#random.fraction() * spreadMs, () => {
      if (epoch === this.#epoch) run()
    })
  }

  #prepare(task: Task): OperationResult {
    if (this.#schedule.nowMs < this.registryDownUntilMs) {
      this.#world.reached('A6')
      return failed('unavailable', 'the registry cannot be reached')
    }
    if (this.#random.fraction() < this.rates.prepareFailure)
      return failed('not-found', 'no such image')
    if (!this.#containers.has(task.id))
      this.#containers.set(task.id, { task, hostPorts: [], state: 'created', exit: undefined })
    return { kind: 'done' }
  }

  #start(task: Task): OperationResult {
    const container = this.#containers.get(task.id)
    if (container === undefined) return failed('not-found', 'no such container')
    if (this.#started.has(task.id))
      this.#world.violation(`A: task ${task.id} was started twice on ${this.nodeId}`)
    this.#started.add(task.id)
    if (this.#random.fraction() < this.rates.startFailure) {
      container.state = 'exited'
      container.exit = this.#exitOf(task.id, 127, '')
      return failed('failed-precondition', 'cannot start')
    }
    container.state = 'running'
    container.hostPorts = this.#openPorts(task)
    this.ailments.started(task, this.#schedule.nowMs)
    if (task.jobIteration > 0) this.#planWork(task.id)
    else this.#plan(task.id)
    const isHopeless = this.rates.hasBrokenImages && isBroken(task)
    if (isHopeless || this.#world.isCrashLooping(task.serviceId))
      this.#after(50, 500, () => this.#end(task.id, 1))
    const { hostPorts } = container
    return { kind: 'started', started: { containerId: task.id, pid: 1, hostPorts } }
  }

  /** As the host's kernel: a port that nobody asked for by its number is a free one of a high number. */
  #openPorts(task: Task): readonly PortConfig[] {
    const taken = new Set<number>()
    for (const { state, hostPorts } of this.#containers.values())
      if (state === 'running') for (const { publishedPort } of hostPorts) taken.add(publishedPort)
    const ports = (task.endpoint?.ports ?? []).filter(({ publishMode }) => publishMode === 'host')
    return ports.map((port) => {
      let { publishedPort } = port
      while (publishedPort === 0 || (port.publishedPort === 0 && taken.has(publishedPort)))
        publishedPort = EPHEMERAL_MIN + this.#random.integer(EPHEMERAL_COUNT)
      taken.add(publishedPort)
      return { ...port, publishedPort }
    })
  }

  /** A job's container ends by itself when its work is done, or could not be. */
  #planWork(taskId: string): void {
    const epoch = this.#epoch
    const longestMs = JOB_MS[this.#jobRandom.integer(JOB_MS.length)] ?? 0
    this.#schedule.after(100 + this.#jobRandom.fraction() * longestMs, () => {
      const isFailed = this.#jobRandom.fraction() < this.rates.jobFailure
      if (epoch === this.#epoch) this.#end(taskId, isFailed ? 1 + this.#jobRandom.integer(2) : 0)
    })
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

function failed(code: SwarmError['code'], message: string): OperationResult {
  const retriable = code === 'unavailable'
  return { kind: 'failed', error: new SwarmError(code, message, { retriable }) }
}
