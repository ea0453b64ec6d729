/**
 * What the process runtime refuses, what it asks of the keeper, and which ends it tells; over a
 * keeper that only remembers. Real processes are in `node/keeper/process-table.test.ts` and e2e.
 */
import { beforeEach, expect, test } from 'vitest'
import { silentLog } from '../../lib/log.ts'
import { emptyTask, type Task } from '../../proto/gen/objects.ts'
import {
  type ContainerSpec,
  emptyContainerSpec,
  emptyEndpointSpec,
  emptyMount,
  emptyResourceRequirements,
  emptyTaskSpec,
} from '../../proto/gen/specs.ts'
import { emptyPortConfig, emptyResources, type PortConfig } from '../../proto/gen/types.ts'
import {
  openProcessRuntime,
  type ProcessCommand,
  type ProcessKeeper,
  type ProcessProbe,
  type ProcessStatus,
} from './process.ts'
import type { Exit, ProbeOutcome, Runtime } from './runtime.ts'

class MemoryKeeper implements ProcessKeeper {
  readonly commands: ProcessCommand[] = []
  readonly signals: (readonly [string, number])[] = []
  readonly processes: Map<string, ProcessStatus> = new Map()
  readonly probes: ProcessProbe[] = []
  endLast: (outcome: ProbeOutcome) => void = () => undefined
  /** Signals that end a process. */
  deadly: readonly number[] = [15, 9]
  #onExit: (process: ProcessStatus) => void = () => undefined
  #onConnect: () => void = () => undefined

  startProcess(command: ProcessCommand): Promise<ProcessStatus> {
    const { taskId, label } = command
    const known = this.processes.get(taskId)
    if (known !== undefined) return Promise.resolve(known)
    this.commands.push(command)
    const status: ProcessStatus = {
      ...{ taskId, label, pid: 100 + this.commands.length, state: 'running' },
      ...{ exitCode: 0, error: '', exitedAtMs: 0 },
    }
    this.processes.set(taskId, status)
    return Promise.resolve(status)
  }

  signalProcess(taskId: string, signal: number): Promise<void> {
    this.signals.push([taskId, signal])
    if (this.deadly.includes(signal)) this.exit(taskId, 128 + signal)
    return Promise.resolve()
  }

  removeProcess(taskId: string): Promise<void> {
    this.processes.delete(taskId)
    return Promise.resolve()
  }

  probeProcess(probe: ProcessProbe): Promise<ProbeOutcome> {
    this.probes.push(probe)
    return new Promise((resolve) => {
      this.endLast = (outcome) => resolve(outcome)
    })
  }

  endProbe(): Promise<void> {
    this.endLast({ kind: 'late', output: '' })
    return Promise.resolve()
  }

  listProcesses(): Promise<readonly ProcessStatus[]> {
    return Promise.resolve([...this.processes.values()])
  }

  onProcessExit(listener: (process: ProcessStatus) => void): void {
    this.#onExit = listener
  }

  onConnect(listener: () => void): void {
    this.#onConnect = listener
  }

  exit(taskId: string, exitCode: number, isTold = true): void {
    const known = this.processes.get(taskId)
    if (known === undefined || known.state === 'exited') return
    const ended: ProcessStatus = { ...known, state: 'exited', exitCode, exitedAtMs: 9 }
    this.processes.set(taskId, ended)
    if (isTold) this.#onExit(ended)
  }

  connect(): void {
    this.#onConnect()
  }
}

let keeper: MemoryKeeper
let runtime: Runtime
let exits: Exit[] = []
const signal = new AbortController().signal

beforeEach(async () => {
  keeper = new MemoryKeeper()
  exits = []
  runtime = await open()
})

async function open(): Promise<Runtime> {
  const paths = { logDirectory: '/nonexistent' }
  const opened = await openProcessRuntime({ keeper, paths, log: silentLog })
  opened.watch((exit) => exits.push(exit))
  return opened
}

function task(container: Partial<ContainerSpec> = {}, changes: Partial<Task> = {}): Task {
  const spec = { ...emptyContainerSpec, image: 'app:1', command: ['sh'], ...container }
  return { ...emptyTask, id: 't1', spec: { ...emptyTaskSpec, container: spec }, ...changes }
}

function withPorts(...ports: readonly Partial<PortConfig>[]): Task {
  const list = ports.map((port) => ({
    ...{ ...emptyPortConfig, publishMode: 'host' as const },
    ...port,
  }))
  return task({}, { endpoint: { ...emptyEndpointSpec, ports: list } })
}

test.each<[string, Task, RegExp]>([
  ['a mount', task({ mounts: [emptyMount] }), /cannot have mounts/],
  ['a user', task({ user: 'nobody' }), /cannot have another user/],
  ['a read-only root', task({ readOnly: true }), /cannot have a read-only root/],
  ['a capability', task({ capabilityAdd: ['CAP_SYS_ADMIN'] }), /cannot have added capabilities/],
  [
    'a memory limit',
    task(
      {},
      {
        spec: {
          ...emptyTaskSpec,
          container: { ...emptyContainerSpec, command: ['sh'] },
          resources: {
            ...emptyResourceRequirements,
            limits: { ...emptyResources, memoryBytes: 1 },
          },
        },
      },
    ),
    /cannot have a memory limit/,
  ],
  ['no command', task({ command: [] }), /does not read image "app:1"/],
  ['an unknown program', task({ command: ['no-such'] }), /program "no-such" is not found/],
  ['a missing directory', task({ dir: '/no/such' }), /working directory "\/no\/such" does not/],
  ['an unknown signal', task({ stopSignal: 'SIGNOPE' }), /SIGNOPE/],
  [
    'a redirected port',
    withPorts({ targetPort: 80, publishedPort: 8080 }),
    /port 80 cannot be published as 8080/,
  ],
])('prepare() refuses %s', async (_name, refused, message) => {
  await expect(runtime.prepare(refused, signal)).rejects.toThrow(message)
})

test('a prepared task is listed as created, a started one as running, with its ports', async () => {
  const wanted = withPorts({ targetPort: 8080 })

  await runtime.prepare(wanted, signal)
  const created = await runtime.list()
  const started = await runtime.start(wanted)

  expect(created).toMatchObject([{ taskId: 't1', state: 'created' }])
  expect(started).toMatchObject({
    containerId: 't1',
    pid: 101,
    hostPorts: [{ publishedPort: 8080 }],
  })
  expect(await runtime.list()).toMatchObject([{ state: 'running', pid: 101 }])
})

test('command, arguments and variables reach the process; K takes a variable away', async () => {
  const env = ['A=1', 'B=x=y', 'HOME']

  await runtime.start(task({ command: ['sh', '-c'], args: ['env'], env, dir: '/tmp' }))

  const [command] = keeper.commands
  expect(command).toMatchObject({ argv: ['sh', '-c', 'env'], directory: '/tmp' })
  expect(command?.env).toEqual([expect.stringMatching(/^PATH=/), 'A=1', 'B=x=y'])
})

test('an end is told once', async () => {
  await runtime.start(task())

  keeper.exit('t1', 3)
  keeper.connect()
  await runtime.list()

  expect(exits).toEqual([{ taskId: 't1', exitCode: 3, oomKilled: false, error: '', atMs: 9 }])
})

test('an end that was missed while the keeper was away is told at the next connection', async () => {
  await runtime.start(task())
  keeper.exit('t1', 3, false)

  keeper.connect()
  await runtime.list()

  expect(exits).toMatchObject([{ taskId: 't1', exitCode: 3 }])
})

test('a new daemon adopts what runs, with its ports, and is told of its end', async () => {
  await runtime.start(withPorts({ targetPort: 8080 }))

  const adopted = await open()
  const listed = await adopted.list()
  keeper.exit('t1', 0)

  expect(listed).toMatchObject([{ state: 'running', hostPorts: [{ publishedPort: 8080 }] }])
  expect(exits).toMatchObject([{ taskId: 't1', exitCode: 0 }])
})

test('stop() sends the stop signal, and SIGKILL after the grace', async () => {
  keeper.deadly = [9]
  await runtime.start(task())

  await runtime.stop(task({ stopSignal: 'INT', stopGraceMs: 10 }))

  expect(keeper.signals).toEqual([
    ['t1', 2],
    ['t1', 9],
  ])
  expect(exits).toMatchObject([{ exitCode: 137 }])
})

test('stop() and remove() of a task that has no process do nothing', async () => {
  await runtime.prepare(task(), signal)

  await runtime.stop(task())
  await runtime.remove('t1')

  expect(await runtime.list()).toEqual([])
})

test('describe() says plainly that there is no isolation', async () => {
  const { warnings, resources } = await runtime.describe()

  expect(warnings.join()).toMatch(/without image and isolation/)
  expect(resources.nanoCpus).toBeGreaterThan(0)
})

test('a health check runs as the process does, a line of shell by the shell', async () => {
  const probed = task({ env: ['A=1'], dir: '/srv' })
  await runtime.start(probed)
  const shell = runtime.probe(probed, { test: ['CMD-SHELL', 'a | b'], timeoutMs: 5 }, signal)
  keeper.endLast({ kind: 'exited', exitCode: 3, output: 'bad' })
  const command = runtime.probe(probed, { test: ['CMD', 'a', 'b'], timeoutMs: 5 }, signal)
  keeper.endLast({ kind: 'exited', exitCode: 0, output: '' })

  expect([await shell, await command]).toEqual([
    { kind: 'exited', exitCode: 3, output: 'bad' },
    { kind: 'exited', exitCode: 0, output: '' },
  ])
  expect(keeper.probes).toMatchObject([
    { taskId: 't1', argv: ['/bin/sh', '-c', 'a | b'], directory: '/srv', timeoutMs: 5 },
    { argv: ['a', 'b'] },
  ])
  expect(keeper.probes[0]?.env).toContain('A=1')
})

test('a health check that is not wanted any more is given up', async () => {
  const abort = new AbortController()
  await runtime.start(task())
  const probe = { test: ['CMD', 'a'], timeoutMs: 5 }
  const outcome = runtime.probe(task(), probe, abort.signal)
  abort.abort()

  expect(await outcome).toEqual({ kind: 'late', output: '' })
  await runtime.probe(task(), probe, abort.signal)
  expect(keeper.probes).toHaveLength(1)
})

test('a health check that fails as its process ends says nothing', async () => {
  await runtime.start(task())
  const outcome = runtime.probe(task(), { test: ['CMD', 'a'], timeoutMs: 5 }, signal)
  keeper.exit('t1', 0)
  keeper.endLast({ kind: 'late', output: '' })

  await expect(outcome).rejects.toMatchObject({ retriable: true })
})
