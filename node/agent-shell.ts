/**
 * The agent's shell: dials managers over gRPC, runs the machine's operations on a Runtime, keeps
 * its state sealed on disk, and reads log files for whoever asked. It decides nothing: every rule
 * is in `agent/`.
 */
import { readFileSync } from 'node:fs'
import { Agent, type AgentOutput } from '../agent/agent.ts'
import type { ProbeResult } from '../agent/health.ts'
import type { Runtime } from '../agent/runtime/runtime.ts'
import type { OperationResult } from '../agent/task.ts'
import { SwarmError } from '../lib/errors.ts'
import { newId } from '../lib/id.ts'
import type { Log } from '../lib/log.ts'
import {
  type AgentCommand,
  type AgentMessage,
  dispatcherService,
  type ManagerAddress,
  type NodeChange,
  type SessionMessage,
} from '../proto/gen/dispatcher.ts'
import type { Health, NodeDescription, Task } from '../proto/gen/objects.ts'
import { type Channel, newChannel, newClient } from '../proto/grpc.ts'
import type { ClientStream } from '../proto/rpc.ts'
import { readBootMs } from './io/clock.ts'
import type { TransportIdentity } from './io/raft-transport.ts'
import { systemRandom } from './io/random.ts'
import type { StateFile } from './io/state-file.ts'
import { LogPublisher } from './log-publisher.ts'
import type { Loop, LoopPart, RoundTime } from './loop.ts'

const KEEPALIVE_MS = 5_000
const PERSIST_RETRY_MS = 1_000

export type AgentShellOptions = {
  readonly nodeId: string
  readonly runtime: Runtime
  readonly loop: Loop
  readonly log: Log
  readonly stateFile: StateFile
  readonly identity: () => TransportIdentity
  readonly managers: readonly ManagerAddress[]
  readonly onNodeChange: (change: NodeChange) => void
  readonly onManagers: (managers: readonly ManagerAddress[]) => void
}

type SessionStream = ClientStream<SessionMessage, AgentMessage>
type Connection = { readonly channel: Channel; readonly stream: SessionStream }

export class AgentShell implements LoopPart {
  #options: AgentShellOptions
  #agent: Agent
  #connections = new Map<number, Connection>()
  /** Health checks too. */
  #operations = new Map<number, AbortController>()
  #logs: LogPublisher
  #done: (() => void) | undefined
  #isEnded = false

  constructor(options: AgentShellOptions) {
    this.#options = options
    const time = options.loop.now()
    this.#agent = new Agent({
      nodeId: options.nodeId,
      bootId: readBootId(),
      instance: newId(systemRandom),
      random: systemRandom,
      log: options.log,
      state: options.stateFile.load(),
      now: { nowMs: time.monotonicMs, wallMs: time.wallMs, bootMs: readBootMs() },
    })
    this.#logs = new LogPublisher({
      nodeId: options.nodeId,
      runtime: options.runtime,
      log: options.log,
      dial: (addr) => this.#dialChannel(addr, undefined),
    })
  }

  /** The node is known to its runtime; sessions begin. */
  async start(description: NodeDescription): Promise<void> {
    const { runtime, loop } = this.#options
    runtime.watch((exit) => {
      this.#agent.step({ kind: 'exited', exit })
      loop.wake()
    })
    const list = await runtime.list()
    this.#agent.step({ kind: 'managers', managers: this.#options.managers })
    this.#agent.step({ kind: 'containers', list })
    this.#agent.step({ kind: 'described', description })
    loop.add(this)
    loop.wake()
  }

  describe(description: NodeDescription): void {
    this.#agent.step({ kind: 'described', description })
    this.#options.loop.wake()
  }

  setManagers(managers: readonly ManagerAddress[]): void {
    this.#agent.step({ kind: 'managers', managers })
    this.#options.loop.wake()
  }

  listManagers(): readonly ManagerAddress[] {
    return this.#agent.listManagers()
  }

  status(): ReturnType<Agent['status']> {
    return this.#agent.status()
  }

  listRunning(): readonly Task[] {
    return this.#agent.listRunning()
  }

  findHealth(taskId: string): Health | undefined {
    return this.#agent.findHealth(taskId)
  }

  round(time: RoundTime): void {
    const { monotonicMs: nowMs, wallMs } = time
    this.#agent.tick({ nowMs, wallMs, bootMs: readBootMs() })
    for (let outputs = this.#agent.ready(); outputs !== undefined; outputs = this.#agent.ready()) {
      for (const output of outputs) this.#carryOut(output)
      this.#agent.advance(outputs)
    }
  }

  /** The return is announced and the session closed; tasks go on. */
  async stop(returnMs: number): Promise<void> {
    await this.#end({ kind: 'stop', returnMs })
  }

  /** All tasks are stopped and removed. */
  async leave(): Promise<void> {
    await this.#end({ kind: 'leave' })
  }

  async #end(
    input: { readonly kind: 'stop'; readonly returnMs: number } | { readonly kind: 'leave' },
  ): Promise<void> {
    const done = new Promise<void>((resolve) => {
      this.#done = resolve
    })
    this.#agent.step(input)
    this.#options.loop.wake()
    await done
    this.#isEnded = true
    this.#options.loop.remove(this)
    this.#logs.close()
    for (const { channel } of this.#connections.values()) channel.close()
    this.#connections = new Map()
  }

  #carryOut(output: AgentOutput): void {
    switch (output.kind) {
      case 'dial':
        this.#dial(output.session, output.addr)
        break
      case 'send':
        this.#send(output.session, output.message)
        break
      case 'hangup':
        this.#hangup(output.session)
        break
      case 'operation':
        this.#operate(output)
        break
      case 'probe':
        this.#probe(output)
        break
      case 'cancel':
        this.#operations.get(output.id)?.abort()
        break
      case 'persist':
        this.#persist(output)
        break
      case 'command':
        this.#command(output.command)
        break
      case 'node-changed':
        this.#options.onNodeChange(output.change)
        break
      case 'managers-changed':
        this.#options.onManagers(output.managers)
        break
      case 'done':
        this.#done?.()
        break
      default:
        output satisfies never
    }
  }

  /** On a full disk it is tried again; the machine gives no newer one, and does nothing by it, before. */
  #persist(output: Extract<AgentOutput, { readonly kind: 'persist' }>): void {
    if (this.#isEnded) return
    const { stateFile, log } = this.#options
    try {
      stateFile.save(output.state)
    } catch (error) {
      if (!isDiskFull(error)) throw error
      log.warn({ path: stateFile.path }, 'disk full, state of the agent not saved')
      setTimeout(() => this.#persist(output), PERSIST_RETRY_MS).unref()
      return
    }
    this.#agent.step({ kind: 'persisted', version: output.version })
    this.#options.loop.wake()
  }

  #dialChannel(addr: string, serverName: string | undefined): Channel {
    const { certificatePem, keyPem, rootPem } = this.#options.identity()
    return newChannel(addr, {
      credentials: {
        kind: 'tls',
        ca: rootPem,
        identity: { cert: certificatePem, key: keyPem },
        // Any manager of the cluster will do, so its role's name is what is checked.
        serverName: serverName ?? 'swarm-manager',
      },
      keepaliveTimeMs: KEEPALIVE_MS,
      keepaliveTimeoutMs: KEEPALIVE_MS,
    })
  }

  #dial(session: number, addr: string): void {
    const channel = this.#dialChannel(addr, undefined)
    const stream = newClient(channel, dispatcherService).session()
    this.#connections.set(session, { channel, stream })
    this.#agent.step({ kind: 'connected', session })
    this.#options.loop.wake()
    this.#receive(session, stream).then(
      () => this.#disconnected(session, undefined),
      (error: unknown) => this.#disconnected(session, error),
    )
  }

  async #receive(session: number, stream: SessionStream): Promise<void> {
    for await (const message of stream) {
      this.#agent.step({ kind: 'received', session, message })
      this.#options.loop.wake()
    }
  }

  #disconnected(session: number, error: unknown): void {
    const connection = this.#connections.get(session)
    if (connection === undefined) return
    this.#connections.delete(session)
    connection.channel.close()
    const reason =
      error === undefined || error instanceof SwarmError
        ? error
        : new SwarmError('unavailable', 'the session broke', { cause: error })
    this.#agent.step({ kind: 'disconnected', session, error: reason })
    this.#options.loop.wake()
  }

  #send(session: number, message: AgentMessage): void {
    const connection = this.#connections.get(session)
    // A failed send ends the stream, which is reported by its reading side.
    connection?.stream.send(message).catch(() => undefined)
  }

  #hangup(session: number): void {
    const connection = this.#connections.get(session)
    if (connection === undefined) return
    this.#connections.delete(session)
    // What was sent before, such as the goodbye, still arrives.
    connection.stream.end()
    setTimeout(() => connection.channel.close(), 100)
  }

  #operate({ id, operation }: Extract<AgentOutput, { readonly kind: 'operation' }>): void {
    const abort = new AbortController()
    this.#operations.set(id, abort)
    const done = (result: OperationResult): void => {
      this.#operations.delete(id)
      this.#agent.step({ kind: 'operation-done', id, result })
      this.#options.loop.wake()
    }
    this.#run(operation.kind, operation.task, abort.signal).then(done, (error: unknown) => {
      if (!(error instanceof SwarmError))
        this.#options.log.error(
          { task: operation.task.id, operation: operation.kind, error },
          'operation met a bug',
        )
      done({ kind: 'failed', error: refusalOf(error) })
    })
  }

  #probe({ id, task, probe }: Extract<AgentOutput, { readonly kind: 'probe' }>): void {
    const abort = new AbortController()
    this.#operations.set(id, abort)
    const done = (result: ProbeResult): void => {
      this.#operations.delete(id)
      if (this.#isEnded) return
      this.#agent.step({ kind: 'probe-done', id, result })
      this.#options.loop.wake()
    }
    this.#options.runtime.probe(task, probe, abort.signal).then(done, (error: unknown) => {
      const refusal = refusalOf(error)
      this.#options.log.warn({ task: task.id, error: refusal.message }, 'health check not run')
      done({ kind: 'failed', error: refusal })
    })
  }

  async #run(kind: string, task: Task, signal: AbortSignal): Promise<OperationResult> {
    const { runtime } = this.#options
    switch (kind) {
      case 'prepare':
        await runtime.prepare(task, signal)
        return { kind: 'done' }
      case 'start':
        return { kind: 'started', started: await runtime.start(task) }
      case 'stop':
        await runtime.stop(task)
        return { kind: 'done' }
      default:
        await runtime.remove(task.id)
        return { kind: 'done' }
    }
  }

  #command(command: AgentCommand): void {
    switch (command.body?.kind) {
      case 'logs':
        this.#logs.subscribe(command.body.logs)
        break
      case 'logCancel':
        this.#logs.cancel(command.body.logCancel.id)
        break
      case undefined:
        this.#options.log.warn({}, 'command of a newer version ignored')
        break
      default:
        command.body satisfies never
    }
  }
}

function refusalOf(error: unknown): SwarmError {
  if (error instanceof SwarmError) return error
  return new SwarmError('internal', error instanceof Error ? error.message : String(error), {
    cause: error,
  })
}

function isDiskFull(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** Changes with each boot of the kernel; empty where the kernel does not say. */
function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}
