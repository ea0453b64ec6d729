/**
 * Health checks of the process runtime: each is a command beside the task's process, in a process
 * group of its own. At most one a task runs; when it has ended, took too long, or its task has ended,
 * its whole group is gone. When checks are run and what they mean is left to the daemon.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import { LimitedOutput } from '../../agent/runtime/limited-output.ts'
import type { ProcessProbe } from '../../agent/runtime/process.ts'
import type { ProbeOutcome } from '../../agent/runtime/runtime.ts'
import { SwarmError } from '../../lib/errors.ts'

export class ProcessProbes {
  /** Task → its check under way. */
  readonly #running: Map<string, { readonly giveUp: () => void }> = new Map()

  /** How the check ended. SwarmError 'failed-precondition' where it cannot be started. */
  run(probe: ProcessProbe): Promise<ProbeOutcome> {
    const { taskId, argv, env, directory, timeoutMs } = probe
    const [program = '', ...words] = argv
    // Of a daemon that is gone: the one that asks now has forgotten it.
    this.end(taskId)
    return new Promise((resolve, reject) => {
      const child = spawn(program, words, {
        cwd: directory,
        env: Object.fromEntries(env.map(splitVariable)),
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      })
      const output = new LimitedOutput()
      let isLate = false
      const giveUp = (): void => {
        isLate = true
        killGroup(child)
      }
      const running = { giveUp }
      const timer = setTimeout(giveUp, timeoutMs)
      const settle = (): void => {
        clearTimeout(timer)
        if (this.#running.get(taskId) === running) this.#running.delete(taskId)
      }
      this.#running.set(taskId, running)
      child.stdout.on('data', (bytes: Buffer) => output.push(bytes))
      child.stderr.on('data', (bytes: Buffer) => output.push(bytes))
      child.on('error', (cause) => {
        settle()
        const message = `the health check "${program}" cannot be started: ${cause.message}`
        reject(new SwarmError('failed-precondition', message, { cause }))
      })
      // What it leaves behind would hold its output open.
      child.on('exit', () => killGroup(child))
      child.on('close', (code, signal) => {
        settle()
        const exitCode = code ?? 128 + (signal === null ? 0 : constants.signals[signal])
        if (isLate) resolve({ kind: 'late', output: output.text() })
        else resolve({ kind: 'exited', exitCode, output: output.text() })
      })
    })
  }

  /** The task's check, if one is under way, is given up. */
  end(taskId: string): void {
    this.#running.get(taskId)?.giveUp()
  }

  /** Every check is given up: nobody waits for them any more. */
  endAll(): void {
    for (const { giveUp } of this.#running.values()) giveUp()
  }
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // Nothing is left of it.
  }
}

function splitVariable(variable: string): readonly [string, string] {
  const at = variable.indexOf('=')
  return at < 0 ? [variable, ''] : [variable.slice(0, at), variable.slice(at + 1)]
}
