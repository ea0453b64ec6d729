/**
 * Priority over other work on a machine that is not the bench's alone. Linux shares the processor
 * between sessions first (autogroups), and each daemon is one; where there are none, or without
 * root, the figures are only noisier.
 */
import { writeFileSync } from 'node:fs'

/** The sessions of the processes have this nice value, as far as this user may set it. */
export function raisePriority(nice: number, pids: readonly number[]): void {
  if (nice === 0) return
  for (const pid of pids) {
    try {
      writeFileSync(`/proc/${pid}/autogroup`, String(nice))
    } catch {
      process.stderr.write(`bench: the priority of process ${pid} could not be raised\n`)
    }
  }
}
