/**
 * A worker's power is cut: how long until the managers call the node down, and until its tasks'
 * replacements run on other hosts, as containerd there says. Then it returns, and every slot must run
 * once. Three managers and a worker with containers, everything at its defaults; root on Linux only.
 * `-- --rounds N`.
 */
import { parseArgs } from 'node:util'
import { isContainers, waitFor } from '../deploy/quickstart/cluster.ts'
import { type Cluster, openCluster, type TaskView } from '../test/e2e/cluster.ts'
import { printFigures } from './report.ts'

const CLUSTER = 5
const REPLICAS = 8
const WAIT_MS = 60_000
const MUST_MS = 13_000

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { rounds: { type: 'string', default: '3' } },
  })
  if (!isContainers) throw new Error('containers need root on Linux')
  const cluster = await openCluster(CLUSTER, { hosts: 4, managers: 3 })
  try {
    await cluster.createService(cluster.host(1), { name: 'web', replicas: REPLICAS })
    const rounds: Measured[] = []
    for (let round = 0; round < Number(values.rounds); round++) rounds.push(await measure(cluster))
    const replacedMs = rounds.map((round) => round.replacedMs)
    printFigures('from the power cut of a worker', [
      { name: 'node is down', unit: 'ms', samples: rounds.map((round) => round.downMs) },
      { name: 'replacements run', unit: 'ms', samples: replacedMs, reference: MUST_MS },
    ])
    const twice = rounds.reduce((sum, round) => sum + round.twice, 0)
    process.stdout.write(`${twice} slots ran twice after the node's return\n`)
    if (twice > 0 || Math.max(...replacedMs) > MUST_MS) process.exitCode = 1
  } finally {
    cluster.close()
  }
}

type Measured = { readonly downMs: number; readonly replacedMs: number; readonly twice: number }

async function measure(cluster: Cluster): Promise<Measured> {
  const [first, worker] = [cluster.host(1), cluster.host(4)]
  const { id } = await cluster.nodeOf(first, worker)
  await spread(cluster, id)
  const others = cluster.hosts.filter((host) => host !== worker)
  const cutMs = performance.now()
  cluster.cutPower(worker)
  const down = cluster
    .untilNodes(first, 'the node to be down', (nodes) =>
      nodes.some((node) => node.id === id && node.state === 'down'),
    )
    .then(() => performance.now() - cutMs)
  await waitFor('replacements elsewhere', WAIT_MS, async () =>
    (await cluster.listAllContainers(others)).size >= REPLICAS ? true : undefined,
  )
  const replacedMs = performance.now() - cutMs
  const downMs = await down
  await cluster.start(worker)
  await cluster.untilReady(first, 4)
  const tasks = await cluster.untilRunning(first, 'web', REPLICAS)
  const slots = new Set(tasks.map((task) => task.slot))
  return { downMs, replacedMs, twice: (await cluster.listAllContainers()).size - slots.size }
}

/** Some tasks run on the node: after its return it has none until something is placed anew. */
async function spread(cluster: Cluster, nodeId: string): Promise<readonly TaskView[]> {
  const first = cluster.host(1)
  const tasks = await cluster.untilRunning(first, 'web', REPLICAS)
  if (tasks.some((task) => task.nodeId === nodeId)) return tasks
  for (const replicas of [1, REPLICAS]) {
    await cluster.updateService(first, 'web', (spec) => ({
      ...spec,
      Mode: { Replicated: { Replicas: replicas } },
    }))
    await cluster.untilRunning(first, 'web', replicas)
  }
  return spread(cluster, nodeId)
}
