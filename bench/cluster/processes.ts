/**
 * What processes took of the machine, read from /proc: processor time of each, of its main thread
 * apart, and resident memory; and the slices of their main threads (`bench/load/slices.ts`).
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SliceLine } from '../load/slices.ts'

export type CpuTime = { readonly allMs: number; readonly mainMs: number }

/** Of a clock tick of the kernel. */
const TICK_MS = 10

/** Processor time since the process began; none where it is gone. */
export function cpuTimeOf(pid: number): CpuTime {
  return {
    allMs: readTicks(`/proc/${pid}/stat`),
    mainMs: readTicks(`/proc/${pid}/task/${pid}/stat`),
  }
}

export function cpuSince(pid: number, before: CpuTime): CpuTime {
  const now = cpuTimeOf(pid)
  return { allMs: now.allMs - before.allMs, mainMs: now.mainMs - before.mainMs }
}

export function residentMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) / 1_024
}

/** Time that passed and processor time of each slice between two moments of wall time. */
export function readSlices(
  folder: string,
  pid: number,
  span: { readonly fromMs: number; readonly toMs: number },
): { readonly passedMs: readonly number[]; readonly cpuMs: readonly number[] } {
  const path = join(folder, `${pid}.slices`)
  const lines = existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []
  const slices = lines.flatMap((line) => {
    const { atMs, slices }: SliceLine = JSON.parse(line)
    return atMs >= span.fromMs && atMs <= span.toMs ? slices : []
  })
  return { passedMs: slices.map(([passed]) => passed), cpuMs: slices.map(([, cpu]) => cpu) }
}

/** The sample that such a share of all is not above. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

function readTicks(path: string): number {
  if (!existsSync(path)) return 0
  // The name in brackets may hold anything; what is counted comes after it.
  const fields = readFileSync(path, 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}
