/**
 * The containers' cgroups, on hosts with version 1 and 2 and with runc's own driver or systemd's: how
 * they are called, whether the kernel killed something in one for want of memory, and how everything
 * in one is ended when no shim is left to do it.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { SwarmError } from '../../../lib/errors.ts'
import { isObject, stringAt } from './image/json.ts'
import { SIGKILL } from './spec/signal.ts'

export type CgroupOptions = {
  /** The mount point of the cgroup file systems. */
  readonly root: string
  readonly driver: 'cgroupfs' | 'systemd'
  /** cgroupfs: a path, `/tsswarm/HASH`; systemd: `tsswarm.slice:tsswarm-HASH`. */
  readonly parent: string
}

const KILL_ROUNDS = 50
const ROUND_MS = 20

export class Cgroups {
  readonly version: 1 | 2
  readonly #options: CgroupOptions

  constructor(options: CgroupOptions) {
    this.#options = options
    this.version = existsSync(join(options.root, 'cgroup.controllers')) ? 2 : 1
  }

  /** As the OCI spec wants it. */
  specPath(taskId: string): string {
    const { driver, parent } = this.#options
    return driver === 'systemd' ? `${parent}:${taskId}` : `${parent}/${taskId}`
  }

  /**
   * What all containers together may use at most, by the limits of the cgroups above theirs, such as those
   * of `tsswarm.slice`; Infinity where nobody set one.
   */
  findLimits(): { readonly nanoCpus: number; readonly memoryBytes: number } {
    const { driver, parent } = this.#options
    const path = driver === 'systemd' ? (parent.split(':')[0] ?? '') : parent
    const names = path.split('/').filter(Boolean)
    const folders = ['', ...names.map((_, at) => names.slice(0, at + 1).join('/'))]
    return {
      nanoCpus: Math.min(...folders.map((folder) => this.#readCpuLimit(folder))),
      memoryBytes: Math.min(...folders.map((folder) => this.#readMemoryLimit(folder))),
    }
  }

  #readCpuLimit(folder: string): number {
    const [quota, period] =
      this.version === 2
        ? this.#readWords(`${folder}/cpu.max`)
        : ['quota', 'period'].flatMap((name) => this.#readWords(`cpu/${folder}/cpu.cfs_${name}_us`))
    const limit = (Number(quota) / Number(period)) * 1e9
    return limit > 0 ? Math.round(limit) : Number.POSITIVE_INFINITY
  }

  #readMemoryLimit(folder: string): number {
    const file =
      this.version === 2 ? `${folder}/memory.max` : `memory/${folder}/memory.limit_in_bytes`
    const limit = Number(this.#readWords(file)[0])
    return limit > 0 ? limit : Number.POSITIVE_INFINITY
  }

  /** None where there is no such file: not in the root, nor before the first container. */
  #readWords(file: string): readonly string[] {
    try {
      return readFileSync(join(this.#options.root, file), 'utf8').trim().split(/\s+/)
    } catch {
      return []
    }
  }

  /** Whether memory and swap can be limited together. */
  hasSwapLimit(): boolean {
    const { root } = this.#options
    if (this.version === 1) return existsSync(join(root, 'memory/memory.memsw.limit_in_bytes'))
    // The root itself has no such file.
    const names = readdirSync(root, { withFileTypes: true })
    return names.some(
      (entry) => entry.isDirectory() && existsSync(join(root, entry.name, 'memory.swap.max')),
    )
  }

  /** Whether the kernel killed a process of the container for want of memory. */
  async wasOomKilled(taskId: string): Promise<boolean> {
    const [folder] = this.#folders(taskId, 'memory')
    if (folder === undefined) return false
    const file = this.version === 2 ? 'memory.events' : 'memory.oom_control'
    const text = await readFile(join(folder, file), 'utf8').catch(() => '')
    return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0) > 0
  }

  /** No process is left in the container's cgroup; SwarmError 'unavailable' where one cannot be ended. */
  async killAll(taskId: string): Promise<void> {
    const folders = this.#folders(taskId)
    const [only] = folders
    if (this.version === 2 && only !== undefined) {
      await writeFile(join(only, 'cgroup.kill'), '1').catch(() => undefined)
    }
    for (let round = 0; round < KILL_ROUNDS; round++) {
      const pids = folders.flatMap(listPids)
      if (pids.length === 0) return
      for (const pid of pids) kill(pid)
      await delay(ROUND_MS)
    }
    throw new SwarmError('unavailable', `processes of task ${taskId} cannot be ended`, {
      retriable: true,
    })
  }

  /**
   * Of a session in the container no process is left; `sessionId` is its leader's number. SwarmError
   * 'internal' where one cannot be ended in time.
   */
  async killSession(taskId: string, sessionId: number, timeoutMs: number): Promise<void> {
    for (let waitedMs = 0; waitedMs <= timeoutMs; waitedMs += ROUND_MS) {
      // In each hierarchy are the same.
      const [folder] = this.#folders(taskId)
      const pids = folder === undefined ? [] : listPids(folder)
      const members = pids.filter((pid) => sessionOf(pid) === sessionId)
      if (members.length === 0) return
      for (const pid of members) kill(pid)
      await delay(ROUND_MS)
    }
    throw new SwarmError('internal', `a health check of task ${taskId} cannot be ended`)
  }

  /** Those that exist: one a hierarchy. */
  #folders(taskId: string, hierarchy?: string): readonly string[] {
    const { root } = this.#options
    const path = this.#relativePath(taskId)
    const roots =
      this.version === 2
        ? [root]
        : readdirSync(root)
            .filter((name) => hierarchy === undefined || name === hierarchy)
            .map((name) => join(root, name))
    return roots.map((each) => join(each, path)).filter((folder) => existsSync(folder))
  }

  #relativePath(taskId: string): string {
    const { driver, parent } = this.#options
    if (driver === 'cgroupfs') return join(parent, taskId)
    const [slice = '', prefix = ''] = parent.split(':')
    return join(slice, `${prefix}-${taskId}.scope`)
  }
}

function listPids(folder: string): readonly number[] {
  try {
    const text = readFileSync(join(folder, 'cgroup.procs'), 'utf8')
    return text.split('\n').filter(Boolean).map(Number)
  } catch {
    // It went away meanwhile, and its processes before it.
    return []
  }
}

/** Undefined where the process is gone, or has ended and only its parent does not know yet. */
function sessionOf(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name before may hold anything, also brackets.
    const [state, , , session] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' ? undefined : Number(session)
  } catch {
    return undefined
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, SIGKILL)
  } catch (error) {
    if (!isObject(error) || stringAt(error, 'code') !== 'ESRCH') throw error
  }
}
