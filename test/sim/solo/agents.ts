/**
 * Agents of a solo run: the production machine (`agent/agent.ts`) on a host that is made up, and a manager's
 * side of its session reduced to what decides something: it registers, gives the sets that
 * `AssignmentSet` makes of the store, passes reports and heartbeats on to the leader, and acknowledges
 * what is committed. What is sent while the host is cut off is lost.
 */
import { Agent, type AgentOutput } from '../../../agent/agent.ts'
import type { Container } from '../../../agent/runtime/runtime.ts'
import type { Operation, OperationResult } from '../../../agent/task.ts'
import { SwarmError } from '../../../lib/errors.ts'
import { silentLog } from '../../../lib/log.ts'
import type { SeededRandom } from '../../../lib/random.ts'
import { AssignmentSet } from '../../../manager/dispatcher/assignments.ts'
import type { View } from '../../../manager/store/view.ts'
import type { WriteRequest } from '../../../proto/gen/control.ts'
import type { AgentMessage, SessionMessage } from '../../../proto/gen/dispatcher.ts'
import type { NodeDescription, Task } from '../../../proto/gen/objects.ts'

const PERIOD_MS = 2_000

/** Of a hundred: what cannot be prepared, fails as it starts, ends by itself in a while, is found sick. */
export type Moods = {
  readonly rejected: number
  readonly failed: number
  readonly ended: number
  readonly sick: number
}

export const GOOD_MOODS: Moods = { rejected: 0, failed: 0, ended: 0, sick: 0 }

export type Now = { readonly nowMs: number; readonly wallMs: number }

/** The leader, as this host's manager knows it. */
export type Link = {
  readonly term: number
  readonly view: View
  /** Whether all that was asked for, just now too, is committed. */
  isIdle(): boolean
  submit(request: WriteRequest): void
  /** Whether the node counts as ready; undefined: this process is refused. */
  beat(nodeId: string, instance: string): boolean | undefined
}

type Session = {
  readonly id: number
  phase: 'opened' | 'registering' | 'running'
  readonly set: AssignmentSet
  /** A report that waits for its commit. */
  report: { readonly sequence: number; readonly term: number } | undefined
}

type Pending = { readonly id: number; readonly operation: Operation; isCancelled: boolean }

type Running = { container: Container; readonly task: Task }

export class SoloAgent {
  readonly nodeId: string
  isCut = false
  readonly #random: SeededRandom
  readonly #description: NodeDescription | undefined
  readonly #containers = new Map<string, Running>()
  #operations: Pending[] = []
  /** Health checks under way, by their number. */
  #probes: number[] = []
  #outgoing: AgentMessage['body'][] = []
  #session: Session | undefined
  #saved: Uint8Array | undefined
  #agent: Agent
  #instances = 0
  #bootedMs: number

  constructor(
    nodeId: string,
    random: SeededRandom,
    host: { readonly now: Now; readonly description: NodeDescription | undefined },
  ) {
    this.nodeId = nodeId
    this.#random = random
    this.#description = host.description
    this.#bootedMs = host.now.nowMs
    this.#agent = this.#start(host.now)
  }

  get instance(): string {
    return `${this.nodeId}-${this.#instances}`
  }

  /** What runs on the host. */
  listRunning(): readonly Task[] {
    return [...this.#containers.values()]
      .filter(({ container }) => container.state === 'running')
      .map(({ task }) => task)
  }

  /** Time passes on the host. */
  live(now: Now, moods: Moods): void {
    this.#agent.tick({ ...now, bootMs: now.nowMs - this.#bootedMs })
    this.#drain()
    for (const pending of [...this.#operations])
      if (this.#chance(60)) this.#finish(pending, moods, now.wallMs)
    for (const id of this.#probes.splice(0)) {
      const exitCode = this.#chance(moods.sick) ? 1 : 0
      const result = { kind: 'exited', exitCode, output: '' } as const
      this.#agent.step({ kind: 'probe-done', id, result })
    }
    for (const running of this.#containers.values()) this.#run(running, moods, now.wallMs)
    this.#drain()
  }

  /** Its manager hears it and is heard. */
  talk(link: Link): void {
    const said = this.#outgoing
    this.#outgoing = []
    if (this.isCut) return
    for (const body of said) this.#hear(link, body)
    this.#tell(link)
    this.#drain()
  }

  /** The daemon dies and is started again; containers go on. */
  restart(now: Now): void {
    this.#agent = this.#start(now)
  }

  /** The host was switched off: what ran is gone, and nobody saw how it ended. */
  reboot(now: Now): void {
    this.#bootedMs = now.nowMs
    for (const [taskId, { container }] of this.#containers)
      if (container.state === 'running') this.#containers.delete(taskId)
    this.#agent = this.#start(now)
  }

  #start(now: Now): Agent {
    this.#instances++
    this.#operations = []
    this.#probes = []
    this.#outgoing = []
    this.#session = undefined
    const agent = new Agent({
      ...{ nodeId: this.nodeId, bootId: `boot ${this.#bootedMs}`, instance: this.instance },
      ...{ random: this.#random.split(this.instance), log: silentLog, state: this.#saved },
      now: { ...now, bootMs: now.nowMs - this.#bootedMs },
    })
    agent.step({ kind: 'managers', managers: [{ nodeId: 'm1', addr: 'm1' }] })
    const list = [...this.#containers.values()].map(({ container }) => container)
    agent.step({ kind: 'containers', list })
    if (this.#description !== undefined)
      agent.step({ kind: 'described', description: this.#description })
    return agent
  }

  #chance(ofHundred: number): boolean {
    return this.#random.integer(100) < ofHundred
  }

  // ── what the agent wants ───────────────────────────────────────────────────────────────────

  #drain(): void {
    for (let outputs = this.#agent.ready(); outputs !== undefined; outputs = this.#agent.ready()) {
      for (const output of outputs) this.#carryOut(output)
      this.#agent.advance(outputs)
    }
  }

  #carryOut(output: AgentOutput): void {
    switch (output.kind) {
      case 'dial':
        this.#dial(output.session)
        break
      case 'send':
        if (output.session === this.#session?.id) this.#outgoing.push(output.message.body)
        break
      case 'hangup':
        this.#session = undefined
        break
      case 'persist':
        this.#saved = output.state
        this.#agent.step({ kind: 'persisted', version: output.version })
        break
      case 'operation':
        this.#operations.push({ ...output, isCancelled: false })
        break
      case 'probe':
        this.#probes.push(output.id)
        break
      case 'cancel':
        for (const pending of this.#operations)
          if (pending.id === output.id) pending.isCancelled = true
        break
      default:
        // Commands and news are for the daemon around it, and it never ends.
        break
    }
  }

  #dial(session: number): void {
    if (this.isCut) {
      const error = new SwarmError('unavailable', 'cut off')
      this.#agent.step({ kind: 'disconnected', session, error })
      return
    }
    const set = new AssignmentSet(this.nodeId)
    this.#session = { id: session, phase: 'opened', set, report: undefined }
    this.#agent.step({ kind: 'connected', session })
  }

  // ── its host ───────────────────────────────────────────────────────────────────────────────

  #finish(pending: Pending, moods: Moods, atMs: number): void {
    const { id, operation, isCancelled } = pending
    this.#operations = this.#operations.filter((each) => each !== pending)
    const result = this.#operate(operation, isCancelled, moods, atMs)
    this.#agent.step({ kind: 'operation-done', id, result })
  }

  #operate(
    { kind, task }: Operation,
    isCancelled: boolean,
    moods: Moods,
    atMs: number,
  ): OperationResult {
    const there = this.#containers.get(task.id)
    switch (kind) {
      case 'prepare': {
        if (isCancelled || this.#chance(moods.rejected)) return failure('no such image')
        const container: Container = {
          ...{ taskId: task.id, containerId: `c-${task.id}`, state: 'created', pid: 0 },
          ...{ exit: undefined, hostPorts: [] },
        }
        this.#containers.set(task.id, { container, task })
        return { kind: 'done' }
      }
      case 'start':
        if (there === undefined || this.#chance(moods.failed)) return failure('not started')
        there.container = { ...there.container, state: 'running', pid: 1 }
        return {
          kind: 'started',
          started: { containerId: there.container.containerId, pid: 1, hostPorts: [] },
        }
      case 'stop':
        if (there?.container.state === 'running')
          this.#exit(there, this.#chance(50) ? 0 : 137, atMs)
        return { kind: 'done' }
      default:
        this.#containers.delete(task.id)
        return { kind: 'done' }
    }
  }

  #run(running: Running, moods: Moods, atMs: number): void {
    if (running.container.state !== 'running') return
    if (running.task.jobIteration > 0 && this.#chance(40)) this.#exit(running, 0, atMs)
    else if (this.#chance(moods.ended)) this.#exit(running, this.#chance(70) ? 1 : 0, atMs)
  }

  #exit(running: Running, exitCode: number, atMs: number): void {
    const { taskId } = running.container
    const exit = { taskId, exitCode, oomKilled: false, error: '', atMs }
    running.container = { ...running.container, state: 'exited', pid: 0, exit }
    this.#agent.step({ kind: 'exited', exit })
  }

  // ── its manager ────────────────────────────────────────────────────────────────────────────

  #hear(link: Link, body: AgentMessage['body']): void {
    const session = this.#session
    if (session === undefined) return
    switch (body?.kind) {
      case 'hello':
        session.phase = 'registering'
        this.#register(link)
        break
      case 'heartbeat':
        this.#beat(link, session, body.heartbeat.sequence)
        break
      case 'statuses': {
        const { sequence, updates } = body.statuses
        session.report = { sequence, term: link.term }
        const { nodeId, instance } = this
        this.#submit(link, { kind: 'statusReport', statusReport: { nodeId, instance, updates } })
        break
      }
      default:
        break
    }
  }

  #beat(link: Link, session: Session, sequence: number): void {
    const isReady = link.beat(this.nodeId, this.instance)
    if (isReady === undefined) return
    if (!isReady && session.phase === 'running') this.#register(link)
    const { mark } = session.set
    this.#receive(session, {
      kind: 'heartbeatAck',
      heartbeatAck: { sequence, mark, ready: isReady },
    })
  }

  #register(link: Link): void {
    const { nodeId, instance } = this
    this.#submit(link, {
      kind: 'nodeRegister',
      nodeRegister: {
        ...{ nodeId, instance, bootId: '', description: this.#description, addr: nodeId },
        holder: 1,
      },
    })
  }

  #submit(link: Link, body: WriteRequest['body']): void {
    link.submit({ caller: { nodeId: this.nodeId, role: 'worker' }, body })
  }

  #tell(link: Link): void {
    const session = this.#session
    if (session === undefined || !link.isIdle()) return
    if (session.phase === 'registering') {
      if (link.view.nodes.get(this.nodeId)?.status?.state !== 'ready') {
        this.#register(link)
        return
      }
      session.phase = 'running'
      this.#receive(session, { kind: 'start', start: { heartbeatPeriodMs: PERIOD_MS } })
    }
    if (session.phase !== 'running') return
    const { report } = session
    session.report = undefined
    if (report?.term === link.term)
      this.#receive(session, { kind: 'statusAck', statusAck: { sequence: report.sequence } })
    session.set.touchAll(link.view)
    const assignments = session.set.next(link.view)
    if (assignments !== undefined) this.#receive(session, { kind: 'assignments', assignments })
  }

  #receive(session: Session, body: SessionMessage['body']): void {
    this.#agent.step({ kind: 'received', session: session.id, message: { body } })
  }
}

function failure(message: string): OperationResult {
  return { kind: 'failed', error: new SwarmError('internal', message) }
}
