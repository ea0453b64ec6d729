/**
 * Runs host commands (`ip`, `nft`, `conntrack`, …) for a daemon that must not spawn (host.md 1): at
 * most 16 at a time, those of one key one after another in the order they came. It decides nothing
 * about what is run: argv goes to the kernel as it is, never through a shell. Output and queue are
 * bounded: what exceeds them is refused or ended, by name.
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { SwarmError } from '../../lib/errors.ts'
import type { CommandRequest, CommandResult } from './protocol.ts'

const RUNNING_MAX = 16
const WAITING_MAX = 10_000
const OUTPUT_BYTES_MAX: number = 4 * 1024 * 1024

type Waiting = {
  readonly request: CommandRequest
  readonly resolve: (result: CommandResult) => void
  readonly reject: (error: SwarmError) => void
}

export class CommandRunner {
  readonly #waiting: Waiting[] = []
  readonly #busyKeys: Set<string> = new Set()

  /**
   * How the command ended. Throws SwarmError 'not-found' where there is no such program,
   * 'deadline-exceeded' where it was killed after `timeoutMs`, 'resource-exhausted' where more
   * than 10,000 wait or its output exceeds 4 MiB.
   */
  run(request: CommandRequest): Promise<CommandResult> {
    if (this.#waiting.length >= WAITING_MAX) {
      return Promise.reject(
        new SwarmError('resource-exhausted', `${WAITING_MAX} commands are waiting already`, {
          retriable: true,
        }),
      )
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject })
      this.#startNext()
    })
  }

  #startNext(): void {
    while (this.#busyKeys.size < RUNNING_MAX) {
      const at = this.#waiting.findIndex(({ request }) => !this.#busyKeys.has(request.key))
      const [next] = at < 0 ? [] : this.#waiting.splice(at, 1)
      if (next === undefined) return
      const { key } = next.request
      this.#busyKeys.add(key)
      void execute(next.request)
        .then(next.resolve, next.reject)
        .finally(() => {
          this.#busyKeys.delete(key)
          this.#startNext()
        })
    }
  }
}

/** Runs one command now; see `CommandRunner.run` for its errors. */
export function execute(request: Omit<CommandRequest, 'kind' | 'key'>): Promise<CommandResult> {
  const [program, ...rest] = request.argv
  if (program === undefined || program === '') {
    return Promise.reject(new SwarmError('invalid-argument', 'a command has no program'))
  }
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
    let refusal: SwarmError | undefined
    const refuse = (error: SwarmError): void => {
      refusal ??= error
      // Its own group, so that what it started goes as well.
      if (child.pid !== undefined) killGroup(child.pid)
    }
    const timer = setTimeout(
      () => refuse(newTimeout(request.argv, request.timeoutMs)),
      request.timeoutMs,
    )
    let sizeBytes = 0
    const collect = (pieces: Buffer[]) => (piece: Buffer) => {
      sizeBytes += piece.length
      if (sizeBytes <= OUTPUT_BYTES_MAX) pieces.push(piece)
      else refuse(newOutputTooLong(request.argv))
    }
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    child.stdout.on('data', collect(stdout))
    child.stderr.on('data', collect(stderr))
    // A command that ends without reading its input breaks the pipe; its exit code says why.
    child.stdin.on('error', () => undefined)
    child.on('error', (cause: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      reject(newStartFailure(program, cause))
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      if (refusal !== undefined) return reject(refusal)
      resolve({
        exitCode: code ?? 128 + (signal === null ? 0 : constants.signals[signal]),
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      })
    })
    child.stdin.end(request.input)
  })
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

function newTimeout(argv: readonly string[], timeoutMs: number): SwarmError {
  return new SwarmError(
    'deadline-exceeded',
    `command "${argv.join(' ')}" did not end within ${timeoutMs} ms`,
    { retriable: true },
  )
}

function newOutputTooLong(argv: readonly string[]): SwarmError {
  return new SwarmError(
    'resource-exhausted',
    `command "${argv.join(' ')}" wrote more than ${OUTPUT_BYTES_MAX} bytes`,
  )
}

function newStartFailure(program: string, cause: NodeJS.ErrnoException): SwarmError {
  return cause.code === 'ENOENT'
    ? new SwarmError('not-found', `program "${program}" is not installed`, { cause })
    : new SwarmError('internal', `program "${program}" cannot be started: ${cause.message}`, {
        cause,
      })
}
