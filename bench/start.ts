/**
 * Replicas on one host with containerd: from `tsswarm service create --replicas 20` until the
 * managers know all of them running. A host of its own, as the quickstart makes them, with its image
 * from the airgap folder; root on Linux only. `-- --replicas N --rounds N --nice=-10 --keep`.
 */
import { parseArgs } from 'node:util'
import { callApi } from '../deploy/quickstart/api.ts'
import {
  type Host,
  IMAGE,
  isContainers,
  mustTsswarm,
  newState,
  type Place,
  removeAll,
  sleep,
  startDaemon,
  waitFor,
} from '../deploy/quickstart/cluster.ts'
import { findProcesses } from '../deploy/quickstart/processes.ts'
import { form, newBenchFolder } from './cluster/loopback.ts'
import { raisePriority } from './cluster/priority.ts'
import { printFigures } from './report.ts'

/** Docker Swarm on such a machine, ms (peers.md 1.1). */
const SWARM_MS = 6_000
const WAIT_MS = 60_000
const POLL_MS = 20

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      replicas: { type: 'string', default: '20' },
      rounds: { type: 'string', default: '5' },
      nice: { type: 'string', default: '0' },
    },
  })
  if (!isContainers) throw new Error('containers need root on Linux')
  const place: Place = {
    folder: newBenchFolder('start'),
    net: { prefix: 'tsbs', number: 91 },
  }
  try {
    const state = newState(place, { hosts: 1, managers: 1 })
    const [host] = state.hosts
    if (host === undefined) return
    await startDaemon(state, host)
    await form(state)
    raisePriority(Number(values.nice), [process.pid, ...findProcesses([place.folder])])
    const first = await measure(host, Number(values.replicas), 0)
    const samples: number[] = []
    for (let round = 1; round <= Number(values.rounds); round++)
      samples.push(await measure(host, Number(values.replicas), round))
    printFigures(`${values.replicas} replicas on one host with containerd`, [
      { name: 'the first time', unit: 'ms', samples: [first], reference: SWARM_MS },
      { name: 'service create until all run', unit: 'ms', samples, reference: SWARM_MS },
    ])
  } finally {
    removeAll(place)
  }
}

async function measure(host: Host, replicas: number, round: number): Promise<number> {
  const name = `bench${round}`
  const startMs = performance.now()
  const flags = ['--detach', '--name', name, '--replicas', String(replicas)]
  await mustTsswarm(host, 'service', 'create', ...flags, IMAGE)
  for (let running = 0; running < replicas; ) {
    if (performance.now() - startMs > WAIT_MS)
      throw new Error(
        `${running} of ${replicas} replicas of ${name} run after ${WAIT_MS / 1_000} s`,
      )
    await sleep(POLL_MS)
    running = (await listStates(host)).filter((state) => state === 'running').length
  }
  const took = performance.now() - startMs
  await mustTsswarm(host, 'service', 'rm', name)
  await waitFor('the tasks to be gone', WAIT_MS, async () =>
    (await listStates(host)).length === 0 ? true : undefined,
  )
  return took
}

async function listStates(host: Host): Promise<readonly string[]> {
  const { body } = await callApi({ socket: host.socket, path: '/tasks' })
  const tasks: readonly { readonly Status?: { readonly State?: string } }[] = Array.isArray(body)
    ? body
    : []
  return tasks.map((task) => task.Status?.State ?? '')
}
