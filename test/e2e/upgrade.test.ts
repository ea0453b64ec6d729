/**
 * A rolling upgrade of three managers under a writer, with two versions live: nothing acknowledged is
 * lost, the newer version writes nothing that the older one cannot read until the last of them is
 * gone, what only the newer one knows passes the older one unharmed, and there is no way back then.
 */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TSSWARM } from '../../deploy/quickstart/cluster.ts'
import { asJson, asList, Writer } from './cluster.ts'
import { makeNewerTree } from './newer-tree.ts'
import { ProcessCluster, type ProcessHost } from './process-cluster.ts'

const cluster = new ProcessCluster(94, 3)
const [first, second, third] = [cluster.host(1), cluster.host(2), cluster.host(3)]
let newer = ''
let writer: Writer | undefined

beforeAll(async () => {
  newer = makeNewerTree(join(cluster.folder, 'newer'))
  await cluster.form()
  const hosts = cluster.hosts.map((host) => ({ ...host, netns: '', metrics: '', flags: [] }))
  writer = new Writer(hosts, 'live')
})

afterAll(async () => {
  await writer?.stop()
  cluster.close()
})

async function change(host: ProcessHost, program: string): Promise<void> {
  await cluster.end(host, 'SIGTERM')
  host.program = program
  await cluster.start(host)
  await cluster.untilManagers(host, 3)
}

/** The field that only the newer version has, of a config made through this host. */
async function noteOf(host: ProcessHost, name: string): Promise<unknown> {
  await cluster.createConfig(host, name)
  return asJson(await cluster.call(host, 'GET', `/configs/${name}`))['Note']
}

/** What its agents alone describe, by node, as far as that host knows the field. */
async function motds(host: ProcessHost): Promise<readonly unknown[]> {
  const nodes = asList(await cluster.call(host, 'GET', '/nodes'))
  return nodes.map((node) => asJson(node['Description'])['Motd']).sort()
}

test('with two versions live nothing is written that the older one cannot read', async () => {
  await change(first, newer)
  // Whether the leader is of the older version or of the newer one.
  expect(await noteOf(first, 'mixed-1')).toBe('')
  await change(second, newer)
  expect(await noteOf(second, 'mixed-2')).toBe('')
  expect(await cluster.listConfigs(third)).toEqual(expect.arrayContaining(['mixed-1', 'mixed-2']))
})

test('what only the newer version knows passes through the older one', async () => {
  // Whoever leads hands over, to either of the others.
  for (let leader = await cluster.leader(third); leader !== third; ) {
    await change(leader, newer)
    leader = await cluster.leader(third)
  }
  // Now the older one writes down what an agent of the newer version says of itself.
  await cluster.end(first, 'SIGKILL')
  await cluster.start(first)
  await cluster.untilManagers(first, 3)

  expect(await motds(first)).toEqual(['', 'newer', 'newer'])
})

test('the newer version is spoken once all are of it, and nothing that was written is lost', async () => {
  await change(third, newer)

  let count = 0
  await cluster.untilNodes(first, 'the next version to be spoken', () => true)
  for (let note: unknown = ''; note !== 'newer'; ) note = await noteOf(first, `after-${++count}`)
  const written = (await writer?.stop()) ?? []
  expect(written.length).toBeGreaterThan(100)
  for (const host of cluster.hosts)
    expect(await cluster.listConfigs(host)).toEqual(expect.arrayContaining([...written]))
})

test('a manager that is put back to the older version ends, and says why', async () => {
  await cluster.end(third, 'SIGTERM')
  third.program = TSSWARM

  const { exitCode, said } = await cluster.startRefused(third)
  expect(exitCode).toBe(1)
  expect(said).toContain('speaks version 2 and the cluster version 3')

  await change(third, newer)
  expect(await cluster.listConfigs(third)).toEqual(expect.arrayContaining(['after-1']))
})
