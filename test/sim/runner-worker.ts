/**
 * A worker of the runner: runs the seeds that it is given, one after another, in a thread of its own, and
 * posts what came of each. A run shares nothing with the one before it but the program.
 */
import { parentPort } from 'node:worker_threads'
import type { RunOutcome } from './simulator.ts'
import { runSeed } from './simulator.ts'

/** What a worker answers to a seed: what came of it, and what it cost. */
export type RunReport = { readonly outcome: RunOutcome; readonly cpuMs: number }

parentPort?.on('message', (seed: number) => {
  const before = process.threadCpuUsage()
  const outcome = runSeed(seed)
  const { user, system } = process.threadCpuUsage(before)
  const report: RunReport = { outcome, cpuMs: (user + system) / 1_000 }
  parentPort?.postMessage(report)
})
