/**
 * The processes of the process runtime: starts each under a small shell that waits for it and puts
 * its exit code into a file, so that neither the daemon's death nor the keeper's ends a process or
 * loses how it ended. What there is stands in folders, one a task; a new keeper reads them and goes
 * on watching. Output goes to FIFOs which the process itself holds open (`log-collector.ts`).
 * When and how to stop a process is left to the daemon.
 *
 *   TASK/process.json   which process; written when it runs
 *   TASK/code           its exit code, from the shell
 *   TASK/killed         somebody asked for SIGKILL, which the shell does not survive either
 *   TASK/exit.json      how it ended; from then on nothing changes
 */
import { spawn } from 'node:child_process'
import {
  closeSync,
  existsSync,
  constants as fileConstants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import type { ProcessStatus } from '../../agent/runtime/process.ts'
import { SwarmError } from '../../lib/errors.ts'
import { Fields } from './fields.ts'
import { identityOf, isAlive, type ProcessIdentity } from './process-identity.ts'
import type { StartProcessRequest } from './protocol.ts'

/** How often processes that are not this keeper's own children are looked at. */
const LOOK_MS = 250
const KILLED_CODE = 137

/**
 * Runs the command in its own process group and waits for it. Signals for the group reach the shell
 * as well: traps that do nothing let it outlive them, and are not inherited. The exit code's file
 * appears whole, by a rename; then what is left of the group goes, as it would with a container.
 */
const WAITER = `
[ -w /proc/self/oom_score_adj ] && echo 0 2>/dev/null >/proc/self/oom_score_adj
for signal in HUP INT QUIT TERM USR1 USR2 ALRM; do trap : $signal; done
folder=$1
shift
"$@"
echo $? >"$folder/code.new" && mv "$folder/code.new" "$folder/code"
kill -KILL 0
`

type ProcessRecord = ProcessIdentity & { readonly label: string }

type Output = { readonly stdout: string; readonly stderr: string }

export class ProcessTable {
  readonly #directory: string
  readonly #onExit: (status: ProcessStatus) => void
  readonly #running: Map<string, ProcessRecord> = new Map()
  /** Tasks whose processes a predecessor started: their end is found by looking. */
  readonly #adopted: Set<string> = new Set()
  #timer: NodeJS.Timeout | undefined

  /** Goes on watching what a predecessor started; `onExit` is called once for each that ends. */
  constructor(directory: string, onExit: (status: ProcessStatus) => void) {
    this.#directory = directory
    this.#onExit = onExit
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    for (const taskId of readdirSync(directory)) {
      if (existsSync(this.#path(taskId, 'exit.json'))) continue
      this.#running.set(taskId, this.#readRecord(taskId))
      this.#adopted.add(taskId)
    }
    this.#lookAtAdopted()
  }

  /** The process runs, or did: it is never started twice. Its output goes to the FIFOs. */
  start(request: StartProcessRequest, output: Output): ProcessStatus {
    const { taskId } = request
    if (existsSync(this.#path(taskId))) return this.status(taskId)
    mkdirSync(this.#path(taskId), { mode: 0o700 })
    try {
      const { label } = request
      const record = { ...identityOf(this.#spawn(request, output)), label }
      writeWhole(this.#path(taskId, 'process.json'), record)
      this.#running.set(taskId, record)
    } catch (error) {
      rmSync(this.#path(taskId), { recursive: true, force: true })
      throw error
    }
    return this.status(taskId)
  }

  /** Throws SwarmError 'not-found' where the task has no process. */
  status(taskId: string): ProcessStatus {
    const record = this.#running.get(taskId)
    if (record !== undefined) {
      const { pid, label } = record
      return { taskId, label, pid, state: 'running', exitCode: 0, error: '', exitedAtMs: 0 }
    }
    if (!existsSync(this.#path(taskId, 'exit.json'))) {
      throw new SwarmError('not-found', `task "${taskId}" has no process`)
    }
    const exit = new Fields(JSON.parse(readFileSync(this.#path(taskId, 'exit.json'), 'utf8')))
    return {
      taskId,
      label: exit.text('label'),
      pid: exit.integer('pid'),
      state: 'exited',
      exitCode: exit.integer('exitCode'),
      error: exit.text('error'),
      exitedAtMs: exit.integer('exitedAtMs'),
    }
  }

  list(): readonly ProcessStatus[] {
    return readdirSync(this.#directory).map((taskId) => this.status(taskId))
  }

  /** The signal went to the process and its whole group; nothing where it has ended. */
  signal(taskId: string, signal: number): void {
    const identity = this.#running.get(taskId)
    if (identity === undefined || !isAlive(identity)) return
    if (signal === constants.signals.SIGKILL) writeFileSync(this.#path(taskId, 'killed'), '')
    process.kill(-identity.pid, signal)
  }

  /** The task is forgotten. Throws SwarmError 'failed-precondition' while its process runs. */
  remove(taskId: string): void {
    if (this.#running.has(taskId)) {
      throw new SwarmError('failed-precondition', `the process of task "${taskId}" still runs`)
    }
    rmSync(this.#path(taskId), { recursive: true, force: true })
  }

  /** Nothing is watched any more; processes go on. */
  end(): void {
    clearTimeout(this.#timer)
    this.#running.clear()
    this.#adopted.clear()
  }

  /** Every process was killed, and nothing is left to take over. */
  killAll(): void {
    for (const taskId of this.#running.keys()) this.signal(taskId, constants.signals.SIGKILL)
    this.end()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  /** The number of the shell, which leads the process' group. */
  #spawn(request: StartProcessRequest, output: Output): number {
    const { taskId, argv, env, directory } = request
    // Open for reading as well, so that a write finds a reader while there is no keeper.
    const stdout = openSync(output.stdout, fileConstants.O_RDWR)
    const stderr = openSync(output.stderr, fileConstants.O_RDWR)
    try {
      const child = spawn(
        '/bin/sh',
        ['-c', WAITER, 'tsswarm-process', this.#path(taskId), ...argv],
        {
          cwd: directory,
          env: Object.fromEntries(env.map(splitVariable)),
          stdio: ['ignore', stdout, stderr],
          detached: true,
        },
      )
      child.on('error', () => undefined)
      child.on('exit', (code, signal) => {
        const died = signal === null ? (code ?? 0) : 128 + constants.signals[signal]
        this.#noteExit(taskId, died)
      })
      child.unref()
      if (child.pid === undefined) {
        throw new SwarmError(
          'failed-precondition',
          `the process of task "${taskId}" cannot be started in directory "${directory}"`,
        )
      }
      return child.pid
    } finally {
      closeSync(stdout)
      closeSync(stderr)
    }
  }

  #lookAtAdopted(): void {
    for (const taskId of this.#adopted) {
      const identity = this.#running.get(taskId)
      if (identity !== undefined && isAlive(identity)) continue
      this.#noteExit(taskId, undefined)
    }
    if (this.#adopted.size > 0) this.#timer = setTimeout(() => this.#lookAtAdopted(), LOOK_MS)
  }

  /** How the process ended stands in its file, and `onExit` has been told. */
  #noteExit(taskId: string, waiterCode: number | undefined): void {
    const record = this.#running.get(taskId)
    if (record === undefined) return
    const exitCode = this.#exitCode(taskId, waiterCode)
    writeWhole(this.#path(taskId, 'exit.json'), {
      label: record.label,
      pid: record.pid,
      exitCode: exitCode ?? -1,
      error: exitCode === undefined ? 'exit code lost' : '',
      exitedAtMs: Date.now(),
    })
    this.#running.delete(taskId)
    this.#adopted.delete(taskId)
    this.#onExit(this.status(taskId))
  }

  #exitCode(taskId: string, waiterCode: number | undefined): number | undefined {
    const code = this.#path(taskId, 'code')
    if (existsSync(code)) return Number.parseInt(readFileSync(code, 'utf8'), 10)
    return existsSync(this.#path(taskId, 'killed')) ? KILLED_CODE : waiterCode
  }

  /** A folder without an identity is of a keeper that died in `start`: no process is found for it. */
  #readRecord(taskId: string): ProcessRecord {
    const path = this.#path(taskId, 'process.json')
    if (!existsSync(path)) return { pid: 0, startTime: '', bootId: 'none', label: '' }
    const fields = new Fields(JSON.parse(readFileSync(path, 'utf8')))
    return {
      pid: fields.integer('pid'),
      startTime: fields.text('startTime'),
      bootId: fields.text('bootId'),
      label: fields.text('label'),
    }
  }

  #path(taskId: string, file = ''): string {
    return join(this.#directory, taskId, file)
  }
}

function splitVariable(variable: string): readonly [string, string] {
  const at = variable.indexOf('=')
  return at < 0 ? [variable, ''] : [variable.slice(0, at), variable.slice(at + 1)]
}

/** A crash leaves the file whole or absent. */
function writeWhole(path: string, value: object): void {
  writeFileSync(`${path}.new`, JSON.stringify(value), { mode: 0o600 })
  renameSync(`${path}.new`, path)
}
