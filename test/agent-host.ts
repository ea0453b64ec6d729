/**
 * A host with one agent, for its stories: a machine whose operations and writes are done when the test
 * says so, and what it was heard to say. Builders of sets, containers and states that it starts with.
 */
import { Agent, type AgentInput, type AgentNow, type AgentOutput } from '../agent/agent.ts'
import type { Container } from '../agent/runtime/runtime.ts'
import { SwarmError } from '../lib/errors.ts'
import { silentLog } from '../lib/log.ts'
import { newSeededRandom } from '../lib/random.ts'
import {
  type AgentState,
  emptyAgentState,
  emptyKnownTask,
  encodeAgentState,
} from '../proto/gen/agent.ts'
import { type Assignments, emptyAssignments, type SessionMessage } from '../proto/gen/dispatcher.ts'
import { emptyNodeDescription, emptyTaskStatus, type Task } from '../proto/gen/objects.ts'
import type { TaskState } from '../proto/gen/types.ts'
import { task } from './build.ts'

export function assigned(id: string, desiredState: TaskState = 'running'): Task {
  return task({ id, nodeId: 'n1', desiredState, status: { state: 'assigned' } })
}

export function full(index: number, updates: readonly Task[], epoch = 0): Assignments {
  return { ...emptyAssignments, mark: { epoch, index }, full: true, updates }
}

export function change(base: number, index: number, part: Partial<Assignments>): Assignments {
  return {
    ...emptyAssignments,
    ...part,
    mark: { epoch: 0, index },
    base: { epoch: 0, index: base },
  }
}

export function container(taskId: string, state: Container['state']): Container {
  return { taskId, containerId: `c-${taskId}`, state, pid: 1, exit: undefined, hostPorts: [] }
}

/** The state of an agent that knew these tasks. */
export function stateOf(
  index: number,
  tasks: Readonly<Record<string, TaskState>>,
  part: Partial<AgentState> = {},
  make: (id: string) => Task = assigned,
): Uint8Array {
  return encodeAgentState({
    ...emptyAgentState,
    ...part,
    mark: { epoch: 0, index },
    tasks: Object.entries(tasks).map(([id, state]) => ({
      ...emptyKnownTask,
      task: make(id),
      status: { ...emptyTaskStatus, state },
    })),
    managers: [{ nodeId: 'm1', addr: 'm1' }],
  })
}

/** An agent whose operations and writes are done when the test says so. */
export class Host {
  readonly agent: Agent
  nowMs: number = 0
  /** Operations under way: id by `kind task`. */
  readonly operations: Map<string, number> = new Map()
  readonly cancelled: number[] = []
  persists: Extract<AgentOutput, { kind: 'persist' }>[] = []
  /** What its disk holds. */
  saved: Uint8Array | undefined
  /** Everything else, in short form. */
  log: string[] = []
  readonly sent: Extract<AgentOutput, { kind: 'send' }>['message']['body'][] = []
  /** Whether writes are done at once. */
  isQuick = true
  session = 0

  /** How long the host had been up when the agent started, ms. */
  readonly #upMs: number

  constructor(
    options: { state?: Uint8Array; containers?: readonly Container[]; upMs?: number } = {},
  ) {
    this.#upMs = options.upMs ?? 0
    this.agent = new Agent({
      nodeId: 'n1',
      bootId: 'b',
      instance: 'i',
      random: newSeededRandom(5),
      log: silentLog,
      state: options.state,
      now: this.#now(),
    })
    this.step({ kind: 'managers', managers: [{ nodeId: 'm1', addr: 'm1' }] })
    this.step({ kind: 'described', description: emptyNodeDescription })
    this.step({ kind: 'containers', list: options.containers ?? [] })
  }

  step(input: AgentInput): void {
    this.agent.step(input)
    this.#drain()
  }

  wait(durationMs: number): void {
    for (let waited = 0; waited < durationMs; waited += 50) {
      this.nowMs += 50
      this.agent.tick(this.#now())
      this.#drain()
    }
  }

  receive(body: SessionMessage['body']): void {
    this.step({ kind: 'received', session: this.session, message: { body } })
  }

  assign(assignments: Assignments): void {
    this.receive({ kind: 'assignments', assignments })
  }

  /** Waits for a dial and lets the session begin. */
  run(): void {
    const before = this.session
    while (this.session === before) this.wait(50)
    this.step({ kind: 'connected', session: this.session })
    this.receive({ kind: 'start', start: { heartbeatPeriodMs: 2_000 } })
  }

  done(operation: string): void {
    const id = this.#take(operation)
    const started = { containerId: 'c', pid: 1, hostPorts: [] }
    const result = operation.startsWith('start')
      ? ({ kind: 'started', started } as const)
      : ({ kind: 'done' } as const)
    this.step({ kind: 'operation-done', id, result })
  }

  fails(operation: string, retriable: boolean): void {
    const error = new SwarmError('internal', 'broken', { retriable })
    const result = { kind: 'failed', error } as const
    this.step({ kind: 'operation-done', id: this.#take(operation), result })
  }

  persisted(): void {
    const [persist] = this.persists.splice(0, 1)
    if (persist === undefined) throw new Error('nothing to persist')
    this.saved = persist.state
    this.step({ kind: 'persisted', version: persist.version })
  }

  /** Every health check that was begun, by its number. */
  readonly probes: number[] = []

  probed(exitCode: number): void {
    const id = this.probes.at(-1)
    if (id === undefined) throw new Error('no check is under way')
    const result = { kind: 'exited', exitCode, output: '' } as const
    this.step({ kind: 'probe-done', id, result })
  }

  /** The operations under way. */
  underway(): readonly string[] {
    return [...this.operations.keys()].sort()
  }

  /** The last status that was sent of each task. */
  reported(): Readonly<Record<string, string>> {
    const last: Record<string, string> = {}
    for (const body of this.sent)
      if (body?.kind === 'statuses')
        for (const { taskId, status } of body.statuses.updates) last[taskId] = `${status?.state}`
    return last
  }

  /** The leader answers the last heartbeat. */
  answer(ready = true): void {
    const last = this.sent.findLast((body) => body?.kind === 'heartbeat')
    const sequence = last?.kind === 'heartbeat' ? last.heartbeat.sequence : 0
    this.receive({ kind: 'heartbeatAck', heartbeatAck: { sequence, mark: undefined, ready } })
  }

  #now(): AgentNow {
    const { nowMs } = this
    return { nowMs, wallMs: 1_000 + nowMs, bootMs: this.#upMs + nowMs }
  }

  #take(operation: string): number {
    const id = this.operations.get(operation)
    if (id === undefined) throw new Error(`no ${operation}, but ${this.underway().join(', ')}`)
    this.operations.delete(operation)
    return id
  }

  #drain(): void {
    for (;;) {
      const outputs = this.agent.ready()
      if (outputs === undefined) return
      for (const output of outputs) this.#note(output)
      this.agent.advance(outputs)
      while (this.isQuick && this.persists.length > 0) this.persisted()
    }
  }

  #note(output: AgentOutput): void {
    if (output.kind === 'operation') {
      const { kind, task: subject } = output.operation
      this.operations.set(`${kind} ${subject.id}`, output.id)
    } else if (output.kind === 'persist') this.persists.push(output)
    else if (output.kind === 'cancel') this.cancelled.push(output.id)
    else if (output.kind === 'probe') this.probes.push(output.id)
    else if (output.kind === 'send') {
      this.sent.push(output.message.body)
      if (output.message.body?.kind === 'statuses') {
        const { sequence } = output.message.body.statuses
        this.agent.step({
          kind: 'received',
          session: this.session,
          message: { body: { kind: 'statusAck', statusAck: { sequence } } },
        })
      }
    } else {
      if (output.kind === 'dial') this.session = output.session
      this.log.push(output.kind)
    }
  }
}
