/**
 * `npm run e2e:kill -- N [--seed S] [--fault NAME]…`: N rounds of faults against a real cluster of
 * managers under recording clients, as root on Linux. Tells of each round, then of each fault how
 * often it was, how much was written and for how long nothing could be, and ends with `N passed, N
 * failed`; the exit code is 0 when none failed.
 */
import { parseArgs } from 'node:util'
import { medianOf } from '../../../bench/report.ts'
import { isContainers } from '../../../deploy/quickstart/cluster.ts'
import { type Round, runRounds } from './rounds.ts'

const ROUNDS = 100
const CLUSTER = 9

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string' }, fault: { type: 'string', multiple: true } },
})
if (!isContainers) throw new Error('hosts are network namespaces: that needs root on Linux')
const seed = Number(values.seed ?? Date.now() % 1_000_000)
const count = Number(positionals[0] ?? ROUNDS)
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(count) || count < 1)
  throw new Error('usage: npm run e2e:kill -- N [--seed S] [--fault NAME]…')

say(`seed ${seed}, ${count} rounds`)
const rounds = await runRounds({ rounds: count, seed, faults: values.fault, tell, number: CLUSTER })
const failed = rounds.filter(isFailed).length
summarize()
say(`${rounds.length - failed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

function tell(number: number, round: Round): void {
  const { fault, what, writes, reads, gapMs } = round
  say(`${number} ${fault}: ${what}; ${writes} writes, ${reads} reads, ${gapMs} ms without a write`)
  for (const name of round.lost) say(`  LOST ${name}`)
  for (const violation of round.violations) say(`  FAILED ${violation}`)
}

function summarize(): void {
  const rows = [['fault', 'rounds', 'writes', 'without a write, ms: median', 'longest']]
  for (const fault of [...new Set(rounds.map((round) => round.fault))].sort()) {
    const own = rounds.filter((round) => round.fault === fault)
    const gaps = own.map(({ gapMs }) => gapMs)
    const writes = total(own.map((round) => round.writes))
    rows.push([fault, own.length, writes, medianOf(gaps), Math.max(...gaps)].map(String))
  }
  const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0))) ?? []
  say('')
  for (const row of rows) say(row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  '))
  const writes = total(rounds.map((round) => round.writes))
  const lost = total(rounds.map((round) => round.lost.length))
  say(
    `${writes} writes acknowledged, ${lost} lost; ${total(rounds.map(({ reads }) => reads))} reads`,
  )
}

function isFailed({ lost, violations }: Round): boolean {
  return lost.length > 0 || violations.length > 0
}

function total(numbers: readonly number[]): number {
  return numbers.reduce((sum, each) => sum + each, 0)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
