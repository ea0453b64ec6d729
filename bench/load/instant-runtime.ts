/**
 * A Runtime for agents that are many in one process: every operation succeeds at once, nothing runs.
 * What it is asked is what a host's real runtime would be asked; only the time that takes is left out.
 */
import type { Container, Exit, Runtime, Started } from '../../agent/runtime/runtime.ts'
import { SwarmError } from '../../lib/errors.ts'
import type { Task } from '../../proto/gen/objects.ts'

const RESOURCES = { nanoCpus: 64e9, memoryBytes: 2 ** 38, generic: [] }

export class InstantRuntime implements Runtime {
  readonly name = 'process'
  readonly #containers = new Map<string, Container>()
  readonly #onStart: () => void
  #onExit: (exit: Exit) => void = () => undefined

  constructor(onStart: () => void) {
    this.#onStart = onStart
  }

  describe(): ReturnType<Runtime['describe']> {
    const platform = { architecture: 'amd64', os: 'linux' }
    return Promise.resolve({
      ...{ platform, resources: RESOURCES, engineVersion: 'bench' },
      ...{ plugins: [], warnings: [] },
    })
  }

  list(): Promise<readonly Container[]> {
    return Promise.resolve([...this.#containers.values()])
  }

  prepare(task: Task): Promise<void> {
    this.#containers.set(task.id, {
      ...{ taskId: task.id, containerId: task.id, state: 'created', pid: 0 },
      ...{ exit: undefined, hostPorts: [] },
    })
    return Promise.resolve()
  }

  start(task: Task): Promise<Started> {
    const made = this.#containers.get(task.id)
    if (made === undefined) return Promise.reject(new SwarmError('not-found', 'not prepared'))
    this.#containers.set(task.id, { ...made, state: 'running', pid: 1 })
    this.#onStart()
    return Promise.resolve({ containerId: task.id, pid: 1, hostPorts: [] })
  }

  stop(task: Task): Promise<void> {
    const there = this.#containers.get(task.id)
    if (there?.state !== 'running') return Promise.resolve()
    const exit = { taskId: task.id, exitCode: 0, oomKilled: false, error: '', atMs: Date.now() }
    this.#containers.set(task.id, { ...there, state: 'exited', pid: 0, exit })
    this.#onExit(exit)
    return Promise.resolve()
  }

  remove(taskId: string): Promise<void> {
    this.#containers.delete(taskId)
    return Promise.resolve()
  }

  watch(onExit: (exit: Exit) => void): void {
    this.#onExit = onExit
  }

  probe(): ReturnType<Runtime['probe']> {
    return Promise.resolve({ kind: 'exited', exitCode: 0, output: '' })
  }

  async *logs(): ReturnType<Runtime['logs']> {
    // Nothing ran, so nothing was said.
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
