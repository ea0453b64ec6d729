/**
 * Three managers on three hosts whose leader is killed, cut off, stalled or stopped while clients
 * write: another manager acknowledges, nothing acknowledged is missing, and no container notices.
 * How long it takes is measured by `npm run bench -- failover`; here are only bounds.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Host, waitFor } from '../../deploy/quickstart/cluster.ts'
import { kill } from '../../deploy/quickstart/processes.ts'
import { asJson, type Cluster, listConfigs, openCluster, Writer } from './cluster.ts'

const WAIT_MS = 60_000
/** Long enough to lose the leadership, too short for the node to be down. */
const STALL_MS = 8_000
let cluster: Cluster
let leader: Host
let others: readonly Host[]
let containers: ReadonlyMap<string, number>
let writerCount = 0

beforeAll(async () => {
  const environment = { TSSWARM_DEBUG_STALL_MS: String(STALL_MS) }
  cluster = await openCluster(2, { hosts: 3, managers: 3, environment })
  await cluster.createService(cluster.host(1), { name: 'web', replicas: 3 })
  await cluster.untilRunning(cluster.host(1), 'web', 3)
  containers = await cluster.listAllContainers()
})

beforeEach(async () => {
  leader = await cluster.leader()
  others = cluster.hosts.filter((host) => host !== leader)
  await cluster.untilReady(leader, 3)
})

afterAll(() => cluster.close())

/** A writer through the others; done when it is writing. */
async function startWriter(): Promise<Writer> {
  const writer = new Writer(others, `w${++writerCount}`)
  await untilWritten(writer, 20)
  return writer
}

function untilWritten(writer: Writer, count: number): Promise<true> {
  return waitFor('acknowledged writes', WAIT_MS, async () =>
    writer.acknowledged.length >= count ? true : undefined,
  )
}

/** Of the writes acknowledged through the others after that moment: the first one's delay. */
async function firstWriteMs(writer: Writer, sinceMs: number): Promise<number> {
  const later = await waitFor('a write after the failure', WAIT_MS, async () => {
    const at = writer.acknowledged.findLast((write) => write.atMs > sinceMs)
    return at === undefined || writer.acknowledged.length < 1 ? undefined : at
  })
  await untilWritten(writer, writer.acknowledged.length + 20)
  const gaps = writer.acknowledged.map(
    ({ atMs }, at) => atMs - (writer.acknowledged[at - 1]?.atMs ?? atMs),
  )
  return Math.max(...gaps, later.atMs - sinceMs)
}

async function expectNothingLost(writer: Writer): Promise<void> {
  const written = await writer.stop()
  await cluster.untilReady(others[0] ?? leader, 3)
  for (const host of cluster.hosts) {
    await cluster.insist(host, 'GET', '/nodes')
    const found = await listConfigs(cluster, host)
    expect(written.filter((name) => !found.has(name))).toEqual([])
  }
  expect(await cluster.listAllContainers()).toEqual(containers)
}

test('a killed leader is replaced: no write is lost, no container and no session touched', async () => {
  const agents = others.filter((host) => !cluster.managerOf(host).startsWith(leader.address))
  const sessionsOf = (host: Host): Promise<number> =>
    cluster.metric(host, 'agent_session_starts_total')
  const before = await Promise.all(agents.map(sessionsOf))
  const writer = await startWriter()

  await cluster.end(leader, 'SIGKILL')
  const gapMs = await firstWriteMs(writer, performance.now())
  const sessions = await Promise.all(agents.map(sessionsOf))
  await cluster.start(leader)

  expect(gapMs).toBeLessThan(5_000)
  expect(sessions).toEqual(before)
  await expectNothingLost(writer)
})

test('a leader whose host is cut off silently is replaced', async () => {
  const writer = await startWriter()
  cluster.setLink(leader, false)

  const gapMs = await firstWriteMs(writer, performance.now())
  cluster.setLink(leader, true)

  expect(gapMs).toBeLessThan(8_000)
  await expectNothingLost(writer)
})

test('a leader whose main thread hangs hands over', async () => {
  const writer = await startWriter()
  kill(leader.pid, 'SIGUSR2')

  const gapMs = await firstWriteMs(writer, performance.now())

  expect(gapMs).toBeLessThan(10_000)
  await expectNothingLost(writer)
})

test.each(['SIGTERM', 'SIGKILL'] as const)(
  'all managers ended by %s and started again know everything and restart nothing',
  async (signal) => {
    const configs = await listConfigs(cluster, leader)
    const before = await cluster.untilRunning(leader, 'web', 3)

    await Promise.all(cluster.hosts.map((host) => cluster.end(host, signal)))
    expect(await cluster.listAllContainers()).toEqual(containers)
    await Promise.all(cluster.hosts.map((host) => cluster.start(host)))
    leader = await cluster.leader()
    await cluster.untilReady(leader, 3)

    expect(await listConfigs(cluster, leader)).toEqual(configs)
    expect(await cluster.untilRunning(leader, 'web', 3)).toEqual(before)
    expect(await cluster.listAllContainers()).toEqual(containers)
  },
)

test('a manager that was away while the log was cut catches up by a snapshot', async () => {
  const [away] = others
  if (away === undefined) return
  const swarm = asJson(await cluster.call(leader, 'GET', '/swarm'))
  const version = String(asJson(swarm['Version'])['Index'])
  const spec = asJson(swarm['Spec'])
  await cluster.call(leader, 'POST', `/swarm/update?version=${version}`, {
    ...spec,
    Raft: { ...asJson(spec['Raft']), SnapshotInterval: 100, LogEntriesForSlowFollowers: 200 },
  })

  await cluster.end(away, 'SIGKILL')
  const writer = new Writer([leader], 'while-away')
  await untilWritten(writer, 450)
  await cluster.start(away)
  await waitFor('a snapshot to be installed', WAIT_MS, async () =>
    (await cluster.metric(away, 'snapshots_installed').catch(() => 0)) > 0 ? true : undefined,
  )

  expect(await cluster.metric(away, 'snapshots_installed')).toBe(1)
  await expectNothingLost(writer)
})
