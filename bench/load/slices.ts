/**
 * How long the main thread of a daemon is not at its events: loaded before the daemon's own modules
 * (`NODE_OPTIONS=--import`), it looks at the clock every millisecond. What is later than that was
 * work in one piece, a slice, or another process on the core; the thread's own processor time tells
 * which. Slices go as lines of JSON to a file of the folder that TSSWARM_BENCH_SLICES names.
 */
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { isMainThread } from 'node:worker_threads'

export type SliceLine = {
  /** Wall time, ms. */
  readonly atMs: number
  /** Of each slice: time that passed and processor time, ms. */
  readonly slices: readonly (readonly [number, number])[]
}

const EVERY_MS = 1
const WRITE_MS = 500

const folder = process.env['TSSWARM_BENCH_SLICES']
const isDaemon = /\/node\/main\.[jt]s$/.test(process.argv[1] ?? '')
if (isMainThread && isDaemon && folder !== undefined) {
  // Not for the keeper, which runs without a compiler and could not read this file.
  delete process.env['NODE_OPTIONS']
  watch(join(folder, `${process.pid}.slices`))
}

function watch(path: string): void {
  let slices: (readonly [number, number])[] = []
  let lastMs = performance.now()
  let last = process.threadCpuUsage()
  setInterval(() => {
    const nowMs = performance.now()
    const now = process.threadCpuUsage()
    const cpuMs = (now.user + now.system - last.user - last.system) / 1_000
    slices.push([round(nowMs - lastMs), round(cpuMs)])
    lastMs = nowMs
    last = now
  }, EVERY_MS).unref()
  setInterval(() => {
    appendFileSync(path, `${JSON.stringify({ atMs: Date.now(), slices })}\n`)
    slices = []
  }, WRITE_MS).unref()
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100
}
