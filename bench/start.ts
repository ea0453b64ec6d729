/**
 * How long a service takes from `service create` to all of its tasks running: 20 replicas on one host
 * with containerd, whose image is there already. Needs root on Linux. The reference is Docker
 * Swarm's figure on such a machine.
 */
import { sleep } from '../deploy/quickstart/cluster.ts'
import { type Cluster, openCluster } from '../test/e2e/cluster.ts'
import { printFigures } from './report.ts'

const REPLICAS = 20
const DOCKER_MS = 6_000
const LOOK_MS = 20

export async function run([rounds = '5']: readonly string[]): Promise<void> {
  const cluster = await openCluster(8, { hosts: 1, managers: 1 })
  try {
    // The first container of a host unpacks the image, which is not what is measured.
    await measure(cluster, 'first', 1)
    const samples: number[] = []
    for (let round = 0; round < Number(rounds); round++)
      samples.push(await measure(cluster, `start-${round}`, REPLICAS))
    const name = `${REPLICAS} replicas running`
    printFigures('start: service create on one host (reference: Docker Swarm)', [
      { name, unit: 'ms', samples, reference: DOCKER_MS },
    ])
  } finally {
    cluster.close()
  }
}

/** Milliseconds; afterwards the service is gone. */
async function measure(cluster: Cluster, name: string, replicas: number): Promise<number> {
  const host = cluster.host(1)
  const startMs = performance.now()
  await cluster.createService(host, { name, replicas })
  for (;;) {
    const tasks = await cluster.listTasks(host, name)
    if (tasks.filter((task) => task.state === 'running').length === replicas) break
    await sleep(LOOK_MS)
  }
  const tookMs = performance.now() - startMs
  await cluster.call(host, 'DELETE', `/services/${name}`)
  while ((await cluster.listContainers(host)).size > 0) await sleep(LOOK_MS)
  return tookMs
}
