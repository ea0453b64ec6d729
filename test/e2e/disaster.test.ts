/**
 * What an operator does when managers are gone: reads without a quorum, one survivor that goes on
 * alone, old members that come back, and an old copy of a directory (docs/disasters.md). Managers
 * are bare processes; what containers do meanwhile is in `cluster-failover.test.ts`.
 */
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { mustTsswarm, waitFor } from '../../deploy/quickstart/cluster.ts'
import { messageOf } from './cluster.ts'
import { ProcessCluster, type ProcessHost } from './process-cluster.ts'

/** An operator's bound: from the command to the first write that is acknowledged. */
const BACK_IN_SERVICE_MS = 30_000
const cluster = new ProcessCluster(93, 3)
let survivor: ProcessHost
let gone: readonly ProcessHost[]
let written: readonly string[] = []

beforeAll(async () => {
  await cluster.form()
  const leader = await cluster.leader()
  // The leader is lost, so what the survivor holds may not be known to be committed.
  survivor = cluster.hosts.find((host) => host !== leader) ?? cluster.host(1)
  gone = cluster.hosts.filter((host) => host !== survivor)
})

afterAll(() => cluster.close())

async function write(host: ProcessHost, name: string): Promise<void> {
  await cluster.createConfig(host, name)
  written = [...written, name].sort()
}

test('without a quorum info, ping and stale reads answer, and writes say what is missing', async () => {
  for (let count = 1; count <= 5; count++) await write(survivor, `before-${count}`)
  for (const host of gone) await cluster.end(host, 'SIGKILL')

  expect((await cluster.ask(survivor, 'GET', '/_ping')).status).toBe(200)
  expect(await cluster.info(survivor)).toMatchObject({ LocalNodeState: 'active' })
  expect(await cluster.listConfigs(survivor, 'stale')).toEqual(expect.arrayContaining(['before-4']))
  const ls = { ...survivor, netns: '', metrics: '', flags: [] }
  expect(await mustTsswarm(ls, '--consistency', 'stale', 'config', 'ls')).toContain('before-4')

  const answer = await cluster.ask(survivor, 'POST', '/configs/create', { Name: 'x', Data: '' })
  expect(answer.status).toBe(503)
  expect(messageOf(answer.body)).toContain('The swarm does not have a leader')
  expect(messageOf(answer.body)).toContain('--force-new-cluster')
  const read = await cluster.ask(survivor, 'GET', '/configs')
  expect({ status: read.status, message: messageOf(read.body) }).toMatchObject({
    status: 503,
    message: expect.stringContaining('consistency=stale'),
  })
})

test('one survivor goes on alone by one command, with everything it acknowledged', async () => {
  const nodeId = String((await cluster.info(survivor))['NodeID'])
  const startMs = performance.now()

  const ls = { ...survivor, netns: '', metrics: '', flags: [] }
  expect(await mustTsswarm(ls, 'init', '--force-new-cluster')).toContain(nodeId)
  await write(survivor, 'after-1')

  expect(performance.now() - startMs).toBeLessThan(BACK_IN_SERVICE_MS)
  expect(await cluster.listConfigs(survivor)).toEqual(written)
  const nodes = await cluster.listNodes(survivor)
  expect(nodes).toHaveLength(3)
  expect(nodes.filter((node) => node.isManager)).toMatchObject([{ nodeId, isLeader: true }])
})

test('the survivor that ends and starts again is still alone and has everything', async () => {
  await cluster.end(survivor, 'SIGKILL')
  await cluster.start(survivor)

  await write(survivor, 'after-2')
  expect(await cluster.listConfigs(survivor)).toEqual(written)
})

test('old members that come back are shut out as managers, and their agents take part', async () => {
  await Promise.all(gone.map((host) => cluster.start(host)))

  for (const host of gone) {
    await cluster.untilInfo(host, 'to be shut out', (info) => info['ControlAvailable'] === false)
    expect(String((await cluster.info(host))['Error'])).toContain('--rebuild')
    const answer = await cluster.ask(host, 'GET', '/nodes')
    expect(answer.status).toBe(503)
    expect(messageOf(answer.body)).toContain('--rebuild')
  }
  await cluster.untilNodes(survivor, 'three ready nodes, one of them a manager', (nodes) => {
    const ready = nodes.filter((node) => node.state === 'ready')
    return ready.length === 3 && nodes.filter((node) => node.isManager).length === 1
  })
  await write(survivor, 'after-3')
  expect(await cluster.listConfigs(survivor)).toEqual(written)
})

test('an old member stays shut out over a restart, and joins again by a rebuild', async () => {
  const [first] = gone
  if (first === undefined) throw new Error('three managers')
  await cluster.end(first, 'SIGKILL')
  await cluster.start(first)
  expect(await cluster.info(first)).toMatchObject({ ControlAvailable: false })

  await cluster.end(first, 'SIGTERM')
  await cluster.start(first, '--rebuild')
  await cluster.untilManagers(survivor, 2)
  expect(await cluster.listConfigs(first)).toEqual(written)
})

test('an old member joins again without its log when it is demoted and promoted', async () => {
  const [, second] = gone
  if (second === undefined) throw new Error('three managers')
  const id = String((await cluster.info(second))['NodeID'])
  const ls = { ...survivor, netns: '', metrics: '', flags: [] }

  await mustTsswarm(ls, 'node', 'demote', id)
  await cluster.untilInfo(second, 'to be a worker', (info) => info['Error'] === '')
  await mustTsswarm(ls, 'node', 'promote', id)

  await cluster.untilManagers(survivor, 3)
  for (const host of cluster.hosts) expect(await cluster.listConfigs(host)).toEqual(written)
})

test('a swarm that has its quorum is not forced', async () => {
  const answer = await cluster.ask(survivor, 'POST', '/swarm/init', { ForceNewCluster: true })

  expect(answer.status).toBe(400)
  expect(messageOf(answer.body)).toContain('has a leader')
})

test('a manager with an old copy of its directory ends, and says how it gets a new one', async () => {
  const leader = await cluster.leader(survivor)
  const old = cluster.hosts.find((host) => host !== leader) ?? cluster.host(1)
  // The mark too, by which the log on its own would be known to be old.
  const copied = ['raft', 'identity/log.mark']
  const copy = join(cluster.folder, 'copy')
  const copyAll = (from: string, to: string): void => {
    for (const name of copied) cpSync(join(from, name), join(to, name), { recursive: true })
  }
  await cluster.end(old, 'SIGTERM')
  copyAll(old.stateDirectory, copy)
  await cluster.start(old)
  for (let count = 1; count <= 5; count++) await write(old, `copied-${count}`)
  await cluster.end(old, 'SIGKILL')
  rmSync(join(old.stateDirectory, 'raft'), { recursive: true })
  copyAll(copy, old.stateDirectory)

  const { exitCode, said } = await cluster.startRefused(old)
  expect(exitCode).not.toBe(0)
  expect(said).toContain('set back to an older copy')
  expect(said).toContain('--rebuild')
  expect(said).not.toContain('assertion')

  await cluster.start(old, '--rebuild')
  await cluster.untilManagers(old, 3)
  expect(await cluster.listConfigs(old)).toEqual(written)
})

test('managers that never return are removed from the swarm that went on', async () => {
  for (const host of gone) await cluster.end(host, 'SIGKILL')
  const ls = { ...survivor, netns: '', metrics: '', flags: [] }
  // Refused until it has noticed that it knows no leader.
  await waitFor('force-new-cluster', BACK_IN_SERVICE_MS, () =>
    mustTsswarm(ls, 'init', '--force-new-cluster').catch(() => undefined),
  )

  const nodes = await cluster.listNodes(survivor)
  for (const { nodeId } of nodes.filter((node) => !node.isManager)) {
    await mustTsswarm(ls, 'node', 'demote', nodeId)
    await mustTsswarm(ls, 'node', 'rm', '--force', nodeId)
  }
  expect(await cluster.listNodes(survivor)).toMatchObject([{ isLeader: true, isManager: true }])
  expect(await cluster.listConfigs(survivor)).toEqual(written)
})
