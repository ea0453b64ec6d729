/**
 * `npm run -s sim -- --seed S [--trace] | --seeds N [--from S]`: replays one seed, or looks for a
 * bad one. Every tenth seed of a range runs twice, and both runs must leave the same trace. Ends
 * with `N passed, N failed`; exit code 1 when any failed.
 */
import { parseArgs } from 'node:util'
import { type RunOutcome, runSeed } from './simulator.ts'

const TWICE_EVERY = 10

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
  },
})

function main(): void {
  const seeds =
    values.seed === undefined
      ? Array.from(
          { length: numberOf('seeds', values.seeds) },
          (_, at) => numberOf('from', values.from) + at,
        )
      : [numberOf('seed', values.seed)]
  let failed = 0
  for (const [at, seed] of seeds.entries()) {
    const outcome = runSeed(
      seed,
      values.trace ? (line) => process.stdout.write(`${line}\n`) : undefined,
    )
    const problems = [
      ...outcome.violations,
      ...(at % TWICE_EVERY === 0 ? replayProblems(outcome) : []),
    ]
    report(outcome, problems)
    if (problems.length > 0) failed++
  }
  process.stdout.write(`${seeds.length - failed} passed, ${failed} failed\n`)
  process.exitCode = failed === 0 ? 0 : 1
}

/** A run that is not a function of its seed cannot be replayed, which is a failure of its own. */
function replayProblems(outcome: RunOutcome): readonly string[] {
  // With --trace the log says more, so the second run must say it too.
  const again = runSeed(outcome.seed, values.trace ? () => undefined : undefined)
  return again.hash === outcome.hash
    ? []
    : [`two runs of the seed differ: ${outcome.hash} and ${again.hash}`]
}

function report(outcome: RunOutcome, problems: readonly string[]): void {
  if (problems.length === 0) {
    process.stdout.write(`seed ${outcome.seed} passed: ${outcome.summary}\n`)
    return
  }
  process.stdout.write(`seed ${outcome.seed} failed: ${outcome.summary}\n`)
  for (const line of outcome.recent) process.stdout.write(`  ${line.slice(0, 300)}\n`)
  for (const problem of problems) process.stdout.write(`  violated: ${problem}\n`)
  process.stdout.write(`  replay: npm run -s sim -- --seed ${outcome.seed} --trace\n`)
}

function numberOf(name: string, text: string | undefined): number {
  const value = Number(text)
  if (text !== undefined && Number.isSafeInteger(value) && value >= 0) return value
  process.stderr.write(
    `usage: npm run -s sim -- --seed S [--trace] | --seeds N [--from S] (--${name} is no number)\n`,
  )
  process.exit(2)
}

main()
