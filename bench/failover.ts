/**
 * How long a cluster of three managers takes no writes when its leader goes: killed ten times, its
 * host cut off silently, its main thread stalled for 20 s. Hosts are network namespaces with
 * containerd, so it needs root on Linux. Every 25 ms a new write starts on each other manager;
 * what counts is the first one begun after the failure that is acknowledged.
 */
import { callApi } from '../deploy/quickstart/api.ts'
import type { Host } from '../deploy/quickstart/cluster.ts'
import { kill } from '../deploy/quickstart/processes.ts'
import { type Cluster, openCluster } from '../test/e2e/cluster.ts'
import { type Figure, printFigures } from './report.ts'

const STALL_MS = 20_000
const CUT_ROUNDS = 5
const EVERY_MS = 25
const GIVE_UP_MS = 60_000
/** What the median must not be above (docs/performance.md). */
const KILLED_MUST_MS = 1_000
const CUT_MUST_MS = 3_000
const STALLED_MUST_MS = 6_000

export async function run([rounds = '10']: readonly string[]): Promise<void> {
  const environment = { TSSWARM_DEBUG_STALL_MS: String(STALL_MS) }
  const cluster = await openCluster(7, { hosts: 3, managers: 3, environment })
  try {
    const killed = await repeat(Number(rounds), () =>
      measure(cluster, {
        fail: (leader) => kill(leader.pid),
        heal: async (leader) => {
          await cluster.end(leader, 'SIGKILL')
          await cluster.start(leader)
        },
      }),
    )
    const cut = await repeat(CUT_ROUNDS, () =>
      measure(cluster, {
        fail: (leader) => cluster.setLink(leader, false),
        heal: async (leader) => cluster.setLink(leader, true),
      }),
    )
    const stalled = await measure(cluster, {
      fail: (leader) => kill(leader.pid, 'SIGUSR2'),
      heal: async () => undefined,
    })
    printFigures('failover: first acknowledged write (reference: what it must be)', [
      figureOf('leader killed', killed, KILLED_MUST_MS),
      figureOf('its host cut off', cut, CUT_MUST_MS),
      figureOf('its main thread stalled', [stalled], STALLED_MUST_MS),
    ])
  } finally {
    cluster.close()
  }
}

async function repeat(count: number, once: () => Promise<number>): Promise<readonly number[]> {
  const samples: number[] = []
  while (samples.length < count) samples.push(await once())
  return samples
}

function figureOf(name: string, samples: readonly number[], reference: number): Figure {
  return { name, unit: 'ms', samples, reference }
}

/** Milliseconds without writes; afterwards the cluster is whole again. */
async function measure(
  cluster: Cluster,
  outage: {
    readonly fail: (leader: Host) => void
    readonly heal: (leader: Host) => Promise<void>
  },
): Promise<number> {
  const leader = await cluster.leader()
  await cluster.untilReady(leader, 3)
  await cluster.untilNodes(leader, 'managers that are reachable', (nodes) =>
    nodes.every((node) => node.isReachable),
  )
  const others = cluster.hosts.filter((host) => host !== leader)
  outage.fail(leader)
  const writtenMs = await firstWriteMs(others)
  await outage.heal(leader)
  await cluster.untilReady(others[0] ?? leader, 3)
  return writtenMs
}

let writeCount = 0

async function firstWriteMs(hosts: readonly Host[]): Promise<number> {
  const startMs = performance.now()
  return new Promise((resolve, reject) => {
    const timer = setInterval(() => {
      if (performance.now() - startMs > GIVE_UP_MS) {
        clearInterval(timer)
        reject(new Error('no write was acknowledged within a minute'))
      }
      for (const host of hosts)
        write(host).then(
          (isWritten) => {
            if (!isWritten) return
            clearInterval(timer)
            resolve(performance.now() - startMs)
          },
          () => undefined,
        )
    }, EVERY_MS)
  })
}

async function write({ socket }: Host): Promise<boolean> {
  const body = { Name: `failover-${process.pid}-${writeCount++}`, Data: 'eA==' }
  const answer = await callApi({ socket, method: 'POST', path: '/configs/create', body })
  return answer.status === 201
}
