/**
 * Replicated 1 KB writes on three managers beside the same on three members of etcd, in one run, on
 * one disk, by one load generator: rates, latencies and their ratio for 1, 16, 64 and 256 clients.
 * Rounds of both alternate, so that other load on the machine meets both; figures are medians of the
 * rounds. `-- --seconds N --rounds N --clients 1,16 --only tsswarm|etcd --nice=-10`, the last where
 * other work on the machine would be measured instead.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { removeFolder } from '../deploy/quickstart/processes.ts'
import { startEtcd } from './cluster/etcd.ts'
import { findLeader, newBenchFolder, startLoopback, stopLoopback } from './cluster/loopback.ts'
import { raisePriority } from './cluster/priority.ts'
import type { LoadOrder, LoadResult } from './load/main.ts'
import { medianOf } from './report.ts'

const MEMBERS = 3
const WARM_UP_CLIENTS = 64
const WARM_UP_SECONDS = 5

type Side = { readonly kind: LoadOrder['kind']; readonly target: string | number }

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: 'string', default: '3' },
      rounds: { type: 'string', default: '3' },
      clients: { type: 'string', default: '1,16,64,256' },
      only: { type: 'string' },
      nice: { type: 'string', default: '0' },
    },
  })
  const clients = values.clients.split(',').map(Number)
  const folder = newBenchFolder('write')
  const state = values.only === 'etcd' ? undefined : await startLoopback(folder, MEMBERS)
  const etcd = values.only === 'tsswarm' ? undefined : await startEtcd(folder, MEMBERS)
  raisePriority(Number(values.nice), [
    process.pid,
    ...(state?.hosts ?? []).map((host) => host.pid),
    ...(etcd?.pids ?? []),
  ])
  try {
    const sides: Side[] = []
    const first = state?.hosts[0]
    if (state !== undefined && first !== undefined) {
      const leader = await findLeader(state, first)
      sides.push({ kind: 'tsswarm', target: (leader ?? first).socket })
    }
    if (etcd !== undefined) sides.push({ kind: 'etcd', target: await etcd.findLeader() })
    else if (values.only !== 'tsswarm')
      process.stdout.write('etcd is not installed (apt-get install etcd-server): no comparison\n')
    await measure(sides, clients, {
      seconds: Number(values.seconds),
      rounds: Number(values.rounds),
    })
  } finally {
    etcd?.stop()
    if (state !== undefined) stopLoopback(state)
    removeFolder(folder)
  }
}

async function measure(
  sides: readonly Side[],
  clients: readonly number[],
  { seconds, rounds }: { readonly seconds: number; readonly rounds: number },
): Promise<void> {
  // Whoever is measured has served for a while, as in a cluster that was not started just now.
  for (const side of sides)
    await load({ ...side, clients: WARM_UP_CLIENTS, seconds: WARM_UP_SECONDS, prefix: 'warm' })
  print(['clients', 'who', 'writes/s', 'p50 ms', 'p99 ms', 'failed', 'generator', 'ratio'])
  for (const count of clients) {
    const results = new Map<Side, LoadResult[]>(sides.map((side) => [side, []]))
    for (let round = 0; round < rounds; round++)
      for (const [side, list] of results)
        list.push(await load({ ...side, clients: count, seconds, prefix: `w${count}x${round}` }))
    const rates = sides.map((side) => medianOf((results.get(side) ?? []).map(rateOf)))
    for (const [at, side] of sides.entries()) {
      const list = results.get(side) ?? []
      const median = (pick: (result: LoadResult) => number): number => medianOf(list.map(pick))
      const other = side.kind === 'tsswarm' ? rates[at + 1] : undefined
      print([
        String(count),
        side.kind,
        (rates[at] ?? 0).toFixed(0),
        median((result) => result.p50Ms).toFixed(2),
        median((result) => result.p99Ms).toFixed(2),
        String(list.reduce((sum, result) => sum + result.failures, 0)),
        `${(median((result) => result.cpuShare) * 100).toFixed(0)} %`,
        other === undefined ? '' : `${((rates[at] ?? 0) / other).toFixed(2)}×`,
      ])
    }
  }
}

function rateOf(result: LoadResult): number {
  return result.writes / result.seconds
}

/** In a process of its own, so that the generator and the bench share no loop. */
async function load(order: LoadOrder): Promise<LoadResult> {
  const main = join(import.meta.dirname, 'load', 'main.ts')
  const { stdout } = await promisify(execFile)(process.execPath, [main, JSON.stringify(order)])
  return JSON.parse(stdout)
}

function print(cells: readonly string[]): void {
  const widths = [7, 8, 9, 8, 8, 7, 9, 7]
  const line = cells.map((cell, at) => cell.padStart(widths[at] ?? 0)).join('  ')
  process.stdout.write(`${line}\n`)
}
