/**
 * The hunt: how many seeds the simulator needs to find a planted bug. A seed finds it
 * when its run fails with the bug and passes without; a seed that fails either way says nothing, and
 * is named. Seeds run side by side in workers of the runner, with the load hook in them.
 */
import { runRange, type SeedResult } from '../runner.ts'
import { allMutants, getMutant } from './list.ts'
import type { Mutant } from './mutant.ts'
import { MUTANT_VARIABLE } from './place.ts'

/** Within so many seeds each mutant must be found. */
export const SEEDS_MAX = 200
/** Mutants that are found by the first seeds, one of each kind: for CI. */
const QUICK = ['applied-out-of-order', 'place-without-reservations', 'cluster-time-back']

export type Seeds = { readonly from: number; readonly count: number }

export type Hunt = {
  readonly found: SeedResult | undefined
  /** How many seeds were run with the bug. */
  readonly tried: number
  /** Seeds that fail without it too. */
  readonly spoilt: readonly number[]
}

/** Runs seeds with the bug until one finds it. */
export async function huntMutant(mutant: Mutant, { from, count }: Seeds): Promise<Hunt> {
  const spoilt: number[] = []
  for (let next = from; next < from + count; ) {
    const failed = await findFailure(mutant, { from: next, count: from + count - next })
    if (failed === undefined) break
    next = failed.seed + 1
    if (await passesWithout(failed.seed)) return { found: failed, tried: next - from, spoilt }
    spoilt.push(failed.seed)
  }
  return { found: undefined, tried: count, spoilt }
}

/** The first seed that fails with the bug. */
export async function findFailure(
  mutant: Mutant,
  { from, count }: Seeds,
): Promise<SeedResult | undefined> {
  let failed: SeedResult | undefined
  await runRange(
    Array.from({ length: count }, (_, at) => from + at),
    {
      isTwice: () => false,
      execArgv: ['--import', new URL('./hook.ts', import.meta.url).href],
      env: { [MUTANT_VARIABLE]: mutant.name },
      onResult: (result) => {
        if (result.problems.length > 0) failed = result
        return failed === undefined
      },
    },
  )
  return failed
}

/** Seed → whether it passes without any bug: the first ones find many mutants. */
const passed = new Map<number, boolean>()

async function passesWithout(seed: number): Promise<boolean> {
  let isPassed = passed.get(seed)
  if (isPassed !== undefined) return isPassed
  isPassed = false
  await runRange([seed], {
    isTwice: () => false,
    onResult: ({ problems }) => {
      isPassed = problems.length === 0
      return false
    },
  })
  passed.set(seed, isPassed)
  return isPassed
}

/** `--mutant NAME --seeds N [--from S]`: says what found it and how to look at that; whether. */
export async function huntOne(name: string, seeds: Seeds): Promise<boolean> {
  const mutant = getMutant(name)
  process.stdout.write(`${mutant.file}: ${mutant.why}; expected: ${mutant.caughtBy}\n`)
  const hunt = await huntMutant(mutant, seeds)
  for (const line of hunt.found?.outcome?.recent ?? [])
    process.stdout.write(`  ${line.slice(0, 300)}\n`)
  for (const problem of hunt.found?.problems ?? []) process.stdout.write(`  violated: ${problem}\n`)
  if (hunt.found !== undefined)
    process.stdout.write(`  replay: ${replayOf(mutant, hunt.found.seed)}\n`)
  process.stdout.write(`${describe(mutant, hunt)}\n`)
  return hunt.found !== undefined
}

/** `--mutants`: a line for each, then how many were found; whether all were. */
export async function huntAll(seeds: Seeds, isQuick: boolean): Promise<boolean> {
  const mutants = isQuick ? QUICK.map(getMutant) : allMutants
  let found = 0
  for (const mutant of mutants) {
    const hunt = await huntMutant(mutant, seeds)
    if (hunt.found !== undefined) found++
    const [problem = ''] = hunt.found?.problems ?? []
    const by = problem === '' ? '' : `: ${problem.split('\n', 1)[0]?.slice(0, 160)}`
    process.stdout.write(`${describe(mutant, hunt)}${by}\n`)
  }
  process.stdout.write(`${found} found, ${mutants.length - found} not found\n`)
  return found === mutants.length
}

/** The main thread of a replay has no worker to be told by: the hook is loaded by hand. */
function replayOf({ name }: Mutant, seed: number): string {
  const hook = './test/sim/mutants/hook.ts'
  return `${MUTANT_VARIABLE}=${name} node --import ${hook} test/sim/main.ts --seed ${seed} --trace`
}

function describe({ name }: Mutant, { found, tried, spoilt }: Hunt): string {
  const outcome =
    found === undefined
      ? `not found by ${tried} seeds`
      : `found by seed ${found.seed} after ${tried} seeds`
  const aside = spoilt.length === 0 ? '' : ` (without it seeds ${spoilt.join(', ')} fail too)`
  return `mutant ${name}: ${outcome}${aside}`
}
