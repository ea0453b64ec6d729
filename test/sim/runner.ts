/**
 * The runner of a range of seeds: one worker thread a core, results in order of the seeds. Some seeds
 * run twice, in different workers, and both runs must leave the same trace: a run that is no function
 * of its seed cannot be replayed, which is a failure of its own. A worker that ends, or that comes to
 * no end with a seed, fails that seed and is replaced.
 */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { RunReport } from './runner-worker.ts'
import type { RunOutcome } from './simulator.ts'

/** A seed that has used so much of a CPU's time is given up, and how often that is looked at. */
const SEED_CPU_MAX_MS = 120_000
const LOOK_EVERY_MS = 20_000
/** Most of what a run makes is gone at once: a larger nursery copies less of it. */
const NURSERY_MB = 64

/** What came of a seed. */
export type SeedResult = {
  readonly seed: number
  /** Undefined if its worker ended, which `problems` then says. */
  readonly outcome: RunOutcome | undefined
  readonly problems: readonly string[]
  readonly cpuMs: number
}

export type RangeOptions = {
  /** Each seed for which this holds runs twice. */
  readonly isTwice: (seed: number) => boolean
  /** Given each result, in order of the seeds; the range ends early when it says false. */
  readonly onResult: (result: SeedResult) => boolean
  /** Of the workers' Node, as for a module load hook. */
  readonly execArgv?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** All seeds have run, or `onResult` has seen enough. */
export function runRange(seeds: readonly number[], options: RangeOptions): Promise<void> {
  return new Promise((resolve) => new Range(seeds, options, resolve).start())
}

type Job = { readonly seed: number; readonly isSecond: boolean; readonly notBy: Lane | undefined }

/** One worker at a time, and its successors. */
type Lane = { worker: Worker | undefined; job: Job | undefined; timer: NodeJS.Timeout | undefined }

type Run = RunReport | { readonly problem: string }

class Range {
  #options: RangeOptions
  #seeds: readonly number[]
  /** Not begun. */
  #jobs: Job[]
  /** The first and the second run of seeds that were not reported yet. */
  #runs = new Map<number, { first?: Run; second?: Run }>()
  /** How many seeds were reported. */
  #reported = 0
  #lanes: Lane[] = []
  #done: () => void

  constructor(seeds: readonly number[], options: RangeOptions, done: () => void) {
    this.#seeds = seeds
    this.#options = options
    this.#done = done
    this.#jobs = seeds.map((seed) => ({ seed, isSecond: false, notBy: undefined }))
  }

  start(): void {
    const second = this.#seeds.some((seed) => this.#options.isTwice(seed)) ? 1 : 0
    const count = Math.min(Math.max(2, availableParallelism()), this.#seeds.length + second)
    this.#lanes = Array.from({ length: count }, () => ({
      worker: undefined,
      job: undefined,
      timer: undefined,
    }))
    if (this.#seeds.length === 0) this.#done()
    this.#startIdle()
  }

  #startIdle(): void {
    for (const lane of this.#lanes) if (lane.job === undefined) this.#startNext(lane)
  }

  #startNext(lane: Lane): void {
    const at = this.#jobs.findIndex((job) => job.notBy !== lane)
    const [job] = at < 0 ? [] : this.#jobs.splice(at, 1)
    if (job === undefined) return
    lane.job = job
    if (!job.isSecond && this.#options.isTwice(job.seed))
      this.#jobs.unshift({ seed: job.seed, isSecond: true, notBy: lane })
    lane.worker ??= this.#newWorker(lane)
    lane.worker.postMessage(job.seed)
    this.#watch(lane, lane.worker)
  }

  /** Gives the seed up when it comes to no end; time on a busy machine says nothing of that. */
  #watch(lane: Lane, worker: Worker): void {
    const { job } = lane
    let before: NodeJS.CpuUsage | undefined
    lane.timer = setInterval(() => {
      worker.cpuUsage(before).then(
        (usage) => {
          const isOver = before !== undefined && usage.user + usage.system > SEED_CPU_MAX_MS * 1_000
          before ??= usage
          if (isOver && lane.job === job)
            this.#finish(lane, { problem: `no end after ${SEED_CPU_MAX_MS / 1_000} s of a CPU` })
        },
        () => undefined,
      )
    }, LOOK_EVERY_MS)
  }

  #newWorker(lane: Lane): Worker {
    const worker = new Worker(new URL('./runner-worker.ts', import.meta.url), {
      execArgv: [...process.execArgv, ...(this.#options.execArgv ?? [])],
      env: { ...process.env, ...this.#options.env },
      resourceLimits: { maxYoungGenerationSizeMb: NURSERY_MB },
    })
    const isCurrent = (): boolean => lane.worker === worker
    worker.on('message', (report: RunReport) => {
      if (isCurrent()) this.#finish(lane, report)
    })
    worker.on('error', (error: unknown) => {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
      if (isCurrent()) this.#finish(lane, { problem: `its worker ended: ${text}` })
    })
    worker.on('exit', (code) => {
      if (isCurrent()) this.#finish(lane, { problem: `its worker ended with ${code}` })
    })
    return worker
  }

  #finish(lane: Lane, run: Run): void {
    const { job, worker } = lane
    clearInterval(lane.timer)
    lane.job = undefined
    if ('problem' in run) {
      lane.worker = undefined
      void worker?.terminate()
    }
    if (job === undefined) return
    const runs = this.#runs.get(job.seed) ?? {}
    this.#runs.set(job.seed, job.isSecond ? { ...runs, second: run } : { ...runs, first: run })
    if (this.#report()) this.#startIdle()
    else this.#end()
  }

  /** Whether there is more to do. */
  #report(): boolean {
    for (;;) {
      const seed = this.#seeds[this.#reported]
      if (seed === undefined) return false
      const { first, second } = this.#runs.get(seed) ?? {}
      const isWhole = first !== undefined && (second !== undefined || !this.#options.isTwice(seed))
      if (!isWhole) return true
      this.#runs.delete(seed)
      this.#reported++
      if (!this.#options.onResult(resultOf(seed, first, second))) return false
    }
  }

  #end(): void {
    for (const lane of this.#lanes) {
      const { worker } = lane
      lane.worker = undefined
      clearInterval(lane.timer)
      void worker?.terminate()
    }
    this.#done()
  }
}

function resultOf(seed: number, first: Run, second: Run | undefined): SeedResult {
  const outcome = 'outcome' in first ? first.outcome : undefined
  return {
    seed,
    outcome,
    problems: [
      ...('problem' in first ? [first.problem] : first.outcome.violations),
      ...(second === undefined ? [] : replayProblems(outcome, second)),
    ],
    cpuMs: ('cpuMs' in first ? first.cpuMs : 0) + (second && 'cpuMs' in second ? second.cpuMs : 0),
  }
}

function replayProblems(outcome: RunOutcome | undefined, second: Run): readonly string[] {
  if ('problem' in second) return [`its second run: ${second.problem}`]
  return outcome === undefined || outcome.hash === second.outcome.hash
    ? []
    : [`two runs of the seed differ: ${outcome.hash} and ${second.outcome.hash}`]
}
