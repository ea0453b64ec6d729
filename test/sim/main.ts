/**
 * `npm run -s sim -- --seed S [--trace] | --seeds N [--from S]`: replays one seed, or looks for a
 * bad one on all cores. Every tenth seed of a range runs twice, and both runs must leave the same trace.
 * A hash of all traces tells whether another machine ran the same. Ends with `N passed, N failed`;
 * exit code 1 when any failed, or when a range of 100 seeds or more never reached something that it
 * must. `--mutant NAME --seeds N [--from S]` and `--mutants [--quick]` look for seeds that find a
 * planted bug (mutants/hunt.ts). With `--solo` the seeds are those of a leader alone (solo/solo.ts).
 */
import { createHash } from 'node:crypto'
import { parseArgs } from 'node:util'
import { Coverage } from './coverage.ts'
import { huntAll, huntOne, SEEDS_MAX } from './mutants/hunt.ts'
import { runRange, type SeedResult } from './runner.ts'
import { runSeed } from './simulator.ts'
import { runSolo, type SoloOutcome } from './solo/solo.ts'

const TWICE_EVERY = 10
/** Fewer seeds may well miss something. */
const COVERAGE_SEEDS_MIN = 100
const USAGE =
  'usage: npm run -s sim -- [--solo] --seed S [--trace] | [--mutant NAME | --solo] --seeds N [--from S] | --mutants [--quick]'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    from: { type: 'string' },
    trace: { type: 'boolean', default: false },
    mutant: { type: 'string' },
    mutants: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    solo: { type: 'boolean', default: false },
  },
})

async function main(): Promise<boolean> {
  if (values.solo && (values.mutants || values.mutant !== undefined))
    misused('--solo is without mutants')
  if (values.seed !== undefined) {
    if (values.seeds !== undefined || values.from !== undefined) misused('--seed is for one seed')
    return replay(numberOf('seed', values.seed))
  }
  if (values.trace) misused('--trace is for one seed')
  const from = numberOf('from', values.from ?? '1')
  if (values.mutants) {
    const count = numberOf('seeds', values.seeds ?? String(SEEDS_MAX))
    return huntAll({ from, count }, values.quick)
  }
  const count = numberOf('seeds', values.seeds)
  if (values.solo) return searchSolo(from, count)
  if (values.mutant !== undefined) return huntOne(values.mutant, { from, count })
  return searchRange(from, count)
}

/** One seed, in this thread; passed or not. */
function replay(seed: number): boolean {
  const print = values.trace ? (line: string) => process.stdout.write(`${line}\n`) : undefined
  if (values.solo) return sumUp(1, reportSolo(seed, runSolo(seed, print)) ? 0 : 1)
  const outcome = runSeed(seed, print)
  report({ seed, outcome, problems: outcome.violations, cpuMs: 0 })
  process.stdout.write(`hash ${outcome.hash}\n`)
  return sumUp(1, outcome.violations.length > 0 ? 1 : 0)
}

/** Whether all seeds passed and reached together what they must. */
async function searchRange(from: number, count: number): Promise<boolean> {
  const seeds = Array.from({ length: count }, (_, at) => from + at)
  const coverage = new Coverage()
  const beganMs = performance.now()
  const hash = createHash('sha256')
  let failed = 0
  let cpuMs = 0
  await runRange(seeds, {
    isTwice: (seed) => (seed - from) % TWICE_EVERY === 0,
    onResult: (result) => {
      report(result)
      if (result.outcome !== undefined) {
        coverage.add(result.outcome)
        hash.update(`${result.outcome.hash}\n`)
      }
      if (result.problems.length > 0) failed++
      cpuMs += result.cpuMs
      return true
    },
  })
  const tookMs = performance.now() - beganMs
  process.stdout.write(
    `simulated ${Math.round(coverage.simulatedMs / 1_000)} s in ${Math.round(tookMs / 1_000)} s: ` +
      `${Math.round(coverage.simulatedMs / tookMs)} times real time; ` +
      `${(cpuMs / 1_000 / Math.max(1, count)).toFixed(2)} s of CPU a seed\n`,
  )
  process.stdout.write(`hash of all traces ${hash.digest('hex').slice(0, 16)}\n`)
  const isCovered = count < COVERAGE_SEEDS_MIN || reportCoverage(coverage)
  return sumUp(count, failed) && isCovered
}

/** A leader alone, seed after seed, in this thread; whether all passed. */
function searchSolo(from: number, count: number): boolean {
  let failed = 0
  for (let seed = from; seed < from + count; seed++) if (!reportSolo(seed, runSolo(seed))) failed++
  return sumUp(count, failed)
}

function reportSolo(seed: number, { violations, entries, timeMs }: SoloOutcome): boolean {
  const isFine = violations.length === 0
  const fate = isFine ? 'passed' : 'failed'
  process.stdout.write(
    `seed ${seed} ${fate}: ${entries} entries in ${Math.round(timeMs / 1_000)} s\n`,
  )
  for (const problem of violations) process.stdout.write(`  violated: ${problem}\n`)
  if (!isFine) process.stdout.write(`  replay: npm run -s sim -- --solo --seed ${seed} --trace\n`)
  return isFine
}

function reportCoverage(coverage: Coverage): boolean {
  process.stdout.write(`${coverage.format()}\n`)
  const missing = coverage.missing()
  if (missing.length > 0) process.stdout.write(`never reached: ${missing.join(', ')}\n`)
  return missing.length === 0
}

function report({ seed, outcome, problems }: SeedResult): void {
  const summary = outcome?.summary ?? 'no outcome'
  if (problems.length === 0) {
    process.stdout.write(`seed ${seed} passed: ${summary}\n`)
    return
  }
  process.stdout.write(`seed ${seed} failed: ${summary}\n`)
  for (const line of outcome?.recent ?? []) process.stdout.write(`  ${line.slice(0, 300)}\n`)
  for (const problem of problems) process.stdout.write(`  violated: ${problem}\n`)
  process.stdout.write(`  replay: npm run -s sim -- --seed ${seed} --trace\n`)
}

/** The last line of every run. */
function sumUp(count: number, failed: number): boolean {
  process.stdout.write(`${count - failed} passed, ${failed} failed\n`)
  return failed === 0
}

function numberOf(name: string, text: string | undefined): number {
  const value = Number(text)
  if (text !== undefined && text !== '' && Number.isSafeInteger(value) && value >= 0) return value
  return misused(`--${name} is no number`)
}

function misused(why: string): never {
  process.stderr.write(`${USAGE} (${why})\n`)
  process.exit(2)
}

process.exitCode = (await main()) ? 0 : 1
