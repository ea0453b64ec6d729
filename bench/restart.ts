/**
 * A daemon that is away for a while, as in an upgrade: ended by SIGTERM for 30 s, and by SIGKILL for some seconds,
 * on a worker and on a manager. Tasks, containers and processes must be the same afterwards, and no
 * task more than before. A node is given up 10 s after its daemon was killed, starting included. Root on
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
      kill: { type: 'string', default: '6' },
    },
  })
  if (!isContainers) throw new Error('containers need root on Linux')
  const cluster = await openCluster(CLUSTER, { hosts: 4, managers: 3 })
  try {
    await cluster.createService(cluster.host(1), { name: 'web', replicas: REPLICAS })
    await cluster.untilRunning(cluster.host(1), 'web', REPLICAS)
    const term = await measure(cluster, 'SIGTERM', Number(values.term) * 1_000)
    const kill = await measure(cluster, 'SIGKILL', Number(values.kill) * 1_000)
    printFigures('from the end of a daemon until its node is ready again', [
      { name: `SIGTERM, started after ${values.term} s`, unit: 'ms', samples: term.backMs },
      { name: `SIGKILL, started after ${values.kill} s`, unit: 'ms', samples: kill.backMs },
    ])
    for (const { changes } of [term, kill]) for (const change of changes) say(change)
    const changes = term.changes.length + kill.changes.length
    say(changes === 0 ? 'no task, container or process changed' : `${changes} changed`)
    if (changes > 0) process.exitCode = 1
  } finally {
    cluster.close()
  }
}

type Measured = { readonly backMs: readonly number[]; readonly changes: readonly string[] }

/** On the worker, then on a manager that is not asked. */
async function measure(
  cluster: Cluster,
  signal: 'SIGTERM' | 'SIGKILL',
  awayMs: number,
): Promise<Measured> {
  const backMs: number[] = []
  const changes: string[] = []
  for (const host of [cluster.host(4), cluster.host(2)]) {
    const before = await look(cluster)
    const endMs = performance.now()
    await cluster.end(host, signal)
    await sleep(awayMs)
    await cluster.start(host)
    await cluster.untilReady(cluster.host(1), cluster.hosts.length)
    backMs.push(performance.now() - endMs)
    const after = new Set(await look(cluster))
    const gone = before.filter((row) => !after.has(row))
    changes.push(...gone.map((row) => `after ${signal} of ${host.name} no longer: ${row}`))
  }
  return { backMs, changes }
}

/** Every task with its container and process, and every container that runs. */
async function look(cluster: Cluster): Promise<readonly string[]> {
  const tasks = await cluster.listTasks(cluster.host(1), 'web')
  const containers = [...(await cluster.listAllContainers())]
  return [
    ...tasks.map(({ id, state, containerId, pid }) => `task ${id} ${state} ${containerId} ${pid}`),
    ...containers.map(([id, pid]) => `container ${id} ${pid}`),
  ]
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
