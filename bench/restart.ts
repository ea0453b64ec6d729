/**
 * A daemon that is away for a while, as in an upgrade: ended by SIGTERM for 30 s, and by SIGKILL for 8 s,
 * on a worker and on a manager. Tasks, containers and processes must be the same afterwards, and no
 * task more than before. Prints how long each took from its start until its node was ready. Root on
 * Linux only. `-- --term SECONDS --kill SECONDS`.
 */
import { parseArgs } from 'node:util'
import { isContainers, sleep } from '../deploy/quickstart/cluster.ts'
import { type Cluster, openCluster } from '../test/e2e/cluster.ts'
import { printFigures } from './report.ts'

const CLUSTER = 5
const REPLICAS = 4

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      term: { type: 'string', default: '30' },
      kill: { type: 'string', default: '8' },
    },
  })
  if (!isContainers) throw new Error('containers need root on Linux')
  const cluster = await openCluster(CLUSTER, { hosts: 4, managers: 3 })
  try {
    await cluster.createService(cluster.host(1), { name: 'web', replicas: REPLICAS })
    await cluster.untilRunning(cluster.host(1), 'web', REPLICAS)
    const before = await look(cluster)
    const term = await measure(cluster, 'SIGTERM', Number(values.term) * 1_000)
    const kill = await measure(cluster, 'SIGKILL', Number(values.kill) * 1_000)
    const after = await look(cluster)
    printFigures('from the start of a daemon that was away until its node is ready', [
      { name: `SIGTERM, away ${values.term} s`, unit: 'ms', samples: term },
      { name: `SIGKILL, away ${values.kill} s`, unit: 'ms', samples: kill },
    ])
    process.stdout.write(`${before}\n${before === after ? 'nothing changed' : `now: ${after}`}\n`)
    if (before !== after) process.exitCode = 1
  } finally {
    cluster.close()
  }
}

/** On the worker, then on a manager that is not asked. */
async function measure(
  cluster: Cluster,
  signal: 'SIGTERM' | 'SIGKILL',
  awayMs: number,
): Promise<readonly number[]> {
  const samples: number[] = []
  for (const host of [cluster.host(4), cluster.host(2)]) {
    await cluster.end(host, signal)
    await sleep(awayMs)
    const startMs = performance.now()
    await cluster.start(host)
    await cluster.untilReady(cluster.host(1), cluster.hosts.length)
    samples.push(performance.now() - startMs)
  }
  return samples
}

/** Every task there ever was, with its container and process, and every container that runs. */
async function look(cluster: Cluster): Promise<string> {
  const tasks = await cluster.listTasks(cluster.host(1), 'web')
  const rows = tasks.map(
    ({ id, state, containerId, pid }) => `${id} ${state} ${containerId} ${pid}`,
  )
  const containers = [...(await cluster.listAllContainers())].map((row) => row.join(' '))
  return `tasks: ${rows.sort().join(', ')}; containers: ${containers.sort().join(', ')}`
}
